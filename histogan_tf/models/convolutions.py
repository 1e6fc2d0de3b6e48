"""Keras's convolutions, with a faster gradient of their kernels on a CPU.

The gradient of a kernel is itself a convolution: of the inputs by the gradients of the outputs, with channels in the
place of images and images in the place of channels. Where maps are small and kernels large, as in the deeper half of a
DCGAN, oneDNN makes that convolution in a half to a fifth of the time that its own kernel gradient takes. Weights,
names, outputs and inference are Keras's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import keras
import tensorflow as tf

# Measured on a CPU with AVX-512; beyond these, TensorFlow's own kernel gradient is as fast or faster.
_LEAST_IMAGES = 16
_LEAST_CHANNELS = 32
_MOST_POSITIONS = {"float32": 50, "bfloat16": 200}


@keras.saving.register_keras_serializable(package="histogan_tf")
class Conv2D(keras.layers.Conv2D):
    """A convolution of images, channels last."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The same in training and inference.

        Args:
            inputs: float (batch, height, width, channels).
            training: whether gradients will be asked for; exported graphs keep to Keras's operations.
        """
        outputs_shape = self.compute_output_shape(inputs.shape)
        if not training or not _is_faster_as_convolution(inputs.shape, outputs_shape[1:3], inputs.dtype):
            return super().call(inputs)
        strides, padding = self.strides, self.padding.upper()

        @tf.custom_gradient
        def convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_inputs = tf.nn.conv2d_transpose(upstream, kernel, inputs.shape, strides, padding)
                return of_inputs, kernel_gradient(inputs, upstream, kernel.shape[:2], strides, padding)

            return tf.nn.conv2d(inputs, kernel, strides, padding), gradients

        return _finish(self, convolve(inputs, tf.convert_to_tensor(self.kernel)))


@keras.saving.register_keras_serializable(package="histogan_tf")
class Conv2DTranspose(keras.layers.Conv2DTranspose):
    """A transposed convolution of images, channels last."""

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The same in training and inference.

        Args:
            inputs: float (batch, height, width, channels).
            training: as in `Conv2D`.
        """
        outputs_shape = self.compute_output_shape(inputs.shape)
        # Its kernel's gradient is that of the convolution from its outputs to its inputs.
        if not training or not _is_faster_as_convolution(outputs_shape, inputs.shape[1:3], inputs.dtype):
            return super().call(inputs)
        strides, padding = self.strides, self.padding.upper()

        @tf.custom_gradient
        def convolve(inputs: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
                of_inputs = tf.nn.conv2d(upstream, kernel, strides, padding)
                return of_inputs, kernel_gradient(upstream, inputs, kernel.shape[:2], strides, padding)

            return tf.nn.conv2d_transpose(inputs, kernel, outputs_shape, strides, padding), gradients

        return _finish(self, convolve(inputs, tf.convert_to_tensor(self.kernel)))


def kernel_gradient(
    inputs: tf.Tensor, upstream: tf.Tensor, kernel_size: Sequence[int], strides: Sequence[int], padding: str
) -> tf.Tensor:
    """Gradient of the kernel of `tf.nn.conv2d(inputs, kernel, strides, padding)`, by a convolution.

    Args:
        inputs: float (batch, height, width, channels).
        upstream: float (batch, out_height, out_width, filters), the gradient of the outputs.
        kernel_size: height and width.
        strides: likewise.
        padding: "SAME" or "VALID".

    Returns:
        Float (kernel height, kernel width, channels, filters), of the inputs' type.
    """
    sizes = zip(inputs.shape[1:3], upstream.shape[1:3], kernel_size, strides, strict=True)
    # What the outputs saw of each side: some zeros before it, the pixels, some zeros behind it or pixels left out.
    margins = []
    for pixels, out_pixels, kernel_pixels, stride in sizes:
        missing = (out_pixels - 1) * stride + kernel_pixels - pixels
        before = max(missing, 0) // 2 if padding == "SAME" else 0
        margins.append((before, missing - before))
    (_, below), (_, right) = margins
    seen = inputs[:, : below if below < 0 else None, : right if right < 0 else None]
    gradient = tf.nn.conv2d(
        tf.transpose(seen, (3, 1, 2, 0)),
        tf.transpose(upstream, (1, 2, 0, 3)),
        strides=1,
        padding=[(0, 0), *((before, max(behind, 0)) for before, behind in margins), (0, 0)],
        dilations=strides,
    )
    return tf.transpose(gradient, (1, 2, 0, 3))


def _is_faster_as_convolution(images_shape: Sequence[int | None], out_size: Sequence[int], dtype: tf.DType) -> bool:
    """Whether `kernel_gradient` is, for a convolution from images of this shape to maps of this size."""
    num_images, _, _, channels = images_shape
    return (
        num_images is not None
        and num_images >= _LEAST_IMAGES
        and channels >= _LEAST_CHANNELS
        and out_size[0] * out_size[1] <= _MOST_POSITIONS.get(dtype.name, 0)
        and not tf.config.list_logical_devices("GPU")
    )


def _finish(layer: Conv2D | Conv2DTranspose, outputs: tf.Tensor) -> tf.Tensor:
    return layer.activation(tf.nn.bias_add(outputs, layer.bias) if layer.use_bias else outputs)
