"""Metrics of a binary classifier with their intervals, as pure functions of labels and probabilities.

In all functions, labels are 0 (non-IDC, negative) or 1 (IDC, positive); a probability is that of label 1, in [0, 1]; an
image is called positive if its probability >= threshold. A metric whose denominator is zero is undefined, and is nan:

- precision if no image is called positive; recall and average precision without positive labels;
- recall at a precision of 0.9 without positive labels; it is 0 if no threshold reaches that precision;
- specificity without negative labels; balanced accuracy and ROC AUC unless both labels occur;
- F1 if no label is positive and no image is called positive.

(scikit-learn returns 0 for some of these, and balanced accuracy over the one class present; such values look like
measured ones.) Accuracy, the Brier score and the four counts are always defined.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from histogan_tf.errors import UserError, counted
from histogan_tf.metrics.intervals import bootstrap_intervals
from histogan_tf.metrics.measured import Metric, measured_run, with_honest_interval
from histogan_tf.metrics.ranking import PRECISION_TO_REACH, Ranking, ratio


@dataclasses.dataclass(frozen=True)
class McNemar:
    """The result of McNemar's exact test.

    Attributes:
        num_only_first: the number of images that only the first run gets right.
        num_only_second: the number of images that only the second run gets right.
        p_value: the two-sided p-value; 1 if both runs are right on the same images.
    """

    num_only_first: int
    num_only_second: int
    p_value: float


@dataclasses.dataclass(frozen=True)
class ReliabilityBins:
    """The calibration of a classifier, over num_bins bins of probability of equal width.

    Attributes:
        edges: float (num_bins + 1,), the edges of the bins, from 0 to 1.
        counts: int (num_bins,), the number of images in each bin.
        mean_probability: float (num_bins,), the classifier's mean probability of label 1; nan in an empty bin.
        fraction_positive: float (num_bins,), the share of images whose label is 1; nan in an empty bin.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean_probability: np.ndarray
    fraction_positive: np.ndarray


def evaluate_classifier(
    labels: np.ndarray,
    probabilities: np.ndarray,
    *,
    threshold: float = 0.5,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Metric]:
    """Returns every metric of a binary classifier, each with a 95 % interval.

    The interval is a percentile bootstrap interval. A rate that is 0 or 1, that rests on fewer than ten images, or that
    is undefined in some resamples has an exact one instead; another metric that is 0 or 1 has none.

    Args:
        labels: (num_images,), 0 or 1.
        probabilities: (num_images,), the probability of label 1, in [0, 1].
        threshold: the probability from which on an image is called positive, in [0, 1].
        groups: (num_images,), the patient of each image; None to resample images. If given, patients are resampled with
            all their images, because images of one patient resemble each other and intervals by image would be too
            narrow. With fewer than about ten patients, even these intervals are too narrow to be trusted.
        num_resamples: the number of bootstrap resamples.
        seed: the seed of the bootstrap. The intervals do not depend on the order of the images.

    Returns:
        precision, recall, accuracy, specificity, balanced_accuracy, f1, roc_auc, average_precision,
        recall_at_precision_90 (the highest recall of all thresholds with a precision of at least 0.9), brier_score and
        the confusion matrix (true_positives, false_positives, false_negatives, true_negatives), in this order.

    Raises:
        UserError: if there is no image, lengths differ, a label is not 0 or 1, or a probability or the threshold is
            outside [0, 1].
    """
    labels, probabilities = _checked(labels, probabilities)
    if not 0 <= threshold <= 1:
        raise UserError(f"the threshold is {threshold}: give a probability in [0, 1]")
    if groups is not None:
        groups = np.asarray(groups)
        _check_lengths(labels, groups, "groups")
    # Falling, and among equals by label, so that the input's order has no effect.
    order = np.lexsort((labels, -probabilities))
    ranking = Ranking(labels[order], probabilities[order], threshold)
    intervals = bootstrap_intervals(
        ranking.metrics,
        len(labels),
        groups=None if groups is None else groups[order],
        num_resamples=num_resamples,
        seed=seed,
    )
    values = point_estimates(labels, probabilities, threshold)
    run = measured_run(labels, probabilities >= threshold, groups, values)
    return {name: with_honest_interval(name, intervals[name], [run]) for name in values}


def confusion_matrix(labels: np.ndarray, predictions: np.ndarray) -> np.ndarray:
    """Returns the confusion matrix, int (2, 2): a row for each label, a column for each prediction, as in scikit-learn.

    Args:
        labels: (num_images,), 0 or 1.
        predictions: (num_images,), 0 or 1.

    Raises:
        UserError: if there is no image, lengths differ, or a label or prediction is not 0 or 1.
    """
    from sklearn import metrics

    labels, predictions = _checked_labels(labels), _checked_labels(predictions, "prediction")
    _check_lengths(labels, predictions, "predictions")
    return metrics.confusion_matrix(labels, predictions, labels=[0, 1])


