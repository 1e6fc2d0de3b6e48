"""Chooses, by each rule, which of a repeat's synthetic images the classifier is trained on."""

from __future__ import annotations

import csv
import dataclasses
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from histogan_tf.classifier.prediction import Predictor
from histogan_tf.config import Config
from histogan_tf.config.families import CLASSIFIER
from histogan_tf.data.class_file import write_class_file
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_parts
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.errors import counted
from histogan_tf.models.feature_extractors import feature_extractor
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import original_text
from histogan_tf.synthesis import selection
from histogan_tf.synthesis.selection import Selection
from histogan_tf.trained.load import load_networks

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class _OneLabel:
    """Synthetic images of one label, and what the rules look at.

    Attributes:
        images: the synthetic images of the label.
        features: float32 (num_images, d), their features.
        probabilities: float64 (num_images,), their probability of label 1, by the classifier of real images.
        real_features: float32 (num_real, d), features of the real training images of the label.
        source_features: float32 (num_images, d), features of the real images that they were translated from; None if
            they were not translated.
    """

    images: ImageSet
    features: np.ndarray
    probabilities: np.ndarray
    real_features: np.ndarray
    source_features: np.ndarray | None


_RULES: dict[str, Callable[[_OneLabel], Selection]] = {
    "confidence": lambda one: selection.select_confident(one.probabilities, one.images.labels),
    "realism": lambda one: selection.select_realistic(one.real_features, one.features),
    "distance": lambda one: selection.select_changed(one.source_features, one.features),
}


def select_images(config: Config, synthetic_dir: Path, rules: tuple[str, ...], output_directory: Path) -> None:
    """Writes <output_directory>-<rule>/ for each rule: LABEL.npz with the images kept, if any, and classes.json beside
    them; and label-LABEL/ with selection.csv and sheets of kept and rejected images.

    Args:
        config: names the run of the classifier trained on real images, whose predictions the rule `confidence` uses,
            and --features.
        synthetic_dir: folder with images of both labels; its index.csv names their sources, if they were translated.
        rules: some of `confidence`, `realism` and `distance`, which is for translated images only.
        output_directory: path whose name the names of the written folders begin with.

    Raises:
        UserError: if the images or the run cannot be read, or are too few for a rule.
    """
    real, _ = load_parts(config)
    synthetic = load_synthetic(str(synthetic_dir), real.class_names)
    (classifier,) = load_networks(config, kind=CLASSIFIER)
    probabilities = Predictor(classifier.network)(synthetic.images)
    extract = feature_extractor(config, real.image_shape)
    real_features, features = extract(np.asarray(real.images)), extract(synthetic.images)
    sources = _sources(synthetic_dir / "index.csv", real, synthetic)
    for label in np.unique(synthetic.labels).tolist():
        chosen = np.flatnonzero(synthetic.labels == label)
        one = _OneLabel(
            synthetic.select(chosen),
            features[chosen],
            probabilities[chosen],
            real_features[real.labels == label],
            None if sources is None else real_features[sources[chosen]],
        )
        for rule in rules:
            _write(output_directory.with_name(f"{output_directory.name}-{rule}"), label, one.images, _RULES[rule](one))


def _sources(index: Path, real: ImageSet, synthetic: ImageSet) -> np.ndarray | None:
    """Returns the index of the real image that each synthetic one was translated from; None if none was translated."""
    if not index.exists():
        return None
    with index.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    source_of_file = {original_text(row["file"]): original_text(row["source"]) for row in rows}
    numbers = {name: number for number, name in enumerate(real.ids.tolist())}
    return np.array([numbers[source_of_file[name.removeprefix("synthetic/")]] for name in synthetic.ids.tolist()])


def _write(directory: Path, label: int, images: ImageSet, chosen: Selection) -> None:
    selection.write_selection(directory / f"label-{label}", chosen, images.ids, images.images)
    logger.info(
        "%s: keeps %d of %s of label %d", chosen.rule, chosen.is_kept.sum(), counted(len(images), "image"), label
    )
    if chosen.is_kept.any():
        write_class_file(directory, images.class_names)
        with files.written_aside(directory / f"{label}.npz") as aside, aside.open("wb") as file:
            np.savez(file, images=images.images[chosen.is_kept])


def has_images(directory: Path) -> bool:
    """Tells whether a rule kept any image in the folder."""
    return any(directory.glob("*.npz"))
