"""Differences from a baseline against brute force; their p-values, and Holm's correction by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from histogan_tf.metrics.classification import point_estimates
from histogan_tf.metrics.differences import bootstrap_p_value, holm_correction, mean_differences

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 120).astype(np.int32)
GROUPS = RNG.integers(0, 6, 120).astype(str)
REPEATS = [np.round(np.clip(0.25 * LABELS + 0.7 * RNG.random(120), 0, 1), 2) for _ in range(3)]


def test_the_interval_of_a_difference_is_that_of_whole_resampled_patients():
    found = mean_differences(LABELS, REPEATS[:2], REPEATS[1:], groups=GROUPS, num_resamples=40, seed=5)
    patients = np.unique(GROUPS)
    differences = []
    for drawn in np.random.default_rng(5).integers(len(patients), size=(40, len(patients))):
        images = np.concatenate([np.flatnonzero(np.equal(GROUPS, patients[number])) for number in drawn])
        recalls = [point_estimates(LABELS[images], run[images], 0.5)["recall"] for run in REPEATS]
        differences.append((recalls[0] + recalls[1] - recalls[1] - recalls[2]) / 2)
    recall = found["recall"]
    assert (recall.low, recall.high) == pytest.approx(tuple(np.quantile(differences, (0.025, 0.975))))
    assert (recall.is_exact, recall.num_images, recall.num_patients) == (False, LABELS.sum(), 6)
    rarer = min(np.sum(np.array(differences) <= 0), np.sum(np.array(differences) >= 0))
    assert recall.p_value == min(1, 2 * (1 + rarer) / 41)


def test_a_run_differs_from_itself_by_nothing_in_every_resample():
    for metric in mean_differences(LABELS, REPEATS[:1], REPEATS[:1], num_resamples=20).values():
        assert (metric.value, metric.low, metric.high, metric.p_value) == (0, 0, 0, 1)


def test_one_image_rightly_called_positive_shows_nothing_about_precision():
    # All resamples that hold the image have a precision of 1, so a bootstrap interval would be wholly above 0.
    silent = np.zeros(120)
    silent[np.flatnonzero(LABELS)[0]] = 0.9
    precision = mean_differences(LABELS, [silent], [REPEATS[0]], groups=GROUPS)["precision"]
    assert precision.value > 0.2 and precision.low < -0.5 and precision.p_value > 0.2
    assert (precision.num_images, precision.num_patients, precision.is_exact) == (1, 1, True)
    assert precision.num_undefined > 0


def test_a_recall_of_1_differs_clearly_from_a_low_one_and_its_interval_has_a_width():
    every = mean_differences(LABELS, [np.ones(120)], [REPEATS[0]])["recall"]
    assert every.is_exact and 0 < every.low < every.value < every.high
    assert every.p_value < 0.05
    balanced = mean_differences(LABELS, [np.ones(120)], [REPEATS[0]])["balanced_accuracy"]
    assert balanced.is_exact and balanced.low < balanced.value < balanced.high


def test_what_has_no_exact_interval_has_none_at_its_edge():
    area = mean_differences(LABELS, [LABELS.astype(float)], [REPEATS[0]])["roc_auc"]
    assert area.value > 0 and math.isnan(area.low) and math.isnan(area.p_value)


def test_one_patient_gives_no_interval():
    found = mean_differences(LABELS, REPEATS[:1], REPEATS[1:2], groups=np.full(120, "p0"), num_resamples=10)
    assert all(math.isnan(metric.low) and math.isnan(metric.p_value) for metric in found.values())


def test_the_p_value_is_twice_the_rarer_side_and_never_0():
    assert bootstrap_p_value(np.array([0.1] * 98 + [-0.1, np.nan])) == 2 * 2 / 100
    assert bootstrap_p_value(np.full(99, 0.2)) == 2 / 100
    assert bootstrap_p_value(np.zeros(99)) == 1
    assert math.isnan(bootstrap_p_value(np.full(3, np.nan)))


def test_holms_correction_by_hand():
    corrected = holm_correction([0.01, math.nan, 0.04, 0.03, 0.005])
    assert [corrected[index] for index in (4, 0, 3, 2)] == pytest.approx([0.02, 0.03, 0.06, 0.06])
    assert math.isnan(corrected[1])
    assert holm_correction([0.9, 0.8]) == [1, 1]
