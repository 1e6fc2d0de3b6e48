"""Keras's convolutions, which compute their training steps on a CPU in the fastest of several equivalent ways.

Weights, names and inference are Keras's own. `algorithms` has the ways, and `algorithm_choice` says which is taken.
"""

from __future__ import annotations

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels.algorithm_choice import chosen_algorithm
from histogan_tf.models.cpu_kernels.algorithms import PLAIN, ConvolutionShape, convolve
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of
from histogan_tf.models.equalized import EqualizedKernel
from histogan_tf.models.reflection import ReflectedConv2D
from histogan_tf.models.spectral import SpectralKernel


@keras.saving.register_keras_serializable(package="histogan_tf")
class FastConv2D(ReflectedConv2D):
    """A convolution of images, channels last, which takes `reflection` as `ReflectedConv2D` does."""

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
        axes = axes_of(inputs.shape[1:3], out_size, self.kernel_size, strides, padding, self._reflection)
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
        algorithm = chosen_algorithm(shape)
        if algorithm == PLAIN:
            return super().call(inputs)
        return _finish(self, convolve(algorithm, shape, inputs, tf.convert_to_tensor(self.kernel)))


def _finish(layer: FastConv2D | FastConv2DTranspose, outputs: tf.Tensor) -> tf.Tensor:
    return layer.activation(tf.nn.bias_add(outputs, layer.bias) if layer.use_bias else outputs)
