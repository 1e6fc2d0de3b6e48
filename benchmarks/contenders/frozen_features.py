"""Training the last layer of a frozen ResNet-18: features computed once, or anew in every epoch.

The weights are random, which cost what trained ones do; the patches are phantoms. A call of `ours` is a whole training,
a call of `EveryEpoch` one batch of it.
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
from histogan_tf.models.inference import INFERENCE_BATCH
from histogan_tf.models.precision import dtype_policy
from histogan_tf.models.resnet import NUM_FEATURES, Preprocessing, build_classifier
from histogan_tf.models.resnet_weights import load_backbone

_SEED = 42


class _FrozenClassifier:
    """The patches, and the check.

    Args:
        num_images: patches of 50x50.
    """

    def __init__(self, num_images: int) -> None:
        self._phantom = make_phantom(num_images)

    def material(self) -> dict[str, object]:
        """Backbones of one seed are equal: what is compared is what they make of the first batch."""
        return {}

    def check(self, material: dict[str, object]) -> list[dict[str, float]]:
        """The mean and the deviation of the features of the first batch."""
        features = self._first_features()
        return [{"mean": float(features.mean()), "deviation": float(features.std())}]

    def flops(self) -> None:
        """Not counted: a call of ours is no graph."""


class FeaturesOnce(_FrozenClassifier):
    """The program: one pass through the backbone, the penalty chosen on five folds, the head fitted to convergence.

    Args:
        num_images: patches of 50x50.
        size: side that the classifier resizes to.
        precision: of the backbone.
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
        """So many whole trainings."""
        phantom = self._phantom
        everything = np.ones(len(phantom), bool)
        for _ in range(count):
            training = TrainingFeatures(self._views(phantom), phantom.labels, phantom.groups, everything)
            fitter = HeadFitter(training)
            penalty, _ = choose_penalty(training, fitter, seed=_SEED)
            fitter.fits(everything)(penalty)

    def _views(self, image_set: ImageSet) -> np.ndarray:
        """Features, and an empty cache for the next call."""
        features = self._cache.views(image_set)
        for path in Path(self._folder.name).iterdir():
            path.unlink()
        return features


class EveryEpoch(_FrozenClassifier):
    """The usual loop: each epoch runs keras-hub's backbone on every batch and makes one step of SGD on the head.

    Args:
        num_images: patches of 50x50.
        size: side that the classifier resizes to.
        precision: of the backbone.
    """

    def __init__(self, num_images: int, size: int, precision: str) -> None:
        super().__init__(num_images)
        image = keras.Input(self._phantom.image_shape, dtype="uint8")
        backbone = load_backbone("random", seed=_SEED, size=size, precision=dtype_policy(precision))
        maps = backbone(Preprocessing(size)(image))
        self._features = keras.Model(image, keras.layers.GlobalAveragePooling2D(dtype="float32")(maps))
        self._head = keras.layers.Dense(1)
        self._head.build((None, NUM_FEATURES))
        self._optimizer = keras.optimizers.SGD(0.001, momentum=0.9)
        self._optimizer.build(self._head.trainable_variables)
        self._start = 0

    def _first_features(self) -> np.ndarray:
        return self._features(self._phantom.images[:INFERENCE_BATCH], training=False).numpy()

    def run(self, count: int) -> None:
        """So many batches."""
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
