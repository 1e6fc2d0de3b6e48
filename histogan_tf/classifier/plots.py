"""Draws the plots of classifiers: curves, confusion matrix, calibration, and the paper's Figures 7 and 8."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histogan_tf.metrics import classification
from histogan_tf.metrics.classification import Metric
from histogan_tf.reporting.pictures import save_figure

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_REAL, _SYNTHETIC = "#1f77b4", "#d62728"


def _new(what: str, title: str, size: tuple[float, float] = (5.2, 4.6)) -> tuple[Figure, Axes]:
    """Returns a figure under two lines: what is seen, and the title."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size)
    axes = figure.subplots()
    axes.set_title(f"{what}\n{title}", fontsize=9)
    return figure, axes


def plot_precision_recall(
    path: Path, labels: np.ndarray, probabilities: np.ndarray, title: str, point: Mapping[str, Any] | None = None
) -> None:
    """Draws the precision-recall curve with its average precision, and the share of positives as the level of chance.

    Args:
        path: the PNG to write.
        labels: int (num_images,), the true labels; both 0 and 1 must occur.
        probabilities: float (num_images,), the predicted probabilities of label 1.
        title: text above the plot.
        point: an operating point to mark, in the form of metrics.json.
    """
    from sklearn.metrics import average_precision_score

    precision, recall, _ = classification.precision_recall_curve(labels, probabilities)
    average = average_precision_score(labels, probabilities)
    figure, axes = _new("Precision and recall at every threshold", title)
    axes.step(recall, precision, where="post", label=f"average precision {average:.3f}")
    axes.axhline(np.mean(labels), color="0.6", linestyle=":", label=f"chance {np.mean(labels):.3f}")
    if point:
        _mark(axes, point["metrics"]["recall"]["value"], point["metrics"]["precision"]["value"], point)
    axes.set(xlabel="recall (sensitivity)", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    save_figure(path, figure)


def plot_roc(
    path: Path, labels: np.ndarray, probabilities: np.ndarray, title: str, point: Mapping[str, Any] | None = None
) -> None:
    """Draws the ROC curve with the area under it. It takes the arguments of `plot_precision_recall`."""
    from sklearn.metrics import roc_auc_score

    false_positive_rate, recall, _ = classification.roc_curve(labels, probabilities)
    figure, axes = _new("ROC curve: recall against false alarms at every threshold", title)
    axes.plot(false_positive_rate, recall, label=f"area {roc_auc_score(labels, probabilities):.3f}")
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="chance 0.500")
    if point:
        metrics = point["metrics"]
        _mark(axes, 1 - metrics["specificity"]["value"], metrics["recall"]["value"], point)
    axes.set(xlabel="false positive rate (1 - specificity)", ylabel="recall (sensitivity)", xlim=(0, 1), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower right", fontsize=8)
    save_figure(path, figure)


def _mark(axes: Axes, x: float | None, y: float | None, point: Mapping[str, Any]) -> None:
    if x is None or y is None:  # no image is called positive at this threshold
        return
    label = f"threshold {point['threshold']:.3f}, for recall {point['recall_at_least']:g} in training"
    axes.plot([x], [y], "o", color="black", label=label, clip_on=False)


def plot_confusion_matrix(
    path: Path, labels: np.ndarray, predictions: np.ndarray, class_names: Sequence[str], title: str
) -> None:
    """Draws the numbers of images by true label (row) and predicted label (column), with their share of the row."""
    counts = classification.confusion_matrix(labels, predictions.astype(np.int32))
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    figure, axes = _new("Confusion matrix: images by label and prediction", title, (4.2, 4.0))
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(2):
        for column in range(2):
            colour = "white" if shares[row, column] > 0.5 else "black"
            text = f"{counts[row, column]}\n{shares[row, column]:.1%}"
            axes.text(column, row, text, ha="center", va="center", color=colour)
    names = [f"{number} ({name})" for number, name in enumerate(class_names)]
    axes.set_xticks((0, 1), names)
    axes.set_yticks((0, 1), names, rotation=90, va="center")
    axes.set(xlabel="predicted label", ylabel="label")
    save_figure(path, figure)


def plot_reliability(
    path: Path, labels: np.ndarray, probabilities: np.ndarray, title: str, positive_class: str
) -> None:
    """Draws how often the positive class occurs over its predicted probability; below, the images in each of ten bins.

    Args:
        path: the PNG to write.
        labels: int (num_images,), the true labels.
        probabilities: float (num_images,), the predicted probabilities of label 1.
        title: text above the plot.
        positive_class: the name of label 1.
    """
    from matplotlib.figure import Figure

    bins = classification.reliability_bins(labels, probabilities)
    used = bins.counts > 0
    figure = Figure(figsize=(5.2, 5.6))
    axes, histogram = figure.subplots(2, 1, sharex=True, height_ratios=(3, 1))
    axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="calibrated")
    brier = np.mean((probabilities - labels) ** 2)
    axes.plot(
        bins.mean_probability[used], bins.fraction_positive[used], "o-", label=f"classifier, Brier score {brier:.3f}"
    )
    axes.set(ylabel=f"fraction of {positive_class}", ylim=(-0.02, 1.02))
    axes.set_title(f"Calibration: how often the predicted probability is right\n{title}", fontsize=9)
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", fontsize=8)
    histogram.bar(bins.edges[:-1], bins.counts, width=np.diff(bins.edges), align="edge", edgecolor="white")
    histogram.set(xlabel=f"probability of {positive_class}", ylabel="images", xlim=(0, 1))
    save_figure(path, figure)


