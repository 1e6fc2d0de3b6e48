"""Means over repeats against single evaluations and brute force."""

from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.metrics.classification import evaluate_classifier, point_estimates
from histogan_tf.metrics.repeats import mean_metrics

RNG = np.random.default_rng(3)
LABELS = RNG.integers(0, 2, 60).astype(np.int32)
GROUPS = RNG.integers(0, 6, 60).astype(str)
REPEATS = [np.round(np.clip(0.25 * LABELS + 0.7 * RNG.random(60), 0, 1), 2) for _ in range(3)]


@pytest.mark.parametrize("groups", [None, GROUPS])
def test_one_repeat_without_a_baseline_is_what_evaluate_classifier_returns(groups):
    options = {"groups": groups, "num_resamples": 50, "seed": 7}
    assert mean_metrics(LABELS, REPEATS[:1], **options) == evaluate_classifier(LABELS, REPEATS[0], **options)


def test_the_mean_is_that_of_the_repeats():
    found = mean_metrics(LABELS, REPEATS, num_resamples=5)
    for name, metric in found.items():
        assert metric.value == pytest.approx(np.mean([point_estimates(LABELS, run, 0.5)[name] for run in REPEATS]))


def test_what_one_repeat_leaves_undefined_is_undefined_in_the_mean():
    silent = np.zeros(60)
    assert np.isnan(mean_metrics(LABELS, [REPEATS[0], silent], num_resamples=5)["precision"].value)
    assert mean_metrics(LABELS, [silent, silent], num_resamples=5)["recall"].value == 0
