"""Draws the study's curves over the number of patients and of synthetic images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histogan_tf.paper.rows import SYNTHETIC
from histogan_tf.reporting.pictures import save_figure

WAYS = {
    "real": "real alone",
    "perturbed": "real with rotation, flips, noise",
    "stain": "real with other stains",
    "tissue": "real and a tissue GAN of the same patients",
}

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def plot_curves(path: Path, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draws three plots side by side: AUC over patients, its difference from real images alone, and over the ratio.

    Bars are 95 % intervals.

    Args:
        path: the picture to write.
        curves: the content of curves.json.
    """
    from matplotlib.figure import Figure

    patients, ratios = curves["over_patients"], curves["over_ratio"]
    figure = Figure(figsize=(15, 4.6), layout="constrained")
    area, difference, over_ratio = figure.subplots(1, 3)
    _lines(area, patients, "way", "num_patients", "metrics", WAYS)
    area.set(xlabel="training patients", ylabel="AUC", title="Few real patients, alone and enlarged")
    _lines(difference, patients, "way", "num_patients", "against_real", WAYS)
    difference.set(xlabel="training patients", ylabel="AUC minus that of real alone", title="What enlarging is worth")
    _lines(over_ratio, ratios, "images", "ratio", "against_real", SYNTHETIC)
    over_ratio.set(xlabel="synthetic images for each real one", ylabel="AUC minus that of real alone")
    over_ratio.set_title("All patients, more and more synthetic images")
    for axes in (difference, over_ratio):
        axes.axhline(0, color="0.3", linewidth=0.8)
    save_figure(path, figure)


def _lines(
    axes: Axes,
    points: Sequence[Mapping[str, Any]],
    name: str,
    x: str,
    columns: str,
    labels: Mapping[str, str],
) -> None:
    """Draws a line with intervals for each key of `labels`, over `x`, of the points that have `columns`."""
    known = list(labels)
    found = [line for line in known if any(point[name] == line and columns in point for point in points)]
    for number, line in enumerate(found):
        own = [point for point in points if point[name] == line and columns in point]
        own = [point for point in own if point[columns]["roc_auc"]["value"] is not None]
        cells = [point[columns]["roc_auc"] for point in own]
        values = np.array([cell["value"] for cell in cells])
        low, high = (
            np.array([cell["value"] if cell[end] is None else cell[end] for cell in cells]) for end in ("low", "high")
        )
        places = [point[x] * (1 + 0.04 * (number - (len(found) - 1) / 2)) for point in own]  # side by side
        style = {"color": f"C{known.index(line)}", "marker": "o", "ms": 4, "capsize": 3}
        # A value can lie beyond its percentile interval, and matplotlib refuses bars of negative length.
        bars = np.maximum((values - low, high - values), 0)
        axes.errorbar(places, values, bars, label=labels[line], **style)
    ticks = sorted({point[x] for point in points if point[x]})
    axes.set_xscale("log")
    axes.set_xticks(ticks, [f"{tick:g}" for tick in ticks])
    axes.minorticks_off()
    axes.grid(alpha=0.3)
    if found:
        axes.legend(fontsize=8)
