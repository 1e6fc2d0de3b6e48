"""Percentile bootstrap intervals of statistics that can be computed from one integer weight per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

QUANTILES = (0.025, 0.975)
# Elements of one block of weights: 2 MiB, so that memory stays bounded and the sums over it stay in the cache.
BOOTSTRAP_BLOCK_ELEMENTS = 2**18


class Interval(NamedTuple):
    """A 95 % percentile interval.

    Attributes:
        low: 2.5th percentile of the statistic over the resamples in which it is defined; nan if in none.
        high: 97.5th percentile, likewise.
        num_undefined: resamples in which the statistic is undefined (nan), left out of the percentiles.
    """

    low: float
    high: float
    num_undefined: int


def resample_weights(
    num_samples: int, *, groups: np.ndarray | None = None, num_resamples: int = 2000, seed: int = 42
) -> Iterator[np.ndarray]:
    """How often each sample occurs in each bootstrap resample, in blocks of bounded memory.

    Drawing n of n samples with replacement is the same as giving sample i the weight "times drawn". With groups, whole
    groups are drawn with replacement (cluster bootstrap), as many as there are, and a sample weighs as often as its
    group was drawn. The draws are those of `np.random.default_rng(seed).integers(num_units, size=(num_resamples,
    num_units))`, the units being the samples or the sorted distinct groups, whatever the size of the blocks.

    Args:
        num_samples: at least 1.
        groups: (num_samples,), the group (patient) of each sample; None to draw single samples.

    Yields:
        int64 (block, num_samples); the blocks' lengths sum to num_resamples.
    """
    assert num_samples >= 1 and num_resamples >= 1, (num_samples, num_resamples)
    num_units, unit_of_sample = num_samples, None
    if groups is not None:
        distinct, unit_of_sample = np.unique(groups, return_inverse=True)
        num_units = len(distinct)
    generator = np.random.default_rng(seed)
    block = max(1, BOOTSTRAP_BLOCK_ELEMENTS // num_samples)
    for start in range(0, num_resamples, block):
        rows = min(block, num_resamples - start)
        drawn = generator.integers(num_units, size=(rows, num_units))
        drawn += np.arange(rows)[:, None] * num_units  # so that one bincount counts every row apart
        weights = np.bincount(drawn.ravel(), minlength=rows * num_units).reshape(rows, num_units)
        yield weights if unit_of_sample is None else weights[:, unit_of_sample]


def percentile_interval(replicates: np.ndarray) -> Interval:
    """The central 95 % of a statistic's values over resamples, nan marking those in which it is undefined.

    Args:
        replicates: float (num_resamples,).
    """
    defined = replicates[~np.isnan(replicates)]
    num_undefined = len(replicates) - len(defined)
    if not len(defined):
        return Interval(np.nan, np.nan, num_undefined)
    low, high = np.quantile(defined, QUANTILES)
    return Interval(float(low), float(high), num_undefined)


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]],
    num_samples: int,
    *,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Interval]:
    """Percentile bootstrap (Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3).

    The bounds are nan where there is one sample, or one group: a single draw says nothing of the spread. With a handful
    of groups the interval exists, but is narrower than it ought to be.

    Args:
        statistics: from weights, int64 (block, num_samples), to float (block,) by name, nan where undefined.
        num_samples, groups, num_resamples, seed: as in `resample_weights`.
    """
    blocks = [
        statistics(weights)
        for weights in resample_weights(num_samples, groups=groups, num_resamples=num_resamples, seed=seed)
    ]
    intervals = {name: percentile_interval(np.concatenate([block[name] for block in blocks])) for name in blocks[0]}
    num_units = num_samples if groups is None else len(np.unique(groups))
    if num_units == 1:
        intervals = {name: interval._replace(low=np.nan, high=np.nan) for name, interval in intervals.items()}
    return intervals