def plot_comparison(
    path: Path, metrics_of_runs: Mapping[str, Mapping[str, Metric]], names: Sequence[str], title: str
) -> None:
    """Draws some metrics of each run as bars with their 95 % intervals (the paper's Figure 7).

    Args:
        path: the PNG to write.
        metrics_of_runs: for each run, by name, its metrics, by name.
        names: names of the metrics to draw.
        title: text above the plot.
    """
    figure, axes = _new(
        "Measures with 95 % intervals", title, (max(6.0, 1.2 + 0.55 * len(names) * len(metrics_of_runs)), 4.2)
    )
    width = 0.8 / len(metrics_of_runs)
    places = np.arange(len(names))
    for number, (run, metrics) in enumerate(metrics_of_runs.items()):
        values = np.array([metrics[name].value for name in names])
        low, high = (np.array([getattr(metrics[name], bound) for name in names]) for bound in ("low", "high"))
        # A percentile interval may exclude the value itself; an error bar of negative length cannot be drawn.
        errors = np.nan_to_num(np.maximum([values - low, high - values], 0))
        centres = places + (number - (len(metrics_of_runs) - 1) / 2) * width
        axes.bar(centres, np.nan_to_num(values), width * 0.94, yerr=errors, capsize=2, label=run, ecolor="0.25")
        for centre, value in zip(centres, values, strict=True):
            text = "undefined" if np.isnan(value) else f"{value:.2f}"
            axes.text(centre, 0.02, text, ha="center", va="bottom", rotation=90, fontsize=8, color="white")
    axes.set_xticks(places, [name.replace("_", " ") for name in names])
    axes.set(ylim=(0, 1.02))
    axes.grid(axis="y", alpha=0.3)
    axes.set_axisbelow(True)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    save_figure(path, figure)


def plot_neighbours(
    path: Path,
    queries: Sequence[tuple[np.ndarray, str]],
    neighbours: Sequence[Sequence[tuple[np.ndarray, str, bool]]],
    title: str,
) -> None:
    """Draws a row for each query: the image, then the nearest training images, framed by origin (the paper's Figure 8).

    Args:
        path: the PNG to write.
        queries: for each query, its image, uint8 (height, width, channels), and caption.
        neighbours: for each query, the nearest training images, each with its caption and whether it is real.
        title: text above the sheet.
    """
    from matplotlib.figure import Figure
    from matplotlib.patches import Patch

    num_rows, num_columns = len(queries), 1 + max(map(len, neighbours))
    figure = Figure(figsize=(1.6 * num_columns, 1.95 * num_rows + 1.1), layout="constrained")
    grid = figure.subplots(num_rows, num_columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for row, query, found in zip(grid, queries, neighbours, strict=True):
        _show(row[0], *query, "black")
        for axes, (image, caption, is_real) in zip(row[1:], found, strict=False):
            _show(axes, image, caption, _REAL if is_real else _SYNTHETIC)
    figure.suptitle(title, fontsize=12)
    handles = [Patch(color=_REAL, label="real training image"), Patch(color=_SYNTHETIC, label="synthetic image")]
    figure.legend(handles=handles, loc="outside lower center", ncols=2, fontsize=11)
    save_figure(path, figure)


def _show(axes: Axes, image: np.ndarray, caption: str, colour: str) -> None:
    axes.set_axis_on()
    axes.imshow(np.squeeze(image), cmap="gray" if image.shape[-1] == 1 else None, vmin=0, vmax=255)
    axes.set(xticks=(), yticks=())
    axes.set_title(caption, fontsize=10)
    for spine in axes.spines.values():
        spine.set(color=colour, linewidth=3)
