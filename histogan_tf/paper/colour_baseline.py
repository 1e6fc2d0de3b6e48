"""Trains a classifier that sees nothing but the colour of an image: the baseline that a network has to beat."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.classifier.head import HeadFitter, TrainingFeatures, choose_penalty
from histogan_tf.classifier.predictions_file import Predictions, write_predictions
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.runs import files


def colour_features(images: np.ndarray) -> np.ndarray:
    """Returns the mean and the standard deviation of each channel of each image, float32 (num_images, 2 * channels).

    Args:
        images: uint8 (num_images, height, width, channels).
    """
    statistics = [(image.mean(axis=(0, 1)), image.std(axis=(0, 1))) for image in images]
    return np.asarray(statistics, np.float32).reshape(len(images), -1)


def train_colour_classifier(config: Config, directory: Path) -> None:
    """Fits the linear head of the study's classifiers to `colour_features` of the real training images.

    Writes training.json, training_folds.csv and predictions.csv, in the form that a classifier's run has.

    Args:
        config: the resolved Config of a classifier of real images; its seed decides the folds.
        directory: the folder to write the files to.

    Raises:
        UserError: if the dataset cannot be read, or has too few images of a label.
    """
    data = load_data(config)
    training = TrainingFeatures(_features(data.real)[None], data.labels, data.groups, data.is_real)
    fitter = HeadFitter(training)
    penalty, held_out = choose_penalty(training, fitter, config.seed)
    head = fitter.fits(np.ones(len(data.labels), bool))(penalty)
    without_backbone = dataclasses.replace(config, weights="imagenet")  # nothing here was left untrained
    columns = [None if column is None else column[held_out.indices] for column in (data.ids, data.groups, data.labels)]
    folds = Predictions(*columns, held_out.probabilities)
    write_predictions(directory / "training_folds.csv", folds, without_backbone, data.class_names)
    validation = data.validation
    probabilities = head.probabilities(_features(validation))
    predictions = Predictions(validation.ids, validation.groups, validation.labels, probabilities)
    write_predictions(directory / "predictions.csv", predictions, without_backbone, data.class_names)
    summary = {
        "features": "mean and standard deviation of each channel",
        "real_images": data.real.counts(),
        "synthetic_images": {},
        "penalty": penalty,
        "held_out_by": held_out.by,
    }
    files.write_json(directory / "training.json", summary)


def _features(images: ImageSet) -> np.ndarray:
    return colour_features(np.asarray(images.images))
