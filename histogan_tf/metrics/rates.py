"""Rates of a classifier (precision, recall, specificity, accuracy) with exact intervals, which hold at 0 and 1 too.

A bootstrap interval has no width if all images are hits, or none, and it cannot be trusted if there are few. An exact
interval (Clopper & Pearson, Biometrika 26, 1934) holds there. Images of one patient resemble each other, so they count
as fewer: as the effective number of Korn & Graubard (Survey Methodology 24, 1998).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

FEW_IMAGES = 10  # a rate that rests on fewer images than this is not called an effect
LEVEL = 0.95


@dataclasses.dataclass(frozen=True)
class Rate:
    """The share of hits among the images that a rate rests on.

    Attributes:
        value: the share, in [0, 1]; nan if there are no images.
        num_images: the number of images that it rests on, for precision those called positive.
        num_effective: the number of independent images that would tell as much, at most `num_images`.
    """

    value: float
    num_images: int
    num_effective: float

    @property
    def needs_exact_interval(self) -> bool:
        """Whether all images are hits, or none, or there are fewer than FEW_IMAGES."""
        return self.value in (0.0, 1.0) or self.num_images < FEW_IMAGES

    def interval(self, level: float = LEVEL) -> tuple[float, float]:
        """Returns the exact interval for the effective number of images; nan if there are no images.

        Args:
            level: the least probability with which the interval holds the true rate, in (0, 1).
        """
        from scipy.special import betaincinv

        if not self.num_images:
            return math.nan, math.nan
        tail = (1 - level) / 2
        hits, misses = self.value * self.num_effective, (1 - self.value) * self.num_effective
        low = float(betaincinv(hits, misses + 1, tail)) if hits > 0 else 0.0
        high = float(betaincinv(hits + 1, misses, 1 - tail)) if misses > 0 else 1.0
        return low, high


def supporting_images(labels: np.ndarray, called: np.ndarray) -> dict[str, np.ndarray]:
    """Returns, for each metric of `evaluate_classifier` by name, which images it rests on: bool (num_images,).

    Metrics of both classes together, such as the ROC AUC, rest on the images of the smaller class.

    Args:
        labels: (num_images,), 0 or 1.
        called: bool (num_images,), whether each image is called positive.
    """
    positive, every = labels == 1, np.ones(len(labels), bool)
    smaller = positive if positive.sum() <= len(labels) / 2 else ~positive
    found = {"precision": called, "recall": positive, "accuracy": every, "specificity": ~positive}
    found |= {"balanced_accuracy": smaller, "f1": positive | called, "roc_auc": smaller, "average_precision": positive}
    found["recall_at_precision_90"] = positive
    counts = ("true_positives", "false_positives", "false_negatives", "true_negatives")
    return found | {"brier_score": every} | dict.fromkeys(counts, every)


def measured_rates(labels: np.ndarray, called: np.ndarray, groups: np.ndarray | None) -> dict[str, Rate]:
    """Returns precision, recall, specificity and accuracy, by name.

    Where all images of a rate are hits, or none, they show no spread between patients. Then the design effect is that
    of the accuracy; if all answers are right, or none, each patient counts as one image.

    Args:
        labels: (num_images,), 0 or 1.
        called: bool (num_images,), whether each image is called positive.
        groups: (num_images,), the patient of each image; None if unknown, so that images count as independent.
    """
    images = supporting_images(labels, called)
    names = ("precision", "recall", "specificity", "accuracy")
    return {name: measured_rate(called == (labels == 1), images[name], groups) for name in names}


def measured_rate(is_right: np.ndarray, chosen: np.ndarray, groups: np.ndarray | None) -> Rate:
    """Returns the share of right answers among chosen images; see `measured_rates`.

    Args:
        is_right: bool (num_images,), whether the answer is right, of all images.
        chosen: bool (num_images,), the images that the rate rests on.
        groups: (num_images,), the patient of each image; None if unknown.
    """
    number = int(chosen.sum())
    value = float(np.mean(is_right[chosen])) if number else math.nan
    effective = float(number)
    if groups is not None and number:
        effective = _effective_number(is_right[chosen], groups[chosen], design_effect(is_right, groups))
    return Rate(value, number, effective)


def design_effect(hits: np.ndarray, groups: np.ndarray) -> float:
    """Returns by how much the resemblance of a patient's images widens the variance of a share.

    The variance is that of a ratio of sums over patients, by linearization (Korn & Graubard, 1998).

    Args:
        hits: bool (num_images,).
        groups: (num_images,), the patient of each image.

    Returns:
        1 for independent images; nan if there is one patient, or if all images are hits, or none.
    """
    share = np.mean(hits)
    _, patient = np.unique(groups, return_inverse=True)
    num_patients = patient.max() + 1
    if num_patients == 1 or share in (0, 1):
        return math.nan
    residuals = np.bincount(patient, hits - share) / len(hits)
    variance = num_patients / (num_patients - 1) * np.sum(residuals**2)
    return float(variance / (share * (1 - share) / len(hits)))


def _effective_number(hits: np.ndarray, groups: np.ndarray, of_all: float) -> float:
    """Returns the effective number of images, corrected for the number of patients (Korn & Graubard, 1998).

    Args:
        hits: bool (num_images,), of the images that a rate rests on.
        groups: (num_images,), the patient of each.
        of_all: the design effect of the accuracy of all images, for a rate whose own cannot be told.
    """
    from scipy.special import stdtrit

    num_patients = len(np.unique(groups))
    if num_patients == 1:
        return 1.0
    effect = design_effect(hits, groups)
    effect = of_all if math.isnan(effect) else effect
    if math.isnan(effect):
        return float(num_patients)
    by_patients = stdtrit(len(hits) - 1, 0.5 + LEVEL / 2) / stdtrit(num_patients - 1, 0.5 + LEVEL / 2)
    return min(float(len(hits)), max(1.0, len(hits) / max(effect, 1e-9) * float(by_patients) ** 2))


def combined_interval(terms: Sequence[tuple[float, Sequence[Rate]]], level: float = LEVEL) -> tuple[float, float]:
    """Returns an interval of a sum of rates from the exact intervals of the rates.

    It adds the squared distances from each rate to its bounds (MOVER: Newcombe, Statistics in Medicine 17, 1998; Zou &
    Donner, Statistics in Medicine 27, 2008). Rates of the same images rise and fall together, so it is rather too wide
    for a difference.

    Args:
        terms: for each rate its factor, such as -1 for one that is subtracted, and its values in all repeats, whose
            mean and whose mean bounds are taken.
        level: the probability with which the interval is to hold the true value, in (0, 1).

    Returns:
        The bounds; nan if a rate has no images.
    """
    below = above = centre = 0.0
    for factor, rates in terms:
        value = float(np.mean([rate.value for rate in rates]))
        low, high = np.mean([rate.interval(level) for rate in rates], axis=0)
        towards_low, towards_high = (value - low, high - value) if factor > 0 else (high - value, value - low)
        centre += factor * value
        below += (factor * towards_low) ** 2
        above += (factor * towards_high) ** 2
    return float(centre - math.sqrt(below)), float(centre + math.sqrt(above))


def combined_p_value(terms: Sequence[tuple[float, Sequence[Rate]]]) -> float:
    """Returns the two-sided p-value of a sum of rates against 0: the least 1 - level whose interval leaves out 0.

    Args:
        terms: the argument of `combined_interval`.

    Returns:
        The p-value; nan if a rate has no images.
    """
    lowest, highest = 1e-9, 1.0
    if math.isnan(combined_interval(terms)[0]):
        return math.nan
    for _ in range(40):
        middle = math.sqrt(lowest * highest)
        low, high = combined_interval(terms, 1 - middle)
        lowest, highest = (lowest, middle) if low > 0 or high < 0 else (middle, highest)
    return highest