def choose_threshold(labels: np.ndarray, probabilities: np.ndarray, recall_at_least: float) -> float:
    """Returns the highest threshold at which the recall is at least `recall_at_least`.

    Of all such thresholds it has the highest specificity. Choose it on training folds, never on the data on which the
    operating point is reported.

    Args:
        labels: (num_images,), 0 or 1.
        probabilities: (num_images,), the probability of label 1, in [0, 1].
        recall_at_least: the recall to reach, in (0, 1].

    Raises:
        UserError: if `evaluate_classifier` would refuse the data, the recall is outside (0, 1], or no label is 1.
    """
    labels, probabilities = _checked(labels, probabilities)
    if not 0 < recall_at_least <= 1:
        raise UserError(f"the recall to reach is {recall_at_least}: give a number above 0 and up to 1")
    positives = np.sort(probabilities[labels == 1])[::-1]
    if not len(positives):
        raise UserError("no image of label 1 to choose a threshold on: give training images of both labels")
    # Recalls are compared as quotients: counts would not do, since 0.07 * 100 > 7 in floating point.
    recalls = np.arange(1, len(positives) + 1) / len(positives)
    return float(positives[np.searchsorted(recalls, recall_at_least)])


def operating_point(
    labels: np.ndarray,
    probabilities: np.ndarray,
    threshold: float,
    *,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Metric]:
    """Returns recall, precision and specificity at a threshold that `choose_threshold` chose on other data.

    Arguments and errors are those of `evaluate_classifier`. The intervals do not include the uncertainty of the
    threshold.
    """
    metrics = evaluate_classifier(
        labels, probabilities, threshold=threshold, groups=groups, num_resamples=num_resamples, seed=seed
    )
    return {name: metrics[name] for name in ("recall", "precision", "specificity")}


def mcnemar_test(labels: np.ndarray, first: np.ndarray, second: np.ndarray) -> McNemar:
    """Tests whether two runs differ in accuracy on the same images, by McNemar's exact test.

    It looks at the images that only one of the runs gets right. If the runs are equally good, each is equally likely to
    be that one, which a two-sided binomial test checks (McNemar, Psychometrika 12, 1947; exact as in Dietterich, Neural
    Computation 10, 1998). The test takes images as independent, so the p-value is too small if patients have many
    images each.

    Args:
        labels: (num_images,), 0 or 1.
        first: (num_images,), the predictions of the first run, 0 or 1.
        second: (num_images,), the predictions of the second run, for the same images in the same order.

    Raises:
        UserError: if there is no image, lengths differ, or a label or prediction is not 0 or 1.
    """
    from scipy.stats import binomtest

    labels = _checked_labels(labels)
    first, second = _checked_labels(first, "prediction"), _checked_labels(second, "prediction")
    _check_lengths(labels, first, "first predictions")
    _check_lengths(labels, second, "second predictions")
    num_only_first = int(np.sum((first == labels) & (second != labels)))
    num_only_second = int(np.sum((first != labels) & (second == labels)))
    num_discordant = num_only_first + num_only_second
    p_value = float(binomtest(num_only_first, num_discordant).pvalue) if num_discordant else 1.0
    return McNemar(num_only_first, num_only_second, p_value)


