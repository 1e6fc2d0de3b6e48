"""Accuracies by label, against scikit-learn, SciPy and a bootstrap by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn import metrics

from histogan_tf.metrics.class_accuracy import class_accuracies


@pytest.fixture
def answers() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = (rng.random(90) < 0.3).astype(np.int32)
    return labels, np.where(rng.random(90) < 0.8, labels, 1 - labels)


def test_values_are_scikit_learns_and_label_intervals_scipys(answers):
    labels, predictions = answers
    found = class_accuracies(labels, predictions)
    assert list(found) == ["accuracy", "label_0", "label_1"]
    assert found["accuracy"].value == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    for label in (0, 1):
        of_label = predictions[labels == label] == label
        expected = binomtest(int(of_label.sum()), len(of_label)).proportion_ci(method="wilson")
        assert found[f"label_{label}"] == pytest.approx((of_label.mean(), expected.low, expected.high))


def test_the_interval_of_the_mean_holds_the_truth_in_95_of_100_samples():
    rng = np.random.default_rng(1)
    labels = np.repeat(np.int32([0, 1]), (60, 20))
    rates = np.where(labels == 0, 0.9, 0.6)
    covered = 0
    for _ in range(500):
        _, low, high = class_accuracies(labels, np.where(rng.random(80) < rates, labels, 1 - labels))["accuracy"]
        covered += low <= 0.75 <= high
    assert 0.92 <= covered / 500 <= 0.98


def test_all_right_is_no_certainty():
    labels = np.repeat(np.int32([0, 1]), 10)
    value, low, high = class_accuracies(labels, labels)["accuracy"]
    assert (value, high) == (1, 1)
    assert 0.7 < low < 0.9


def test_one_label_alone(answers):
    labels, predictions = answers
    is_one = labels == 1
    found = class_accuracies(labels[is_one], predictions[is_one])
    assert set(found) == {"accuracy", "label_1"}
    assert found["accuracy"] == pytest.approx(found["label_1"])


def test_with_patients_whole_patients_are_resampled(answers):
    labels, predictions = answers
    groups = np.array([f"p{number % 6}" for number in range(90)])
    found = class_accuracies(labels, predictions, groups=groups, seed=3)
    assert found["accuracy"].value == pytest.approx(metrics.balanced_accuracy_score(labels, predictions))
    drawn = np.random.default_rng(3).integers(6, size=(2000, 6))
    values = []
    for patients in drawn:
        rows = np.concatenate([np.flatnonzero(groups == f"p{patient}") for patient in patients])
        values.append(metrics.balanced_accuracy_score(labels[rows], predictions[rows]))
    assert found["accuracy"][1:] == pytest.approx(np.quantile(values, [0.025, 0.975]))
    alone = class_accuracies(labels, predictions, groups=np.full(90, "p"))["accuracy"]
    assert alone.value == found["accuracy"].value
    assert math.isnan(alone.low)


@pytest.mark.parametrize("right", [0, 1])
def test_a_label_that_is_always_right_or_wrong_is_no_certainty_with_patients(right):
    labels = np.repeat(np.int32([0, 1]), 60)
    groups = np.array([f"p{number % 12}" for number in range(120)])
    predictions = np.where(labels == 0, 0, right)
    found = class_accuracies(labels, predictions, groups=groups)
    assert (found["label_0"].value, found["label_1"].value) == (1, right)
    assert found["label_0"].low < 0.98 and found["label_0"].high == 1
    assert found["label_1"].high - found["label_1"].low > 0.02
    assert found["accuracy"].low < found["accuracy"].high <= 1
