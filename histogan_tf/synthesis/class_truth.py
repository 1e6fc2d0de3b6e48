"""Whether synthetic images belong to the label that they were made for: GAN-test and GAN-train.

Shmelkov, Schmid, Alahari, "How good is my GAN?", ECCV 2018. GAN-test is the accuracy, on synthetic images, of a
classifier that was trained on real ones: how many look like their label. GAN-train is the accuracy, on real images, of
a classifier that was trained on synthetic ones: whether these show all that tells the labels apart. Both are to be
compared with the accuracy on real images of the classifier that was trained on real ones.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from histogan_tf.classifier.head import Head, HeadFitter, TrainingFeatures, choose_penalty
from histogan_tf.errors import UserError
from histogan_tf.metrics.class_accuracy import class_accuracies
from histogan_tf.metrics.estimates import Estimate
from histogan_tf.reporting.text_tables import plain_table

FEWEST_OF_A_LABEL = 5  # images in each set, so that five folds can choose the classifier's penalty
CLASS_TRUTH_ROWS = {
    "real": "trained on real, measured on real",
    "gan_test": "trained on real, measured on synthetic (GAN-test)",
    "gan_train": "trained on synthetic, measured on real (GAN-train)",
}
_THRESHOLD = 0.5


@dataclasses.dataclass(frozen=True)
class LabelledFeatures:
    """Features of labelled images.

    Attributes:
        features: float32 (num_images, d).
        labels: int32 (num_images,), from 0 on.
        groups: str (num_images,), the patient of each image; None if unknown, as for synthetic images.
    """

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None = None

    def counts(self, num_classes: int) -> np.ndarray:
        """Returns the number of images of each label, int (num_classes,)."""
        return np.bincount(self.labels, minlength=num_classes)

    def drawn(self, num_each: int, seed: int) -> LabelledFeatures:
        """Returns `num_each` images of each label, at least as many as there are, drawn without replacement."""
        rng = np.random.default_rng(seed)
        present = np.unique(self.labels)
        chosen = [rng.choice(np.flatnonzero(self.labels == label), num_each, replace=False) for label in present]
        indices = np.sort(np.concatenate(chosen))
        groups = None if self.groups is None else self.groups[indices]
        return LabelledFeatures(self.features[indices], self.labels[indices], groups)


@dataclasses.dataclass(frozen=True)
class ClassTruth:
    """What was measured.

    Attributes:
        accuracies: by the keys of CLASS_TRUTH_ROWS, then `accuracy` (the mean over labels), `label_0`, `label_1` and
            so on. GAN-train is absent if there are no synthetic images of a label.
        num_trained_on: the number of images of each label that each classifier was trained on.
        num_real: the number of real images that they were measured on.
        num_patients: the number of patients of these; None if unknown.
        num_synthetic: the number of synthetic images that they were measured on.
    """

    accuracies: Mapping[str, Mapping[str, Estimate]]
    num_trained_on: int
    num_real: int
    num_patients: int | None
    num_synthetic: int


def measure_class_truth(
    training: LabelledFeatures, test: LabelledFeatures, synthetic: LabelledFeatures, *, seed: int = 42
) -> ClassTruth:
    """Trains a linear classifier on features of real images, another on those of synthetic ones, and measures both.

    Both are trained on the same number of images of each label, so that neither the number nor the share of a label
    makes a difference. Their penalty is chosen on training images that were held out in turn, by patient if known.

    Args:
        training: real images of all labels to train on.
        test: real images of all labels to measure on, of other patients if possible.
        synthetic: synthetic images of one label or more.
        seed: the seed of draws, folds and the bootstrap.

    Raises:
        UserError: if a label has fewer than five images, or a feature is not finite, or all images have one feature.
    """
    num_classes = int(training.labels.max()) + 1
    is_of_all_labels = len(np.unique(synthetic.labels)) == num_classes
    for noun, images in (("real training", training), ("real test", test), ("synthetic", synthetic)):
        counts = images.counts(num_classes)
        if images is synthetic and not is_of_all_labels:
            counts = counts[counts > 0]
        if not len(counts) or counts.min() < FEWEST_OF_A_LABEL:
            labels = "0 and 1" if num_classes == 2 else f"0 to {num_classes - 1}"
            raise UserError(
                f"{images.counts(num_classes).tolist()} {noun} images of labels {labels} are too few to tell labels "
                f"apart: give at least {FEWEST_OF_A_LABEL} of each"
            )
        if not np.isfinite(images.features).all():
            raise UserError(f"features of {noun} images are not finite: choose other --features or --weights")
    if np.ptp(training.features, axis=0).max() == 0:
        raise UserError("all real images have the same features: choose other --features or --weights")
    sets = [training, synthetic] if is_of_all_labels else [training]
    num_each = int(min(images.counts(num_classes).min() for images in sets))
    real_head = _fitted(training.drawn(num_each, seed), seed, is_real=True)
    accuracies = {"real": _measured(real_head, test, seed), "gan_test": _measured(real_head, synthetic, seed)}
    if is_of_all_labels:
        synthetic_head = _fitted(synthetic.drawn(num_each, seed), seed, is_real=False)
        accuracies["gan_train"] = _measured(synthetic_head, test, seed)
    num_patients = None if test.groups is None else len(np.unique(test.groups))
    return ClassTruth(accuracies, num_each, len(test.labels), num_patients, len(synthetic.labels))


def _fitted(images: LabelledFeatures, seed: int, *, is_real: bool) -> Head:
    training = TrainingFeatures(
        images.features[None], images.labels, images.groups, np.full(len(images.labels), is_real)
    )
    fitter = HeadFitter(training)
    penalty, _ = choose_penalty(training, fitter, seed)
    return fitter.fits(np.ones(len(images.labels), bool))(penalty)


def _measured(head: Head, images: LabelledFeatures, seed: int) -> dict[str, Estimate]:
    probabilities = head.probabilities(images.features)
    predictions = (probabilities >= _THRESHOLD).astype(np.int32)
    if probabilities.ndim == 2:
        predictions = probabilities.argmax(axis=1)
    return class_accuracies(images.labels, predictions, groups=images.groups, seed=seed)


def class_truth_table(truth: ClassTruth, class_names: Sequence[str]) -> str:
    """Returns the result as text to read."""
    rows = [("classifier", "accuracy (mean over labels)", *class_names)]
    for name, title in CLASS_TRUTH_ROWS.items():
        if name in truth.accuracies:
            found = truth.accuracies[name]
            keys = ("accuracy", *(f"label_{label}" for label in range(len(class_names))))
            rows.append((title, *(found[key].text() if key in found else "–" for key in keys)))
    return plain_table(rows)


def class_truth_json(truth: ClassTruth) -> dict[str, Any]:
    """Returns the result as JSON can hold it; NaN becomes None."""
    accuracies = {
        row: {name: estimate.to_json() for name, estimate in found.items()} for row, found in truth.accuracies.items()
    }
    intervals = "95 %; of labels Wilson's, of their mean by adding squares"
    of_real = intervals if truth.num_patients is None else "95 % percentile bootstrap, 2000 resamples of patients"
    return {
        "accuracies": accuracies,
        "trained_on_of_each_label": truth.num_trained_on,
        "num_real": truth.num_real,
        "num_patients": truth.num_patients,
        "num_synthetic": truth.num_synthetic,
        "intervals_on_real": of_real,
        "intervals_on_synthetic": intervals,
    }
