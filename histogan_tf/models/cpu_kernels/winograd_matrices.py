"""The matrices of Winograd's algorithm, and the sizes of a convolution along one axis that they depend on.

The module `winograd` explains the algorithm and names its sources.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.polynomial import polynomial

from histogan_tf.models.reflection import NO_MARGINS, Margins

POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
"""The points at which Winograd's polynomials are evaluated: small numbers that float32 holds exactly."""


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

    def taps_of(self, phase: int) -> list[int]:
        """Returns the places, in the whole kernel, of the taps of one of the kernels of stride 1."""
        return list(range(phase, self.taps, self.stride))

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
    sides = [(int(before), int(behind)) for before, behind in reflection]
    fields = zip(size, out_size, kernel_size, strides, (padding, padding), sides, strict=True)
    vertical, horizontal = (Axis(*of_axis) for of_axis in fields)
    return vertical, horizontal


class ProductRows(NamedTuple):
    """Neighbouring rows of the products of a tile, which are computed together.

    Attributes:
        first: the first row.
        stop: the row after the last.
        phase: the number of the kernel of stride 1, see `Axis.phases`, that the rows belong to.
    """

    first: int
    stop: int
    phase: int


class Transforms(NamedTuple):
    """The matrices that transform feature maps before the multiplications, and products after them.

    Attributes:
        forth: (products * tiles, pixels), for the vertical and the horizontal axis.
        back: (pixels, products * tiles), for the vertical and the horizontal axis.
        is_transposed: whether the factors of the kernel are transposed, as in a transposed convolution.
    """

    forth: Sequence[np.ndarray]
    back: Sequence[np.ndarray]
    is_transposed: bool

    @property
    def adjoint(self) -> Transforms:
        """The transforms by which the gradients of the maps are computed from those of the outputs."""
        forth, back = ([matrix.T for matrix in matrices] for matrices in (self.back, self.forth))
        return Transforms(forth, back, not self.is_transposed)


def strided_filtering(axis: Axis, tile: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns B^T, G and A^T, as `minimal_filtering` does, for a kernel with the stride of the axis.

    Each kernel of stride 1 into which the kernel is split takes every stride-th input, and the outputs are their sums.
    """
    num_products = axis.num_products(tile)
    of_inputs = np.zeros((num_products, (tile - 1) * axis.stride + axis.taps))
    of_kernel, of_products = np.zeros((num_products, axis.taps)), np.zeros((tile, num_products))
    first = 0
    for phase, taps in enumerate(axis.phases):
        rows = slice(first, first + tile + taps - 1)
        of_inputs[rows, phase :: axis.stride], of_kernel[rows, phase :: axis.stride], of_products[:, rows] = (
            minimal_filtering(tile, taps)
        )
        first = rows.stop
    return of_inputs, of_kernel, of_products


def for_all_tiles(of_tile: np.ndarray, num_tiles: int, step: int, margin: int, pixels: int) -> np.ndarray:
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
def minimal_filtering(tile: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns B^T, G and A^T of Lavin & Gray's F(tile, taps): outputs are A^T @ ((G @ kernel) * (B^T @ inputs))."""
    points = np.array(POINTS[: tile + taps - 2])
    at_infinity = np.eye(len(points) + 1)[-1]
    others = [points[points != point] for point in points]
    scales = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    kernel = np.vstack([points[:, None] ** np.arange(taps) / scales[:, None], at_infinity[-taps:]])
    products = np.hstack([points ** np.arange(tile)[:, None], at_infinity[-tile:, None]])
    inputs = np.zeros((len(points) + 1, len(points) + 1))
    for row, roots in enumerate([*others, points]):
        inputs[row, : len(roots) + 1] = polynomial.polyfromroots(roots)
    return inputs, kernel, products
