"""Trains a classifier by transfer learning: fits a new head to a pretrained backbone.

The run directory holds, beside the files of every run:

  initial/              the backbone that --init_from gave, with which features are computed
  features/             features of the frozen backbone, named by the content that they were computed from
  fine_tuning/          checkpoints of --fine_tune; removed when it is done
  training.json         the numbers of images that the head was fitted to, and its penalty; with --fine_tune also the
                        numbers of those that were held out to decide when to stop
  training_folds.csv    predictions for held-out training images, from which thresholds are chosen
  predictions.csv       predictions for the validation part: id, patient, label, probability
  metrics.json          metrics of the predictions for the validation part; plots of them lie beside it
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier.classifier_data import ClassifierData, load_data
from histogan_tf.classifier.features import FeatureCache, feature_cache
from histogan_tf.classifier.fine_tuning import FineTuner
from histogan_tf.classifier.head import Head, HeadFitter, HeldOut, TrainingFeatures, choose_penalty, make_folds
from histogan_tf.classifier.prediction import Predictor, backbone_note, is_untrained
from histogan_tf.classifier.predictions_file import Predictions, write_predictions
from histogan_tf.classifier.results import evaluate_run
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.perturbations import check_views
from histogan_tf.data.positive_class import tell_positive_class
from histogan_tf.errors import UserError, doing
from histogan_tf.machine import workers
from histogan_tf.models.backbones import Preparation
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.models.resnet import ResNetClassifier, configured_classifier
from histogan_tf.reporting import pictures
from histogan_tf.runs import files
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_directory import (
    begin_run,
    find_directory,
    read_metrics,
    read_record,
    run_directory,
    writing_run,
)
from histogan_tf.runs.run_writer import Run
from histogan_tf.runs.settings_history import record_settings
from histogan_tf.training.starting import Start, start_from

logger = logging.getLogger(__name__)


def train_classifier(
    config: Config,
    features_directory: Path | None = None,
    *,
    images: ImageSet | None = None,
    synthetic: ImageSet | None = None,
) -> None:
    """Trains the head, and with --fine_tune the backbone too; then measures on the validation part.

    A run that was stopped goes on from its cached features and its last epoch of fine-tuning. All replicas of
    --distribution compute features and fine-tune; only the chief's process fits the head.

    Args:
        config: the resolved Config.
        features_directory: folder of cached features that several runs share; None for the run's own features/.
        images: real ones, both parts of them; None to read the dataset.
        synthetic: images for --train_on=both or synthetic; None to read --synthetic_dir.

    Raises:
        UserError: for a mistake of the user.
    """
    if config.fine_tune != "none":
        workers.check_batch_size(config)
    with workers.scope(config):
        _train(config, features_directory, images, synthetic)


def _train(
    config: Config, features_directory: Path | None, images: ImageSet | None, synthetic: ImageSet | None
) -> None:
    started = time.monotonic()
    with doing("reading the images"):
        data = load_data(config, images, synthetic)
    if len(data.class_names) == 2:
        tell_positive_class(data.class_names)
        config = dataclasses.replace(config, positive_class=data.class_names[1])
    elif config.recall_at_least is not None:
        raise UserError(
            f"--recall_at_least={config.recall_at_least} is about the positive class of two, and these images have "
            f"{len(data.class_names)} classes: leave it out"
        )
    if config.perturbations:
        check_views(config.perturbations, config.views, data.validation.image_shape)
    classifier = configured_classifier(
        config,
        data.validation.image_shape,
        weights="random" if config.init_from else config.weights,
        preparation=_preparation_of_start(config),
        num_classes=len(data.class_names),
    )
    start, initial = _initialize_backbone(config, classifier, data)
    with writing_run(config), workers.workers_watched():
        directory = begin_run(
            config,
            {
                **data.description(),
                "backbone": weights_fingerprint(classifier.features),
                **_preparation_record(classifier.preparation),
            },
            patients=data.real.patients() if len(data.real) else None,
            initialized_from=None if start is None else start.record,
        )
        if start is not None:
            start.tell()
            initial.save(0)  # from now on the run does not need the other one
        if (directory / "metrics.json").exists():
            logger.info("%s is finished: use --mode=evaluate to measure it again", directory)
            return
        record_settings(directory, config, 0)
        logger.info("backbone: %s; run directory %s", backbone_note(config), directory)
        cache = feature_cache(config, classifier.features, features_directory or directory / "features")
        _train_and_measure(config, classifier, directory, data, cache)
        if workers.is_chief():
            files.remove(directory / "fine_tuning")
        logger.info("trained and measured in %.0f s: %s", time.monotonic() - started, directory)


def _preparation_of_start(config: Config) -> Preparation | None:
    """Returns how the run in --init_from prepares images, whose backbone this run takes over; None without one."""
    if config.init_from is None:
        return None
    own = run_directory(config)  # goes on without the other run
    has_begun = (own / "config.json").exists() and not config.restart
    directory = own if has_begun else find_directory(config.init_from, config.checkpoint_dir, "init_from")
    return Preparation.from_json(read_record(directory)["dataset"].get("preparation"))


def _preparation_record(preparation: Preparation) -> dict[str, Any]:
    """Returns what a run records of a preparation; nothing for that of torchvision's networks, as earlier runs did."""
    return {} if preparation == Preparation() else {"preparation": preparation.to_json()}


