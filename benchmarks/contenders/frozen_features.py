"""Trains the last layer of a frozen ResNet-18, with features that are computed once, or anew in every epoch.

The weights are random, because they take as long as trained ones; the patches are phantoms. A call of `FeaturesOnce` is
a whole training, a call of `EveryEpoch` is one batch of it.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.classifier.features import FeatureCache
from histogan_tf.classifier.head import HeadFitter, TrainingFeatures, choose_penalty
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.models.backbone_weights import load_backbone
from histogan_tf.models.backbones import BACKBONES
from histogan_tf.models.inference import INFERENCE_BATCH
from histogan_tf.models.precision import dtype_policy
from histogan_tf.models.resnet import Preprocessing, build_classifier

_SEED = 42


class _FrozenClassifier:
    """The patches and the check that both contenders share.

    Args:
        num_images: number of 50x50 patches.
    """

    def __init__(self, num_images: int) -> None:
        self._phantom = make_phantom(num_images)

    def material(self) -> dict[str, object]:
        """Returns nothing, because both contenders make equal backbones from the same seed."""
        return {}

    def check(self, material: dict[str, object]) -> list[dict[str, float]]:
        """Returns the mean and the standard deviation of the features of the first batch."""
        features = self._first_features()
        return [{"mean": float(features.mean()), "deviation": float(features.std())}]

    def flops(self) -> None:
        """Returns None: a call of `FeaturesOnce` is not a graph, so its operations are not counted."""


class FeaturesOnce(_FrozenClassifier):
    """Trains as the program does: one pass of the backbone, the penalty by five folds, the head to convergence.

    Args:
        num_images: number of 50x50 patches.
        size: side, in pixels, that the classifier resizes images to.
        precision: precision of the backbone.
        cpu_kernels: the value of --cpu_kernels.
    """

    def __init__(self, num_images: int, size: int, precision: str, cpu_kernels: bool) -> None:
        super().__init__(num_images)
        self.classifier = build_classifier(
            self._phantom.image_shape,
            size=size,
            weights="random",
            seed=_SEED,
            precision=dtype_policy(precision),
            cpu_kernels=cpu_kernels,
        )
        self._folder = tempfile.TemporaryDirectory()
        self._cache = FeatureCache(Path(self._folder.name), self.classifier.features, [size, precision], _SEED)

    def _first_features(self) -> np.ndarray:
        return self._views(self._phantom.select(np.arange(INFERENCE_BATCH)))[0]

    def run(self, count: int) -> None:
        """Makes `count` whole trainings."""
        phantom = self._phantom
        everything = np.ones(len(phantom), bool)
        for _ in range(count):
            training = TrainingFeatures(self._views(phantom), phantom.labels, phantom.groups, everything)
            fitter = HeadFitter(training)
            penalty, _ = choose_penalty(training, fitter, seed=_SEED)
            fitter.fits(everything)(penalty)

    def _views(self, image_set: ImageSet) -> np.ndarray:
        """Returns the features of the images, and empties the cache for the next call."""
        features = self._cache.views(image_set)
        for path in Path(self._folder.name).iterdir():
            path.unlink()
        return features


class EveryEpoch(_FrozenClassifier):
    """Trains by the usual loop: in each epoch keras-hub's backbone and one SGD step of the head for every batch.

    Args:
        num_images: number of 50x50 patches.
        size: side, in pixels, that the classifier resizes images to.
        precision: precision of the backbone.
    """

    def __init__(self, num_images: int, size: int, precision: str) -> None:
        super().__init__(num_images)
        image = keras.Input(self._phantom.image_shape, dtype="uint8")
        backbone = load_backbone("random", seed=_SEED, size=size, precision=dtype_policy(precision))
        maps = backbone(Preprocessing(size)(image))
        self._features = keras.Model(image, keras.layers.GlobalAveragePooling2D(dtype="float32")(maps))
        self._head = keras.layers.Dense(1)
        self._head.build((None, BACKBONES["resnet18"].num_features))
        self._optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
        self._optimizer.build(self._head.trainable_variables)
        self._start = 0

    def _first_features(self) -> np.ndarray:
        return self._features(self._phantom.images[:INFERENCE_BATCH], training=False).numpy()

    def run(self, count: int) -> None:
        """Trains on `count` batches."""
        phantom = self._phantom
        for _ in range(count):
            batch = slice(self._start, self._start + INFERENCE_BATCH)
            loss = self._step(tf.constant(phantom.images[batch]), tf.constant(phantom.labels[batch], tf.float32))
            self._start = (self._start + INFERENCE_BATCH) % (len(phantom) // INFERENCE_BATCH * INFERENCE_BATCH)
        float(loss)

    @tf.function
    def _step(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        features = self._features(images, training=False)
        with tf.GradientTape() as tape:
            logits = self._head(features)[:, 0]
            loss = tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits))
        variables = self._head.trainable_variables
        self._optimizer.apply(tape.gradient(loss, variables), variables)
        return loss
