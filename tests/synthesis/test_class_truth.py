"""GAN-test and GAN-train of images whose labels are true, swapped, alike, or one alone."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from histogan_tf.errors import UserError
from histogan_tf.synthesis.class_truth import (
    LabelledFeatures,
    class_truth_json,
    class_truth_table,
    measure_class_truth,
)


def features(num_each: int, seed: int, shift: float = 2.0, groups: int = 0) -> LabelledFeatures:
    """Normal features of 6 numbers; those of label 1 are `shift` larger in the first."""
    rng = np.random.default_rng(seed)
    labels = np.repeat(np.int32([0, 1]), num_each)
    values = rng.standard_normal((2 * num_each, 6)).astype(np.float32)
    values[:, 0] += shift * labels
    patients = np.array([f"p{number}" for number in rng.integers(groups, size=2 * num_each)]) if groups else None
    return LabelledFeatures(values, labels, patients)


TRAINING, TEST = features(150, 0), features(150, 1)


def accuracies(synthetic: LabelledFeatures) -> dict[str, float]:
    truth = measure_class_truth(TRAINING, TEST, synthetic)
    return {name: found["accuracy"].value for name, found in truth.accuracies.items()}


def test_images_like_real_ones_do_as_well_as_real_ones():
    expected = 0.8413  # of the best rule: the normal distribution up to 1
    for name, found in accuracies(features(150, 2)).items():
        assert found == pytest.approx(expected, abs=0.05), name


def test_swapped_labels_are_as_wrong_as_true_ones_are_right():
    synthetic = features(150, 2)
    swapped = accuracies(dataclasses.replace(synthetic, labels=1 - synthetic.labels))
    right = accuracies(synthetic)
    assert swapped["real"] == right["real"]
    assert swapped["gan_test"] == pytest.approx(1 - right["gan_test"])
    assert swapped["gan_train"] == pytest.approx(1 - right["gan_train"], abs=0.02)


def test_images_whose_label_makes_no_difference_are_as_good_as_guesses():
    found = accuracies(features(150, 2, shift=0))
    assert found["gan_test"] == pytest.approx(0.5, abs=0.07)
    assert found["gan_train"] < found["real"] - 0.1  # its direction is one of chance
    assert found["real"] > 0.8


def test_caricatures_pass_the_test_and_train_badly():
    """Every image of a label is one and the same: recognized easily, but nothing is learnt of the labels' border."""
    rng = np.random.default_rng(4)
    synthetic = features(150, 2)
    few = np.float32([[-1.0, 3, 3, 3, 3, 3], [3.5, -3, -3, -3, -3, -3]])[synthetic.labels]
    found = accuracies(dataclasses.replace(synthetic, features=few + 0.1 * rng.standard_normal(few.shape)))
    assert found["gan_test"] == 1
    assert found["gan_train"] < found["real"] - 0.1


def test_one_label_alone_is_tested_and_not_trained_on():
    synthetic = features(150, 2)
    alone = LabelledFeatures(synthetic.features[150:], synthetic.labels[150:])
    truth = measure_class_truth(TRAINING, TEST, alone)
    both = measure_class_truth(TRAINING, TEST, synthetic)
    assert set(truth.accuracies) == {"real", "gan_test"}
    assert truth.accuracies["gan_test"] == {
        "accuracy": pytest.approx(both.accuracies["gan_test"]["label_1"]),
        "label_1": both.accuracies["gan_test"]["label_1"],
    }


def test_both_classifiers_see_as_many_images_of_each_label():
    training, few = features(150, 0), features(30, 2)
    uneven = LabelledFeatures(few.features[:50], few.labels[:50])  # 30 of label 0 and 20 of label 1
    truth = measure_class_truth(training, TEST, uneven)
    assert (truth.num_trained_on, truth.num_real, truth.num_synthetic) == (20, 300, 50)
    assert truth.num_patients is None


def test_intervals_on_real_images_are_by_patient():
    truth = measure_class_truth(features(150, 0, groups=8), features(150, 1, groups=5), features(150, 2))
    assert truth.num_patients == 5
    found = class_truth_json(truth)
    assert found["intervals_on_real"].endswith("resamples of patients")
    assert found["intervals_on_synthetic"].startswith("95 %; of labels Wilson's")
    one = measure_class_truth(features(150, 0), features(150, 1, groups=1), features(150, 2))
    assert math.isnan(one.accuracies["gan_train"]["accuracy"].low)
    assert class_truth_json(one)["accuracies"]["gan_train"]["accuracy"]["low"] is None
    assert "(no interval)" in class_truth_table(one, ("non-idc", "idc"))


@pytest.mark.parametrize(
    ("synthetic", "message"),
    [
        (features(4, 2), r"\[4, 4\] synthetic images of labels 0 and 1 are too few"),
        (LabelledFeatures(np.full((20, 6), np.nan, np.float32), np.repeat(np.int32([0, 1]), 10)), "are not finite"),
    ],
)
def test_what_cannot_be_measured_is_told(synthetic, message):
    with pytest.raises(UserError, match=message):
        measure_class_truth(TRAINING, TEST, synthetic)
    with pytest.raises(UserError, match="all real images have the same features"):
        measure_class_truth(dataclasses.replace(TRAINING, features=np.zeros((300, 6), np.float32)), TEST, TRAINING)


def features_of_three(seed: int) -> LabelledFeatures:
    """Sixty images of each of three labels, which three of the features tell apart."""
    labels = np.repeat(np.int32([0, 1, 2]), 60)
    noise = np.random.default_rng(seed).normal(size=(180, 6))
    return LabelledFeatures((noise + 4 * np.eye(3, 6)[labels]).astype(np.float32), labels)


def test_three_labels_are_told_apart_each_by_itself():
    training, test, synthetic = (features_of_three(seed) for seed in (1, 2, 3))
    swapped = LabelledFeatures(synthetic.features, np.int32([0, 2, 1])[synthetic.labels])
    truth = measure_class_truth(training, test, swapped)
    assert truth.accuracies["real"]["accuracy"].value > 0.95
    assert truth.accuracies["gan_test"]["label_0"].value > 0.9 and truth.accuracies["gan_test"]["label_2"].value < 0.1
    assert truth.accuracies["gan_train"]["label_1"].value < 0.1
    assert class_truth_table(truth, ("a", "b", "c")).splitlines()[0].split()[-3:] == ["a", "b", "c"]
    few = synthetic.labels > 0  # none of label 0, so nobody can be trained on them
    alone = LabelledFeatures(synthetic.features[few], synthetic.labels[few])
    assert set(measure_class_truth(training, test, alone).accuracies) == {"real", "gan_test"}
