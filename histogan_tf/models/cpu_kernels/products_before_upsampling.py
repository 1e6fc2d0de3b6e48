"""Convolutions of upsampled maps that multiply before they upsample, with a quarter of the multiplications.

A convolution adds up the products of its taps and of pixels, and upsampling and adding up may change places, since both
are linear. So each tap of the kernel is multiplied with each pixel of the maps in their original size, in one product
of matrices. What is left are the sums of the products with the weights of bilinear interpolation, which do not depend
on the kernel: they are taken along one axis after the other, by one matrix for each axis.
"""

from __future__ import annotations

import math

import numpy as np
import tensorflow as tf

from histogan_tf.models.cpu_kernels.winograd_matrices import Axis


def convolve_before_upsampling(inputs: tf.Tensor, kernel: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes `tf.nn.conv2d` of enlarged inputs. TensorFlow can derive the gradients.

    Args:
        inputs: float (batch, height, width, channels), before enlargement.
        kernel: float (kernel height, kernel width, channels, filters).
        axes: the vertical and the horizontal axis.

    Returns:
        float (batch, out_height, out_width, filters).
    """
    num_images, height, width, channels = inputs.shape
    down, right, _, filters = kernel.shape
    vertical, horizontal = (tf.constant(_weights_of_products(axis), inputs.dtype) for axis in axes)
    columns = tf.reshape(tf.transpose(kernel, (2, 1, 0, 3)), (channels, right * down * filters))
    products = tf.matmul(tf.reshape(inputs, (-1, channels)), columns)
    rows = tf.matmul(horizontal, tf.reshape(products, (num_images * height, width * right, down * filters)))
    rows = tf.transpose(tf.reshape(rows, (num_images, height, -1, down, filters)), (0, 1, 3, 2, 4))
    outputs = tf.matmul(vertical, tf.reshape(rows, (num_images, height * down, -1)))
    return tf.reshape(outputs, (num_images, *(axis.out_pixels for axis in axes), filters))


def relative_cost(axes: tuple[Axis, Axis], channels: int) -> float:
    """Returns the number of multiplications over that of a plain convolution, with those of the sums."""
    vertical, horizontal = axes
    out_values = math.prod(axis.out_pixels for axis in axes)
    of_products = math.prod(axis.pixels * axis.taps for axis in axes)
    of_rows = of_products * horizontal.out_pixels / channels
    of_outputs = vertical.pixels * vertical.taps * out_values / channels
    return (of_products + of_rows + of_outputs) / (out_values * math.prod(axis.taps for axis in axes))


def _weights_of_products(axis: Axis) -> np.ndarray:
    """Returns how much each product counts for each output of an axis, (out_pixels, pixels * taps)."""
    before, behind = axis.margins
    enlargement = np.pad(axis.enlargement, [(before, max(behind, 0)), (0, 0)])
    of_taps = [enlargement[tap :: axis.stride][: axis.out_pixels] for tap in range(axis.taps)]
    return np.stack(of_taps, axis=2).reshape(axis.out_pixels, -1)
