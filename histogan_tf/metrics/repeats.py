"""Metrics of a classifier that was trained several times with different seeds, as means over the repeats.

Two kinds of chance decide whether one way of training looks better than another: the choice of the images to measure
on, and the seed. The intervals here show the first kind; the values of the single repeats show the second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from histogan_tf.metrics.classification import point_estimates
from histogan_tf.metrics.intervals import bootstrap_intervals
from histogan_tf.metrics.measured import Metric, measured_run, with_honest_interval
from histogan_tf.metrics.ranking import Ranking

Statistics = Callable[[np.ndarray], dict[str, np.ndarray]]


def mean_metrics(
    labels: np.ndarray,
    repeats: Sequence[np.ndarray],
    *,
    threshold: float = 0.5,
    groups: np.ndarray | None = None,
    num_resamples: int = 2000,
    seed: int = 42,
) -> dict[str, Metric]:
    """Returns the metrics of `evaluate_classifier` as means over repeats, which share each resample of the images.

    Args:
        labels: int32 (num_images,), 0 or 1.
        repeats: for each repeat, the probabilities of label 1, float64 (num_images,).
        threshold, groups, num_resamples, seed: the arguments of `evaluate_classifier`.

    Returns:
        The metrics by name; nan if a metric is undefined in any repeat. With one repeat, they equal those of
        `evaluate_classifier`.
    """
    assert len(repeats)
    statistics, order = signed_mean_statistics(labels, repeats, (), threshold)
    intervals = bootstrap_intervals(
        statistics,
        len(labels),
        groups=None if groups is None else groups[order],
        num_resamples=num_resamples,
        seed=seed,
    )
    runs = [measured_run(labels, run >= threshold, groups, point_estimates(labels, run, threshold)) for run in repeats]
    return {name: with_honest_interval(name, interval, runs) for name, interval in intervals.items()}


def signed_mean_statistics(
    labels: np.ndarray, repeats: Sequence[np.ndarray], baselines: Sequence[np.ndarray], threshold: float
) -> tuple[Statistics, np.ndarray]:
    """Returns the function that computes the metrics of bootstrap resamples, and the order of the images in them.

    Args:
        labels: int32 (num_images,), 0 or 1.
        repeats: for each repeat, the probabilities of label 1, float64 (num_images,).
        baselines: for each repeat, the probabilities of the baseline, whose metrics are subtracted; empty for none.
        threshold: the probability from which on an image is called positive.

    Returns:
        A function from weights, int64 (num_resamples, num_images), to the mean over repeats of each metric by name,
        float (num_resamples,); and the indices, int64 (num_images,), of the images that the weights belong to.
    """
    first = baselines[0] if len(baselines) else repeats[0]
    order = np.lexsort((labels, -first))
    rankings = []
    for sign, runs in ((1.0, repeats), (-1.0, baselines)):
        for probabilities in runs:
            own_order = np.lexsort((labels[order], -probabilities[order]))
            chosen = order[own_order]
            rankings.append((sign, own_order, Ranking(labels[chosen], probabilities[chosen], threshold)))

    def statistics(weights: np.ndarray) -> dict[str, np.ndarray]:
        metrics = [(sign, ranking.metrics(weights[:, own])) for sign, own, ranking in rankings]
        return {name: sum(sign * values[name] for sign, values in metrics) / len(repeats) for name in metrics[0][1]}

    return statistics, order
