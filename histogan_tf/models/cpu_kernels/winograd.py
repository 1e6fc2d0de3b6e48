"""Winograd's algorithm, which computes convolutions with fewer multiplications.

Along one axis, a kernel with r values (taps) needs m * r multiplications for a tile of m neighbouring outputs. Winograd
transforms inputs and kernel linearly to m + r - 1 values each, multiplies them one by one, and transforms the products
linearly to the outputs. In two dimensions, 5x5 outputs of a 3x3 kernel take 49 multiplications instead of 225. A kernel
of stride 2 is split into two kernels, of its even and its odd taps: 4x4 outputs of a 5x5 kernel take 121
multiplications instead of 400. Where zeros around the images leave fewer inputs than outputs, even fewer are enough:
100 for all 4x4 outputs from 7x7 pixels. For all images and channels together, the multiplications are a few products
of matrices, which a CPU computes at full speed.

Sources: Winograd, "Arithmetic Complexity of Computations", SIAM 1980; Lavin & Gray, "Fast Algorithms for Convolutional
Neural Networks", CVPR 2016, who call the matrices of the transforms B^T (inputs), G (kernel) and A^T (products). The
results differ from those of a plain convolution only by rounding: in float32, by at most 2e-5 of their norm.
"""

from __future__ import annotations

import contextlib
import contextvars
import itertools
import math
import sys
from collections.abc import Callable, Iterator, Sequence

import numpy as np
import tensorflow as tf

from histogan_tf.models.cpu_kernels.winograd_matrices import (
    Axis,
    ProductRows,
    Transforms,
    tiled_filtering,
)

# float32 values of a kernel's factors, of inputs' factors or of products that are computed at a time. A forward pass is
# fastest where they stay in the processor's cache; a backward pass where each part of the kernel is in one piece.
_MOST_VALUES_FORTH, _MOST_VALUES_BACK, _MOST_VALUES_AT_ONCE = 3 * 2**20, 2**24, 2**24

# Factors of maps are kept for the backward pass if transforming them costs more than this share of their products.
_MOST_COST_OF_TRANSFORM = 0.25

# Where a product of matrices would have fewer rows than this, tiles are joined to larger products by transposing them.
_LEAST_TILES_APART = 64

_kernels_are_fixed = contextvars.ContextVar("kernels_are_fixed", default=False)


@contextlib.contextmanager
def fixed_kernels() -> Iterator[None]:
    """Saves time where layers are called whose kernels need no gradient.

    Layers that are called in the `with` block keep their transformed kernels for the backward pass, unless these are
    very large. Elsewhere the backward pass transforms kernels again, so that less memory is taken.
    """
    token = _kernels_are_fixed.set(True)
    try:
        yield
    finally:
        _kernels_are_fixed.reset(token)


