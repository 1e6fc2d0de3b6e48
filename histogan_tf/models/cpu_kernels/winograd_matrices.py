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

from histogan_tf.models.enlargement import NO_MARGINS, Margins


def _opposite(*points: float) -> tuple[float, ...]:
    return tuple(point for positive in points for point in (positive, -positive))


POINTS = {
    0: (),
    1: (0.0,),
    2: _opposite(5 / 8),
    3: (0.0, *_opposite(1)),
    4: _opposite(3 / 8, 5 / 4),
    5: (0.0, *_opposite(5 / 8, 3 / 2)),
    6: _opposite(5 / 16, 7 / 8, 7 / 4),
    7: (0.0, *_opposite(1 / 2, 1, 2)),
    8: _opposite(1 / 4, 11 / 16, 9 / 8, 9 / 4),
}
"""The points at which Winograd's polynomials are evaluated, by how many there are. With the infinite one in addition.

Rounding errors grow with the entries of the matrices, and so depend on the points. These are the best pairs of opposite
multiples of 1/8, and of 1/16 below 3/4, for kernels of three taps, by the norms of the matrices. Along one axis, the
usual 0, 1, -1, 2, -2, 1/2, -1/2 are as good for seven points, and 1.3 to 1.5 times as bad for four to six; with 4 as
the eighth point they are twice as bad. Barabasz, Anderson, Soodhalter & Gregg 2020, "Error Analysis and Improving the
Accuracy of Winograd Convolution for Deep Neural Networks", compare many sets.
"""


