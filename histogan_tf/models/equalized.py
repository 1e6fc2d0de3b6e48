"""Keras layers with an equalized learning rate (Karras et al., "Progressive Growing of GANs", ICLR 2018, section 4.1).

The trained kernel starts from a standard normal distribution, and the layer multiplies it by He's constant in each
forward pass. Adam moves all numbers by about its learning rate, so that every layer changes at the same relative speed,
whatever its size.
"""

from __future__ import annotations

import math

import keras
from keras import layers

from histogan_tf.models.enlargement import EnlargedConv2D


class EqualizedKernel:
    """A mixin for Keras layers that multiplies the kernel by 1 / sqrt(number of inputs of one output)."""

    @property
    def kernel(self):
        """The scaled kernel, with which the layer computes; `_kernel` is the one that is trained."""
        return self._kernel * (1.0 / math.sqrt(math.prod(self._kernel.shape[:-1])))


@keras.saving.register_keras_serializable(package="histogan_tf")
class EqualizedConv2D(EqualizedKernel, EnlargedConv2D):
    """A convolution of images, channels last, with an equalized learning rate."""


@keras.saving.register_keras_serializable(package="histogan_tf")
class EqualizedDense(EqualizedKernel, layers.Dense):
    """A fully connected layer with an equalized learning rate."""
