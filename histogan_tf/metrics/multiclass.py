"""Metrics of a classifier of three classes or more with their intervals, as functions of labels and probabilities.

An image is called the class of its highest probability. A class against the rest is a problem of two classes:
precision, recall and F1 are those of the calls, ROC AUC and average precision those of the class's probability. A
`macro` metric is the mean over classes, in which rare classes count as much as frequent ones. A metric is undefined,
and is nan, where its denominator is zero, and for a class without images; a macro metric is undefined if it is
undefined for a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics.intervals import Interval, bootstrap_intervals
from histogan_tf.metrics.measured import (
    RATES_OF,
    MeasuredRun,
    Metric,
    fewest,
    is_at_edge,
    measured_run,
    with_honest_interval,
)
from histogan_tf.metrics.ranking import Ranking, ratio
from histogan_tf.metrics.rates import combined_interval

_OF_CLASS = ("precision", "recall", "f1", "roc_auc", "average_precision")


def evaluate_classes(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Metric]:
    """Returns the metrics of a classifier over all classes, each with its 95 % interval, as `evaluate_classifier` does.

    Args:
        labels: (num_images,), from 0 to num_classes - 1.
        probabilities: (num_images, num_classes), in [0, 1].
        groups: (num_images,), the patient of each image, who are resampled with all their images; None to resample
            images.
        num_resamples: the number of bootstrap resamples.
        seed: the seed of the bootstrap. The intervals do not depend on the order of the images.

    Returns:
        accuracy, macro_precision, macro_recall (the balanced accuracy), macro_f1, macro_roc_auc and
        macro_average_precision; then precision_N, recall_N, f1_N, roc_auc_N and average_precision_N of each class N
        against the rest.

    Raises:
        UserError: if there is no image, lengths differ, a label is no class, or a probability is outside [0, 1].
    """
    labels, probabilities = _checked(labels, probabilities)
    groups = None if groups is None else np.asarray(groups)
    order = np.lexsort((labels, *probabilities.T))  # so that the input's order has no effect
    statistics = _Statistics(labels[order], probabilities[order])
    sorted_groups = None if groups is None else groups[order]
    intervals = bootstrap_intervals(
        statistics.metrics, len(labels), groups=sorted_groups, num_resamples=num_resamples, seed=seed
    )
    values = {name: float(value[0]) for name, value in statistics.metrics(np.ones((1, len(labels)), np.int64)).items()}
    predictions = probabilities.argmax(axis=1)
    everything = np.ones(len(labels), np.int32)
    overall = measured_run(everything, labels == predictions, groups, {"accuracy": values["accuracy"]})
    found = {"accuracy": with_honest_interval("accuracy", intervals["accuracy"], [overall])}
    runs = [
        measured_run(
            (labels == number).astype(np.int32),
            predictions == number,
            groups,
            {name: values[f"{name}_{number}"] for name in _OF_CLASS},
        )
        for number in range(probabilities.shape[1])
    ]
    for name in _OF_CLASS:
        found[f"macro_{name}"] = _macro_metric(name, values[f"macro_{name}"], intervals[f"macro_{name}"], runs)
    for number, run in enumerate(runs):
        for name in _OF_CLASS:
            found[f"{name}_{number}"] = with_honest_interval(name, intervals[f"{name}_{number}"], [run])
    return found


def _macro_metric(name: str, value: float, interval: Interval, runs: Sequence[MeasuredRun]) -> Metric:
    """Returns the mean of a metric over classes, with an interval from exact ones where a class needs that.

    Args:
        name: the metric's name.
        value: the mean.
        interval: its bootstrap interval.
        runs: each class against the rest.
    """
    low, high, is_exact = interval.low, interval.high, False
    if not np.isnan(low) and (interval.num_undefined or any(is_at_edge(name, run) for run in runs)):
        if name in RATES_OF:
            low, high = combined_interval([(1 / len(runs), [run.rates[name]]) for run in runs])
            is_exact = not np.isnan(low)
        elif all(is_at_edge(name, run) for run in runs):
            low = high = np.nan
    return Metric(value, float(low), float(high), interval.num_undefined, *fewest(name, runs), is_exact)


def class_confusion_matrix(labels: np.ndarray, predictions: np.ndarray, num_classes: int) -> np.ndarray:
    """Returns the confusion matrix, int (num_classes, num_classes): a row for each label, a column for each prediction.

    Args:
        labels: (num_images,), from 0 to num_classes - 1.
        predictions: (num_images,), from 0 to num_classes - 1.
        num_classes: the number of classes.
    """
    counts = np.bincount(labels * num_classes + predictions, minlength=num_classes**2)
    return counts.reshape(num_classes, num_classes)


class _Statistics:
    """The metrics of many weighted resamples at once.

    Args:
        labels: (num_images,).
        probabilities: (num_images, num_classes).
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray) -> None:
        predictions = probabilities.argmax(axis=1)
        self._is_right = labels == predictions
        self._classes = []
        for number in range(probabilities.shape[1]):
            is_class, is_called = labels == number, predictions == number
            order = np.lexsort((is_class, -probabilities[:, number]))
            ranking = Ranking(is_class[order].astype(np.int32), probabilities[order, number], 0.5)
            self._classes.append((is_class, is_called, order, ranking))

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the metrics of each resample by name, float (num_resamples,); nan where undefined.

        Args:
            weights: int (num_resamples, num_images), the number of times that each image occurs in each resample.
        """
        of_class = [self._of_class(weights, *columns) for columns in self._classes]
        macro = {f"macro_{name}": np.mean([found[name] for found in of_class], axis=0) for name in _OF_CLASS}
        return {
            "accuracy": weights @ self._is_right / weights.sum(axis=1),
            **macro,
            **{f"{name}_{number}": found[name] for number, found in enumerate(of_class) for name in _OF_CLASS},
        }

    def _of_class(
        self, weights: np.ndarray, is_class: np.ndarray, is_called: np.ndarray, order: np.ndarray, ranking: Ranking
    ) -> dict[str, np.ndarray]:
        right, called, present = (weights @ mask for mask in (is_class & is_called, is_called, is_class))
        ranked = ranking.metrics(weights[:, order])
        return {
            # Without images of the class, as in a resample of patients, calls alone would make precision and F1 0.
            "precision": ratio(right, np.where(present > 0, called, 0)),
            "recall": ratio(right, present),
            "f1": ratio(2 * right, np.where(present > 0, called + present, 0)),
            "roc_auc": ranked["roc_auc"],
            "average_precision": ranked["average_precision"],
        }


def metrics_of_class(metrics: dict[str, Metric], number: int) -> dict[str, Metric]:
    """Returns the metrics of one class against the rest, by their names without the class's number."""
    return {name: metrics[f"{name}_{number}"] for name in _OF_CLASS}


def overall_metrics(metrics: dict[str, Metric]) -> dict[str, Metric]:
    """Returns the metrics over all classes: accuracy and the macro metrics."""
    return {name: metric for name, metric in metrics.items() if name == "accuracy" or name.startswith("macro_")}


def _checked(labels: Sequence[int] | np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    labels, probabilities = np.asarray(labels), np.asarray(probabilities, np.float64)
    if probabilities.ndim != 2 or labels.shape != probabilities.shape[:1] or not len(labels):
        raise UserError(
            f"labels of shape {labels.shape} and probabilities of shape {probabilities.shape}: give a label per image, "
            f"and a probability per image and class, for at least one image"
        )
    if not np.isin(labels, np.arange(probabilities.shape[1])).all():
        raise UserError(f"a label is not from 0 to {probabilities.shape[1] - 1}: give the number of a class per image")
    if not ((probabilities >= 0) & (probabilities <= 1)).all():  # nan fails both comparisons
        raise UserError("a probability is not in [0, 1]: give probabilities, not logits")
    return labels.astype(np.int64), probabilities
