"""Convolutions of upsampled maps that multiply before they upsample, with a quarter of the multiplications.

A convolution adds up the products of its taps and of pixels, and upsampling and adding up may change places, since both
are linear. So each tap of the kernel is multiplied with each pixel of the maps in their original size, in one product
of matrices. What is left are the sums of the products with the weights of bilinear interpolation, which do not depend
on the kernel: they are taken along one axis after the other, by one matrix for each axis. Large maps are divided into
blocks, since most entries of such a matrix would be 0.
"""

from __future__ import annotations

import functools
import math
from typing import NamedTuple

import numpy as np
import tensorflow as tf

from histogan_tf.models.cpu_kernels.winograd_matrices import Axis

_MOST_OUTPUTS = 64  # of a block, along an axis


def convolve_before_upsampling(inputs: tf.Tensor, kernel: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    """Computes `tf.nn.conv2d` of enlarged inputs. TensorFlow can derive the gradients.

    Args:
        inputs: float (batch, height, width, channels), before enlargement.
        kernel: float (kernel height, kernel width, channels, filters).
        axes: the vertical and the horizontal axis.

    Returns:
        float (batch, out_height, out_width, filters).
    """
    num_images, *_, channels = inputs.shape
    down, right, _, filters = kernel.shape
    vertical, horizontal = (_blocks_of(axis) for axis in axes)
    pixels = tf.reshape(_divided(inputs, vertical, horizontal), (-1, channels))
    columns = tf.reshape(tf.transpose(kernel, (2, 1, 0, 3)), (channels, right * down * filters))
    products = tf.reshape(
        tf.matmul(pixels, columns), (-1, horizontal.num_blocks, horizontal.num_products, down * filters)
    )
    rows = tf.matmul(tf.constant(horizontal.weights, inputs.dtype), products)
    rows = tf.reshape(rows, (-1, horizontal.num_blocks * horizontal.num_outputs, down, filters))
    rows = tf.reshape(tf.transpose(rows, (0, 2, 1, 3)), (num_images, vertical.num_blocks, vertical.num_products, -1))
    outputs = tf.matmul(tf.constant(vertical.weights, inputs.dtype), rows)
    whole = [blocks.num_blocks * blocks.num_outputs for blocks in (vertical, horizontal)]
    outputs = tf.reshape(outputs, (num_images, *whole, filters))
    out_size = [axis.out_pixels for axis in axes]
    # The gradient of Python's slices takes many times as long.
    return outputs if whole == out_size else tf.slice(outputs, (0, 0, 0, 0), (-1, *out_size, -1))


def relative_cost(axes: tuple[Axis, Axis], channels: int) -> float:
    """Returns the number of multiplications over that of a plain convolution, with those of the sums."""
    vertical, horizontal = (_blocks_of(axis) for axis in axes)
    of_products = vertical.num_blocks * vertical.num_products * horizontal.num_blocks * horizontal.num_products
    of_rows = of_products * horizontal.num_outputs / channels
    of_outputs = (
        vertical.num_products
        * math.prod(blocks.num_blocks * blocks.num_outputs for blocks in (vertical, horizontal))
        / channels
    )
    of_plain = math.prod(axis.out_pixels * axis.taps for axis in axes)
    return (of_products + of_rows + of_outputs) / of_plain


class _Blocks(NamedTuple):
    """The blocks into which the outputs of an axis are divided, and the products that each of them depends on.

    Attributes:
        pixels: the numbers of the pixels that each block depends on, (blocks, pixels of a block).
        weights: how much each product counts for each output of a block, (blocks, outputs of a block, pixels of a block
            * taps); 0 for outputs behind the last.
    """

    pixels: np.ndarray
    weights: np.ndarray

    @property
    def num_blocks(self) -> int:
        return len(self.pixels)

    @property
    def num_outputs(self) -> int:
        return self.weights.shape[1]

    @property
    def num_products(self) -> int:
        return self.weights.shape[2]


@functools.cache
def _blocks_of(axis: Axis) -> _Blocks:
    before, behind = axis.margins
    enlargement = np.pad(axis.enlargement, [(before, max(behind, 0)), (0, 0)])
    of_taps = [enlargement[tap :: axis.stride][: axis.out_pixels] for tap in range(axis.taps)]
    weights = np.stack(of_taps, axis=2)  # (out_pixels, pixels, taps)
    num_blocks = -(-axis.out_pixels // _MOST_OUTPUTS)
    num_outputs = -(-axis.out_pixels // num_blocks)
    weights = np.pad(weights, [(0, num_blocks * num_outputs - axis.out_pixels), (0, 0), (0, 0)])
    blocks = weights.reshape(num_blocks, num_outputs, axis.pixels, axis.taps)
    seen = [np.flatnonzero(block.any(axis=(0, 2))) for block in blocks]
    num_pixels = max(numbers[-1] + 1 - numbers[0] for numbers in seen)
    firsts = [min(numbers[0], axis.pixels - num_pixels) for numbers in seen]
    pixels = np.array([range(first, first + num_pixels) for first in firsts])
    of_blocks = [block[:, numbers].reshape(num_outputs, -1) for block, numbers in zip(blocks, pixels, strict=True)]
    return _Blocks(pixels, np.stack(of_blocks))


def _divided(inputs: tf.Tensor, vertical: _Blocks, horizontal: _Blocks) -> tf.Tensor:
    """Returns the pixels of all blocks, (batch * rows of all blocks, columns of all blocks, channels)."""
    num_images, height, width, channels = inputs.shape
    if vertical.num_blocks > 1:
        rows = _selection(vertical, height, inputs.dtype)
        inputs = tf.matmul(rows, tf.reshape(inputs, (num_images, height, width * channels)))
    inputs = tf.reshape(inputs, (-1, width, channels))
    if horizontal.num_blocks > 1:
        inputs = tf.matmul(_selection(horizontal, width, inputs.dtype), inputs)
    return inputs


def _selection(blocks: _Blocks, num_pixels: int, dtype: tf.DType) -> tf.Tensor:
    """Returns a matrix of 0 and 1, whose gradient, unlike that of `tf.gather`, adds up in a fixed order."""
    return tf.constant(np.eye(num_pixels)[blocks.pixels.reshape(-1)], dtype)
