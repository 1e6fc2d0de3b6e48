"""What stages would take, for --dry_run: multiply-adds of the networks at this machine's pace, and their files."""

from __future__ import annotations

import dataclasses
import time

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.models.cyclegan import build_discriminator
from histogan_tf.training import cyclegan, dcgan

_OVERHEAD_SECONDS = 5.0  # of any stage: reading, compiling, drawing
_RESNET18 = 1.82e9  # multiply-adds of an image of 224x224
_RESNET18_BYTES = 45e6
_ADAM_COPIES = 3  # a weight, and its two moments
_SHEET_BYTES = 1.5e6  # of samples, loss plot and log


@dataclasses.dataclass(frozen=True)
class Cost:
    """What a stage takes.

    Attributes:
        multiply_adds: in networks, forwards and backwards.
        num_bytes: that it leaves on disk.
    """

    multiply_adds: float = 0.0
    num_bytes: float = _SHEET_BYTES

    def seconds(self, pace: float) -> float:
        """At so many multiply-adds a second."""
        return _OVERHEAD_SECONDS + self.multiply_adds / pace


def multiply_adds(network: keras.Model) -> float:
    """Of one image in one forward pass: those of its convolutions and dense layers."""
    total = 0.0
    for layer in network.layers:
        kernel = getattr(layer, "kernel", None)
        if kernel is None:
            continue
        # A kernel meets every position of the smaller side: the output of a convolution, the input of a transposed one.
        sides = [np.prod(tensor.shape[1:-1], dtype=float) for tensor in (layer.input, layer.output)]
        total += float(np.prod(kernel.shape)) * min(sides)
    return total


def training_cost(config: Config, image_set: ImageSet, num_images: int) -> Cost:
    """Of training a GAN.

    Args:
        config: of the run.
        image_set: of the dataset, for shape and classes.
        num_images: in an epoch.
    """
    networks = _networks(config, image_set)
    steps = min(config.epoch * (num_images // config.batch_size), config.max_steps or np.inf)
    forward = [multiply_adds(network) for network in networks]
    if config.model == "cyclegan":
        # Six passes of generators, each with its gradient (twice a pass), and of discriminators two each with gradient
        # and two that only lead it through.
        step = config.batch_size * (18 * forward[0] + 16 * forward[1])
        num_weights = 2 * sum(network.count_params() for network in networks)
    else:
        updates = config.generator_updates
        step = config.batch_size * (3 * updates * forward[0] + (6 + 2 * updates) * forward[1])
        num_weights = sum(network.count_params() for network in networks)
    return Cost(steps * step, 4.0 * _ADAM_COPIES * num_weights * config.max_to_keep + _SHEET_BYTES)


def sampling_cost(config: Config, image_set: ImageSet, num_images: int) -> Cost:
    """Of making images with a trained generator; uncompressed, they take as much as in memory."""
    forward = multiply_adds(_networks(config, image_set)[0])
    return Cost(forward * num_images, float(np.prod(image_set.image_shape)) * num_images)


def classifier_cost(config: Config, num_images: int) -> Cost:
    """Of the features of so many images that no run before has seen; the head is fitted in seconds."""
    forward = _RESNET18 * (config.classifier_size / 224) ** 2
    return Cost(forward * num_images, _RESNET18_BYTES + 4.0 * 512 * num_images)


def machine_pace() -> float:
    """Multiply-adds that this machine makes in a second, in a convolution of middling size."""
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


def _networks(config: Config, image_set: ImageSet) -> tuple[keras.Model, keras.Model]:
    """A generator and a discriminator."""
    shape = image_set.image_shape
    if config.model == "cyclegan":
        discriminator = build_discriminator(shape, seed=0, num_filters=config.df_dim)
        return cyclegan.generator_of(config, "A2B", shape), discriminator
    num_classes = image_set.num_classes if config.conditional else 0
    return (
        dcgan.generator_of(config, shape, num_classes),
        dcgan.discriminator_of(config, shape, num_classes),
    )
