"""Classification metrics against scikit-learn, scipy, naive resampling and numbers by hand."""

import tracemalloc
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sklearn_metrics
from sklearn.calibration import calibration_curve

from histogan_tf.errors import UserError
from histogan_tf.metrics import intervals
from histogan_tf.metrics.classification import (
    McNemar,
    choose_threshold,
    confusion_matrix,
    evaluate_classifier,
    mcnemar_test,
    operating_point,
    precision_recall_curve,
    reliability_bins,
    roc_curve,
)

RATES = ["precision", "recall", "accuracy", "specificity", "balanced_accuracy", "f1"]
SCORES = ["roc_auc", "average_precision", "recall_at_precision_90", "brier_score"]
COUNTS = ["true_positives", "false_positives", "false_negatives", "true_negatives"]
AT_PRECISION = ["recall_at_precision_90"]
NAMES = RATES + SCORES + COUNTS


def recall_where_nine_of_ten_are_right(labels, probabilities):
    """The highest recall of all thresholds at which at least 0.9 of the images called positive are so."""
    if not labels.any():
        return np.nan
    called = [labels[probabilities >= threshold] for threshold in np.unique(probabilities)]
    return max([found.sum() / labels.sum() for found in called if found.mean() >= 0.9], default=0.0)


def sklearn_values(labels, probabilities, threshold=0.5):
    """The metrics by scikit-learn, written apart from the package, nan where a denominator is zero."""
    predictions = probabilities >= threshold
    both = len(set(labels)) == 2
    nan_if_undefined = {"zero_division": np.nan}
    (tn, fp), (fn, tp) = sklearn_metrics.confusion_matrix(labels, predictions, labels=[0, 1])
    return {
        "precision": sklearn_metrics.precision_score(labels, predictions, **nan_if_undefined),
        "recall": sklearn_metrics.recall_score(labels, predictions, **nan_if_undefined),
        "accuracy": sklearn_metrics.accuracy_score(labels, predictions),
        "specificity": sklearn_metrics.recall_score(1 - labels, ~predictions, **nan_if_undefined),
        "balanced_accuracy": sklearn_metrics.balanced_accuracy_score(labels, predictions) if both else np.nan,
        "f1": sklearn_metrics.f1_score(labels, predictions, **nan_if_undefined),
        "roc_auc": sklearn_metrics.roc_auc_score(labels, probabilities) if both else np.nan,
        "average_precision": (
            sklearn_metrics.average_precision_score(labels, probabilities) if labels.any() else np.nan
        ),
        "recall_at_precision_90": recall_where_nine_of_ten_are_right(labels, probabilities),
        "brier_score": sklearn_metrics.brier_score_loss(labels, probabilities),
        "true_positives": tp,
        "false_positives": fp,
        "false_negatives": fn,
        "true_negatives": tn,
    }


def example(num_images=60, seed=0, decimals=16):
    generator = np.random.default_rng(seed)
    labels = generator.integers(2, size=num_images)
    return labels, np.round(np.clip(generator.normal(0.35 + 0.3 * labels, 0.25), 0, 1), decimals)


def values_of(metrics):
    return {name: metric.value for name, metric in metrics.items()}


def assert_same(actual, expected):
    assert list(actual) == NAMES
    np.testing.assert_allclose([actual[name] for name in NAMES], [expected[name] for name in NAMES], rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 1), st.integers(0, 8)), min_size=1, max_size=30), st.integers(0, 8))
