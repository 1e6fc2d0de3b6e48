"""The algorithms by which a convolution can be computed in training, and the one that should be fastest by estimate.

On a CPU, TensorFlow computes convolutions and their gradients with oneDNN's kernels. For some shapes of layers these
kernels are several times slower than others that give the same result:

- `plain` is TensorFlow's own convolution, with its own gradients.
- `to_few_channels` differs where the result has a few channels, such as the colours of an image; see `few_channels`.
- `patch_products` computes products of matrices; see the module of that name.
- `products_before_upsampling` is for convolutions that upsample first; see the module of that name.
- `kernel_gradient_by_convolution` and `kernel_gradient_by_product` differ in the gradient of the kernel alone; see
  `kernel_gradients`.
- `winograd_4` is Winograd's algorithm with 4x4 outputs in a tile; see `winograd`. It is for float32, where a
  multiplication costs twice as much as in bfloat16. It also adds larger numbers than a plain convolution, so that
  bfloat16, with 8 significant bits, would lose precision.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

from histogan_tf.models.cpu_kernels.few_channels import (
    ENOUGH_CHANNELS,
    convolve_to_few_channels,
    convolve_transposed_to_few_channels,
    kernel_gradient_to_few_channels,
)
from histogan_tf.models.cpu_kernels.kernel_gradients import (
    has_plain_steps,
    kernel_gradient_by_convolution,
    kernel_gradient_by_product,
)
from histogan_tf.models.cpu_kernels.mirrored_edges import mirror_edges
from histogan_tf.models.cpu_kernels.patch_products import (
    convolve_patches,
    convolve_patches_transposed,
    kernel_gradient_of_patches,
)
from histogan_tf.models.cpu_kernels.products_before_upsampling import convolve_before_upsampling, relative_cost
from histogan_tf.models.cpu_kernels.winograd import WinogradConvolution
from histogan_tf.models.cpu_kernels.winograd_matrices import POINTS, Axis

PLAIN = "plain"
_TO_FEW_CHANNELS = "to_few_channels"
_PATCH_PRODUCTS = "patch_products"
_BEFORE_UPSAMPLING = "products_before_upsampling"
_KERNEL_GRADIENTS = {
    "kernel_gradient_by_convolution": kernel_gradient_by_convolution,
    "kernel_gradient_by_product": kernel_gradient_by_product,
}
_WINOGRAD = "winograd_"
REVISION = 3
"""Raised when an algorithm gets faster: what was measured before is measured anew."""

# TensorFlow's own kernel computes 16 channels at a time: another way is taken from many channels to a few.
_FEW_CHANNELS, _MANY_CHANNELS = 4, 16
_MOST_OUTPUTS_BY_PATCHES = 512  # of all images together, for which products of patches are worth a try

# The limits of the estimate for gradients of kernels, measured on a CPU with AVX-512, by the dtype: beyond them,
# TensorFlow's own kernels are as fast or faster.
_LEAST_CHANNELS = 32
_LEAST_IMAGES_BY_CONVOLUTION = {"float32": 16, "bfloat16": 4}
_MOST_POSITIONS = {"float32": 50, "bfloat16": 200}
_MOST_IMAGES_BY_PRODUCTS = {"float32": 0, "bfloat16": 2}

_TILES = (2, 3, 4, 5, 6, 7)  # the numbers of outputs in a tile, along one axis, that are tried
# The estimated costs of Winograd's algorithm on a CPU with AVX-512, in units of one multiplication of a plain
# convolution: of one multiplication of ours, of transforming one value along an axis for each pixel of that axis, and
# of transforming one value of the kernel. Strides need more memory, which multiplies the total.
_PRODUCT, _VALUE_AND_PIXEL, _KERNEL_VALUE, _STRIDED = 1.1, 2.0, 22.0, 1.5
_LEAST_GAIN = 1.05  # a plain convolution must cost this many times as much
_MOST_VALUES = 2**27  # float32 values of a layer's transformed inputs or products: 512 MB
# Gradients of kernels by a convolution are worth a try up to this number of outputs of an image, and by a product up to
# this number of values in its left matrix, 128 MB in float32: beyond them they were many times slower.
_MOST_POSITIONS_TRIED, _MOST_VALUES_OF_PRODUCT = 800, 2**25
# Winograd's algorithm and products before upsampling are worth a try if they are estimated to take at most this many
# times as long as a plain convolution, and Winograd's with the two tiles that are estimated to be fastest.
_MOST_COST_TRIED, _MOST_TILES_TRIED = 1.5, 2


class ConvolutionShape(NamedTuple):
    """The shape of a convolution, or of the transposed convolution that is the gradient of this one.

    Attributes:
        axes: the vertical and the horizontal axis of the convolution.
        num_images: the number of images in a batch.
        channels: the number of channels of the convolution's inputs.
        filters: the number of channels of its outputs.
        dtype: `float32`, `bfloat16` or another type of the maps.
        is_transposed: whether it is the transposed convolution, from what would be the outputs to the inputs.
    """

    axes: tuple[Axis, Axis]
    num_images: int
    channels: int
    filters: int
    dtype: str
    is_transposed: bool = False

    def __str__(self) -> str:
        """A line that names the shape, such as `float32 64 x 25x25x64 to 13x13x128, kernel 5x5, stride 2x2, SAME`."""
        vertical, horizontal = self.axes

        def pair(name: str) -> str:
            return f"{getattr(vertical, name)}x{getattr(horizontal, name)}"

        ends = [f"{pair('pixels')}x{self.channels}", f"{pair('out_pixels')}x{self.filters}"]
        parts = [
            f"{self.dtype} {self.num_images} x {' to '.join(reversed(ends) if self.is_transposed else ends)}",
            f"kernel {pair('taps')}",
            f"stride {pair('stride')}",
            vertical.padding,
        ]
        if vertical.upsampled_pixels is not None:
            parts.append(f"upsampled to {pair('upsampled_pixels')}")
        if any(axis.reflection != (0, 0) for axis in self.axes):
            parts.append(f"reflection {vertical.reflection}x{horizontal.reflection}")
        return ", ".join([*parts, *(["transposed"] if self.is_transposed else [])])

    @property
    def multiplications(self) -> int:
        """The number of multiplications of a plain convolution of this shape, without its gradients."""
        return (
            self.num_images
            * math.prod(axis.out_pixels * axis.taps for axis in self.axes)
            * self.channels
            * self.filters
        )

    @property
    def inputs_shape(self) -> tuple[int, int, int, int]:
        """(batch, height, width, channels) of the convolution's inputs after enlargement."""
        height, width = (axis.enlarged_pixels for axis in self.axes)
        return self.num_images, height, width, self.channels


