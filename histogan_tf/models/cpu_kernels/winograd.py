"""Winograd's algorithm, which computes convolutions with fewer multiplications.

Along one axis, a kernel with r values (taps) needs m * r multiplications for a tile of m neighbouring outputs. Winograd
transforms inputs and kernel linearly to m + r - 1 values each, multiplies them one by one, and transforms the products
linearly to the outputs. In two dimensions, 5x5 outputs of a 3x3 kernel take 49 multiplications instead of 225. A kernel
of stride 2 is split into two kernels, of its even and its odd taps: 4x4 outputs of a 5x5 kernel take 121
multiplications instead of 400. For all images and channels together, the multiplications are a few products of
matrices, which a CPU computes at full speed.

Sources: Winograd, "Arithmetic Complexity of Computations", SIAM 1980; Lavin & Gray, "Fast Algorithms for Convolutional
Neural Networks", CVPR 2016, who call the matrices of the transforms B^T (inputs), G (kernel) and A^T (products). The
results differ from those of a plain convolution only by rounding. In float32, outputs and gradients of inputs differ by
at most 1e-5 of their norm, and gradients of kernels, which are sums over all pixels, by at most 5e-5.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
import tensorflow as tf
from numpy.polynomial import polynomial

from histogan_tf.models.reflection import NO_MARGINS, Margins

# The points at which Winograd's polynomials are evaluated: small numbers that float32 holds exactly, to round little.
_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
_TILES = (2, 3, 4, 5, 6)  # the numbers of outputs in a tile, along one axis, that are tried
# Costs on a CPU with AVX-512, in units of one multiplication of a plain convolution: of one multiplication of ours, of
# transforming one value along an axis for each pixel of that axis, and of transforming one value of the kernel. Strides
# need more memory, which multiplies the total.
_PRODUCT, _VALUE_AND_PIXEL, _KERNEL_VALUE, _STRIDED = 1.1, 2.0, 22.0, 1.5
_LEAST_GAIN = 1.05  # a plain convolution must cost this many times as much
_MOST_VALUES = 2**27  # float32 values of a layer's transformed inputs or products: 512 MB


@dataclasses.dataclass(frozen=True)
class Axis:
    """The sizes of a convolution along one axis.

    Attributes:
        pixels: the number of pixels of the inputs, before reflection.
        out_pixels: the number of pixels of the outputs.
        taps: the number of values of the kernel.
        stride: the distance of neighbouring outputs, in pixels of the inputs.
        padding: TensorFlow's `SAME` or `VALID`.
        reflection: the numbers of pixels by which the inputs are first enlarged before and behind, by reflection that
            does not repeat the edge.
    """

    pixels: int
    out_pixels: int
    taps: int
    stride: int
    padding: str
    reflection: tuple[int, int] = (0, 0)

    @property
    def reflected_pixels(self) -> int:
        """The number of pixels of the inputs after reflection."""
        return self.pixels + sum(self.reflection)

    @property
    def margins(self) -> tuple[int, int]:
        """The numbers of zeros to add before and behind the reflected inputs.

        The second is negative if the outputs do not use the last pixels: minus the number of these.
        """
        missing = (self.out_pixels - 1) * self.stride + self.taps - self.reflected_pixels
        before = max(missing, 0) // 2 if self.padding == "SAME" else 0
        return before, missing - before

    @property
    def phases(self) -> list[int]:
        """The numbers of taps of the kernels of stride 1 into which the kernel is split: every stride-th tap of it."""
        return [len(range(phase, self.taps, self.stride)) for phase in range(min(self.stride, self.taps))]

    def num_tiles(self, tile: int) -> int:
        """Returns the number of tiles, of `tile` outputs each, that cover all outputs."""
        return -(-self.out_pixels // tile)

    def num_products(self, tile: int) -> int:
        """Returns the number of multiplications for a tile of `tile` outputs."""
        return sum(tile + taps - 1 for taps in self.phases)


def axes_of(
    size: Sequence[int],
    out_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    reflection: Margins = NO_MARGINS,
) -> tuple[Axis, Axis]:
    """Returns the vertical and the horizontal axis of a convolution.

    Args:
        size: (height, width) of the inputs, before reflection.
        out_size: (height, width) of the outputs.
        kernel_size: (height, width) of the kernel.
        strides: the vertical and the horizontal stride.
        padding: `SAME` or `VALID`, for both axes.
        reflection: the pixels of reflection, ((above, below), (left, right)).
    """
    sides = map(tuple, reflection)
    fields = zip(size, out_size, kernel_size, strides, (padding, padding), sides, strict=True)
    vertical, horizontal = (Axis(*of_axis) for of_axis in fields)
    return vertical, horizontal


@functools.cache
def faster_than_plain(
    axes: tuple[Axis, Axis], num_images: int, channels: int, filters: int
) -> WinogradConvolution | None:
    """Returns Winograd's algorithm with the fastest tile for a shape of convolution, by the costs above.

    Args:
        axes: the vertical and the horizontal axis.
        num_images: the number of images in a batch.
        channels: the number of channels of the inputs.
        filters: the number of channels of the outputs.

    Returns:
        The algorithm; None if a plain convolution is faster.
    """
    plain = num_images * math.prod(axis.out_pixels * axis.taps for axis in axes) * channels * filters

    def cost(tile: int) -> float:
        factors = num_images * math.prod(axis.num_products(tile) * axis.num_tiles(tile) for axis in axes)
        if factors * max(channels, filters) > _MOST_VALUES:
            return math.inf
        kernel_values = math.prod(axis.num_products(tile) for axis in axes) * channels * filters
        values = factors * (channels + filters) * max(axis.pixels for axis in axes)
        total = _PRODUCT * factors * channels * filters + _VALUE_AND_PIXEL * values + _KERNEL_VALUE * kernel_values
        return total * (_STRIDED if max(axis.stride for axis in axes) > 1 else 1.0)

    most_taps = max(max(axis.phases) for axis in axes)
    tiles = [tile for tile in _TILES if tile + most_taps - 2 <= len(_POINTS)]
    best = min(tiles, key=cost, default=None)
    return WinogradConvolution(axes, best) if best and cost(best) * _LEAST_GAIN < plain else None


class WinogradConvolution:
    """Winograd's algorithm for one shape of convolution, and for the transposed convolution of the same shape.

    TensorFlow derives the gradients, which take as few multiplications.

    Args:
        axes: the vertical and the horizontal axis.
        tile: the number of outputs in a tile along each axis.
    """

    def __init__(self, axes: tuple[Axis, Axis], tile: int) -> None:
        self._num_tiles = [axis.num_tiles(tile) for axis in axes]
        self._num_products = [axis.num_products(tile) for axis in axes]
        self._of_inputs, self._of_products, of_kernel = [], [], []
        for axis, num_tiles in zip(axes, self._num_tiles, strict=True):
            inputs, kernel, products = _strided_filtering(axis, tile)
            step, (margin, _) = tile * axis.stride, axis.margins
            of_reflected = _for_all_tiles(inputs, num_tiles, step, margin, axis.reflected_pixels)
            mirrored = np.pad(np.arange(axis.pixels), axis.reflection, mode="reflect")
            self._of_inputs.append(of_reflected @ np.eye(axis.pixels)[mirrored])
            self._of_products.append(_for_all_tiles(products.T, num_tiles, tile, 0, axis.out_pixels).T)
            of_kernel.append(kernel)
        self._of_kernel = np.kron(*of_kernel)

    def convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Computes `tf.nn.conv2d` of the inputs, after the reflection of the axes.

        Args:
            inputs: float (batch, height, width, channels), before reflection.
            kernel: float (kernel height, kernel width, channels, filters).

        Returns:
            float (batch, out_height, out_width, filters).
        """
        products = tf.matmul(self._take_forth(inputs, self._of_inputs), self._kernel_factors(kernel))
        return self._take_back(products, self._of_products)

    def convolve_transposed(self, maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Computes `tf.nn.conv2d_transpose`, which is the gradient of `convolve` with respect to its inputs.

        Args:
            maps: float (batch, out_height, out_width, filters).
            kernel: float (kernel height, kernel width, channels, filters).

        Returns:
            float (batch, height, width, channels).
        """
        factors = self._take_forth(maps, [matrix.T for matrix in self._of_products])
        products = tf.matmul(factors, self._kernel_factors(kernel), transpose_b=True)
        return self._take_back(products, [matrix.T for matrix in self._of_inputs])

    def _kernel_factors(self, kernel: tf.Tensor) -> tf.Tensor:
        *size, channels, filters = kernel.shape
        factors = tf.matmul(_constant(self._of_kernel, kernel), tf.reshape(kernel, (math.prod(size), -1)))
        return tf.reshape(factors, (-1, channels, filters))

    def _take_forth(self, maps: tf.Tensor, matrices: Sequence[np.ndarray]) -> tf.Tensor:
        """Transforms feature maps along both axes, before the multiplications.

        Args:
            maps: float (batch, height, width, channels).
            matrices: the vertical and the horizontal transform.

        Returns:
            float (products of both axes, tiles of both axes * batch, channels).
        """
        num_images, height, width, channels = maps.shape
        vertical, horizontal = (_constant(matrix, maps) for matrix in matrices)
        rows = tf.reshape(tf.transpose(maps, (1, 2, 0, 3)), (height, -1))
        columns = tf.reshape(tf.matmul(vertical, rows), (-1, width, num_images * channels))
        factors = tf.matmul(horizontal, columns)
        (down, right), (tiles_down, _) = self._num_products, self._num_tiles
        factors = tf.transpose(tf.reshape(factors, (down, tiles_down, right, -1)), (0, 2, 1, 3))
        return tf.reshape(factors, (down * right, -1, channels))

    def _take_back(self, products: tf.Tensor, matrices: Sequence[np.ndarray]) -> tf.Tensor:
        """Transforms products, of the shape that `_take_forth` returns, along both axes to feature maps."""
        (down, right), (tiles_down, tiles_right) = self._num_products, self._num_tiles
        _, num_values, channels = products.shape
        vertical, horizontal = (_constant(matrix, products) for matrix in matrices)
        products = tf.transpose(tf.reshape(products, (down, right, tiles_down, -1)), (0, 2, 1, 3))
        columns = tf.reshape(products, (down * tiles_down, right * tiles_right, -1))
        rows = tf.reshape(tf.matmul(horizontal, columns), (down * tiles_down, -1))
        num_images = num_values // (tiles_down * tiles_right)
        maps = tf.reshape(tf.matmul(vertical, rows), (len(matrices[0]), len(matrices[1]), num_images, channels))
        return tf.transpose(maps, (2, 0, 1, 3))


def _strided_filtering(axis: Axis, tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns the matrices of `_minimal_filtering` for a kernel with the stride of the axis.

    Each kernel of stride 1 into which the kernel is split takes every stride-th input, and the outputs are their sums.
    """
    num_products = axis.num_products(tile)
    of_inputs = np.zeros((num_products, (tile - 1) * axis.stride + axis.taps))
    of_kernel, of_products = np.zeros((num_products, axis.taps)), np.zeros((tile, num_products))
    first = 0
    for phase, taps in enumerate(axis.phases):
        rows = slice(first, first + tile + taps - 1)
        of_inputs[rows, phase :: axis.stride], of_kernel[rows, phase :: axis.stride], of_products[:, rows] = (
            _minimal_filtering(tile, taps)
        )
        first = rows.stop
    return of_inputs, of_kernel, of_products


def _for_all_tiles(of_tile: np.ndarray, num_tiles: int, step: int, margin: int, pixels: int) -> np.ndarray:
    """Returns the matrix that transforms all tiles of an axis at once.

    Args:
        of_tile: the matrix for one tile, (rows, columns).
        num_tiles: the number of tiles.
        step: the distance of neighbouring tiles, in pixels.
        margin: the number of zeros before the first pixel, at which the first tile begins.
        pixels: the number of pixels of the axis.

    Returns:
        The matrix, (rows * num_tiles, pixels).
    """
    rows, columns = of_tile.shape
    matrix = np.zeros((rows, num_tiles, max(margin + pixels, (num_tiles - 1) * step + columns)))
    for number in range(num_tiles):
        matrix[:, number, number * step : number * step + columns] = of_tile
    return matrix[..., margin : margin + pixels].reshape(-1, pixels)


@functools.cache
def _minimal_filtering(tile: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns B^T, G and A^T of Lavin & Gray's F(tile, taps): outputs are A^T @ ((G @ kernel) * (B^T @ inputs))."""
    points = np.array(_POINTS[: tile + taps - 2])
    at_infinity = np.eye(len(points) + 1)[-1]
    others = [points[points != point] for point in points]
    scales = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    kernel = np.vstack([points[:, None] ** np.arange(taps) / scales[:, None], at_infinity[-taps:]])
    products = np.hstack([points ** np.arange(tile)[:, None], at_infinity[-tile:, None]])
    inputs = np.zeros((len(points) + 1, len(points) + 1))
    for row, roots in enumerate([*others, points]):
        inputs[row, : len(roots) + 1] = polynomial.polyfromroots(roots)
    return inputs, kernel, products


def _constant(matrix: np.ndarray, like: tf.Tensor) -> tf.Tensor:
    return tf.constant(matrix, like.dtype)
