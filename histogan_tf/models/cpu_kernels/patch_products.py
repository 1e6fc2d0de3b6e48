"""A convolution and its gradients as products of matrices, for a few small maps and strides of 1 without padding.

TensorFlow's own operations rearrange the kernel of a convolution before they multiply. For a few small maps with many
channels, as at the end of a discriminator that judges one image at a time, that takes much of their time. Here the
kernel is a matrix as it lies in memory, and the inputs are rearranged instead: into a matrix of patches, one row for
each output (Chellapilla, Puri & Simard 2006, "High Performance Convolutional Neural Networks for Document Processing").
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf


def convolve_patches(inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes `tf.nn.conv2d` for strides of 1 and no padding.

    Args:
        inputs: float (batch, height, width, channels).
        kernel: float (kernel height, kernel width, channels, filters).

    Returns:
        float (batch, height - kernel height + 1, width - kernel width + 1, filters).
    """
    out_size = [pixels - taps + 1 for pixels, taps in zip(inputs.shape[1:3], kernel.shape[:2], strict=True)]
    outputs = tf.matmul(_patches(inputs, out_size), tf.reshape(kernel, (-1, kernel.shape[-1])))
    return tf.reshape(outputs, (-1, *out_size, kernel.shape[-1]))


def convolve_patches_transposed(maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes `tf.nn.conv2d_transpose`, which is the gradient of `convolve_patches` with respect to its inputs.

    Args:
        maps: float (batch, out_height, out_width, filters).
        kernel: float (kernel height, kernel width, channels, filters).

    Returns:
        float (batch, out_height + kernel height - 1, out_width + kernel width - 1, channels).
    """
    (_, out_height, out_width, filters), (height, width, channels, _) = maps.shape, kernel.shape
    matrix = tf.reshape(kernel, (-1, filters))
    patches = tf.matmul(tf.reshape(maps, (-1, filters)), matrix, transpose_b=True)
    patches = tf.reshape(patches, (-1, out_height, out_width, height, width * channels))
    rows = add_up(
        [tf.pad(patches[:, :, :, tap], [(0, 0), (tap, height - 1 - tap), (0, 0), (0, 0)]) for tap in range(height)]
    )
    taps = tf.split(rows, width, axis=3)
    return add_up([tf.pad(of_tap, [(0, 0), (0, 0), (tap, width - 1 - tap), (0, 0)]) for tap, of_tap in enumerate(taps)])


def kernel_gradient_of_patches(inputs: tf.Tensor, upstream: tf.Tensor) -> tf.Tensor:
    """Computes the gradient of the kernel of `convolve_patches`.

    Args:
        inputs: float (batch, height, width, channels).
        upstream: the gradient of the outputs, float (batch, out_height, out_width, filters).

    Returns:
        float (kernel height, kernel width, channels, filters).
    """
    _, height, width, channels = inputs.shape
    _, out_height, out_width, filters = upstream.shape
    upstream_rows = tf.reshape(upstream, (-1, filters))
    gradient = tf.matmul(_patches(inputs, (out_height, out_width)), upstream_rows, transpose_a=True)
    return tf.reshape(gradient, (height - out_height + 1, width - out_width + 1, channels, filters))


def _patches(inputs: tf.Tensor, out_size: Sequence[int]) -> tf.Tensor:
    """Returns a matrix with a row for each output: the inputs that it depends on, in the order of a kernel's values."""
    _, height, width, channels = inputs.shape
    out_height, out_width = out_size
    ways = [(down, right) for down in range(height - out_height + 1) for right in range(width - out_width + 1)]
    patches = [inputs[:, down : down + out_height, right : right + out_width] for down, right in ways]
    return tf.reshape(tf.concat(patches, axis=3), (-1, len(ways) * channels))


def add_up(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    """Returns the sum of tensors of one shape, in an order that is always the same, unlike that of `tf.add_n`."""
    return tf.reduce_sum(tf.stack(tensors), axis=0)
