"""Trains the transferred classifier in a run directory.

To what every run has, it adds:

  features/             features of the frozen backbone, by content
  fine_tuning/          checkpoints of --fine_tune, until it is done
  training.json         what the head was fitted to, and how
  training_folds.csv    predictions for held-out training images, from which thresholds are chosen
  predictions.csv       predictions for the validation part: id, patient, label, probability
  metrics.json          what they are worth, and the plots beside it
"""

from __future__ import annotations

import dataclasses
import logging
import time
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf import figures, files
from histogan_tf.checkpoints import Checkpoints
from histogan_tf.classifier.evaluation import Predictions, evaluate_run, write_predictions
from histogan_tf.classifier.features import FeatureCache
from histogan_tf.classifier.fine_tuning import FineTuner
from histogan_tf.classifier.head import Head, HeadFitter, HeldOut, TrainingFeatures, choose_penalty, make_folds
from histogan_tf.classifier.prediction import Predictor, backbone_note
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_parts
from histogan_tf.data.perturbations import check_views
from histogan_tf.data.synthetic import load_synthetic, refuse_copies
from histogan_tf.errors import UserError
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.models.resnet import ResNetClassifier, build_classifier
from histogan_tf.randomness import Purpose, weight_seeds
from histogan_tf.runs import Run, begin_run, read_metrics, sole_writer
from histogan_tf.training.dcgan import dtype_policy

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class ClassifierData:
    """Images to train on and to measure on.

    Attributes:
        real: the training part of the dataset; empty with --train_on=synthetic.
        synthetic: synthetic images; None if there are none.
        validation: the validation part, real images only.
    """

    real: ImageSet
    synthetic: ImageSet | None
    validation: ImageSet

    def training(self) -> tuple[ImageSet, np.ndarray]:
        """Real and synthetic images as one set, and bool (num_images,), which are real.

        Each synthetic image is a patient of its own where patients are known: it belongs to none.
        """
        num_real = len(self.real)
        if self.synthetic is None:
            return self.real, np.ones(num_real, bool)
        real, synthetic = self.real, self.synthetic
        merged = dataclasses.replace(
            real,
            images=np.concatenate([real.images, synthetic.images]),
            labels=np.concatenate([real.labels, synthetic.labels]),
            ids=np.concatenate([real.ids, synthetic.ids]),
            groups=np.concatenate([real.groups, synthetic.ids]) if num_real and real.groups is not None else None,
        )
        return merged, np.arange(len(merged)) < num_real

    def description(self) -> dict[str, Any]:
        """What the run records of its images."""
        parts = {"training": self.real, "synthetic": self.synthetic, "validation": self.validation}
        return {
            "name": self.validation.name,
            "image_shape": list(self.validation.image_shape),
            "class_names": list(self.validation.class_names),
            "parts": {
                name: {"images_per_class": part.counts(), "fingerprint": part.fingerprint()}
                for name, part in parts.items()
                if part is not None
            },
        }


def load_data(config: Config) -> ClassifierData:
    """The dataset's two parts and the synthetic images, checked.

    Raises:
        UserError: as `load_parts` and `load_synthetic` do; if there are no labels, or not two of them; if a label is
            missing in training or in validation; if synthetic images have another shape than real ones, or one is a
            copy of a validation image.
    """
    real, validation = load_parts(config)
    if validation.num_classes != 2:
        raise UserError(
            f"a classifier tells two labels apart, and {validation.name!r} has {validation.num_classes}: sort its "
            f"images into two sub-folders"
        )
    synthetic = None
    if config.train_on != "real":
        synthetic = load_synthetic(config.synthetic_dir, validation.class_names, strict=config.strict)
        if synthetic.image_shape != validation.image_shape:
            raise UserError(
                f"--synthetic_dir={config.synthetic_dir}: its images are {_shape(synthetic)}, but those of "
                f"{validation.name!r} are {_shape(validation)}; make synthetic images of that size, or resize the real "
                f"ones with --output_height"
            )
        refuse_copies(synthetic, validation)
    if config.train_on == "synthetic":
        real = real.select(np.arange(0))
    data = ClassifierData(real, synthetic, validation)
    for part, images in (("training", data.training()[0]), ("validation", validation)):
        missing = [name for name, count in images.counts().items() if not count]
        if missing:
            raise UserError(
                f"the {part} images hold none of the label {missing[0]!r} ({images.counts()}): give more images, "
                f"another --split_seed, or --split_by=image"
            )
    return data


def _shape(image_set: ImageSet) -> str:
    return "x".join(map(str, image_set.image_shape))


