"""Exact intervals of rates: against scipy, by hand, and how often they hold the truth where a bootstrap does not."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from histogan_tf.metrics.rates import (
    Rate,
    combined_interval,
    combined_p_value,
    design_effect,
    measured_rates,
    supporting_images,
)


@pytest.mark.parametrize(("hits", "number"), [(0, 7), (7, 7), (1, 1), (3, 9), (45, 46)])
@pytest.mark.parametrize("level", [0.95, 0.8])
def test_the_interval_of_independent_images_is_that_of_clopper_and_pearson(hits, number, level):
    exact = stats.binomtest(hits, number).proportion_ci(level, method="exact")
    assert Rate(hits / number, number, number).interval(level) == pytest.approx((exact.low, exact.high))


def test_a_rate_needs_it_at_its_edges_and_on_few_images():
    assert Rate(1.0, 500, 500).needs_exact_interval and Rate(0.0, 500, 500).needs_exact_interval
    assert Rate(0.5, 8, 8).needs_exact_interval and not Rate(0.5, 10, 10).needs_exact_interval


def test_copies_of_an_image_count_once():
    hits = np.repeat([True, False, True, True, False, True, True, True], 5)
    patients = np.repeat(np.arange(8), 5)
    # Eight patients whose five images are alike: 5 * (8 / 7) times the variance of 40 independent images.
    assert design_effect(hits, patients) == pytest.approx(5 * 8 / 7)
    rate = measured_rates(np.ones(40, int), hits, patients)["recall"]
    ratio = stats.t.ppf(0.975, 39) / stats.t.ppf(0.975, 7)
    assert rate.num_effective == pytest.approx(7 * ratio**2)
    assert (rate.value, rate.num_images) == (0.75, 40)


def test_a_rate_of_1_borrows_the_design_effect_of_the_accuracy():
    labels = np.tile([1, 1, 0, 0], 10)
    patients = np.repeat(np.arange(10), 4)
    called = labels == 1
    called[2:20:4] = True  # five patients have one false positive each
    rates = measured_rates(labels, called, patients)
    effect = design_effect(called == (labels == 1), patients)
    ratio = stats.t.ppf(0.975, 19) / stats.t.ppf(0.975, 9)
    assert rates["recall"].num_effective == pytest.approx(min(20, 20 / effect * ratio**2))
    assert rates["recall"].value == 1 and rates["recall"].interval()[0] == pytest.approx(
        0.025 ** (1 / rates["recall"].num_effective)
    )
    perfect = measured_rates(labels, labels == 1, patients)
    assert perfect["recall"].num_effective == 10  # nothing shows the spread: each patient counts once


def test_images_of_one_patient_count_as_one():
    labels, patients = np.array([1, 1, 1, 0]), np.array(["a", "a", "a", "b"])
    rate = measured_rates(labels, np.array([True, True, True, False]), patients)["precision"]
    assert (rate.num_images, rate.num_effective) == (3, 1)
    assert rate.interval() == pytest.approx((0.025, 1))


def test_without_images_there_is_no_interval():
    rates = measured_rates(np.array([0, 1]), np.zeros(2, bool), None)
    assert math.isnan(rates["precision"].value) and all(map(math.isnan, rates["precision"].interval()))
    assert math.isnan(combined_p_value([(1, [rates["precision"]])]))


def test_what_each_metric_rests_on():
    labels, called = np.array([1, 1, 0, 0, 0]), np.array([True, False, True, False, False])
    counts = {name: int(chosen.sum()) for name, chosen in supporting_images(labels, called).items()}
    assert {name: counts[name] for name in ("precision", "recall", "specificity", "accuracy", "roc_auc", "f1")} == {
        "precision": 2,
        "recall": 2,
        "specificity": 3,
        "accuracy": 5,
        "roc_auc": 2,
        "f1": 3,
    }


def test_the_interval_of_a_difference_is_newcombes():
    # Newcombe 1998, method 10, example of 56/70 against 48/80, but with exact instead of score intervals.
    first, second = Rate(56 / 70, 70, 70), Rate(48 / 80, 80, 80)
    low, high = combined_interval([(1, [first]), (-1, [second])])
    (low1, high1), (low2, high2) = first.interval(), second.interval()
    assert low == pytest.approx(0.2 - math.hypot(0.8 - low1, high2 - 0.6))
    assert high == pytest.approx(0.2 + math.hypot(high1 - 0.8, 0.6 - low2))
    assert (low, high) == pytest.approx((0.0524, 0.3339), abs=0.02)  # his interval
    p_value = combined_p_value([(1, [first]), (-1, [second])])
    assert p_value < 0.05
    assert combined_interval([(1, [first]), (-1, [second])], 1 - p_value)[0] == pytest.approx(0, abs=1e-6)


def test_at_the_edge_the_interval_holds_the_truth_as_often_as_it_says():
    # Twelve patients of four images each, whose rates differ around 0.97: a bootstrap has no width in a third of these.
    generator, truth, num_held, num_edges = np.random.default_rng(0), 0.97, 0, 0
    patients = np.repeat(np.arange(12), 4)
    for _ in range(400):
        rates = generator.beta(truth * 8, (1 - truth) * 8, 12)
        right = generator.random(48) < np.repeat(rates, 4)
        rate = measured_rates(np.ones(48, int), right, patients)["recall"]
        num_edges += rate.value == 1
        num_held += rate.interval()[0] <= truth <= rate.interval()[1]
    assert num_edges > 100
    assert num_held / 400 >= 0.95