def estimated_algorithm(shape: ConvolutionShape) -> str:
    """Returns the algorithm that should be fastest for a shape, by costs that were measured on one CPU."""
    if can_compute(_TO_FEW_CHANNELS, shape):
        return _TO_FEW_CHANNELS
    if can_compute(_BEFORE_UPSAMPLING, shape) and relative_cost(shape.axes, shape.channels) * _LEAST_GAIN < 1:
        return _BEFORE_UPSAMPLING
    if shape.dtype == "float32" and (tiles := _tiles_by_cost(shape)):
        cost, tile = tiles[0]
        if cost * _LEAST_GAIN < shape.multiplications:
            return f"{_WINOGRAD}{tile}"
    is_large = math.prod(axis.out_pixels for axis in shape.axes) > _MOST_POSITIONS.get(shape.dtype, 0)
    if shape.channels < _LEAST_CHANNELS or is_large:
        return PLAIN
    if shape.num_images >= _LEAST_IMAGES_BY_CONVOLUTION[shape.dtype]:
        return "kernel_gradient_by_convolution"
    if has_plain_steps(shape.axes) and shape.num_images <= _MOST_IMAGES_BY_PRODUCTS[shape.dtype]:
        return "kernel_gradient_by_product"
    return PLAIN


def possible_algorithms(shape: ConvolutionShape) -> list[str]:
    """Returns the algorithms of which one may be the fastest for a shape, the plain one first."""
    names = [PLAIN]
    if can_compute(_TO_FEW_CHANNELS, shape):
        names.append(_TO_FEW_CHANNELS)
    if can_compute(_BEFORE_UPSAMPLING, shape) and relative_cost(shape.axes, shape.channels) < _MOST_COST_TRIED:
        names.append(_BEFORE_UPSAMPLING)
    num_outputs = shape.num_images * math.prod(axis.out_pixels for axis in shape.axes)
    if has_plain_steps(shape.axes) and num_outputs <= _MOST_OUTPUTS_BY_PATCHES:
        names.append(_PATCH_PRODUCTS)
    if math.prod(axis.out_pixels for axis in shape.axes) <= _MOST_POSITIONS_TRIED:
        names.append("kernel_gradient_by_convolution")
    num_values = math.prod(shape.inputs_shape) * math.prod(axis.taps for axis in shape.axes)
    if has_plain_steps(shape.axes) and num_values <= _MOST_VALUES_OF_PRODUCT:
        names.append("kernel_gradient_by_product")
    if shape.dtype == "float32":
        worth = [tile for cost, tile in _tiles_by_cost(shape) if cost < _MOST_COST_TRIED * shape.multiplications]
        # Sizes that make equally many tiles are the same algorithm, at the same cost: the smallest stands for all.
        distinct = {tuple(axis.num_tiles(tile) for axis in shape.axes): tile for tile in reversed(worth)}
        names += [f"{_WINOGRAD}{tile}" for tile in [*distinct.values()][::-1][:_MOST_TILES_TRIED]]
    return names


