"""A classifier trained several times, with other seeds: means over the repeats, and their difference from a baseline.

Two kinds of chance decide whether one way of training looks better than another: which images there were to measure on,
and which seed it had. The intervals here are of the first kind, the repeats' own values show the second.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from histogan_tf.metrics.classification import Metric, point_estimates
from histogan_tf.metrics.intervals import bootstrap_intervals
from histogan_tf.metrics.ranking import Ranking


def mean_metrics(
    labels: np.ndarray,
    repeats: Sequence[np.ndarray],
    *,
    baselines: Sequence[np.ndarray] | None = None,
    threshold: float = 0.5,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Metric]:
    """The metrics of `evaluate_classifier`, or their differences from a baseline, as means over repeats.

    Each resample of the images (of the patients, if known) is one for all repeats and for their baselines: what is hard
    for both cancels out in the difference.

    Args:
        labels: int32 (num_images,), 0 or 1.
        repeats: probabilities of label 1 by each repeat, float64 (num_images,).
        baselines: as many, each to be taken from the repeat of the same place; None for the metrics themselves.
        threshold, groups, num_resamples, seed: as in `evaluate_classifier`.

    Returns:
        By name; nan where a metric is undefined in any repeat. With one repeat and no baseline, what
        `evaluate_classifier` returns.
    """
    assert len(repeats) and (baselines is None or len(baselines) == len(repeats))
    first = repeats[0] if baselines is None else baselines[0]
    order = np.lexsort((labels, -first))
    runs = [(1.0, probabilities) for probabilities in repeats]
    runs += [(-1.0, probabilities) for probabilities in baselines or ()]
    rankings = []
    for sign, probabilities in runs:
        own_order = np.lexsort((labels[order], -probabilities[order]))
        chosen = order[own_order]
        rankings.append((sign, own_order, Ranking(labels[chosen], probabilities[chosen], threshold)))

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        return _signed_mean([(sign, ranking.metrics(weights[:, own])) for sign, own, ranking in rankings], len(repeats))

    intervals = bootstrap_intervals(
        statistics,
        len(labels),
        groups=None if groups is None else groups[order],
        num_resamples=num_resamples,
        seed=seed,
    )
    values = [(sign, point_estimates(labels, probabilities, threshold)) for sign, probabilities in runs]
    means = _signed_mean(values, len(repeats))
    return {name: Metric(float(value), *intervals[name]) for name, value in means.items()}


def _signed_mean(metrics: list[tuple[float, dict]], num_repeats: int) -> dict:
    return {name: sum(sign * values[name] for sign, values in metrics) / num_repeats for name in metrics[0][1]}