class Phase(NamedTuple):
    """One of the kernels of stride 1 into which a kernel of stride s is split: every s-th tap of it.

    It takes every s-th pixel. These are its inputs. Number 0 is the one that its first tap takes for the first output.

    Either the outputs are divided into tiles, each of which takes the inputs that it depends on. Or, where zeros around
    the pixels leave fewer inputs than outputs, the inputs are divided, and each tile adds to all outputs that depend on
    it. The one is the transpose of the other.

    Attributes:
        number: the place of its first tap in the whole kernel.
        num_taps: the number of its taps.
        inputs: the numbers of the inputs that are pixels; those before and behind are zeros.
        first_pixel: the pixel, after enlargement, of the first of these inputs.
        num_outputs: the number of outputs.
    """

    number: int
    num_taps: int
    inputs: range
    first_pixel: int
    num_outputs: int

    @property
    def divides_inputs(self) -> bool:
        """Whether the inputs are divided into tiles, and not the outputs."""
        return len(self.inputs) < self.num_outputs

    def size_of_tile(self, num_tiles: int) -> int:
        """Returns the number of outputs, or of inputs, in a tile."""
        return max(1, -(-min(len(self.inputs), self.num_outputs) // num_tiles))

    def num_products(self, num_tiles: int) -> int:
        """Returns the number of multiplications for a tile."""
        return self.size_of_tile(num_tiles) + self.num_taps - 1


@dataclasses.dataclass(frozen=True)
class Axis:
    """The sizes of a convolution along one axis.

    Attributes:
        pixels: the number of pixels of the inputs, before enlargement.
        out_pixels: the number of pixels of the outputs.
        taps: the number of values of the kernel.
        stride: the distance of neighbouring outputs, in pixels of the inputs.
        padding: TensorFlow's `SAME` or `VALID`.
        reflection: the numbers of pixels by which the inputs are first enlarged before and behind, by reflection that
            does not repeat the edge.
        upsampled_pixels: the number of pixels of the inputs after bilinear upsampling to twice their size, of which the
            last is cut off if it is one too many; None without. It comes before reflection.
    """

    pixels: int
    out_pixels: int
    taps: int
    stride: int
    padding: str
    reflection: tuple[int, int] = (0, 0)
    upsampled_pixels: int | None = None

    @property
    def enlarged_pixels(self) -> int:
        """The number of pixels of the inputs after upsampling and reflection."""
        return (self.upsampled_pixels or self.pixels) + sum(self.reflection)

    @property
    def enlargement(self) -> np.ndarray:
        """The matrix that enlarges the inputs, (enlarged pixels, pixels)."""
        upsampled = np.eye(self.pixels)
        if self.upsampled_pixels is not None:
            before, behind = upsampled[[0, *range(self.pixels - 1)]], upsampled[[*range(1, self.pixels), -1]]
            twice = np.stack([upsampled * 3 / 4 + before / 4, upsampled * 3 / 4 + behind / 4], axis=1)
            upsampled = twice.reshape(-1, self.pixels)[: self.upsampled_pixels]
        return upsampled[np.pad(np.arange(len(upsampled)), self.reflection, mode="reflect")]

    @property
    def margins(self) -> tuple[int, int]:
        """The numbers of zeros to add before and behind the enlarged inputs.

        The second is negative if the outputs do not use the last pixels: minus the number of these.
        """
        missing = (self.out_pixels - 1) * self.stride + self.taps - self.enlarged_pixels
        before = max(missing, 0) // 2 if self.padding == "SAME" else 0
        return before, missing - before

    @property
    def phases(self) -> list[Phase]:
        """The kernels of stride 1 into which the kernel is split."""
        before, _ = self.margins
        phases = []
        for number in range(min(self.stride, self.taps)):
            num_taps = len(self.taps_of(number))
            pixels = np.arange(self.out_pixels + num_taps - 1) * self.stride + number - before
            first, stop = np.searchsorted(pixels, (0, self.enlarged_pixels))
            phases.append(Phase(number, num_taps, range(first, stop), int(pixels[first]), self.out_pixels))
        return phases

    def taps_of(self, phase: int) -> list[int]:
        """Returns the places, in the whole kernel, of the taps of one of the kernels of stride 1."""
        return list(range(phase, self.taps, self.stride))

    def num_tiles(self, tile: int) -> int:
        """Returns the number of tiles, of at most `tile` outputs each, that cover all outputs."""
        return -(-self.out_pixels // tile)

    def num_points(self, tile: int) -> int:
        """Returns the number of `POINTS` that a tile of `tile` outputs needs."""
        return max(phase.num_products(self.num_tiles(tile)) for phase in self.phases) - 1

    def num_products(self, tile: int) -> int:
        """Returns the number of multiplications for a tile of `tile` outputs."""
        return sum(phase.num_products(self.num_tiles(tile)) for phase in self.phases)


def axes_of(
    size: Sequence[int],
    out_size: Sequence[int],
    kernel_size: Sequence[int],
    strides: Sequence[int],
    padding: str,
    reflection: Margins = NO_MARGINS,
    upsampled_size: tuple[int, int] | None = None,
) -> tuple[Axis, Axis]:
    """Returns the vertical and the horizontal axis of a convolution.

    Args:
        size: (height, width) of the inputs, before enlargement.
        out_size: (height, width) of the outputs.
        kernel_size: (height, width) of the kernel.
        strides: the vertical and the horizontal stride.
        padding: `SAME` or `VALID`, for both axes.
        reflection: the pixels of reflection, ((above, below), (left, right)).
        upsampled_size: the (height, width) to which the inputs are upsampled before that; None without.
    """
    sides = [(int(before), int(behind)) for before, behind in reflection]
    upsampled_sides = upsampled_size or (None, None)
    fields = zip(size, out_size, kernel_size, strides, (padding, padding), sides, upsampled_sides, strict=True)
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


class TiledFiltering(NamedTuple):
    """The matrices of Winograd's algorithm for all tiles of an axis, by the letters of Lavin & Gray.

    Attributes:
        of_inputs: B^T for all tiles, (products * tiles, pixels before enlargement).
        of_kernel: G, (products, taps).
        of_products: A^T for all tiles, (out_pixels, products * tiles).
    """

    of_inputs: np.ndarray
    of_kernel: np.ndarray
    of_products: np.ndarray


def tiled_filtering(axis: Axis, tile: int) -> TiledFiltering:
    """Returns the matrices for an axis: those of all its phases, whose outputs are added up.

    Args:
        axis: the axis.
        tile: the largest number of outputs in a tile, from which the number of tiles follows.
    """
    num_tiles = axis.num_tiles(tile)
    of_inputs, of_kernel, of_products = [], [], []
    for phase in axis.phases:
        size = phase.size_of_tile(num_tiles)
        inputs, kernel, products = minimal_filtering(size, phase.num_taps)
        first_input, first_output = 0, 0
        if phase.divides_inputs:
            inputs, kernel, products = products.T, kernel[:, ::-1], inputs.T
            first_input = phase.inputs.start
            first_output = first_input + 1 - phase.num_taps
        of_phase = for_all_tiles(inputs, num_tiles, size, first_input, phase.inputs.stop)
        of_pixels = np.zeros((len(of_phase), axis.enlarged_pixels))
        seen = slice(phase.first_pixel, None, axis.stride)
        of_pixels[:, seen][:, : len(phase.inputs)] = of_phase[:, phase.inputs.start :]
        of_inputs.append(of_pixels @ axis.enlargement)
        of_kernel.append(np.zeros((len(kernel), axis.taps)))
        of_kernel[-1][:, phase.number :: axis.stride] = kernel
        of_products.append(for_all_tiles(products.T, num_tiles, size, first_output, axis.out_pixels))
    return TiledFiltering(np.vstack(of_inputs), np.vstack(of_kernel), np.vstack(of_products).T)


def for_all_tiles(of_tile: np.ndarray, num_tiles: int, step: int, first: int, length: int) -> np.ndarray:
    """Returns the matrix that transforms all tiles of an axis at once.

    Args:
        of_tile: the matrix for one tile, (rows, columns).
        num_tiles: the number of tiles.
        step: the distance of neighbouring tiles.
        first: the place at which the first tile begins, which is negative if it begins before the axis.
        length: the number of places of the axis.

    Returns:
        The matrix, (rows * num_tiles, length), without the columns that lie before or behind the axis.
    """
    rows, columns = of_tile.shape
    before = max(-first, 0)
    matrix = np.zeros((rows, num_tiles, before + max(length, first + (num_tiles - 1) * step + columns)))
    for number in range(num_tiles):
        start = before + first + number * step
        matrix[:, number, start : start + columns] = of_tile
    return matrix[..., before : before + length].reshape(-1, length)


@functools.cache
def minimal_filtering(tile: int, taps: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns B^T, G and A^T of Lavin & Gray's F(tile, taps): outputs are A^T @ ((G @ kernel) * (B^T @ inputs))."""
    points = np.array(POINTS[tile + taps - 2])
    at_infinity = np.eye(len(points) + 1)[-1]
    others = [points[points != point] for point in points]
    scales = np.array([np.prod(point - rest) for point, rest in zip(points, others, strict=True)])
    kernel = np.vstack([points[:, None] ** np.arange(taps) / scales[:, None], at_infinity[-taps:]])
    products = np.hstack([points ** np.arange(tile)[:, None], at_infinity[-tile:, None]])
    inputs = np.zeros((len(points) + 1, len(points) + 1))
    for row, roots in enumerate([*others, points]):
        inputs[row, : len(roots) + 1] = polynomial.polyfromroots(roots)
    return inputs, kernel, products