def can_compute(algorithm: object, shape: ConvolutionShape) -> bool:
    """Returns whether a value is the name of an algorithm that can compute a shape."""
    if algorithm in (_PATCH_PRODUCTS, "kernel_gradient_by_product"):
        return has_plain_steps(shape.axes)
    if algorithm == _TO_FEW_CHANNELS:
        return any(
            of_part(shape) for of_part in (_can_go_forth_to_few, _can_go_back_to_few, _has_small_gradient_to_few)
        )
    if algorithm == _BEFORE_UPSAMPLING:
        return all(axis.upsampled_pixels is not None for axis in shape.axes)
    of_tiles = [f"{_WINOGRAD}{tile}" for _, tile in _tiles_by_cost(shape)] if shape.dtype == "float32" else []
    return algorithm in (PLAIN, "kernel_gradient_by_convolution", *of_tiles)


def convolve(algorithm: str, shape: ConvolutionShape, maps: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Computes a convolution, or a transposed one, and by the same algorithm its gradients.

    Args:
        algorithm: one of `possible_algorithms`.
        shape: the shape.
        maps: float (batch, height, width, channels): the inputs before enlargement. For a transposed convolution, what
            it starts from, (batch, out_height, out_width, filters).
        kernel: float (kernel height, kernel width, channels, filters).

    Returns:
        float (batch, out_height, out_width, filters); of a transposed convolution (batch, height, width, channels).
    """
    if algorithm.startswith(_WINOGRAD):
        winograd = _winograd(shape.axes, int(algorithm.removeprefix(_WINOGRAD)))
        return (winograd.convolve_transposed if shape.is_transposed else winograd.convolve)(maps, kernel)
    if algorithm == _BEFORE_UPSAMPLING:
        return convolve_before_upsampling(maps, kernel, shape.axes)
    if not shape.is_transposed:
        maps = _enlarged(maps, shape.axes)
    ways = _ways_of(algorithm, shape)
    compute, gradient_of_maps = (ways.back, ways.forth) if shape.is_transposed else (ways.forth, ways.back)
    if algorithm == PLAIN:
        return compute(maps, kernel)

    @tf.custom_gradient
    def differentiable(maps: tf.Tensor, kernel: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradients(upstream: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
            pair = (upstream, maps) if shape.is_transposed else (maps, upstream)
            return gradient_of_maps(upstream, kernel), ways.kernel_gradient(*pair)

        return compute(maps, kernel), gradients

    return differentiable(maps, kernel)


class _Ways(NamedTuple):
    """How a convolution of one shape is computed, after enlargement.

    Attributes:
        forth: the convolution, from (inputs, kernel) to outputs.
        back: its gradient with respect to inputs, from (gradient of outputs, kernel).
        kernel_gradient: its gradient with respect to the kernel, from (inputs, gradient of outputs).
    """

    forth: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    back: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]
    kernel_gradient: Callable[[tf.Tensor, tf.Tensor], tf.Tensor]


def _ways_of(algorithm: str, shape: ConvolutionShape) -> _Ways:
    axes, strides, padding = shape.axes, [axis.stride for axis in shape.axes], shape.axes[0].padding
    if algorithm == _PATCH_PRODUCTS:
        return _Ways(convolve_patches, convolve_patches_transposed, kernel_gradient_of_patches)
    forth = lambda maps, kernel: tf.nn.conv2d(maps, kernel, strides, padding)  # noqa: E731
    back = lambda maps, kernel: tf.nn.conv2d_transpose(maps, kernel, shape.inputs_shape, strides, padding)  # noqa: E731
    if algorithm in _KERNEL_GRADIENTS:
        return _Ways(forth, back, functools.partial(_KERNEL_GRADIENTS[algorithm], axes=axes))
    if algorithm == _TO_FEW_CHANNELS and _can_go_forth_to_few(shape):
        forth = functools.partial(convolve_to_few_channels, axes=axes)
    if algorithm == _TO_FEW_CHANNELS and _can_go_back_to_few(shape):
        back = functools.partial(convolve_transposed_to_few_channels, axes=axes)
    if algorithm == _TO_FEW_CHANNELS and _has_small_gradient_to_few(shape):
        return _Ways(forth, back, functools.partial(kernel_gradient_to_few_channels, axes=axes))
    kernel_size = [axis.taps for axis in axes]
    kernel_gradient = lambda inputs, upstream: tf.raw_ops.Conv2DBackpropFilter(  # noqa: E731
        input=inputs,
        filter_sizes=[*kernel_size, shape.channels, shape.filters],
        out_backprop=upstream,
        strides=[1, *strides, 1],
        padding=padding,
    )
    return _Ways(forth, back, kernel_gradient)


def _can_go_forth_to_few(shape: ConvolutionShape) -> bool:
    """Whether the outputs have a few channels. In bfloat16, adding up the values of taps would round too often."""
    return shape.dtype == "float32" and _has_few_filters(shape)


def _has_small_gradient_to_few(shape: ConvolutionShape) -> bool:
    """Whether the outputs have a few channels, and their gradients for all taps take at most 128 MB in float32."""
    num_values = math.prod(shape.inputs_shape[:3]) * math.prod(axis.taps for axis in shape.axes) * shape.filters
    return _has_few_filters(shape) and num_values <= _MOST_VALUES_OF_PRODUCT


def _has_few_filters(shape: ConvolutionShape) -> bool:
    are_steps_plain = all(axis.stride == 1 for axis in shape.axes)
    return are_steps_plain and shape.filters <= _FEW_CHANNELS and shape.channels >= _MANY_CHANNELS


def _can_go_back_to_few(shape: ConvolutionShape) -> bool:
    """Whether the inputs have a few channels. With strides, one convolution may compute enough of them for bfloat16."""
    down, right = (axis.stride for axis in shape.axes)
    is_exact_enough = shape.dtype == "float32" or down * right * shape.channels >= ENOUGH_CHANNELS
    are_few = shape.channels <= _FEW_CHANNELS and shape.filters >= _MANY_CHANNELS
    return are_few and down == right and is_exact_enough


@functools.cache
def _winograd(axes: tuple[Axis, Axis], tile: int) -> WinogradConvolution:
    return WinogradConvolution(axes, tile)


def _enlarged(inputs: tf.Tensor, axes: tuple[Axis, Axis]) -> tf.Tensor:
    height, width = (axis.upsampled_pixels for axis in axes)
    if height is not None:
        twice = [2 * pixels for pixels in inputs.shape[1:3]]
        # Keras limits what it interpolates in bfloat16 to the numbers of that type, which costs as much again.
        upsampled = tf.raw_ops.ResizeBilinear(images=inputs, size=twice, half_pixel_centers=True)
        inputs = tf.slice(tf.cast(upsampled, inputs.dtype), (0, 0, 0, 0), (-1, height, width, -1))
    margins = [axis.reflection for axis in axes]
    return inputs if all(of_axis == (0, 0) for of_axis in margins) else mirror_edges(inputs, margins)


@functools.cache
def _tiles_by_cost(shape: ConvolutionShape) -> list[tuple[float, int]]:
    """Returns (estimated cost, tile) for each tile that Winograd's algorithm can use here, the cheapest first."""
    axes, channels, filters = shape.axes, shape.channels, shape.filters

    def cost(tile: int) -> float:
        factors = shape.num_images * math.prod(axis.num_products(tile) * axis.num_tiles(tile) for axis in axes)
        if factors * max(channels, filters) > _MOST_VALUES:
            return math.inf
        kernel_values = math.prod(axis.num_products(tile) for axis in axes) * channels * filters
        forth, back = max(axis.pixels for axis in axes), max(max(axis.pixels, axis.out_pixels) for axis in axes)
        values = factors * (channels * forth + filters * back)
        total = _PRODUCT * factors * channels * filters + _VALUE_AND_PIXEL * values + _KERNEL_VALUE * kernel_values
        return total * (_STRIDED if max(axis.stride for axis in axes) > 1 else 1.0)

    costs = [(cost(tile), tile) for tile in _TILES if all(axis.num_points(tile) in POINTS for axis in axes)]
    return sorted(pair for pair in costs if pair[0] < math.inf)
