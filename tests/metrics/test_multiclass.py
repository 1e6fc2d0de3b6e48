from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sklearn_metrics

from histogan_tf.errors import UserError
from histogan_tf.metrics.multiclass import (
    class_confusion_matrix,
    evaluate_classes,
    metrics_of_class,
    overall_metrics,
)

NUM_IMAGES, NUM_CLASSES = 60, 4


@pytest.fixture(scope="module")
def data() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Labels, probabilities that favour them, and patients."""
    generator = np.random.default_rng(3)
    labels = np.arange(NUM_IMAGES) % NUM_CLASSES
    scores = generator.gamma(1.0, size=(NUM_IMAGES, NUM_CLASSES)).round(1) + 0.8 * np.eye(NUM_CLASSES)[labels] + 0.05
    return labels, scores / scores.sum(axis=1, keepdims=True), np.repeat(np.arange(15), 4).astype(str)


def test_values_are_scikit_learns(data):
    labels, probabilities, groups = data
    predictions = probabilities.argmax(axis=1)
    found = evaluate_classes(labels, probabilities, groups=groups, num_resamples=50)
    expected = {
        "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
        "macro_precision": sklearn_metrics.precision_score(labels, predictions, average="macro"),
        "macro_recall": sklearn_metrics.balanced_accuracy_score(labels, predictions),
        "macro_f1": sklearn_metrics.f1_score(labels, predictions, average="macro"),
        "macro_roc_auc": sklearn_metrics.roc_auc_score(labels, probabilities, multi_class="ovr"),
        "macro_average_precision": sklearn_metrics.average_precision_score(labels, probabilities),
        "recall_2": sklearn_metrics.recall_score(labels, predictions, average=None)[2],
        "precision_0": sklearn_metrics.precision_score(labels, predictions, average=None)[0],
        "roc_auc_3": sklearn_metrics.roc_auc_score(labels == 3, probabilities[:, 3]),
    }
    assert {name: found[name].value for name in expected} == pytest.approx(expected)
    assert list(overall_metrics(found)) == list(expected)[:6]
    assert metrics_of_class(found, 2)["recall"] == found["recall_2"]
    assert all(metric.low <= metric.value <= metric.high for metric in overall_metrics(found).values())


def test_intervals_do_not_depend_on_the_order_and_are_those_of_patients(data):
    labels, probabilities, groups = data
    order = np.random.default_rng(0).permutation(NUM_IMAGES)
    first = evaluate_classes(labels, probabilities, num_resamples=50)
    assert evaluate_classes(labels[order], probabilities[order], num_resamples=50) == first
    lone = evaluate_classes(labels, probabilities, groups=np.repeat("one", NUM_IMAGES), num_resamples=5)
    assert math.isnan(lone["accuracy"].low)
    assert evaluate_classes(labels, probabilities, groups=groups, num_resamples=50)["accuracy"] != first["accuracy"]


def test_a_class_that_is_never_called_has_no_precision_and_makes_the_mean_undefined():
    probabilities = np.array([[0.6, 0.3, 0.1], [0.5, 0.4, 0.1], [0.2, 0.3, 0.5]])
    found = evaluate_classes(np.array([0, 1, 2]), probabilities, num_resamples=10)
    assert math.isnan(found["precision_1"].value) and math.isnan(found["macro_precision"].value)
    assert (found["recall_1"].value, found["f1_1"].value, found["precision_0"].value) == (0, 0, 0.5)
    assert found["macro_f1"].value == pytest.approx((2 / 3 + 0 + 1) / 3)


def test_resamples_without_a_class_are_left_out_of_its_metrics_and_of_the_means(data):
    labels, probabilities, _ = data
    of_one_class = labels.astype(str)  # each patient has images of one class, so that resamples lack classes
    found = evaluate_classes(labels, probabilities, groups=of_one_class, num_resamples=200)
    assert found["macro_f1"].num_undefined > found["f1_0"].num_undefined > 0
    assert found["f1_0"].low > 0
    assert found["precision_0"].num_undefined == found["recall_0"].num_undefined > 0


def test_the_confusion_matrix_has_a_row_for_each_label():
    counts = class_confusion_matrix(np.array([0, 0, 2, 1]), np.array([0, 2, 2, 0]), 3)
    assert counts.tolist() == [[1, 0, 1], [1, 0, 0], [0, 0, 1]]


@pytest.mark.parametrize(
    ("labels", "probabilities", "told"),
    [
        ([], np.zeros((0, 3)), "for at least one image"),
        ([0, 1], np.full((1, 3), 0.3), "give a label per image"),
        ([3], np.full((1, 3), 0.3), "not from 0 to 2"),
        ([0], np.array([[0.1, 1.2, 0.2]]), "not in .0, 1."),
        ([0], np.array([[0.1, np.nan, 0.2]]), "not in .0, 1."),
    ],
)
def test_what_is_no_prediction_is_refused(labels, probabilities, told):
    with pytest.raises(UserError, match=told):
        evaluate_classes(np.array(labels, int), probabilities)
