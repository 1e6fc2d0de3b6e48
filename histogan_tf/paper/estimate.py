"""Estimates the time and disk space that the stages need, for --dry_run.

Time is the multiply-adds of the networks, divided by what this machine does in a second.
"""

from __future__ import annotations

import dataclasses
import functools
import time
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.config.families import family_of
from histogan_tf.data.image_set import ImageSet
from histogan_tf.models.backbone_networks import build_network
from histogan_tf.models.backbones import BACKBONES
from histogan_tf.models.cyclegan import build_cyclegan_discriminator
from histogan_tf.models.projector import FeatureProjector
from histogan_tf.training.cyclegan_step import cyclegan_generator
from histogan_tf.training.dcgan_step import dcgan_discriminator, dcgan_generator
from histogan_tf.training.projected_step import projected_discriminators, projected_generator

_OVERHEAD_SECONDS = 5.0  # of every stage, for reading, compiling and drawing
_ADAM_COPIES = 3  # numbers stored for each weight: the weight and its two moments
# The multiply-adds of tuning with one image, in those of a forward pass: a backward pass takes twice as many, of the
# last stage about half of that.
_PASSES_OF_TUNING = {"last_stage": 2, "all": 3}
_SHEET_BYTES = 1.5e6  # of sample sheets, loss plot and log


@dataclasses.dataclass(frozen=True)
class Cost:
    """The work and the disk space of one stage.

    Attributes:
        multiply_adds: multiply-adds of its networks, forwards and backwards.
        num_bytes: bytes that it leaves on disk.
    """

    multiply_adds: float = 0.0
    num_bytes: float = _SHEET_BYTES

    def seconds(self, pace: float) -> float:
        """Returns the seconds that the stage takes at `pace` multiply-adds a second."""
        return _OVERHEAD_SECONDS + self.multiply_adds / pace


def multiply_adds(network: keras.Model) -> float:
    """Counts the multiply-adds of one forward pass of one image: those of convolutions and dense layers."""
    total = 0.0
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # A kernel is applied once for each pixel of a convolution's output, or of a transposed convolution's input: the
        # smaller of the two.
        sides = [np.prod(tensor.shape[1:-1], dtype=float) for tensor in (layer.input, layer.output)]
        total += float(np.prod(kernel.shape)) * min(sides)
    return total