def test_values_equal_scikit_learn_with_ties_and_degenerate_labels(images, threshold):
    labels, eighths = np.array(images).T
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # an undefined metric is our nan, not scikit-learn's warning
        values = values_of(evaluate_classifier(labels, eighths / 8, threshold=threshold / 8, num_resamples=1))
    assert_same(values, sklearn_values(labels, eighths / 8, threshold / 8))


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 40), st.sampled_from([1, 16]), st.booleans())
def test_intervals_equal_naive_resampling_with_scikit_learn(seed, num_images, decimals, by_patient):
    labels, probabilities = example(num_images, seed, decimals)
    groups = np.array([f"patient {image % 5}" for image in range(num_images)]) if by_patient else None
    metrics = evaluate_classifier(labels, probabilities, groups=groups, num_resamples=15, seed=seed)
    order = np.lexsort((labels, -probabilities))
    if by_patient:
        members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    else:
        members = [[image] for image in order]
    drawn = np.random.default_rng(seed).integers(len(members), size=(15, len(members)))
    naive = []
    for row in drawn:
        indices = np.concatenate([members[unit] for unit in row])
        naive.append(sklearn_values(labels[indices], probabilities[indices]))
    for name in NAMES:
        replicates = np.array([values[name] for values in naive], float)
        assert metrics[name].num_undefined == np.isnan(replicates).sum(), name
        if metrics[name].is_exact or (np.isnan(metrics[name].low) and metrics[name].value in (0, 1)):
            continue  # test_measured.py and test_rates.py check these
        defined = replicates[~np.isnan(replicates)]
        bounds = np.quantile(defined, [0.025, 0.975]) if len(defined) and len(members) > 1 else [np.nan, np.nan]
        np.testing.assert_allclose([metrics[name].low, metrics[name].high], bounds, rtol=1e-9, err_msg=name)


def test_confusion_by_hand():
    labels = np.array([1, 1, 1, 0, 0, 0, 0, 0])
    probabilities = np.array([0.9, 0.5, 0.2, 0.7, 0.4, 0.3, 0.1, 0.0])
    values = values_of(evaluate_classifier(labels, probabilities, num_resamples=10))
    assert [values[name] for name in COUNTS] == [2, 1, 1, 4]  # the 0.5 is called positive
    assert values["precision"] == pytest.approx(2 / 3)
    assert values["recall"] == pytest.approx(2 / 3)
    assert values["accuracy"] == pytest.approx(6 / 8)
    assert values["specificity"] == pytest.approx(4 / 5)
    assert values["balanced_accuracy"] == pytest.approx((2 / 3 + 4 / 5) / 2)
    assert values["roc_auc"] == pytest.approx((5 + 4 + 2) / 15)  # negatives below each positive
    assert values["average_precision"] == pytest.approx((1 / 1 + 2 / 3 + 3 / 6) / 3)
    assert values["recall_at_precision_90"] == pytest.approx(1 / 3)  # the 0.9 alone; after it comes a negative
    np.testing.assert_array_equal(confusion_matrix(labels, probabilities >= 0.5), [[4, 1], [1, 2]])
    np.testing.assert_array_equal(confusion_matrix(np.ones(3), np.ones(3)), [[0, 0], [0, 3]])


@pytest.mark.parametrize(
    ("labels", "probabilities", "undefined"),
    [
        ([1, 1, 1], [0.2, 0.6, 0.9], {"specificity", "balanced_accuracy", "roc_auc"}),
        ([0, 0, 0], [0.2, 0.6, 0.9], {"recall", "balanced_accuracy", "roc_auc", "average_precision", *AT_PRECISION}),
        (
            [0, 0, 0],
            [0.2, 0.3, 0.4],
            {"precision", "recall", "balanced_accuracy", "f1", "roc_auc", "average_precision", *AT_PRECISION},
        ),
        ([1, 0, 1], [0.1, 0.2, 0.3], {"precision"}),
        ([1], [0.7], {"specificity", "balanced_accuracy", "roc_auc"}),
        ([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5], set()),
    ],
)
def test_undefined_metrics_are_nan_with_their_resamples_counted(labels, probabilities, undefined):
    metrics = evaluate_classifier(labels, probabilities, num_resamples=50)
    assert {name for name, metric in metrics.items() if np.isnan(metric.value)} == undefined
    for name in undefined:
        assert np.isnan(metrics[name].low) and np.isnan(metrics[name].high) and metrics[name].num_undefined == 50


