"""Means over draws of training patients: the interval counts the draws and the patients that they are measured on."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import stdtr, stdtrit

from histogan_tf.metrics.differences import mean_differences
from histogan_tf.metrics.random_draws import draws_interval, metrics_over_draws
from histogan_tf.metrics.repeats import mean_metrics

NUM_PATIENTS = 30


def measured_draws(num_draws: int, draw_noise: float, *, seed: int = 0) -> tuple[np.ndarray, np.ndarray, list, list]:
    """Labels and patients of images, and the probabilities of a baseline and of a worse classifier for each draw."""
    rng = np.random.default_rng(seed)
    patients = np.repeat(np.arange(NUM_PATIENTS), 10)
    labels = rng.integers(0, 2, len(patients)).astype(np.int32)
    signal = labels + rng.normal(0, 0.8, len(labels)) + rng.normal(0, 0.4, NUM_PATIENTS)[patients]
    baselines, draws = [], []
    for _ in range(num_draws):
        baselines.append(squashed(signal + rng.normal(0, 0.1, len(labels))))
        worse = draw_noise * abs(rng.normal())
        draws.append(squashed(signal + rng.normal(0, 0.1 + worse, len(labels))))
    return labels, patients, baselines, draws


def squashed(values: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-2 * (values - 0.5)))


def test_the_interval_is_that_of_a_reader_study():
    values = np.array([0.1, 0.2, 0.6])
    replicates = np.array([[0.0, 0.2, 0.1, 0.1], [0.1, 0.3, 0.2, 0.2], [0.5, 0.7, 0.7, 0.5]])
    # Covariances of 1-2, 1-3, 2-3: 0.02/3, 0.02/3, 0.02/3; variance of the values 0.07.
    variance = 0.07 / 3 + 0.02 / 3
    freedom = 2 * (variance / (0.07 / 3)) ** 2
    reach = float(stdtrit(freedom, 0.975)) * math.sqrt(variance)
    low, high, p_value = draws_interval(values, replicates)
    assert (low, high) == pytest.approx((0.3 - reach, 0.3 + reach))
    assert p_value == pytest.approx(2 * float(stdtr(freedom, -0.3 / math.sqrt(variance))))


def test_draws_that_agree_leave_the_chance_of_the_patients():
    rng = np.random.default_rng(1)
    replicate = rng.normal(0.02, 0.01, 2000)
    low, high, _ = draws_interval(np.full(4, 0.02), np.tile(replicate, (4, 1)))
    reach = 1.96 * np.std(replicate, ddof=1)
    assert (low, high) == pytest.approx((0.02 - reach, 0.02 + reach), abs=1e-5)
    nothing = draws_interval(np.zeros(3), np.zeros((3, 5)))
    assert nothing[:2] == (0, 0) and math.isnan(nothing.p_value)


def test_the_interval_holds_the_true_mean_as_often_as_it_says():
    """Draws and patients each shift what is measured; 95 of 100 intervals of three draws are to hold the truth."""
    rng = np.random.default_rng(2)
    num_draws, num_studies, truth, held, held_by_patients = 3, 400, 0.5, 0, 0
    for _ in range(num_studies):
        of_patients = rng.normal(0, 1, NUM_PATIENTS)
        seen = truth + rng.normal(0, 0.2, (num_draws, 1)) + of_patients + rng.normal(0, 1, (num_draws, NUM_PATIENTS))
        weights = rng.multinomial(NUM_PATIENTS, np.full(NUM_PATIENTS, 1 / NUM_PATIENTS), 300) / NUM_PATIENTS
        replicates = seen @ weights.T
        low, high, _ = draws_interval(seen.mean(axis=1), replicates)
        held += low <= truth <= high
        ends = np.quantile(replicates.mean(axis=0), (0.025, 0.975))
        held_by_patients += ends[0] <= truth <= ends[1]
    assert 0.925 < held / num_studies < 0.985
    assert held_by_patients / num_studies < 0.9  # an interval over patients alone is too narrow


@pytest.mark.parametrize("num_draws", [2, 5])
def test_values_are_those_of_the_means_and_unequal_draws_widen_the_interval(num_draws):
    labels, patients, baselines, draws = measured_draws(num_draws, 1.5)
    options = {"groups": patients, "num_resamples": 300}
    found = metrics_over_draws(labels, draws, baselines, **options)
    over_patients = mean_differences(labels, draws, baselines, **options)
    for name in ("roc_auc", "accuracy", "precision", "recall"):
        assert found[name].value == pytest.approx(over_patients[name].value, abs=1e-12), name
        assert (found[name].num_images, found[name].num_patients) == (
            over_patients[name].num_images,
            over_patients[name].num_patients,
        )
    width, narrow = (cell.high - cell.low for cell in (found["roc_auc"], over_patients["roc_auc"]))
    assert width > 1.2 * narrow and 0 < found["roc_auc"].p_value < 1


def test_equal_draws_have_the_interval_over_patients():
    labels, patients, _, draws = measured_draws(1, 0.5)
    options = {"groups": patients, "num_resamples": 2000}
    found = metrics_over_draws(labels, draws * 3, **options)["roc_auc"]
    over_patients = mean_metrics(labels, draws, **options)["roc_auc"]
    assert found.value == pytest.approx(over_patients.value)
    assert (found.low, found.high) == pytest.approx((over_patients.low, over_patients.high), abs=0.004)
    assert not hasattr(found, "p_value")


def test_a_metric_at_its_edge_and_a_single_patient_have_no_interval():
    labels, patients, baselines, draws = measured_draws(2, 0.5)
    perfect = [draws[0], labels.astype(float)]
    found = metrics_over_draws(labels, perfect, groups=patients, num_resamples=50)["roc_auc"]
    assert 0.5 < found.value < 1 and math.isnan(found.low)
    of_one = metrics_over_draws(labels, draws, baselines, groups=np.zeros(len(labels)), num_resamples=50)["roc_auc"]
    assert not math.isnan(of_one.value) and math.isnan(of_one.low) and math.isnan(of_one.p_value)
    never = [np.full(len(labels), 0.1), draws[1]]
    assert math.isnan(metrics_over_draws(labels, never, groups=patients, num_resamples=50)["precision"].value)


def test_an_interval_of_a_metric_ends_at_one():
    labels, patients, _, draws = measured_draws(2, 0)
    better = np.clip(draws[0] + 0.45 * (labels - 0.5), 0, 1)
    found = metrics_over_draws(labels, [draws[1], better], groups=patients, num_resamples=100)["roc_auc"]
    assert found.high == 1.0 and 0 <= found.low < found.value