def precision_recall_curve(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the precision-recall curve as (precision, recall, thresholds).

    Precision and recall are float (num_thresholds + 1,) and end in 1 and 0. Thresholds are float (num_thresholds,) and
    rise.

    Raises:
        UserError: if `evaluate_classifier` would refuse the data, or no label is 1.
    """
    from sklearn import metrics

    labels, probabilities = _checked(labels, probabilities)
    if not labels.any():
        raise UserError("no image has label 1: a precision-recall curve needs some, so give images of both labels")
    return metrics.precision_recall_curve(labels, probabilities)


def roc_curve(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the ROC curve as (false positive rate, recall, thresholds), each float (num_thresholds,).

    The curve goes from (0, 0) to (1, 1), and the thresholds fall; the first is inf. Thresholds at which the curve does
    not bend are left out.

    Raises:
        UserError: if `evaluate_classifier` would refuse the data, or all labels are the same.
    """
    from sklearn import metrics

    labels, probabilities = _checked(labels, probabilities)
    if labels.all() or not labels.any():
        raise UserError(f"all {len(labels)} labels are {labels[0]}: a ROC curve needs images of both labels")
    return metrics.roc_curve(labels, probabilities)


def reliability_bins(labels: np.ndarray, probabilities: np.ndarray, num_bins: int = 10) -> ReliabilityBins:
    """Returns the predicted and the observed frequency of label 1 in bins of probability.

    A bin is (lower, upper]; the first one also holds probability 0. The bins are those of scikit-learn's
    calibration_curve, which leaves empty bins out and gives no counts.

    Args:
        labels: (num_images,), 0 or 1.
        probabilities: (num_images,), the probability of label 1, in [0, 1].
        num_bins: the number of bins, at least 1.

    Raises:
        UserError: if `evaluate_classifier` would refuse the data.
    """
    labels, probabilities = _checked(labels, probabilities)
    assert num_bins >= 1, num_bins
    edges = np.linspace(0, 1, num_bins + 1)
    bins = np.searchsorted(edges[1:-1], probabilities)
    counts = np.bincount(bins, minlength=num_bins)
    return ReliabilityBins(
        edges=edges,
        counts=counts,
        mean_probability=ratio(np.bincount(bins, probabilities, minlength=num_bins), counts),
        fraction_positive=ratio(np.bincount(bins, labels, minlength=num_bins), counts),
    )


def point_estimates(labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> dict[str, float]:
    """Returns the values of the metrics of `evaluate_classifier`, by scikit-learn; nan if undefined."""
    from sklearn import metrics

    predictions = (probabilities >= threshold).astype(np.int32)
    positives, negatives = bool(labels.any()), not labels.all()
    recall = metrics.recall_score(labels, predictions, zero_division=np.nan)
    specificity = metrics.recall_score(labels, predictions, pos_label=0, zero_division=np.nan)
    (tn, fp), (fn, tp) = metrics.confusion_matrix(labels, predictions, labels=[0, 1])
    values = {
        "precision": metrics.precision_score(labels, predictions, zero_division=np.nan),
        "recall": recall,
        "accuracy": metrics.accuracy_score(labels, predictions),
        "specificity": specificity,
        "balanced_accuracy": (recall + specificity) / 2,
        "f1": metrics.f1_score(labels, predictions, zero_division=np.nan),
        "roc_auc": metrics.roc_auc_score(labels, probabilities) if positives and negatives else np.nan,
        "average_precision": metrics.average_precision_score(labels, probabilities) if positives else np.nan,
        "recall_at_precision_90": _recall_at_precision(labels, probabilities) if positives else np.nan,
        "brier_score": metrics.brier_score_loss(labels, probabilities, pos_label=1),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
    }
    return {name: float(value) for name, value in values.items()}


def _recall_at_precision(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the highest recall at any threshold whose precision is at least PRECISION_TO_REACH; 0 if none has it."""
    from sklearn import metrics

    precision, recall, _ = metrics.precision_recall_curve(labels, probabilities)
    return float(recall[precision >= PRECISION_TO_REACH].max())  # the curve ends in precision 1 and recall 0


def _checked(labels: np.ndarray, probabilities: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns int32 labels and float64 probabilities of one length; raises UserError if they are not valid."""
    labels, probabilities = _checked_labels(labels), np.asarray(probabilities, np.float64)
    _check_lengths(labels, probabilities, "probabilities")
    bad = np.flatnonzero(~((probabilities >= 0) & (probabilities <= 1)))  # nan fails both comparisons
    if len(bad):
        raise UserError(
            f"{len(bad)} of {counted(len(probabilities), 'probability')} not in [0, 1], the first "
            f"{probabilities[bad[0]]} at index {bad[0]}: give the probability of label 1, not a logit."
        )
    return labels, probabilities


def _checked_labels(labels: np.ndarray, noun: str = "label") -> np.ndarray:
    labels = np.asarray(labels)
    if labels.ndim != 1 or not len(labels):
        raise UserError(f"{noun}s of shape {labels.shape}: give one {noun} per image, for at least one image.")
    bad = np.flatnonzero(~np.isin(labels, (0, 1)))
    if len(bad):
        raise UserError(
            f"{len(bad)} of {len(labels)} {noun}s are not 0 or 1, the first {labels[bad[0]]} at index {bad[0]}: "
            "give 0 (non-IDC) or 1 (IDC) for each image."
        )
    return labels.astype(np.int32)


def _check_lengths(labels: np.ndarray, others: np.ndarray, noun: str) -> None:
    if others.shape != labels.shape:
        raise UserError(
            f"{noun} of shape {others.shape} for labels of shape {labels.shape}: give one per image, in the same order."
        )
