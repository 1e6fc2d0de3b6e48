"""Makes the report's own pictures: real and synthetic patches side by side, and the plots as SVG."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier.predictions_file import read_predictions
from histogan_tf.clustering.montages import save_k_selection
from histogan_tf.clustering.scores import KSelection
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.paper.precision_recall_plot import plot_precision_and_recall
from histogan_tf.paper.rows import Row
from histogan_tf.paper.study_images import LABELS, StudyImages
from histogan_tf.paper.table_plots import differences_plot, published_plot
from histogan_tf.reporting.interval_plot import draw_interval_plot
from histogan_tf.reporting.pictures import plot_losses, save_png
from histogan_tf.runs import files

PICTURES = "pictures"
PATCHES_SHOWN = 6
_PLOTTED_LOSSES = ("d_loss", "g_loss", "G_A2B", "G_B2A", "cycle_A", "cycle_B", "D_A", "D_B")


def write_study_pictures(
    directory: Path,
    folder: Path,
    images: StudyImages,
    synthetic: Sequence[str],
    runs: Sequence[str],
    rows: Sequence[Row],
    seed: int,
) -> None:
    """Writes pictures/ in the study's directory.

    It holds patches/SET-LABEL-NUMBER.png (see `patch_path`), losses-RUN.svg, k_selection.svg, two plots of Table 1,
    differences.svg and figure7.svg, and precision_recall.svg.

    Args:
        directory: the study's directory, which holds table1.json and clusters/.
        folder: the folder of the repeat that is shown.
        images: the study's images, for the real patches.
        synthetic: the sets of synthetic images that are shown, keys of rows.SYNTHETIC.
        runs: the names of the generators' runs whose losses are drawn.
        rows: the rows of Table 1 whose precision and recall are drawn at every threshold.
        seed: the seed of the choice of patches.
    """
    pictures = directory / PICTURES
    _write_patches(directory, folder, images, synthetic, seed)
    for run in runs:
        lines = (folder / run / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
        losses = [json.loads(line) for line in lines]
        names = [name for name in _PLOTTED_LOSSES if name in losses[0]]
        plot_losses(pictures / f"losses-{run}.svg", losses, names, run)
    summary = json.loads((directory / "clusters" / "summary.json").read_text(encoding="utf-8"))
    selection = summary["k_selection"]
    scores = [[math.nan if value is None else value for value in selection[key]] for key in ("inertia", "silhouette")]
    save_k_selection(
        pictures / "k_selection.svg",
        KSelection(np.array(selection["num_clusters"]), *map(np.array, scores), num_images=selection["num_images"]),
        sum(row["cluster"] >= 0 for row in summary["clusters"]),
    )
    table: Mapping[str, Any] = json.loads((directory / "table1.json").read_text(encoding="utf-8"))
    for name, plot in (("differences", differences_plot(table)), ("figure7", published_plot(table))):
        files.write_text(pictures / f"{name}.svg", draw_interval_plot(plot))
    predictions = {row: read_predictions(folder / f"classifier-{row.name}" / "predictions.csv") for row in rows}
    plot_precision_and_recall(pictures / "precision_recall.svg", predictions)


def patch_path(directory: Path, name: str, label: int, number: int) -> Path:
    """Returns the PNG of one of the patches that are shown side by side.

    Args:
        directory: the study's directory.
        name: "real", or the name of a set of synthetic images, a key of SYNTHETIC.
        label: 0 or 1.
        number: from 0 to PATCHES_SHOWN - 1.
    """
    return directory / PICTURES / "patches" / f"{name}-{label}-{number}.png"


def _write_patches(directory: Path, folder: Path, images: StudyImages, synthetic: Sequence[str], seed: int) -> None:
    """Writes random patches of each label: real training patches, and synthetic ones of each set."""
    whole = images.whole
    training = whole.select(np.flatnonzero(images.is_training))
    sets = {"real": training}
    sets |= {name: load_synthetic(str(folder / "synthetic" / name), whole.class_names) for name in synthetic}
    for name, found in sets.items():
        for label in LABELS:
            generator = np.random.default_rng([seed, label])
            chosen = generator.permutation(np.flatnonzero(found.labels == label))[:PATCHES_SHOWN]
            for number, image in enumerate(np.asarray(found.select(chosen).images[:])):
                save_png(patch_path(directory, name, label, number), image)