def train(config: Config) -> None:
    """Trains the head, and with --fine_tune the backbone; then measures on the validation part.

    A run that was stopped goes on from its cached features and its last epoch of fine-tuning.

    Raises:
        UserError: for a mistake of the user.
    """
    started = time.monotonic()
    data = load_data(config)
    if config.perturbations:
        check_views(config.perturbations, config.views, data.validation.image_shape)
    classifier = build_classifier(
        data.validation.image_shape,
        size=config.classifier_size,
        weights=config.weights,
        seed=weight_seeds(config.seed, Purpose.CLASSIFIER_WEIGHTS, 1)[0],
        precision=dtype_policy(config.precision),
    )
    directory = begin_run(config, {**data.description(), "backbone": weights_fingerprint(classifier.features)})
    with sole_writer(directory):
        if (directory / "metrics.json").exists():
            logger.info("%s is finished; --mode=evaluate measures it again", directory)
            return
        logger.info("backbone: %s; run directory %s", backbone_note(config), directory)
        _train_and_measure(config, classifier, directory, data)
        files.remove(directory / "fine_tuning")
        logger.info("trained and measured in %.0f s: %s", time.monotonic() - started, directory)


def _train_and_measure(config: Config, classifier: ResNetClassifier, directory: Path, data: ClassifierData) -> None:
    """Writes everything in the run directory; metrics.json, which says that it is finished, at last."""
    training, is_real = data.training()
    features, validation_features = _features(config, classifier, directory, training, data.validation)
    training_features = TrainingFeatures(features, training.labels, training.groups, is_real)
    fitter = HeadFitter(training_features)
    penalty, held_out = choose_penalty(training_features, fitter, config.seed)
    if config.fine_tune == "none":
        head = fitter.fits(np.ones(len(training), bool))(penalty)
        _set_head(classifier, head)
        probabilities = head.probabilities(validation_features)
    else:
        held_out = _fine_tune(config, classifier, directory, training, training_features, fitter, penalty)
        probabilities = Predictor(classifier.network)(data.validation.images)
    Checkpoints(directory / "ckpt", classifier.state()).save(1)
    summary = {
        "backbone": backbone_note(config),
        "train_on": config.train_on,
        "real_images": data.real.counts(),
        "synthetic_images": {} if data.synthetic is None else data.synthetic.counts(),
        "views_per_image": len(features),
        "penalty": penalty,
        "held_out_by": held_out.by,
    }
    files.write_json(directory / "training.json", summary)
    folds = training.select(held_out.indices)
    write_predictions(directory / "training_folds.csv", Predictions.of(folds, held_out.probabilities), config)
    write_predictions(directory / "predictions.csv", Predictions.of(data.validation, probabilities), config)
    evaluate_run(directory, config, data.validation.class_names, config.recall_at_least)


def feature_cache(config: Config, classifier: ResNetClassifier, directory: Path) -> FeatureCache:
    """The cache of a run."""
    settings = (config.classifier_size, config.precision)
    return FeatureCache(directory / "features", classifier.features, settings, config.seed)


def _features(
    config: Config, classifier: ResNetClassifier, directory: Path, training: ImageSet, validation: ImageSet
) -> tuple[np.ndarray, np.ndarray]:
    """float32 (num_views, num_training, 512) and (num_validation, 512).

    Raises:
        UserError: if one is not finite.
    """
    cache = feature_cache(config, classifier, directory)
    perturbations = config.perturbations or ()
    views = cache.views(training, perturbations, config.views if perturbations else 0)
    validation_features = cache.views(validation)[0]
    if not (np.isfinite(views).all() and np.isfinite(validation_features).all()):
        raise UserError(f"--weights={config.weights} make features that are not finite: give other weights")
    return views, validation_features


def _set_head(classifier: ResNetClassifier, head: Head) -> None:
    classifier.head.set_weights([head.kernel[:, None].astype(np.float32), np.float32([head.bias])])


def _fine_tune(
    config: Config,
    classifier: ResNetClassifier,
    directory: Path,
    training: ImageSet,
    training_features: TrainingFeatures,
    fitter: HeadFitter,
    penalty: float,
) -> HeldOut:
    """Fine-tunes on all training images but one fold, which says when to stop; from a head that has not seen it."""
    folds, by = make_folds(training_features, config.seed)
    held_out = folds[0]
    seen = np.setdiff1d(np.arange(len(training)), held_out)
    _set_head(classifier, fitter.fits(np.isin(np.arange(len(training)), seen))(penalty))
    tuner = FineTuner(config, classifier, training.select(seen), training.select(held_out))
    probabilities = tuner.train(Run(directory, config), directory / "fine_tuning")
    rows = read_metrics(directory)
    if rows:
        title = f"fine-tuning, {backbone_note(config)}"
        figures.plot_losses(directory / "losses.png", rows, ("log_loss", "held_out_log_loss"), title)
    return HeldOut(held_out, probabilities, by)
