"""Metrics of a classifier that was trained several times with different seeds: means, and differences from a baseline.

Two kinds of chance decide whether one way of training looks better than another: the choice of the images to measure
on, and the seed. The intervals here show the first kind; the values of the single repeats show the second.
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
    """Returns the metrics of `evaluate_classifier`, or their differences from a baseline, as means over repeats.

    All repeats and their baselines share each resample of the images (of the patients, if known). So images that are
    hard for both cancel out in the difference.

    Args:
        labels: int32 (num_images,), 0 or 1.
        repeats: for each repeat, the probabilities of label 1, float64 (num_images,).
        baselines: for each repeat, the probabilities of its baseline, whose metrics are subtracted; None for the
            metrics of the repeats themselves.
        threshold, groups, num_resamples, seed: the arguments of `evaluate_classifier`.

    Returns:
        The metrics by name; nan if a metric is undefined in any repeat. With one repeat and no baseline, they equal
        those of `evaluate_classifier`.
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
