"""Readers' measures, against other computations of them and against their definitions."""

from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics

from histogan_tf.metrics.reading import guessed_right, kappa, rating_auc


def test_the_auc_is_scikit_learns_and_ties_count_half():
    rng = np.random.default_rng(0)
    is_synthetic, ratings = rng.random(60) < 0.4, rng.integers(-5, 6, 60)
    assert rating_auc(is_synthetic, ratings).value == pytest.approx(metrics.roc_auc_score(is_synthetic, ratings))
    assert all(map(math.isnan, rating_auc(np.ones(3, bool), np.arange(3))))


def test_the_bounds_of_the_auc_are_196_of_their_own_standard_errors_away():
    is_synthetic = np.arange(50) < 20
    area, low, high = rating_auc(is_synthetic, np.where(is_synthetic, 1, 0) + np.arange(50) % 3)
    for bound in (low, high):
        # Hanley and McNeil's standard error in their own terms, for 25 patches of each kind but 20 x 30 pairs.
        first, second = bound / (2 - bound), 2 * bound**2 / (1 + bound)
        spread = bound * (1 - bound) + 24 * (first - bound**2) + 24 * (second - bound**2)
        assert abs(area - bound) == pytest.approx(1.959964 * math.sqrt(spread / 600), rel=1e-6)
    assert low < area < high


def test_a_perfect_auc_has_an_interval_that_shrinks_with_the_number_of_patches():
    lows = []
    for number in (5, 20, 100):
        value, low, high = rating_auc(np.arange(2 * number) < number, -np.arange(2 * number))
        assert (value, high) == (1, 1)
        lows.append(low)
    assert 0.5 < lows[0] < lows[1] < lows[2] < 1
    mirrored = rating_auc(np.arange(10) < 5, np.arange(10))
    assert (mirrored.value, mirrored.low) == (0, 0)
    assert mirrored.high == pytest.approx(1 - lows[0])


def test_the_interval_of_the_auc_holds_the_true_area_in_95_of_100_samples():
    rng = np.random.default_rng(1)
    is_synthetic = np.arange(40) < 20
    # Ratings in five steps: the true area is that of the two distributions over the steps.
    of_real, of_synthetic = np.array([0.3, 0.25, 0.2, 0.15, 0.1]), np.array([0.1, 0.15, 0.2, 0.25, 0.3])
    above = np.cumsum(of_real) - of_real
    true_area = np.sum(of_synthetic * (above + of_real / 2))
    covered = 0
    for _ in range(400):
        ratings = np.concatenate([rng.choice(5, 20, p=of_synthetic), rng.choice(5, 20, p=of_real)])
        _, low, high = rating_auc(is_synthetic, ratings)
        covered += low <= true_area <= high
    assert 0.92 <= covered / 400 <= 0.99


def test_kappa_is_scikit_learns():
    rng = np.random.default_rng(2)
    first = rng.random(200) < 0.6
    second = np.where(rng.random(200) < 0.7, first, rng.random(200) < 0.5)
    value, low, high = kappa(first, second)
    assert value == pytest.approx(metrics.cohen_kappa_score(first, second))
    assert low < value < high
    assert high - low == pytest.approx(0.22, abs=0.03)  # four asymptotic standard errors of 200 patches


def test_kappa_of_equal_opposite_and_constant_answers():
    answers = np.array([True, False] * 10)
    value, low, high = kappa(answers, answers)
    assert value == 1 and math.isnan(low) and math.isnan(high)  # no resample differs: they do not tell the spread
    assert kappa(answers, ~answers).value == -1
    assert math.isnan(kappa(np.ones(4, bool), np.ones(4, bool)).value)


def test_who_guesses_is_within_the_range_in_95_of_100_cases():
    assert guessed_right(40) == (14, 26)
    low, high = guessed_right(11)
    right = np.random.default_rng(3).binomial(11, 0.5, 100_000)
    assert np.mean((right >= low) & (right <= high)) >= 0.95
    assert np.mean((right > low) & (right < high)) < 0.95
