"""Computes percentile bootstrap intervals of statistics that are functions of one integer weight per sample."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np

QUANTILES = (0.025, 0.975)
# Elements of one block of weights: 2 MiB, so that memory is bounded and a block stays in the processor's cache.
BOOTSTRAP_BLOCK_ELEMENTS = 2**18


class Interval(NamedTuple):
    """A 95 % percentile interval.

    Attributes:
        low: the 2.5th percentile of the statistic over the resamples in which it is defined; nan if there are none.
        high: the 97.5th percentile over these resamples; nan if there are none.
        num_undefined: the number of resamples in which the statistic is undefined (nan).
    """

    low: float
    high: float
    num_undefined: int


def resample_weights(
    num_samples: int, *, groups: np.ndarray | None = None, num_resamples: int = 2000, seed: int = 42
) -> Iterator[np.ndarray]:
    """Yields the number of times that each sample occurs in each bootstrap resample, in blocks of bounded memory.

    These numbers are the samples' weights. A resample draws n of n samples with replacement. With groups, it draws
    whole groups with replacement (cluster bootstrap), as many as there are, and a sample's weight is the number of
    times that its group was drawn. The draws are those of `np.random.default_rng(seed).integers(num_units,
    size=(num_resamples, num_units))`, where the units are the samples or the sorted distinct groups. They do not depend
    on the size of the blocks.

    Args:
        num_samples: the number of samples, at least 1.
        groups: (num_samples,), the group (patient) of each sample; None to draw single samples.
        num_resamples: the number of resamples, at least 1.
        seed: the seed of the draws.

    Yields:
        The weights, int64 (block, num_samples); the blocks' lengths sum to num_resamples.
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
        drawn += np.arange(rows)[:, None] * num_units  # so that one bincount counts each row separately
        weights = np.bincount(drawn.ravel(), minlength=rows * num_units).reshape(rows, num_units)
        yield weights if unit_of_sample is None else weights[:, unit_of_sample]


def percentile_interval(replicates: np.ndarray) -> Interval:
    """Returns the central 95 % of a statistic's values over resamples.

    Args:
        replicates: float (num_resamples,), the value in each resample; nan if it is undefined there.
    """
    defined = replicates[~np.isnan(replicates)]
    num_undefined = len(replicates) - len(defined)
    if not len(defined):
        return Interval(np.nan, np.nan, num_undefined)
    low, high = np.quantile(defined, QUANTILES)
    return Interval(float(low), float(high), num_undefined)


def bootstrap_replicates(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]],
    num_samples: int,
    *,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, np.ndarray]:
    """Returns the value of each statistic in each bootstrap resample, by name: float (num_resamples,).

    Args:
        statistics: a function from weights, int64 (block, num_samples), to the statistics by name, each float (block,),
            nan where undefined.
        num_samples, groups, num_resamples, seed: the arguments of `resample_weights`.
    """
    blocks = [
        statistics(weights)
        for weights in resample_weights(num_samples, groups=groups, num_resamples=num_resamples, seed=seed)
    ]
    return {name: np.concatenate([block[name] for block in blocks]) for name in blocks[0]}


def num_resampled_units(num_samples: int, groups: np.ndarray | None) -> int:
    """Returns the number of things that a bootstrap draws from: distinct groups, or samples if `groups` is None."""
    return num_samples if groups is None else len(np.unique(groups))


def bootstrap_intervals(
    statistics: Callable[[np.ndarray], dict[str, np.ndarray]],
    num_samples: int,
    *,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Interval]:
    """Returns percentile bootstrap intervals of several statistics.

    Efron & Tibshirani, An Introduction to the Bootstrap, 1993, section 13.3.

    The bounds are nan if there is only one sample or one group, which says nothing about the spread. With a handful of
    groups there is an interval, but it is too narrow.

    Args:
        statistics, num_samples, groups, num_resamples, seed: the arguments of `bootstrap_replicates`.
    """
    replicates = bootstrap_replicates(statistics, num_samples, groups=groups, num_resamples=num_resamples, seed=seed)
    intervals = {name: percentile_interval(values) for name, values in replicates.items()}
    if num_resampled_units(num_samples, groups) == 1:
        intervals = {name: interval._replace(low=np.nan, high=np.nan) for name, interval in intervals.items()}
    return intervals