def test_resamples_of_one_class_are_left_out_and_counted():
    # Each of the two images fills both places of a resample with chance 1/4: half the resamples have one class.
    metrics = evaluate_classifier([0, 1], [0.2, 0.8], num_resamples=2000)
    assert metrics["accuracy"].num_undefined == 0
    assert metrics["roc_auc"].num_undefined == pytest.approx(1000, abs=100)
    # All resamples that have it have an area of 1. That shows no spread, so there is no interval.
    assert metrics["roc_auc"].value == 1 and np.isnan(metrics["roc_auc"].low) and np.isnan(metrics["roc_auc"].high)


def test_equal_probabilities_rank_no_better_than_chance():
    metrics = evaluate_classifier([0, 1, 0, 1, 1], np.full(5, 0.3), num_resamples=200)
    assert metrics["roc_auc"].value == metrics["roc_auc"].low == metrics["roc_auc"].high == 0.5
    assert metrics["average_precision"].value == pytest.approx(3 / 5)  # the prevalence


def test_accuracy_interval_is_the_binomial_one():
    labels = np.repeat([1, 0], [60, 140])
    probabilities = np.concatenate([np.repeat([0.9, 0.1], [50, 10]), np.repeat([0.1, 0.9], [110, 30])])
    accuracy = evaluate_classifier(labels, probabilities)["accuracy"]
    assert accuracy.value == 160 / 200
    exact = stats.binom.ppf([0.025, 0.975], 200, 0.8) / 200
    np.testing.assert_array_equal(exact, [0.745, 0.855])
    np.testing.assert_allclose([accuracy.low, accuracy.high], exact, atol=0.0051)


def test_patients_of_identical_images_widen_the_intervals():
    labels, probabilities = example(40, seed=3)
    repeats, patients = 9, np.repeat(np.arange(40), 9)
    labels, probabilities = np.repeat(labels, repeats), np.repeat(probabilities, repeats)
    by_image = evaluate_classifier(labels, probabilities, num_resamples=1000)
    by_patient = evaluate_classifier(labels, probabilities, groups=patients, num_resamples=1000)
    for name in [name for name in RATES + SCORES if name not in AT_PRECISION]:  # a step function of the images
        ratio = (by_patient[name].high - by_patient[name].low) / (by_image[name].high - by_image[name].low)
        assert ratio == pytest.approx(3, rel=0.25), name  # the square root of nine images per patient
        assert by_patient[name].value == by_image[name].value


def test_intervals_depend_on_the_seed_and_not_on_the_order_of_images():
    labels, probabilities = example(50, decimals=1)
    groups = np.arange(50) % 7
    order = np.random.default_rng(1).permutation(50)
    for patients in (None, groups):
        shuffled_patients = None if patients is None else patients[order]
        first = evaluate_classifier(labels, probabilities, groups=patients, num_resamples=100)
        again = evaluate_classifier(labels[order], probabilities[order], groups=shuffled_patients, num_resamples=100)
        other = evaluate_classifier(labels, probabilities, groups=patients, num_resamples=100, seed=1)
        for name in NAMES:
            np.testing.assert_allclose(
                [again[name].low, again[name].high], [first[name].low, first[name].high], rtol=1e-12, err_msg=name
            )
        assert (other["brier_score"].low, other["brier_score"].high) != (
            first["brier_score"].low,
            first["brier_score"].high,
        )


