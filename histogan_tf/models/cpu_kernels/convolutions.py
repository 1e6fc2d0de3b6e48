"""Keras's convolutions, which compute their training steps on a CPU in the fastest of several equivalent ways.

On a CPU, TensorFlow computes convolutions and their gradients with oneDNN's kernels. For some shapes of layers these
kernels are several times slower than others that give the same result. Weights, names and inference are Keras's own.

- The gradient of a kernel is itself a convolution: of the inputs by the gradients of the outputs, with the axes of
  images and channels exchanged. For small feature maps and large kernels, as in the deeper half of a DCGAN, this
  convolution takes a half to a fifth of the time.
- For one or two images in bfloat16, one product of matrices gives the gradient of a kernel still faster.
- In float32, where a multiplication costs twice as much as in bfloat16, Winograd's algorithm needs half of the
  multiplications or fewer.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels.winograd import WinogradConvolution, faster_than_plain
from histogan_tf.models.cpu_kernels.winograd_matrices import Axis, axes_of
from histogan_tf.models.equalized import EqualizedKernel
from histogan_tf.models.reflection import ReflectedConv2D
from histogan_tf.models.spectral import SpectralKernel

# Limits measured on a CPU with AVX-512, by the dtype: beyond them, TensorFlow's own kernels are as fast or faster.
_LEAST_CHANNELS = 32
_LEAST_IMAGES_BY_CONVOLUTION = {"float32": 16, "bfloat16": 4}
_MOST_POSITIONS = {"float32": 50, "bfloat16": 200}
_MOST_IMAGES_BY_PRODUCTS = {"float32": 0, "bfloat16": 2}


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
        winograd = _faster_winograd(axes, inputs.shape, self.filters, inputs.dtype)
        if winograd:
            return _finish(self, winograd.convolve(inputs, tf.convert_to_tensor(self.kernel)))
        inputs = self._reflected(inputs)
        find_gradient = _faster_kernel_gradient(axes, inputs.shape, inputs.dtype)
        if not find_gradient:
            return _finish(self, tf.nn.conv2d(inputs, tf.convert_to_tensor(self.kernel), strides, padding))

        @tf.custom_gradient
        def convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_inputs = tf.nn.conv2d_transpose(upstream, kernel, inputs.shape, strides, padding)
                return of_inputs, find_gradient(inputs, upstream, axes)

            return tf.nn.conv2d(inputs, kernel, strides, padding), gradients

        return _finish(self, convolve(inputs, tf.convert_to_tensor(self.kernel)))


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
        strides, padding = self.strides, self.padding.upper()
        axes = axes_of(outputs_shape[1:3], inputs.shape[1:3], self.kernel_size, strides, padding)
        winograd = _faster_winograd(axes, outputs_shape, inputs.shape[-1], inputs.dtype)
        if winograd:
            return _finish(self, winograd.convolve_transposed(inputs, tf.convert_to_tensor(self.kernel)))
        find_gradient = _faster_kernel_gradient(axes, outputs_shape, inputs.dtype)
        if not find_gradient:
            return super().call(inputs)

        @tf.custom_gradient
        def convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_inputs = tf.nn.conv2d(upstream, kernel, strides, padding)
                return of_inputs, find_gradient(upstream, inputs, axes)

            return tf.nn.conv2d_transpose(inputs, kernel, outputs_shape, strides, padding), gradients

        return _finish(self, convolve(inputs, tf.convert_to_tensor(self.kernel)))


def kernel_gradient_by_convolution(inputs: tf.Tensor, upstream: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes the gradient of a convolution's kernel by another convolution.

    Args:
        inputs: the inputs of the convolution, float (batch, height, width, channels), enlarged by reflection if the
            convolution has one.
        upstream: the gradient of the outputs, float (batch, out_height, out_width, filters).
        axes: the vertical and the horizontal axis of the convolution.

    Returns:
        The gradient, (kernel height, kernel width, channels, filters), of the inputs' dtype.
    """
    # Zeros that the convolution adds before and behind each axis; a negative number behind: pixels that it never reads.
    margins = [axis.margins for axis in axes]
    (_, below), (_, right) = margins
    seen = inputs[:, : below if below < 0 else None, : right if right < 0 else None]
    gradient = tf.nn.conv2d(
        tf.transpose(seen, (3, 1, 2, 0)),
        tf.transpose(upstream, (1, 2, 0, 3)),
        strides=1,
        padding=[(0, 0), *((before, max(behind, 0)) for before, behind in margins), (0, 0)],
        dilations=[axis.stride for axis in axes],
    )
    return tf.transpose(gradient, (1, 2, 0, 3))


def kernel_gradient_by_product(inputs: tf.Tensor, upstream: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes the gradient of a convolution's kernel by one product of matrices, for strides of 1 and no padding.

    The rows of all images, laid end to end, form one long row of pixels. The pixels that one place of the kernel is
    multiplied with are this long row, shifted by a fixed distance. The shifted row has more pixels than there are
    outputs; the gradients for the others are set to 0.

    Args and returns are those of `kernel_gradient_by_convolution`.
    """
    assert _has_plain_steps(axes), axes
    num_images, height, width, channels = inputs.shape
    _, out_height, out_width, filters = upstream.shape
    vertical, horizontal = axes
    ways = [down * width + right for down in range(vertical.taps) for right in range(horizontal.taps)]
    num_pixels = num_images * height * width - ways[-1]
    pixels = tf.reshape(inputs, (-1, channels))
    seen = tf.concat([pixels[way : way + num_pixels] for way in ways], axis=1)
    gradients = tf.pad(upstream, [(0, 0), (0, height - out_height), (0, width - out_width), (0, 0)])
    gradients = tf.reshape(gradients, (-1, filters))[:num_pixels]
    product = tf.matmul(seen, gradients, transpose_a=True)
    return tf.reshape(product, (vertical.taps, horizontal.taps, channels, filters))


def _faster_winograd(
    axes: tuple[Axis, Axis], images_shape: Sequence[int], filters: int, dtype: tf.DType
) -> WinogradConvolution | None:
    """Returns Winograd's algorithm for images of this shape, or None if TensorFlow's own convolution is faster."""
    # It adds larger numbers than a plain convolution, so that bfloat16, with 8 significant bits, would lose precision.
    return faster_than_plain(axes, images_shape[0], images_shape[-1], filters) if dtype == tf.float32 else None


def _faster_kernel_gradient(
    axes: tuple[Axis, Axis], images_shape: Sequence[int], dtype: tf.DType
) -> Callable[[tf.Tensor, tf.Tensor, tuple[Axis, Axis]], tf.Tensor] | None:
    """Returns the function that computes the gradient of a kernel fastest, or None if that is TensorFlow's own."""
    num_images, _, _, channels = images_shape
    is_large = math.prod(axis.out_pixels for axis in axes) > _MOST_POSITIONS.get(dtype.name, 0)
    if channels < _LEAST_CHANNELS or is_large:
        return None
    if num_images >= _LEAST_IMAGES_BY_CONVOLUTION[dtype.name]:
        return kernel_gradient_by_convolution
    if _has_plain_steps(axes) and num_images <= _MOST_IMAGES_BY_PRODUCTS[dtype.name]:
        return kernel_gradient_by_product
    return None


def _has_plain_steps(axes: tuple[Axis, Axis]) -> bool:
    return all(axis.stride == 1 and axis.padding == "VALID" for axis in axes)


def _finish(layer: FastConv2D | FastConv2DTranspose, outputs: tf.Tensor) -> tf.Tensor:
    return layer.activation(tf.nn.bias_add(outputs, layer.bias) if layer.use_bias else outputs)
