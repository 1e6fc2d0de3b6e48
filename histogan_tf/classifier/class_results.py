"""Measures what a classifier of three classes or more predicts: metrics.json, classes.md and the plots beside them."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.classifier.metric_tables import metric_text, to_json
from histogan_tf.classifier.predictions_file import Predictions
from histogan_tf.machine.console import Lines
from histogan_tf.metrics import classification
from histogan_tf.metrics.measured import Metric, interval_method
from histogan_tf.metrics.multiclass import class_confusion_matrix, evaluate_classes, metrics_of_class, overall_metrics
from histogan_tf.reporting.pictures import save_figure
from histogan_tf.reporting.text_tables import markdown_table
from histogan_tf.runs import files

if TYPE_CHECKING:
    from matplotlib.axes import Axes

logger = logging.getLogger(__name__)

_MOST_CELLS_WITH_SHARES = 12  # classes: with more, a cell has room for the number alone


def write_class_results(
    directory: Path, predictions: Predictions, class_names: Sequence[str], note: str, seed: int
) -> None:
    """Writes metrics.json, classes.md and the plots of a classifier of three classes or more, and logs the tables.

    Args:
        directory: the run directory.
        predictions: for the validation part; probabilities are float (num_images, num_classes).
        class_names: the names of the labels.
        note: where the features come from, for every output.
        seed: the seed of the bootstrap.
    """
    labels, probabilities, groups = predictions.labels, predictions.probabilities, predictions.groups
    metrics = evaluate_classes(labels, probabilities, groups=groups, seed=seed)
    counts = class_confusion_matrix(labels, probabilities.argmax(axis=1), len(class_names))
    title = f"{directory.name}: {note}; {len(class_names)} classes"
    tables = f"{_overall_table(directory.name, metrics)}\n\n{_class_table(metrics, class_names, counts.sum(axis=1))}"
    logger.info("%s\n%s", title, Lines(tables))
    files.write_text(directory / "classes.md", f"{tables}\n")
    plot_class_confusion(directory / "confusion_matrix.png", counts, class_names, title)
    plot_one_against_rest(directory / "precision_recall.png", labels, probabilities, class_names, title, is_roc=False)
    plot_one_against_rest(directory / "roc.png", labels, probabilities, class_names, title, is_roc=True)
    files.write_json(
        directory / "metrics.json",
        {
            "backbone": note,
            "class_names": list(class_names),
            "num_images": len(labels),
            "num_patients": None if groups is None else len(np.unique(groups)),
            "intervals": interval_method(groups),
            "metrics": to_json(overall_metrics(metrics)),
            "classes": {name: to_json(metrics_of_class(metrics, number)) for number, name in enumerate(class_names)},
            "confusion_matrix": counts.tolist(),
        },
    )


def class_metrics_table(metrics_of_runs: Mapping[str, Mapping[str, Metric]]) -> str:
    """Returns a Markdown table of the metrics over all classes: a row for each metric, a column for each run."""
    names = [*overall_metrics(dict(next(iter(metrics_of_runs.values()))))]
    rows = [["metric (all classes)", *metrics_of_runs]]
    rows += [[name, *(metric_text(name, metrics[name]) for metrics in metrics_of_runs.values())] for name in names]
    return markdown_table(rows)


def _overall_table(run: str, metrics: Mapping[str, Metric]) -> str:
    return class_metrics_table({run: metrics})


def _class_table(metrics: dict[str, Metric], class_names: Sequence[str], num_images: np.ndarray) -> str:
    columns = list(metrics_of_class(metrics, 0))
    rows = [["class against the rest", "images", *columns]]
    for number, name in enumerate(class_names):
        of_class = metrics_of_class(metrics, number)
        cells = [metric_text(column, of_class[column]) for column in columns]
        rows.append([name, str(num_images[number]), *cells])
    return markdown_table(rows)


def plot_class_confusion(path: Path, counts: np.ndarray, class_names: Sequence[str], title: str) -> None:
    """Draws the numbers of images by true class (row) and predicted class (column), coloured by the share of the row.

    Args:
        path: the PNG to write.
        counts: int (num_classes, num_classes), as `class_confusion_matrix` returns them.
        class_names: the names of the classes.
        title: text above the plot.
    """
    from matplotlib.figure import Figure

    num_classes = len(class_names)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 2.4 + 0.55 * num_classes
    figure = Figure(figsize=(side, side))
    axes = figure.subplots()
    axes.set_title(f"Confusion matrix: images by class and prediction\n{title}", fontsize=9, wrap=True)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.ndindex(num_classes, num_classes):
        colour = "white" if shares[row, column] > 0.5 else "black"
        text = str(counts[row, column])
        if counts[row, column] and num_classes <= _MOST_CELLS_WITH_SHARES:
            text += f"\n{shares[row, column]:.0%}"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=8)
    places = np.arange(num_classes)
    axes.set_xticks(places, class_names, rotation=45, ha="right", fontsize=8)
    axes.set_yticks(places, class_names, fontsize=8)
    axes.set(xlabel="predicted class", ylabel="class")
    save_figure(path, figure)


def plot_one_against_rest(
    path: Path, labels: np.ndarray, probabilities: np.ndarray, class_names: Sequence[str], title: str, *, is_roc: bool
) -> None:
    """Draws a curve for each class against the rest, with the area under it. Absent classes have none.

    Args:
        path: the PNG to write.
        labels: int (num_images,), the true labels.
        probabilities: float (num_images, num_classes).
        class_names: the names of the classes.
        title: text above the plot.
        is_roc: whether to draw ROC curves instead of precision-recall curves.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.2, 4.8))
    axes = figure.subplots()
    what = "ROC curve" if is_roc else "Precision and recall at every threshold"
    axes.set_title(f"{what}, each class against the rest\n{title}", fontsize=9)
    axes.set_prop_cycle(color=[_colour(number, len(class_names)) for number in range(len(class_names))])
    for number, name in enumerate(class_names):
        is_class = (labels == number).astype(np.int32)
        if is_class.any() and not is_class.all():
            _draw_curve(axes, is_class, probabilities[:, number], name, is_roc)
    if is_roc:
        axes.plot([0, 1], [0, 1], color="0.6", linestyle=":", label="chance 0.500")
        axes.set(xlabel="false positive rate (1 - specificity)", ylabel="recall (sensitivity)")
    else:
        axes.set(xlabel="recall (sensitivity)", ylabel="precision")
    axes.set(xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0), fontsize=8)
    save_figure(path, figure)


def _colour(number: int, num_classes: int) -> tuple[float, ...]:
    import matplotlib

    return (
        matplotlib.colormaps["tab10"](number)
        if num_classes <= 10
        else matplotlib.colormaps["turbo"](number / (num_classes - 1))
    )


def _draw_curve(axes: Axes, is_class: np.ndarray, probability: np.ndarray, name: str, is_roc: bool) -> None:
    values = classification.point_estimates(is_class, probability, 0.5)
    if is_roc:
        false_positive_rate, recall, _ = classification.roc_curve(is_class, probability)
        axes.plot(false_positive_rate, recall, label=f"{name}: area {values['roc_auc']:.3f}")
        return
    precision, recall, _ = classification.precision_recall_curve(is_class, probability)
    axes.step(recall, precision, where="post", label=f"{name}: average precision {values['average_precision']:.3f}")