def _initialize_backbone(
    config: Config, classifier: ResNetClassifier, data: ClassifierData
) -> tuple[Start | None, Checkpoints | None]:
    """Sets the backbone to that of the run in --init_from, or to the copy of it that the run has made before.

    The head is fitted anew, and its fit does not depend on where it starts.

    Returns:
        What `start_from` returned, and where the copy is kept; None twice without --init_from.

    Raises:
        UserError: as `start_from`, or if the backbone of that run was never trained.
    """
    if config.init_from is None:
        return None, None
    state, folder = {"features": classifier.features}, run_directory(config) / "initial"
    groups = [part.patients() for part in (data.real, data.validation) if part.groups is not None]
    start = start_from(config, state, data.description(), set().union(*groups), folder)
    initial = Checkpoints(folder, state)
    if start is None:
        initial.restore()
    elif is_untrained(start.config):
        raise UserError(
            f"--init_from={config.init_from}: its backbone was never trained (--weights=random without --fine_tune): "
            f"there is nothing to start from, choose another run"
        )
    return start, initial


def _train_and_measure(
    config: Config, classifier: ResNetClassifier, directory: Path, data: ClassifierData, cache: FeatureCache
) -> None:
    """Trains, and writes all files of the run; metrics.json comes last, because it marks the run as finished."""
    features, validation_features = _features(config, cache, data)
    checkpoints = Checkpoints(directory / "ckpt", classifier.state())  # in all workers: they create variables together
    if config.fine_tune == "none" and not workers.is_chief():
        return
    training_features = TrainingFeatures(features, data.labels, data.groups, data.is_real)
    fitter = HeadFitter(training_features)
    penalty, held_out = choose_penalty(training_features, fitter, config.seed)
    if config.fine_tune == "none":
        head = fitter.fits(np.ones(len(data.labels), bool))(penalty)
        _set_head(classifier, head)
        probabilities = head.probabilities(validation_features)
    else:
        held_out = _fine_tune(config, classifier, directory, data, training_features, fitter, penalty)
        if not workers.is_chief():
            return
        probabilities = Predictor(classifier.network)(data.validation.images)
    checkpoints.save(1)
    is_fitted = np.ones(len(data.labels), bool)
    if config.fine_tune != "none":
        is_fitted[held_out.indices] = False
    summary = {
        "backbone": backbone_note(config),
        **({"positive_class": config.positive_class} if len(data.class_names) == 2 else {}),
        "train_on": config.train_on,
        "real_images": data.counts(is_fitted & data.is_real),
        "synthetic_images": {} if data.synthetic is None else data.counts(is_fitted & ~data.is_real),
        **({} if config.fine_tune == "none" else {"held_out_images": data.counts(~is_fitted)}),
        "views_per_image": len(features),
        "penalty": penalty,
        "held_out_by": held_out.by,
    }
    files.write_json(directory / "training.json", summary)
    columns = [None if column is None else column[held_out.indices] for column in (data.ids, data.groups, data.labels)]
    folds = Predictions(*columns, held_out.probabilities)
    write_predictions(directory / "training_folds.csv", folds, config, data.class_names)
    validation = data.validation
    predictions = Predictions(validation.ids, validation.groups, validation.labels, probabilities)
    write_predictions(directory / "predictions.csv", predictions, config, data.class_names)
    evaluate_run(directory, config, data.class_names, config.recall_at_least)


def _features(config: Config, cache: FeatureCache, data: ClassifierData) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of training and validation images.

    Returns:
        float32 (num_views, num_training, num_features) and float32 (num_validation, num_features).

    Raises:
        UserError: if a feature is not finite.
    """
    perturbations = config.perturbations or ()
    num_views = config.views if perturbations else 0
    views = np.concatenate([cache.views(part, perturbations, num_views) for part in data.parts], axis=1)
    validation_features = cache.views(data.validation)[0]
    if not (np.isfinite(views).all() and np.isfinite(validation_features).all()):
        raise UserError(f"--weights={config.weights} make features that are not finite: give other weights")
    return views, validation_features


def _set_head(classifier: ResNetClassifier, head: Head) -> None:
    kernel = head.kernel.reshape(len(head.kernel), -1)
    classifier.head.set_weights([kernel.astype(np.float32), np.atleast_1d(np.float32(head.bias))])


def _fine_tune(
    config: Config,
    classifier: ResNetClassifier,
    directory: Path,
    data: ClassifierData,
    training_features: TrainingFeatures,
    fitter: HeadFitter,
    penalty: float,
) -> HeldOut:
    """Fine-tunes on all training images but one fold, which decides when to stop; the head is not fitted to it."""
    folds, by = make_folds(training_features, config.seed)
    held_out = folds[0]
    is_seen = np.isin(np.arange(len(data.labels)), held_out, invert=True)
    head = fitter.fits(is_seen)(penalty)
    kernel_and_bias = workers.of_the_chief(np.concatenate([head.kernel, np.asarray(head.bias)[None]]))
    _set_head(classifier, Head(kernel_and_bias[:-1], kernel_and_bias[-1]))
    training = data.training_set()
    tuner = FineTuner(config, classifier, training.select(np.flatnonzero(is_seen)), training.select(held_out))
    probabilities = tuner.train(Run(directory, config), directory / "fine_tuning")
    rows = read_metrics(directory)
    if rows and workers.is_chief():
        title = f"fine-tuning, {backbone_note(config)}"
        pictures.plot_losses(directory / "losses.png", rows, ("log_loss", "held_out_log_loss"), title)
    return HeldOut(held_out, probabilities, by)
