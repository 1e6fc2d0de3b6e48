"""Where an interval is exact, where it is the bootstrap's, and where there is none."""

from __future__ import annotations

import math

import numpy as np

from histogan_tf.metrics.classification import evaluate_classifier

LABELS = np.tile([0, 1], 50)
PATIENTS = np.repeat(np.arange(20), 5)


def test_one_image_called_positive_has_a_precision_of_1_and_a_wide_interval():
    probabilities = np.zeros(100)
    probabilities[1] = 0.9
    precision = evaluate_classifier(LABELS, probabilities, groups=PATIENTS)["precision"]
    assert (precision.value, precision.num_images, precision.num_patients) == (1, 1, 1)
    assert precision.is_exact and precision.low < 0.03 and precision.high == 1
    # A resample of 20 patients misses that of the image with chance 0.95 ** 20.
    assert abs(precision.num_undefined / 2000 - 0.95**20) < 0.04


def test_rates_between_the_edges_keep_the_bootstraps_interval():
    probabilities = np.where(np.arange(100) % 7 == 0, 1 - LABELS, LABELS).astype(float)
    metrics = evaluate_classifier(LABELS, probabilities, groups=PATIENTS)
    assert not any(metric.is_exact for metric in metrics.values())
    assert (metrics["recall"].num_images, metrics["recall"].num_patients) == (50, 20)


def test_what_is_perfect_has_an_exact_interval_or_none():
    metrics = evaluate_classifier(LABELS, LABELS.astype(float), groups=PATIENTS)
    for name in ("precision", "recall", "specificity", "accuracy", "balanced_accuracy"):
        assert metrics[name].is_exact and metrics[name].low < 0.9 < metrics[name].high == 1, name
    for name in ("roc_auc", "average_precision", "f1", "false_positives", "false_negatives"):
        assert math.isnan(metrics[name].low) and math.isnan(metrics[name].high), name
