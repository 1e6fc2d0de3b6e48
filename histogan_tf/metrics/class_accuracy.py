"""Accuracy of a classifier for each label, and their mean, with 95 % intervals by image or by patient."""

from __future__ import annotations

import math

import numpy as np

from histogan_tf.metrics.estimates import Estimate, proportion
from histogan_tf.metrics.intervals import bootstrap_intervals
from histogan_tf.metrics.ranking import ratio
from histogan_tf.metrics.rates import combined_interval, measured_rate


def class_accuracies(
    labels: np.ndarray, predictions: np.ndarray, *, groups: np.ndarray | None = None, seed: int = 42
) -> dict[str, Estimate]:
    """Returns the share of images of each label that a classifier gets right, and the mean over labels.

    The mean (the balanced accuracy) does not depend on how many images of each label there are, so that sets of images
    can be compared.

    Args:
        labels: the true labels, int (num_images,), from 0 on; absent ones have no share in the mean.
        predictions: the predicted labels, int (num_images,).
        groups: str (num_images,), the patient of each image; None if images are independent of each other.
        seed: the seed of the bootstrap of patients.

    Returns:
        `accuracy`, the mean, and `label_0`, `label_1` and so on, each if there are images of this label. Without
        groups, the labels have Wilson's intervals, and the mean has the interval that follows from these by adding
        squares (Zou and Donner, Statistics in Medicine 27, 2008). With groups, all are percentiles of 2000 bootstrap
        resamples of whole groups. Where all images of a label are right, or none, or there are fewer than ten, its
        interval is the exact one of `Rate`, and that of the mean follows from those of the labels. All are nan if there
        is only one group.
    """
    present = np.unique(labels).tolist()
    is_right = labels == predictions
    shares = {
        f"label_{label}": proportion(int(is_right[labels == label].sum()), int((labels == label).sum()))
        for label in present
    }
    if groups is None:
        return {"accuracy": _mean_share(list(shares.values())), **shares}

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        of_label = {
            f"label_{label}": ratio(weights @ (is_right & (labels == label)), weights @ (labels == label))
            for label in present
        }
        return {"accuracy": np.mean(list(of_label.values()), axis=0), **of_label}

    values = statistics(np.ones((1, len(labels)), np.int64))
    intervals = bootstrap_intervals(statistics, len(labels), groups=groups, seed=seed)
    found = {
        name: Estimate(float(value[0]), intervals[name].low, intervals[name].high) for name, value in values.items()
    }
    rates = {f"label_{label}": measured_rate(is_right, labels == label, groups) for label in present}
    if len(np.unique(groups)) == 1 or not any(rate.needs_exact_interval for rate in rates.values()):
        return found
    low, high = combined_interval([(1 / len(rates), [rate]) for rate in rates.values()])
    exact = {name: Estimate(rate.value, *rate.interval()) for name, rate in rates.items() if rate.needs_exact_interval}
    return found | exact | {"accuracy": Estimate(found["accuracy"].value, max(0.0, low), min(1.0, high))}


def _mean_share(shares: list[Estimate]) -> Estimate:
    value = sum(share.value for share in shares) / len(shares)
    below = math.hypot(*(share.value - share.low for share in shares)) / len(shares)
    above = math.hypot(*(share.high - share.value for share in shares)) / len(shares)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))
