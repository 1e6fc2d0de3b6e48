from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import expit
from sklearn.metrics import log_loss as sklearn_log_loss

from histogan_tf.classifier.head import PENALTIES, HeadFitter, TrainingFeatures, choose_penalty, log_loss, make_folds
from histogan_tf.errors import UserError


def make_training(num_images=60, num_features=6, num_views=1, num_patients=0, num_synthetic=0, seed=0, signal=1.0):
    generator = np.random.default_rng(seed)
    labels = generator.permutation(np.arange(num_images) % 2).astype(np.int32)
    features = generator.normal(3, 2, (num_views, num_images, num_features))
    features[..., 0] += signal * labels
    groups = None if not num_patients else np.array([f"p{index % num_patients}" for index in range(num_images)])
    is_real = np.arange(num_images) < num_images - num_synthetic
    return TrainingFeatures(features.astype(np.float32), labels, groups, is_real)


def objective(parameters: np.ndarray, training: TrainingFeatures, used: np.ndarray, penalty: float) -> float:
    """As the docstring states it, on features standardized by hand."""
    flat = training.features.reshape(-1, training.features.shape[-1]).astype(float)
    standardized = (training.features[:, used] - flat.mean(axis=0)) / flat.std(axis=0)
    logits = standardized @ parameters[:-1] + parameters[-1]
    signs = np.where(training.labels[used] == 1, 1, -1)
    return np.logaddexp(0, -signs * logits).mean() + penalty / 2 * np.sum(parameters[:-1] ** 2)


@pytest.mark.parametrize(("num_views", "penalty"), [(1, 0.01), (3, 0.01), (1, 1.0)])
def test_the_head_is_the_minimum_of_its_objective(num_views, penalty):
    training = make_training(num_views=num_views)
    used = np.arange(60) < 45
    head = HeadFitter(training).fits(used)(penalty)
    best = minimize(objective, np.zeros(7), (training, np.flatnonzero(used), penalty), tol=1e-12).x
    flat = training.features.reshape(-1, 6).astype(float)
    kernel = best[:-1] / flat.std(axis=0)
    np.testing.assert_allclose(head.kernel, kernel, atol=1e-4)
    assert head.bias == pytest.approx(best[-1] - flat.mean(axis=0) @ kernel, abs=1e-4)


def test_the_order_of_penalties_does_not_matter():
    training = make_training()
    everything = np.ones(60, bool)
    fit = HeadFitter(training).fits(everything)
    for penalty in (10.0, 1.0, 0.1):
        after_others = fit(penalty)
    np.testing.assert_allclose(after_others.kernel, HeadFitter(training).fits(everything)(0.1).kernel, atol=1e-5)


def test_a_fit_is_the_same_bytes_again():
    kernels = [HeadFitter(make_training()).fits(np.ones(60, bool))(0.01).kernel.tobytes() for _ in range(2)]
    assert kernels[0] == kernels[1]


def test_probabilities_are_of_label_1():
    training = make_training(signal=10.0)
    head = HeadFitter(training).fits(np.ones(60, bool))(0.001)
    probabilities = head.probabilities(training.features[0])
    np.testing.assert_allclose(probabilities, expit(training.features[0] @ head.kernel + head.bias))
    assert probabilities[training.labels == 1].min() > 0.5 > probabilities[training.labels == 0].max()


def test_constant_features_have_no_weight():
    training = make_training()
    training.features[..., 3] = 1e6
    head = HeadFitter(training).fits(np.ones(60, bool))(0.01)
    assert head.kernel[3] == 0 and np.isfinite(head.bias)


def test_separable_features_have_a_finite_head_at_every_penalty():
    training = make_training(num_images=20, num_features=40, signal=50.0)
    for penalty in PENALTIES:
        assert np.isfinite(HeadFitter(training).fits(np.ones(20, bool))(penalty).kernel).all()


def test_the_penalty_is_the_best_of_those_before_the_loss_rises():
    training = make_training(num_features=40, num_images=80)
    fitter = HeadFitter(training)
    penalty, held_out = choose_penalty(training, fitter, seed=0)
    folds, by = make_folds(training, seed=0)
    losses = []
    for candidate in PENALTIES:
        heads = [HeadFitter(training).fits(~np.isin(np.arange(80), fold))(candidate) for fold in folds]
        parts = [head.probabilities(training.features[0, fold]) for head, fold in zip(heads, folds, strict=True)]
        labels = training.labels[np.concatenate(folds)]
        losses.append(sklearn_log_loss(labels, np.concatenate(parts)))
    rises = np.flatnonzero(np.diff(losses) >= 0)
    assert len(rises) and penalty == PENALTIES[rises[0]]
    assert by == held_out.by == "image"
    assert log_loss(training.labels[held_out.indices], held_out.probabilities) == pytest.approx(min(losses), rel=1e-4)
    np.testing.assert_array_equal(held_out.indices, np.arange(80))


def test_folds_keep_patients_together_and_hold_each_image_out_once():
    training = make_training(num_images=84, num_patients=7)
    folds, by = make_folds(training, seed=0)
    assert by == "patient" and len(folds) == 5
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(84))
    patients = [set(training.groups[fold]) for fold in folds]
    assert sum(map(len, patients)) == len(set.union(*patients)) == 7


def test_two_patients_make_two_folds():
    folds, by = make_folds(make_training(num_patients=2, seed=1), seed=0)
    assert by == "patient" and len(folds) == 2


def test_few_images_of_many_patients_make_fewer_folds():
    training = make_training(num_images=8)
    labels, patients = np.repeat(np.int32([0, 1]), 4), np.array([f"p{number}" for number in range(8)])
    folds, by = make_folds(TrainingFeatures(training.features, labels, patients, training.is_real), seed=0)
    assert by == "patient" and len(folds) == 4


def test_one_patient_is_split_by_image_with_a_warning(caplog):
    folds, by = make_folds(make_training(num_patients=1), seed=0)
    assert by == "image" and len(folds) == 5 and "too few training patients" in caplog.text


def test_patients_of_one_label_each_are_split_by_image(caplog):
    training = make_training()
    groups = np.where(training.labels == 1, "ill", "well")
    folds, by = make_folds(TrainingFeatures(training.features, training.labels, groups, training.is_real), seed=0)
    assert by == "image" and "too few training patients" in caplog.text
    assert all(len(np.unique(training.labels[fold])) == 2 for fold in folds)


def test_only_real_images_are_held_out_if_there_are_any():
    folds, _ = make_folds(make_training(num_synthetic=20), seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(40))
    folds, _ = make_folds(make_training(num_synthetic=60), seed=0)
    np.testing.assert_array_equal(np.sort(np.concatenate(folds)), np.arange(60))


def test_a_label_with_one_image_is_told():
    training = make_training(num_images=5)
    training.labels[:] = [0, 0, 1, 0, 0]
    with pytest.raises(UserError, match="only 1 image of a label"):
        make_folds(training, seed=0)


def test_log_loss_is_scikit_learns():
    labels, probabilities = np.array([0, 1, 1, 0]), np.array([0.1, 0.9, 0.3, 0.5])
    assert log_loss(labels, probabilities) == pytest.approx(sklearn_log_loss(labels, probabilities))
    assert log_loss(np.array([1]), np.array([0.0])) == pytest.approx(-np.log(1e-15))