class WinogradConvolution:
    """Winograd's algorithm for one shape of convolution, and for the transposed convolution of the same shape.

    Transformed values take several times the memory of the maps and the kernel. Therefore a forward pass keeps the maps
    and the kernel for the backward pass, which transforms them again; only factors that cost much are kept, see
    `_kept_factors`. Both passes compute some rows of the products at a time. Each number is the same sum as if all were
    computed together.

    Args:
        axes: the vertical and the horizontal axis.
        tile: the number of outputs in a tile along each axis.
    """

    def __init__(self, axes: tuple[Axis, Axis], tile: int) -> None:
        self._vertical, _ = axes
        self._tile = tile
        self._num_tiles = [axis.num_tiles(tile) for axis in axes]
        self._num_products = [axis.num_products(tile) for axis in axes]
        of_axes = [tiled_filtering(axis, tile) for axis in axes]
        self._of_kernel = [of_axis.of_kernel for of_axis in of_axes]
        self._direction = Transforms(
            [of_axis.of_inputs for of_axis in of_axes],
            [of_axis.of_products for of_axis in of_axes],
            is_transposed=False,
        )

    def convolve(self, inputs: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Computes `tf.nn.conv2d` of the inputs, after the enlargement of the axes.

        Args:
            inputs: float (batch, height, width, channels), before enlargement.
            kernel: float (kernel height, kernel width, channels, filters).

        Returns:
            float (batch, out_height, out_width, filters).
        """
        return self._differentiable(inputs, kernel, self._direction)

    def convolve_transposed(self, maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
        """Computes `tf.nn.conv2d_transpose`, which is the gradient of `convolve` with respect to its inputs.

        Args:
            maps: float (batch, out_height, out_width, filters).
            kernel: float (kernel height, kernel width, channels, filters).

        Returns:
            float (batch, height, width, channels).
        """
        return self._differentiable(maps, kernel, self._direction.adjoint)

    def _differentiable(self, maps: tf.Tensor, kernel: tf.Tensor, direction: Transforms) -> tf.Tensor:
        if (
            _kernels_are_fixed.get()
            and self._num_products[0] * self._values_in_row(maps, kernel) <= _MOST_VALUES_AT_ONCE
        ):
            return self._outputs_at_once(maps, kernel, direction)

        @tf.custom_gradient
        def compute(maps: tf.Tensor, kernel: tf.Tensor, *kept: tf.Tensor) -> tuple[tf.Tensor, Callable]:
            def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor | None, ...]:
                of_maps, of_kernel = self._gradients(maps, kernel, kept, upstream, direction)
                return of_maps, of_kernel, *(None for _ in kept)  # that of the maps is all of it

            return self._outputs(maps, kernel, kept, direction), gradients

        return compute(maps, kernel, *self._kept_factors(maps, kernel, direction))

    def _kept_factors(self, maps: tf.Tensor, kernel: tf.Tensor, direction: Transforms) -> list[tf.Tensor]:
        """Returns the factors of the maps if computing them twice would take too long, and nothing otherwise.

        There is a tensor for each part of the rows that a backward pass computes at a time. Transposing all factors
        together would hold them twice for a moment, which was the most memory that DCGAN3's step took.

        For each factor, the second transform makes as many multiplications as an axis has pixels, and the product as
        many as there are channels of outputs.
        """
        num_pixels, num_channels = direction.forth[1].shape[1], kernel.shape[2 if direction.is_transposed else 3]
        if num_pixels <= _MOST_COST_OF_TRANSFORM * num_channels:
            return []
        columns, factors = _transform_columns(maps, direction), []
        for part in self._parts(maps, kernel, _MOST_VALUES_BACK):
            factors.append(self._take_forth(self._columns_of(columns, part), maps, direction))
            (columns,) = _after(factors[-1], columns)
        return factors

    def _outputs_at_once(self, maps: tf.Tensor, kernel: tf.Tensor, direction: Transforms) -> tf.Tensor:
        """Computes the outputs from all rows of a phase together, so that TensorFlow can derive the gradients."""
        (kernel,) = _after(maps, kernel)
        parts, rows = self._parts(maps, kernel, sys.maxsize), []
        of_parts = [(part.stop - part.first) * self._num_tiles[0] for part in parts]
        # The gradient of a split is one concatenation, while those of slices would be added up.
        for part, columns in zip(parts, tf.split(_transform_columns(maps, direction), of_parts), strict=True):
            factors = self._take_forth(columns, maps, direction)
            kernel_factors = self._kernel_factors(self._taps(kernel, part.phase), part)
            products = tf.matmul(factors, kernel_factors, transpose_b=direction.is_transposed)
            rows.append(self._take_back(products, direction, maps.shape[0]))
        return _maps_of(rows, direction, maps.shape[0])

    def _outputs(
        self, maps: tf.Tensor, kernel: tf.Tensor, kept: Sequence[tf.Tensor], direction: Transforms
    ) -> tf.Tensor:
        done = columns = kept[-1] if kept else _transform_columns(maps, direction)
        rows, phase = [], None
        parts = self._parts(maps, kernel, _MOST_VALUES_BACK if kept else _MOST_VALUES_FORTH)
        for number, part in enumerate(parts):
            columns, kernel = _after(done, columns, kernel)
            if part.phase != phase:
                phase, taps = part.phase, self._taps(kernel, part.phase)
            (taps,) = _after(done, taps)
            factors = kept[number] if kept else self._take_forth(self._columns_of(columns, part), maps, direction)
            products = tf.matmul(factors, self._kernel_factors(taps, part), transpose_b=direction.is_transposed)
            done = self._take_back(products, direction, maps.shape[0])
            rows.append(done)
        return _maps_of(rows, direction, maps.shape[0])

    def _gradients(
        self,
        maps: tf.Tensor,
        kernel: tf.Tensor,
        kept: Sequence[tf.Tensor],
        upstream: tf.Tensor,
        direction: Transforms,
    ) -> tuple[tf.Tensor, tf.Tensor]:
        """Returns the gradients of the maps and of the kernel, given that of the outputs."""
        adjoint = direction.adjoint
        done = of_columns = _transform_columns(upstream, adjoint)
        columns = None if kept else _transform_columns(*_after(done, maps), direction)
        parts = self._parts(maps, kernel, _MOST_VALUES_BACK)
        rows, of_kernel_factors = [], []
        for number, part in enumerate(parts):
            of_columns, kernel = _after(done, of_columns, kernel)
            of_products = self._take_forth(self._columns_of(of_columns, part), upstream, adjoint)
            kernel_factors = self._kernel_factors(self._taps(kernel, part.phase), part)
            of_factors = tf.matmul(of_products, kernel_factors, transpose_b=adjoint.is_transposed)
            done = self._take_back(of_factors, adjoint, maps.shape[0])
            rows.append(done)
            # The lines above wait for none of those below: TensorFlow leaves these out where nobody asks for the
            # gradient of the kernel.
            if kept:
                (factors,) = _after(done, kept[number])
            else:
                (columns,) = _after(done, columns)
                factors = self._take_forth(self._columns_of(columns, part), maps, direction)
            pair = (of_products, factors) if direction.is_transposed else (factors, of_products)
            of_kernel_factors.append(tf.matmul(*pair, transpose_a=True))
        of_kernel = self._gradient_of_kernel(of_kernel_factors, parts, kernel.shape)
        return _maps_of(rows, adjoint, maps.shape[0]), of_kernel

    def _parts(self, maps: tf.Tensor, kernel: tf.Tensor, most_values: int) -> list[ProductRows]:
        """Returns the rows that are computed at a time, so that none of their tensors has more than `most_values`."""
        most_rows = max(1, most_values // self._values_in_row(maps, kernel))
        parts, first = [], 0
        for phase in self._vertical.phases:
            num_rows = phase.num_products(self._num_tiles[0])
            num_parts = -(-num_rows // most_rows)
            edges = [first + num_rows * number // num_parts for number in range(num_parts + 1)]
            parts += [ProductRows(*edge, phase.number) for edge in itertools.pairwise(edges)]
            first += num_rows
        return parts

    def _values_in_row(self, maps: tf.Tensor, kernel: tf.Tensor) -> int:
        """Returns how many values one row of products takes: of the kernel's factors, or of those of maps if more."""
        *_, channels, filters = kernel.shape
        num_tiles = maps.shape[0] * math.prod(self._num_tiles)
        return self._num_products[1] * max(channels * filters, num_tiles * max(channels, filters))

    def _taps(self, kernel: tf.Tensor, phase: int) -> tf.Tensor:
        """Returns one of the kernels of stride 1 into which a kernel is split along the vertical axis."""
        if len(self._vertical.phases) == 1:
            return kernel
        rows = tf.unstack(kernel)  # a strided slice takes many times as long
        return tf.stack([rows[tap] for tap in self._vertical.taps_of(phase)])

    def _kernel_factors(self, taps: tf.Tensor, rows: ProductRows) -> tf.Tensor:
        """Transforms a kernel of stride 1 to its factors for some rows, (rows, 1, products, channels, filters)."""
        matrix = _constant(self._kernel_matrix(rows), taps)
        factors = tf.matmul(matrix, tf.reshape(taps, (matrix.shape[1], -1)))
        return tf.reshape(factors, (rows.stop - rows.first, 1, self._num_products[1], *taps.shape[2:]))

    def _gradient_of_kernel(
        self, of_factors: Sequence[tf.Tensor], parts: Sequence[ProductRows], kernel_shape: Sequence[int]
    ) -> tf.Tensor:
        """Returns the gradient of a kernel, given those of its factors for all parts of the rows.

        Where rows of tiles are apart, so are the gradients of the factors, and are added up here.
        """
        _, width, channels, filters = kernel_shape
        places, of_taps = [], []
        for phase in range(len(self._vertical.phases)):
            own = [number for number, part in enumerate(parts) if part.phase == phase]
            of_rows = _joined([of_factors[number] for number in own])
            num_rows, tiles_apart, num_products, *_ = of_rows.shape
            matrix = self._kernel_matrix(ProductRows(parts[own[0]].first, parts[own[-1]].stop, phase))
            matrix = np.repeat(np.reshape(matrix, (num_rows, 1, num_products, -1)), tiles_apart, axis=1)
            matrix = _constant(np.reshape(matrix, (-1, matrix.shape[-1])), of_rows)
            of_phase = tf.matmul(matrix, tf.reshape(of_rows, (matrix.shape[0], -1)), transpose_a=True)
            places.append(self._vertical.taps_of(phase))
            of_taps.append(tf.reshape(of_phase, (-1, width, channels, filters)))
        return of_taps[0] if len(of_taps) == 1 else tf.dynamic_stitch(places, of_taps)

    def _kernel_matrix(self, rows: ProductRows) -> np.ndarray:
        vertical, horizontal = self._of_kernel
        return np.kron(vertical[rows.first : rows.stop, rows.phase :: self._vertical.stride], horizontal)

    def _columns_of(self, columns: tf.Tensor, rows: ProductRows) -> tf.Tensor:
        """Returns some rows of what `_transform_columns` returned."""
        return columns[rows.first * self._num_tiles[0] : rows.stop * self._num_tiles[0]]

    def _take_forth(self, columns: tf.Tensor, maps: tf.Tensor, direction: Transforms) -> tf.Tensor:
        """Transforms feature maps, of which the columns are transformed already, to their factors for some rows.

        Args:
            columns: the rows of what `_transform_columns` returned for the maps.
            maps: float (batch, height, width, channels), of which only the shape is used.
            direction: the matrices.

        Returns:
            float (rows, 1, products, tiles of both axes * batch, channels), or, if rows of tiles stay apart, (rows,
            tiles down, products, tiles right * batch, channels).
        """
        num_images, _, width, channels = maps.shape
        tiles_down = self._num_tiles[0]
        num_rows = columns.shape[0] // tiles_down
        columns = tf.reshape(columns, (-1, width, num_images * channels))
        factors = tf.matmul(_constant(direction.forth[1], columns), columns)
        if not self._keeps_tiles_apart(num_images):
            factors = tf.reshape(factors, (num_rows, tiles_down, self._num_products[1], -1))
            factors, tiles_down = tf.transpose(factors, (0, 2, 1, 3)), 1
        return tf.reshape(factors, (num_rows, tiles_down, self._num_products[1], -1, channels))

    def _take_back(self, products: tf.Tensor, direction: Transforms, num_images: int) -> tf.Tensor:
        """Transforms products, of a shape that `_take_forth` returns, along the horizontal axis.

        Returns:
            float (rows * tiles, width * batch * channels).
        """
        (tiles_down, tiles_right), (num_rows, _, right, _, channels) = self._num_tiles, products.shape
        if not self._keeps_tiles_apart(num_images):
            products = tf.transpose(tf.reshape(products, (num_rows, right, tiles_down, -1)), (0, 2, 1, 3))
        columns = tf.reshape(products, (-1, right * tiles_right, num_images * channels))
        rows = tf.matmul(_constant(direction.back[1], columns), columns)
        return tf.reshape(rows, (rows.shape[0], -1))

    def _keeps_tiles_apart(self, num_images: int) -> bool:
        """Whether each row of tiles is multiplied by itself, which saves transposing all factors and products.

        A product of matrices has as many rows then as there are tiles in a row of all images.
        """
        return num_images * self._num_tiles[1] >= _LEAST_TILES_APART


def _transform_columns(maps: tf.Tensor, direction: Transforms) -> tf.Tensor:
    """Transforms feature maps along the vertical axis, to (products * tiles, width * batch * channels)."""
    columns = tf.reshape(tf.transpose(maps, (1, 2, 0, 3)), (maps.shape[1], -1))
    return tf.matmul(_constant(direction.forth[0], maps), columns)


def _maps_of(rows: Sequence[tf.Tensor], direction: Transforms, num_images: int) -> tf.Tensor:
    """Transforms all rows, which `_take_back` returned, along the vertical axis to feature maps."""
    vertical, horizontal = direction.back
    columns = tf.matmul(_constant(vertical, rows[0]), _joined(rows))
    return tf.transpose(tf.reshape(columns, (len(vertical), len(horizontal), num_images, -1)), (2, 0, 1, 3))


def _joined(tensors: Sequence[tf.Tensor]) -> tf.Tensor:
    return tensors[0] if len(tensors) == 1 else tf.concat(tensors, axis=0)


def _after(done: tf.Tensor, *tensors: tf.Tensor) -> list[tf.Tensor]:
    """Returns the tensors in such a way that what is computed from them waits until another tensor is computed.

    Otherwise TensorFlow would compute, and hold, the factors of all kernels of a network at the beginning of a step.
    """
    with tf.control_dependencies([done]):
        return [tf.identity(tensor) for tensor in tensors]


def _constant(matrix: np.ndarray, like: tf.Tensor) -> tf.Tensor:
    return tf.constant(matrix, like.dtype)
