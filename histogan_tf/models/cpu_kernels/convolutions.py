"""Keras's convolutions, which compute their training steps on a CPU in the fastest of several equivalent ways.

Weights, names and inference are Keras's own. `algorithms` has the ways, and `algorithm_choice` says which is taken.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels.algorithm_choice import chosen_algorithm
from histogan_tf.models.cpu_kernels.algorithms import ConvolutionShape, convolve
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of
from histogan_tf.models.enlargement import EnlargedConv2D
from histogan_tf.models.equalized import EqualizedKernel
from histogan_tf.models.spectral import SpectralKernel


@keras.saving.register_keras_serializable(package="histogan_tf")
class FastConv2D(EnlargedConv2D):
    """A convolution of images, channels last, which can enlarge its inputs as `EnlargedConv2D` does."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the convolution of the inputs, which is the same in training and inference up to rounding.

        Args:
            inputs: float (batch, height, width, channels).
            training: whether gradients will be computed. If not, Keras's operations are used, because exported graphs
                must contain no others.
        """
        if not training or None in inputs.shape:
            return super().call(inputs)
        out_size = self.compute_output_shape(inputs.shape)[1:3]
        strides, padding = self.strides, self.padding.upper()
        axes = axes_of(
            inputs.shape[1:3], out_size, self.kernel_size, strides, padding, self._reflection, self.upsampled_size
        )
        shape = ConvolutionShape(axes, inputs.shape[0], inputs.shape[-1], self.filters, inputs.dtype.name)
        return _finish(self, convolve(chosen_algorithm(shape), shape, inputs, tf.convert_to_tensor(self.kernel)))


class FastEqualizedConv2D(EqualizedKernel, FastConv2D):
    """A convolution with the scaled kernel of `EqualizedConv2D`, computed as `FastConv2D` does."""


class FastSpectralConv2D(SpectralKernel, FastConv2D):
    """A convolution with the normalized kernel of `SpectralConv2D`, computed as `FastConv2D` does."""


@keras.saving.register_keras_serializable(package="histogan_tf")
class FastConv2DTranspose(keras.layers.Conv2DTranspose):
    """A transposed convolution of images, channels last."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the transposed convolution of the inputs, the same in training and inference up to rounding.

        Args:
            inputs: float (batch, height, width, channels).
            training: whether gradients will be computed. If not, Keras's operations are used, because exported graphs
                must contain no others.
        """
        if not training or None in inputs.shape:
            return super().call(inputs)
        # A transposed convolution is the gradient of a convolution that has its outputs as inputs; `axes` describe that
        # convolution.
        outputs_shape = self.compute_output_shape(inputs.shape)
        axes = axes_of(outputs_shape[1:3], inputs.shape[1:3], self.kernel_size, self.strides, self.padding.upper())
        num_images, _, _, channels = outputs_shape
        shape = ConvolutionShape(axes, num_images, channels, inputs.shape[-1], inputs.dtype.name, is_transposed=True)
        return _finish(self, convolve(chosen_algorithm(shape), shape, inputs, tf.convert_to_tensor(self.kernel)))


def _finish(layer: FastConv2D | FastConv2DTranspose, outputs: tf.Tensor) -> tf.Tensor:
    if layer.use_bias:
        add = tf.nn.bias_add if outputs.dtype == tf.float32 else _add_bias
        outputs = add(outputs, tf.convert_to_tensor(layer.bias))
    return layer.activation(outputs)


@tf.custom_gradient
def _add_bias(outputs: tf.Tensor, bias: tf.Tensor) -> tuple[tf.Tensor, Callable]:
    """Computes `tf.nn.bias_add` with a gradient that adds up in float32, whatever the type of the maps.

    That of TensorFlow, which Keras takes, adds up in bfloat16: over a batch of 64 maps of 25x25 pixels, half of the sum
    or more is lost. It also takes more time.
    """
    return tf.nn.bias_add(outputs, bias), lambda upstream: (upstream, tf.reduce_sum(upstream, axis=(0, 1, 2)))