def test_memory_does_not_grow_with_resamples(monkeypatch):
    monkeypatch.setattr(intervals, "BOOTSTRAP_BLOCK_ELEMENTS", 2**12)
    labels, probabilities = example(2000)
    evaluate_classifier(labels, probabilities, num_resamples=1)  # imports scikit-learn
    tracemalloc.start()
    evaluate_classifier(labels, probabilities, num_resamples=1000)
    _, peak_bytes = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak_bytes < 2**21  # all weights at once would be eight times as much


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 1), st.integers(0, 20)), min_size=1, max_size=40),
    st.integers(1, 100),
)
def test_chosen_threshold_is_the_highest_that_reaches_the_recall(images, percent):
    labels, scores = np.array([*images, (1, 10)]).T
    probabilities, wanted = scores / 20, percent / 100
    threshold = choose_threshold(labels, probabilities, wanted)
    reaching = [
        candidate
        for candidate in np.unique(probabilities)
        if sklearn_metrics.recall_score(labels, probabilities >= candidate) >= wanted
    ]
    assert threshold == max(reaching)


def test_recall_wanted_is_compared_without_rounding_up():
    # 0.07 * 100 is a little over 7 in floating point, yet 7 of 100 positives are a recall of 0.07.
    assert choose_threshold(np.ones(100), np.arange(100, 0, -1) / 100, 0.07) == 0.94
    assert choose_threshold(np.ones(100), np.arange(100, 0, -1) / 100, 1) == 0.01


def test_operating_point_applies_a_training_threshold_to_other_data():
    threshold = choose_threshold([1, 1, 1, 1, 0, 0], [0.9, 0.8, 0.6, 0.3, 0.7, 0.2], 0.75)
    assert threshold == 0.6
    labels, probabilities = np.array([1, 1, 0, 0, 0]), np.array([0.6, 0.59, 0.6, 0.1, 0.5])
    point = operating_point(labels, probabilities, threshold, num_resamples=300)
    assert values_of(point) == pytest.approx({"recall": 1 / 2, "precision": 1 / 2, "specificity": 2 / 3})
    whole = evaluate_classifier(labels, probabilities, threshold=threshold, num_resamples=300)
    assert point["precision"] == whole["precision"] and point["specificity"] == whole["specificity"]


@pytest.mark.parametrize(
    ("only_first", "only_second", "p_value"),
    [
        (0, 0, 1.0),
        (5, 5, 1.0),
        (0, 5, 2 / 2**5),
        (1, 9, 2 * (1 + 10) / 2**10),
        (10, 2, 2 * (1 + 12 + 66) / 2**12),
    ],
)
def test_mcnemar_by_hand(only_first, only_second, p_value):
    labels = np.tile([0, 1], 20)[: 8 + only_first + only_second]
    first, second = labels.copy(), labels.copy()
    first[:4] = second[:4] = 1 - labels[:4]  # both wrong, then both right: neither counts
    second[8 : 8 + only_first] = 1 - second[8 : 8 + only_first]
    first[8 + only_first :] = 1 - first[8 + only_first :]
    result = mcnemar_test(labels, first, second)
    assert result == McNemar(only_first, only_second, pytest.approx(p_value, rel=1e-12))
    assert mcnemar_test(labels, second, first).p_value == pytest.approx(p_value, rel=1e-12)


def test_curves_by_hand_and_by_area():
    labels, probabilities = np.array([1, 0, 1, 0]), np.array([0.9, 0.6, 0.6, 0.1])
    precision, recall, thresholds = precision_recall_curve(labels, probabilities)
    np.testing.assert_allclose(precision, [1 / 2, 2 / 3, 1, 1])
    np.testing.assert_allclose(recall, [1, 1, 1 / 2, 0])
    np.testing.assert_allclose(thresholds, [0.1, 0.6, 0.9])
    false_positive_rate, recall, thresholds = roc_curve(labels, probabilities)
    np.testing.assert_allclose(false_positive_rate, [0, 0, 1 / 2, 1])
    np.testing.assert_allclose(recall, [0, 1 / 2, 1, 1])
    np.testing.assert_allclose(thresholds, [np.inf, 0.9, 0.6, 0.1])
    auc = evaluate_classifier(labels, probabilities, num_resamples=1)["roc_auc"].value
    assert np.trapezoid(recall, false_positive_rate) == auc == 0.875


