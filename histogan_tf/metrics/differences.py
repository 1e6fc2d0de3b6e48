"""Differences of a classifier's metrics from those of a baseline, with intervals, p-values and Holm's correction."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence

import numpy as np

from histogan_tf.metrics.classification import point_estimates
from histogan_tf.metrics.intervals import bootstrap_replicates, num_resampled_units, percentile_interval
from histogan_tf.metrics.measured import RATES_OF, MeasuredRun, Metric, fewest, is_at_edge, measured_run
from histogan_tf.metrics.rates import combined_interval, combined_p_value
from histogan_tf.metrics.repeats import signed_mean_statistics


@dataclasses.dataclass(frozen=True)
class Difference(Metric):
    """A metric minus that of a baseline, with its 95 % interval.

    `num_images` and `num_patients` are those of the run or the baseline, whichever has fewer.

    Attributes:
        p_value: the two-sided p-value of a difference of 0, about the least 1 - level whose interval leaves out 0;
            nan if there is no interval.
    """

    p_value: float = math.nan


def mean_differences(
    labels: np.ndarray,
    repeats: Sequence[np.ndarray],
    baselines: Sequence[np.ndarray],
    *,
    threshold: float = 0.5,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Difference]:
    """Returns the metrics of `evaluate_classifier` minus those of a baseline, as means over repeats.

    All repeats and their baselines share each resample of the images (of the patients, if known). So images that are
    hard for both cancel out in the difference. Where a rate or its baseline needs an exact interval, that of the
    difference is combined from those of both.

    Args:
        labels: int32 (num_images,), 0 or 1.
        repeats: for each repeat, the probabilities of label 1, float64 (num_images,).
        baselines: for each repeat, the probabilities of its baseline.
        threshold, groups, num_resamples, seed: the arguments of `evaluate_classifier`.

    Returns:
        The differences by name; nan if a metric is undefined in any repeat.
    """
    assert len(repeats) and len(baselines) == len(repeats)
    statistics, order = signed_mean_statistics(labels, repeats, baselines, threshold)
    own_groups = None if groups is None else groups[order]
    replicates = bootstrap_replicates(
        statistics, len(labels), groups=own_groups, num_resamples=num_resamples, seed=seed
    )
    runs, of_baseline = (
        [measured_run(labels, run >= threshold, groups, point_estimates(labels, run, threshold)) for run in some]
        for some in (repeats, baselines)
    )
    has_interval = num_resampled_units(len(labels), groups) > 1
    return {name: _difference(name, replicates[name], runs, of_baseline, has_interval) for name in replicates}


def _difference(
    name: str, replicates: np.ndarray, runs: list[MeasuredRun], baselines: list[MeasuredRun], has_interval: bool
) -> Difference:
    value = float(np.mean([run.values[name] - base.values[name] for run, base in zip(runs, baselines, strict=True)]))
    counts = fewest(name, [*runs, *baselines])
    low, high, num_undefined = percentile_interval(replicates)
    is_edge = any(is_at_edge(name, run) for run in (*runs, *baselines))
    if not has_interval or math.isnan(value) or (is_edge and name not in RATES_OF):
        return Difference(value, math.nan, math.nan, num_undefined, *counts)
    if name in RATES_OF and (is_edge or num_undefined):
        share = 1 / len(RATES_OF[name])
        terms = [
            (sign * share, [run.rates[rate] for run in some])
            for sign, some in ((1, runs), (-1, baselines))
            for rate in RATES_OF[name]
        ]
        return Difference(value, *combined_interval(terms), num_undefined, *counts, True, combined_p_value(terms))
    return Difference(value, low, high, num_undefined, *counts, False, bootstrap_p_value(replicates))


def bootstrap_p_value(replicates: np.ndarray) -> float:
    """Returns the two-sided p-value of a difference of 0: twice the share of resamples at 0 or on its rarer side.

    One is added to both counts, so that it is never 0 (Davison & Hinkley, Bootstrap Methods, 1997, section 4.2).

    Args:
        replicates: float (num_resamples,), the difference in each resample; nan if it is undefined there.
    """
    defined = replicates[~np.isnan(replicates)]
    if not len(defined):
        return math.nan
    rarer = min(int(np.sum(defined <= 0)), int(np.sum(defined >= 0)))
    return min(1.0, 2 * (1 + rarer) / (1 + len(defined)))


def holm_correction(p_values: Sequence[float]) -> list[float]:
    """Returns p-values corrected for their number (Holm, Scandinavian Journal of Statistics 6, 1979).

    Args:
        p_values: the p-values of all comparisons; nan for those that were not made, which do not count.
    """
    made = sorted((p_value, index) for index, p_value in enumerate(p_values) if not math.isnan(p_value))
    corrected, largest = [math.nan] * len(p_values), 0.0
    for rank, (p_value, index) in enumerate(made):
        largest = max(largest, min(1.0, p_value * (len(made) - rank)))
        corrected[index] = largest
    return corrected
