"""Measures people who sort patches into real and synthetic ones, with 95 % intervals.

In all functions, a synthetic patch is a positive one. A measure that is undefined, such as the share of synthetic
patches that were found among none, is nan.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from histogan_tf.metrics.estimates import UNDEFINED, Estimate, Z
from histogan_tf.metrics.intervals import bootstrap_intervals
from histogan_tf.metrics.ranking import ratio

_HALVINGS = 60  # of an interval in [0, 1]: more than a float64 can tell apart


def rating_auc(is_synthetic: np.ndarray, ratings: np.ndarray) -> Estimate:
    """Returns the area under the ROC curve of ratings, with its interval by Newcombe's method 5.

    The area is the chance that a synthetic patch is rated above a real one, where equal ratings count half. The
    interval holds all areas from which the measured one is at most 1.96 standard errors away. The standard error is
    that of Hanley and McNeil (Radiology 143, 1982), computed at the supposed area and for two groups of the mean size
    (Newcombe, Statistics in Medicine 25, 2006, part 2).

    Args:
        is_synthetic: bool (num_patches,).
        ratings: float (num_patches,), the higher the more synthetic; undefined unless both kinds occur.
    """
    synthetic, real = ratings[is_synthetic], ratings[~is_synthetic]
    if not len(synthetic) or not len(real):
        return UNDEFINED
    difference = synthetic[:, None] - real[None, :]
    area = float(np.mean((difference > 0) + (difference == 0) / 2))

    def is_too_far(supposed: float) -> bool:
        mean_others = (len(synthetic) + len(real)) / 2 - 1
        factor = 1 + mean_others * ((1 - supposed) / (2 - supposed) + supposed / (1 + supposed))
        variance = supposed * (1 - supposed) * factor / (len(synthetic) * len(real))
        return abs(area - supposed) > Z * math.sqrt(variance)

    return Estimate(area, _border(is_too_far, 0.0, area), _border(is_too_far, 1.0, area))


def _border(is_too_far: Callable[[float], bool], outside: float, inside: float) -> float:
    """Returns where a condition that may hold at `outside` ceases to hold on the way to `inside`."""
    if outside == inside:
        return outside
    for _ in range(_HALVINGS):
        middle = (outside + inside) / 2
        outside, inside = (middle, inside) if is_too_far(middle) else (outside, middle)
    return outside


def kappa(first: np.ndarray, second: np.ndarray, *, seed: int = 42) -> Estimate:
    """Returns Cohen's kappa of two readers, with the percentile interval of 2000 bootstrap resamples of the patches.

    Kappa is 1 if they always agree, and 0 if they agree as often as two readers would who answer without looking and
    keep to their shares of answers (Cohen, Educ. Psychol. Meas. 20, 1960). It is undefined if both always give one and
    the same answer. The interval of few patches is too narrow. If all resamples have one and the same kappa, as those
    of readers who always agree have, they say nothing about the spread, and there is no interval.

    Args:
        first: bool (num_patches,), whether the first reader called each patch synthetic.
        second: bool (num_patches,), the other reader's answers for the same patches in the same order.
        seed: the seed of the bootstrap.
    """

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        total = weights.sum(axis=1)
        agreement = weights @ (first == second) / total
        share_first, share_second = weights @ first / total, weights @ second / total
        by_chance = share_first * share_second + (1 - share_first) * (1 - share_second)
        return {"kappa": ratio(agreement - by_chance, 1 - by_chance)}

    value = statistics(np.ones((1, len(first))))["kappa"][0]
    interval = bootstrap_intervals(statistics, len(first), seed=seed)["kappa"]
    if interval.low == interval.high:
        return UNDEFINED._replace(value=float(value))
    return Estimate(float(value), interval.low, interval.high)


def guessed_right(num_patches: int) -> tuple[int, int]:
    """Returns the least and the greatest number of right answers that 95 of 100 people get who toss a coin."""
    from scipy.stats import binom

    low, high = binom.ppf([0.025, 0.975], num_patches, 0.5)
    return int(low), int(high)