def test_reliability_bins_by_hand():
    bins = reliability_bins([0, 1, 0, 1, 1], [0.0, 0.25, 0.2, 0.9, 1.0], num_bins=4)
    np.testing.assert_array_equal(bins.edges, [0, 0.25, 0.5, 0.75, 1])
    np.testing.assert_array_equal(bins.counts, [3, 0, 0, 2])  # an edge belongs to the bin below it
    np.testing.assert_allclose(bins.mean_probability, [0.15, np.nan, np.nan, 0.95])
    np.testing.assert_allclose(bins.fraction_positive, [1 / 3, np.nan, np.nan, 1])


def test_reliability_bins_equal_scikit_learn():
    labels, probabilities = example(200, decimals=2)
    bins = reliability_bins(labels, probabilities)
    fraction_positive, mean_probability = calibration_curve(labels, probabilities, n_bins=10)
    filled = bins.counts > 0
    assert bins.counts.sum() == 200
    np.testing.assert_allclose(bins.fraction_positive[filled], fraction_positive)
    np.testing.assert_allclose(bins.mean_probability[filled], mean_probability)


@pytest.mark.parametrize(
    ("labels", "probabilities", "message"),
    [
        ([], [], "at least one image"),
        (None, [0.5], "labels of shape"),
        ([0, 1], [0.5], r"probabilities of shape \(1,\) for labels of shape \(2,\)"),
        ([0, 1], [[0.5], [0.5]], r"probabilities of shape \(2, 1\)"),
        ([0, 1, 2, -1], [0.5] * 4, "2 of 4 labels are not 0 or 1, the first 2 at index 2"),
        ([0, np.nan], [0.5, 0.5], "the first nan at index 1"),
        (["0", "1"], [0.5, 0.5], "2 of 2 labels are not 0 or 1"),
        ([0, 1, 1], [0.5, np.nan, 0.5], "1 of 3 probabilities not in .* nan at index 1"),
        ([0, 1], [-0.01, 1.01], "2 of 2 probabilities not in .* -0.01 at index 0"),
        ([0, 1], [0.5, np.inf], "the first inf at index 1"),
    ],
)
@pytest.mark.parametrize(
    "function",
    [
        evaluate_classifier,
        precision_recall_curve,
        roc_curve,
        reliability_bins,
        lambda labels, probabilities: choose_threshold(labels, probabilities, 0.9),
    ],
)
def test_bad_input_is_the_users_to_mend(function, labels, probabilities, message):
    with pytest.raises(UserError, match=message):
        function(labels, probabilities)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: evaluate_classifier([0, 1], [0, 1], threshold=1.5), r"threshold is 1.5: .* in \[0, 1\]"),
        (lambda: evaluate_classifier([0, 1], [0, 1], threshold=np.nan), "threshold is nan"),
        (lambda: evaluate_classifier([0, 1], [0, 1], groups=["a"]), r"groups of shape \(1,\) for labels"),
        (lambda: choose_threshold([0, 1], [0, 1], 0), "recall to reach is 0: .* above 0 and up to 1"),
        (lambda: choose_threshold([0, 1], [0, 1], 1.01), "recall to reach is 1.01"),
        (lambda: choose_threshold([0, 0], [0, 1], 0.5), "no image of label 1"),
        (lambda: precision_recall_curve([0, 0], [0, 1]), "no image has label 1"),
        (lambda: roc_curve([1, 1], [0, 1]), "all 2 labels are 1"),
        (lambda: mcnemar_test([0, 1], [0, 1], [0]), "second predictions of shape"),
        (lambda: mcnemar_test([0, 1], [0.3, 0.9], [0, 1]), "predictions are not 0 or 1, the first 0.3"),
        (lambda: confusion_matrix([0, 1], [0]), "predictions of shape"),
    ],
)
def test_other_mistakes_are_named(call, message):
    with pytest.raises(UserError, match=message):
        call()