def training_cost(config: Config, image_set: ImageSet, num_images: int) -> Cost:
    """Estimates the cost of training a GAN.

    Args:
        config: the Config of the run.
        image_set: the dataset; only its image shape and classes are read.
        num_images: images in an epoch.
    """
    cost = family_of(config.model).call("step_cost", config, image_set)
    steps = min(config.epoch * (num_images // config.batch_size), config.max_steps or np.inf)
    return Cost(
        steps * config.batch_size * cost.multiply_adds,
        4.0 * _ADAM_COPIES * cost.num_weights * config.max_to_keep + _SHEET_BYTES,
    )


class StepCost(NamedTuple):
    """The cost of one image in a training step.

    Attributes:
        multiply_adds: multiply-adds of all passes of all networks, forwards and backwards.
        num_weights: number of weights of all networks.
        generator_multiply_adds: multiply-adds of one forward pass of one generator.
    """

    multiply_adds: float
    num_weights: int
    generator_multiply_adds: float


def dcgan_step_cost(config: Config, image_set: ImageSet) -> StepCost:
    """Estimates the cost of a DCGAN's training step; a pass with its gradient counts as three forward passes."""
    shape, num_classes = image_set.image_shape, image_set.num_classes if config.conditional else 0
    networks = [build(config, shape, num_classes) for build in (dcgan_generator, dcgan_discriminator)]
    generator, discriminator = map(multiply_adds, networks)
    updates = config.generator_updates
    step = 3 * updates * generator + (6 + 2 * updates) * discriminator
    return StepCost(step, sum(network.count_params() for network in networks), generator)


def projected_step_cost(config: Config, image_set: ImageSet) -> StepCost:
    """Estimates the cost of a projected GAN's training step.

    A gradient by a network's weights costs as much as its forward pass, and so does one by its inputs. The frozen
    network has only the latter, and only for generated images. The mixing of its features is left out.
    """
    shape, num_classes = image_set.image_shape, image_set.num_classes if config.conditional else 0
    generator = projected_generator(config, shape, num_classes)
    frozen = _projector_multiply_adds(shape, config.feature_size, config.feature_stages, config.backbone)
    record = {"image_shape": shape, "class_names": image_set.class_names}
    discriminator = projected_discriminators(config, record)["discriminator"]
    parts = multiply_adds(generator), frozen, multiply_adds(discriminator)
    updates = config.generator_updates
    step = 3 * updates * parts[0] + (1 + 2 * updates) * parts[1] + (6 + 2 * updates) * parts[2]
    return StepCost(step, generator.count_params() + discriminator.count_params(), parts[0])


@functools.lru_cache
def _projector_multiply_adds(
    shape: tuple[int, int, int], feature_size: int, stages: tuple[int, ...], backbone: str
) -> float:
    """Counts the multiply-adds of one image in the frozen network of a projected GAN, which takes a second to build."""
    projector = FeatureProjector(shape, feature_size=feature_size, stages=stages, weights="random", backbone=backbone)
    return sum(map(multiply_adds, projector.stages))


def cyclegan_step_cost(config: Config, image_set: ImageSet) -> StepCost:
    """Estimates the cost of a CycleGAN's training step.

    The generators make six passes. Each has a gradient, which costs twice the pass. Each of the two discriminators
    makes two passes with the gradient of its weights, and two through which the gradient only flows back to a
    generator.
    """
    shape = image_set.image_shape
    networks = [
        cyclegan_generator(config, "A2B", shape),
        build_cyclegan_discriminator(shape, seed=0, num_filters=config.df_dim),
    ]
    generator, discriminator = map(multiply_adds, networks)
    num_weights = 2 * sum(network.count_params() for network in networks)
    return StepCost(18 * generator + 16 * discriminator, num_weights, generator)


def sampling_cost(config: Config, image_set: ImageSet, num_images: int) -> Cost:
    """Estimates the cost of making images with a trained generator, which are stored uncompressed, a byte a value."""
    forward = family_of(config.model).call("step_cost", config, image_set).generator_multiply_adds
    return Cost(forward * num_images, float(np.prod(image_set.image_shape)) * num_images)


def classifier_cost(config: Config, num_images: int, num_training: int) -> Cost:
    """Estimates the cost of a classifier: the features of new images, and the tuning of its network with --fine_tune.

    Fitting the head takes seconds. Tuning may stop long before --epoch, which is not foreseen.

    Args:
        config: the settings of the classifier.
        num_images: the number of images whose features no classifier has computed yet.
        num_training: the number of images that it is trained on.
    """
    forward, num_weights = _backbone_size(config.backbone, config.classifier_size)
    num_features = BACKBONES[config.backbone].num_features
    num_passes = num_images
    if config.fine_tune != "none":
        num_passes += _PASSES_OF_TUNING[config.fine_tune] * config.epoch * num_training
    return Cost(forward * num_passes, 4.0 * (num_weights + num_features * num_images))


@functools.lru_cache
def _backbone_size(backbone: str, size: int) -> tuple[float, int]:
    """Returns the multiply-adds of one image of `size` pixels, and the number of weights, of a backbone."""
    network = build_network(BACKBONES[backbone], size, "float32")
    return multiply_adds(network), network.count_params()


def machine_pace() -> float:
    """Measures the multiply-adds that this machine makes in a second, in a convolution of medium size."""
    size, channels, repeats = 48, 32, 10
    images = tf.random.stateless_normal((16, size, size, channels), (0, 0))
    kernel = tf.random.stateless_normal((5, 5, channels, channels), (0, 1))
    tf.nn.conv2d(images, kernel, 1, "SAME").numpy()
    started = time.perf_counter()
    for _ in range(repeats):
        images = tf.nn.conv2d(images, kernel, 1, "SAME") / 30.0
    images.numpy()
    made = repeats * 16 * size**2 * 25 * channels**2
    return made / (time.perf_counter() - started)
