"""Resampling, cluster resampling and percentile intervals against naive draws and binomial quantiles."""

import numpy as np
import pytest
from scipy import stats

from histogan_tf.metrics import intervals
from histogan_tf.metrics.intervals import Interval, bootstrap_intervals, percentile_interval, resample_weights


def weighted_mean(values):
    return lambda weights: {"mean": weights @ values / weights.sum(axis=1)}


def test_weights_count_the_documented_draws():
    weights = np.concatenate(list(resample_weights(5, num_resamples=20, seed=7)))
    indices = np.random.default_rng(7).integers(5, size=(20, 5))
    assert weights.shape == (20, 5)
    for row, drawn in zip(weights, indices, strict=True):
        np.testing.assert_array_equal(row, [np.sum(drawn == sample) for sample in range(5)])


@pytest.mark.parametrize("elements", [1, 21, 50])
@pytest.mark.parametrize("groups", [None, np.array(list("abacbca"))])
def test_block_size_changes_memory_but_no_draw(monkeypatch, elements, groups):
    whole = np.concatenate(list(resample_weights(7, groups=groups, num_resamples=33)))
    monkeypatch.setattr(intervals, "BOOTSTRAP_BLOCK_ELEMENTS", elements)
    blocks = list(resample_weights(7, groups=groups, num_resamples=33))
    assert max(len(block) for block in blocks) == max(1, elements // 7)
    np.testing.assert_array_equal(np.concatenate(blocks), whole)


def test_groups_are_drawn_whole():
    groups = np.array(["p2", "p1", "p2", "p3", "p1", "p2"])
    weights = np.concatenate(list(resample_weights(6, groups=groups, num_resamples=40, seed=3)))
    drawn = np.random.default_rng(3).integers(3, size=(40, 3))  # p1, p2, p3
    for sample, group in enumerate([1, 0, 1, 2, 0, 1]):
        np.testing.assert_array_equal(weights[:, sample], np.sum(drawn == group, axis=1))


def test_percentile_interval_by_hand_and_with_undefined_resamples():
    replicates = np.arange(41.0)  # the 2.5 % and 97.5 % quantiles of 0 … 40 are 1 and 39
    assert percentile_interval(replicates) == Interval(1.0, 39.0, 0)
    assert percentile_interval(np.append(replicates, [np.nan, np.nan])) == Interval(1.0, 39.0, 2)
    low, high, num_undefined = percentile_interval(np.full(4, np.nan))
    assert np.isnan(low) and np.isnan(high) and num_undefined == 4


def test_interval_of_a_proportion_is_the_binomial_one():
    # The bootstrap of 30 successes in 100 draws from Binomial(100, 0.3): its quantiles are 21 and 39.
    values = np.repeat([1.0, 0.0], [30, 70])
    low, high, _ = bootstrap_intervals(weighted_mean(values), 100, num_resamples=10_000)["mean"]
    exact = stats.binom.ppf([0.025, 0.975], 100, 0.3) / 100
    np.testing.assert_array_equal(exact, [0.21, 0.39])
    np.testing.assert_allclose([low, high], exact, atol=0.0101)


def test_interval_covers_the_truth_as_often_as_it_says():
    truth, covered = 0.7, 0
    for seed in range(300):
        values = (np.random.default_rng(1000 + seed).random(80) < truth).astype(float)
        low, high, _ = bootstrap_intervals(weighted_mean(values), 80, num_resamples=400, seed=seed)["mean"]
        covered += low <= truth <= high
    # 300 Bernoulli trials of 0.95 lie in [0.90, 0.98] but for about one seed in a thousand.
    assert 0.90 <= covered / 300 <= 0.98


def test_groups_of_equal_values_give_the_interval_of_the_groups():
    values = np.random.default_rng(0).random(30)
    groups = np.arange(30)
    alone = bootstrap_intervals(weighted_mean(values), 30, num_resamples=500)["mean"]
    clustered = bootstrap_intervals(
        weighted_mean(np.repeat(values, 16)), 480, groups=np.repeat(groups, 16), num_resamples=500
    )["mean"]
    by_sample = bootstrap_intervals(weighted_mean(np.repeat(values, 16)), 480, num_resamples=500)["mean"]
    np.testing.assert_allclose(clustered, alone, rtol=1e-12)
    # Sixteen copies of each value make the spread four times too small if they pass for independent.
    assert (clustered.high - clustered.low) / (by_sample.high - by_sample.low) == pytest.approx(4, rel=0.15)


@pytest.mark.parametrize(("num_samples", "groups"), [(1, None), (3, np.array(["only"] * 3))])
def test_one_unit_has_no_interval(num_samples, groups):
    low, high, num_undefined = bootstrap_intervals(
        weighted_mean(np.ones(num_samples)), num_samples, groups=groups, num_resamples=10
    )["mean"]
    assert np.isnan(low) and np.isnan(high) and num_undefined == 0
