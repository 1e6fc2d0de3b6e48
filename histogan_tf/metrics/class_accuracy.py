"""Accuracy of a classifier for each label, and their mean, with 95 % intervals by image or by patient."""

from __future__ import annotations

import math

import numpy as np

from histogan_tf.metrics.estimates import Estimate, proportion
from histogan_tf.metrics.intervals import bootstrap_intervals
from histogan_tf.metrics.ranking import ratio


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
        resamples of whole groups; they are nan if there is only one group.
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
    return {
        name: Estimate(float(value[0]), intervals[name].low, intervals[name].high) for name, value in values.items()
    }


def _mean_share(shares: list[Estimate]) -> Estimate:
    value = sum(share.value for share in shares) / len(shares)
    below = math.hypot(*(share.value - share.low for share in shares)) / len(shares)
    above = math.hypot(*(share.high - share.value for share in shares)) / len(shares)
    return Estimate(value, max(0.0, value - below), min(1.0, value + above))
