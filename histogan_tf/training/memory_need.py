"""Tells before a training begins whether it may take more memory than this machine has left."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.errors import counted
from histogan_tf.machine.memory import available_bytes

logger = logging.getLogger(__name__)

# Of the outputs of all layers for a batch, how many copies a step holds at its peak. Between 1.5 and 3.5 were measured
# in float32, for dcgan1 and dcgan3 at 50 and 96 pixels, on a CPU, and 1.5 for dcgan3 in bfloat16: the peak of two steps
# less what there was before. Only the smallest network, dcgan1 at 50 pixels, has more than 2.
_COPIES_OF_OUTPUTS = 3


def warn_of_memory(networks: Sequence[keras.Model], config: Config) -> None:
    """Warns if the steps of a DCGAN's training may take more memory than this machine has left.

    Nothing is said where TensorFlow computes on a GPU, whose memory is its own.

    Args:
        networks: the generator and the discriminator, built.
        config: of the run.
    """
    left = available_bytes()
    if left is None or tf.config.list_physical_devices("GPU"):
        return
    needed = step_bytes(networks, config.batch_size, 4 if config.precision == "float32" else 2)
    if needed > left:
        height, width = networks[0].output.shape[1:3]
        logger.warning(
            "steps of %s of %dx%d can take up to %.1f GB of memory, and %.1f GB are left: if the training "
            "stops for want of memory, give a smaller --batch_size, --gf_dim or --output_height",
            counted(config.batch_size, "image"),
            height,
            width,
            needed / 1e9,
            left / 1e9,
        )


def step_bytes(networks: Sequence[keras.Model], batch_size: int, bytes_per_number: int) -> int:
    """Returns how many bytes of memory a training step takes at most, beside the weights and the optimizers' moments.

    They are the gradients of the weights, and copies of the outputs of all layers.

    Args:
        networks: the networks that are trained, built.
        batch_size: the number of images in a step.
        bytes_per_number: the size of an output's number, 4 or, with half precision, 2.
    """
    num_weights = sum(network.count_params() for network in networks)
    num_outputs = sum(math.prod(layer.output.shape[1:]) for network in networks for layer in network.layers)
    return 4 * num_weights + _COPIES_OF_OUTPUTS * bytes_per_number * batch_size * num_outputs
