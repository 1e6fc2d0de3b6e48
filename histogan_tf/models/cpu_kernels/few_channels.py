"""Convolutions to a few channels, such as the layer of a generator that ends in the three colours of an image.

TensorFlow's own kernels compute 16 channels at a time, and so do four fifths of their work in vain for three. Here
values that belong to several places are computed as channels of one place. A 7x7 kernel to 3 channels becomes a 7x1
kernel to 21 channels, 3 for each of its columns, and an output adds up 7 neighbours. A transposed convolution of
stride 2 with a 5x5 kernel to 3 channels becomes a 3x3 kernel to 12 channels: those of 2x2 outputs, which depend on the
same inputs.
"""

from __future__ import annotations

from collections.abc import Sequence

import tensorflow as tf

from histogan_tf.models.cpu_kernels.patch_products import add_up
from histogan_tf.models.cpu_kernels.winograd_matrices import Axis

ENOUGH_CHANNELS = 8
"""From this number on, channels are computed by one convolution: half of its work, or more, is for an output."""


def convolve_to_few_channels(inputs: tf.Tensor, kernel: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes `tf.nn.conv2d` for strides of 1.

    Args:
        inputs: float (batch, height, width, channels), after enlargement if the convolution has one.
        kernel: float (kernel height, kernel width, channels, filters) with a few filters.
        axes: the vertical and the horizontal axis.

    Returns:
        float (batch, out_height, out_width, filters).
    """
    assert all(axis.stride == 1 for axis in axes), axes
    return _correlate(inputs, kernel, [axis.margins for axis in axes])


def kernel_gradient_to_few_channels(inputs: tf.Tensor, upstream: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes the gradient of the kernel of `convolve_to_few_channels` by one product of matrices.

    The left matrix has a row for each tap and filter: the gradients of the outputs, shifted to the pixels that this tap
    was multiplied with.

    Args:
        inputs: float (batch, height, width, channels), after enlargement if the convolution has one.
        upstream: the gradient of the outputs, float (batch, out_height, out_width, filters), with a few filters.
        axes: the vertical and the horizontal axis.

    Returns:
        float (kernel height, kernel width, channels, filters).
    """
    assert all(axis.stride == 1 for axis in axes), axes
    _, height, width, channels = inputs.shape
    down, right = (axis.taps for axis in axes)
    margins = [(axis.taps - 1 - before, axis.taps - 1 - behind) for axis in axes for before, behind in [axis.margins]]
    maps = tf.pad(tf.transpose(upstream, (3, 0, 1, 2)), [(0, 0), (0, 0), *margins])
    shifted = [
        maps[:, :, row : row + height, column : column + width]
        for row in reversed(range(down))
        for column in reversed(range(right))
    ]
    num_rows = down * right * upstream.shape[3]
    gradient = tf.matmul(tf.reshape(tf.stack(shifted), (num_rows, -1)), tf.reshape(inputs, (-1, channels)))
    return tf.transpose(tf.reshape(gradient, (down, right, -1, channels)), (0, 1, 3, 2))


def convolve_transposed_to_few_channels(maps: tf.Tensor, kernel: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes `tf.nn.conv2d_transpose`, for two strides that are equal.

    With stride s, the output at place s * q + r adds up the taps r + s * i, each multiplied by the input at place
    q - i. So there is a kernel of stride 1 for each r.

    Args:
        maps: float (batch, out_height, out_width, filters).
        kernel: float (kernel height, kernel width, channels, filters) with a few channels.
        axes: the vertical and the horizontal axis of the convolution of which this is the gradient.

    Returns:
        float (batch, height, width, channels), after enlargement if the convolution has one.
    """
    (stride,) = {axis.stride for axis in axes}
    *taps, channels, filters = kernel.shape
    num_taps = [-(-of_axis // stride) for of_axis in taps]  # of each kernel of stride 1
    num_places = [-(-(axis.margins[0] + axis.enlarged_pixels) // stride) for axis in axes]
    kernel = tf.pad(
        kernel, [*((0, num * stride - of_axis) for num, of_axis in zip(num_taps, taps, strict=True)), (0, 0), (0, 0)]
    )
    kernel = tf.reshape(kernel, (num_taps[0], stride, num_taps[1], stride, channels, filters))
    kernel = tf.transpose(tf.reverse(kernel, [0, 2]), (0, 2, 5, 1, 3, 4))
    kernel = tf.reshape(kernel, (*num_taps, filters, stride * stride * channels))
    margins = [
        (num - 1, places - axis.out_pixels) for num, places, axis in zip(num_taps, num_places, axes, strict=True)
    ]
    outputs = _correlate(maps, kernel, margins)
    if stride > 1:
        outputs = tf.nn.depth_to_space(outputs, stride)
    (above, height), (left, width) = ((axis.margins[0], axis.enlarged_pixels) for axis in axes)
    return outputs[:, above : above + height, left : left + width]


def _correlate(maps: tf.Tensor, kernel: tf.Tensor, margins: Sequence[tuple[int, int]]) -> tf.Tensor:
    """Computes a convolution of stride 1.

    Args:
        maps: float (batch, height, width, channels).
        kernel: float (kernel height, kernel width, channels, filters).
        margins: how many zeros are added before and behind each axis; a negative number behind takes pixels away.
    """
    (_, below), (_, right) = margins
    if below < 0 or right < 0:
        maps = maps[:, : min(below, 0) or None, : min(right, 0) or None]
    padding = [(0, 0), *((before, max(behind, 0)) for before, behind in margins), (0, 0)]
    height, width, channels, filters = kernel.shape
    if filters >= ENOUGH_CHANNELS:
        return tf.nn.conv2d(maps, kernel, 1, padding)
    columns = tf.reshape(tf.transpose(kernel, (0, 2, 1, 3)), (height, 1, channels, width * filters))
    of_taps = tf.nn.conv2d(maps, columns, 1, padding)
    out_width = of_taps.shape[2] - width + 1
    return add_up([of_taps[:, :, tap : tap + out_width, tap * filters : (tap + 1) * filters] for tap in range(width)])
