"""Generator and discriminator of carpedm20's DCGAN-tensorflow (model.py), for any size from 16 pixels up.

Keras's defaults are not the original's: batch norm has momentum 0.9 and epsilon 1e-5, convolutions start from a
truncated normal and linear and transposed layers from a normal of standard deviation 0.02, biases start at zero and
stand before batch norm too, and sizes follow ceil(size / stride).
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

import keras
from keras import layers, ops

from histogan_tf.errors import UserError
from histogan_tf.models.spectral import SpectralConv2D, SpectralDense
from histogan_tf.randomness import Purpose, weight_seeds

MIN_SIZE = 16  # the discriminator halves its input four times
_MAX_LAYERS = 8


def feature_sizes(size: int, strides: Sequence[int]) -> list[int]:
    """Sizes of a generator's feature maps in pixels, from the projection to the output.

    Args:
        size: of the output.
        strides: of the transposed convolutions, first to last.

    Raises:
        UserError: when the output is too small for the strides.
    """
    if size < MIN_SIZE:
        raise UserError(f"images of {size} pixels are too small: {MIN_SIZE} is the least; set --output_height")
    sizes = [size]
    for stride in reversed(strides):
        sizes.insert(0, -(-sizes[0] // stride))
        if stride > 1 and sizes[0] == sizes[1]:
            raise UserError(
                f"{size} pixels are too small for --strides={','.join(map(str, strides))}: a layer would start from "
                f"one pixel and stay there; choose smaller strides or a larger --output_height"
            )
    return sizes


def build_generator(
    image_shape: tuple[int, int, int],
    *,
    z_dim: int = 100,
    gf_dim: int = 64,
    strides: Sequence[int] = (2, 2, 2, 2),
    kernel_size: Sequence[int] = (5, 5, 5, 5),
    num_classes: int = 0,
    gfc_dim: int = 1024,
    upsampling: str = "transposed",
    precision: str = "float32",
    seed: int = 42,
) -> keras.Model:
    """The original's `generator`: z, and labels if `num_classes`, to images.

    Args:
        image_shape: (height, width, channels) of the images it makes.
        z_dim: dimensions of z.
        gf_dim: channels of the last hidden layer.
        strides: of the transposed convolutions, first to last: four, or two if `num_classes`.
        kernel_size: likewise.
        num_classes: 0, or the number of labels of the label-conditioned network.
        gfc_dim: units of its fully connected layer.
        upsampling: `transposed`, or `resize` for a resizing and a convolution in each transposed convolution's place.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        seed: of the initial weights.

    Returns:
        A model from float32 (batch, z_dim), or that and int32 labels (batch,), to float32 (batch, height, width,
        channels) in [-1, 1].

    Raises:
        UserError: when the images are too small for the strides.
    """
    height, width, channels = image_shape
    heights, widths = feature_sizes(height, strides), feature_sizes(width, strides)
    seeds = iter(weight_seeds(seed, Purpose.GENERATOR_WEIGHTS, _MAX_LAYERS))
    latents = keras.Input((z_dim,), name="z")
    inputs, condition, hidden = {"z": latents}, None, latents
    channels_of_maps = [8 * gf_dim, 4 * gf_dim, 2 * gf_dim, gf_dim]
    if num_classes:
        inputs["label"] = keras.Input((), dtype="int32", name="label")
        condition = _Condition(inputs["label"], num_classes)
        hidden = _linear(condition.join(latents), gfc_dim, "g_h0_lin", precision, seeds)
        hidden = condition.join(layers.ReLU(dtype=precision)(_batch_norm(hidden, "g_bn0", precision)))
        channels_of_maps = [2 * gf_dim, 2 * gf_dim]
    first = len(inputs) - 1  # the conditional network has a layer before its projection
    hidden = _project(hidden, (heights[0], widths[0], channels_of_maps[0]), condition, first, precision, seeds)

    upsample = _UPSAMPLINGS[upsampling]
    last = len(strides) - 1
    for layer, (stride, kernel) in enumerate(zip(strides, kernel_size, strict=True)):
        number = first + layer + 1
        in_size = (heights[layer], widths[layer])
        out_size = (heights[layer + 1], widths[layer + 1])
        filters = channels if layer == last else channels_of_maps[layer + 1]
        hidden = upsample(hidden, filters, kernel, stride, in_size, out_size, f"g_h{number}", precision, seeds)
        if layer < last:
            hidden = layers.ReLU(dtype=precision)(_batch_norm(hidden, f"g_bn{number}", precision))
            hidden = condition.join(hidden) if condition else hidden
    images = layers.Activation("tanh", dtype="float32", name="image")(hidden)
    return keras.Model(inputs, images, name="generator")


def build_discriminator(
    image_shape: tuple[int, int, int],
    *,
    df_dim: int = 64,
    num_classes: int = 0,
    dfc_dim: int = 1024,
    spectral_norm: bool = False,
    precision: str = "float32",
    seed: int = 42,
) -> keras.Model:
    """The original's `discriminator`: images, and labels if `num_classes`, to logits.

    Args:
        image_shape: (height, width, channels).
        df_dim: channels of the first layer.
        num_classes: 0, or the number of labels of the label-conditioned network.
        dfc_dim: units of its fully connected layer.
        spectral_norm: normalize kernels in batch norm's place, as Miyato et al. 2018 do: batch norm would undo it.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        seed: of the initial weights.

    Returns:
        A model from float32 (batch, height, width, channels) in [-1, 1], or that and int32 labels (batch,), to
        float32 logits (batch, 1) of "this image is real".
    """
    seeds = iter(weight_seeds(seed, Purpose.DISCRIMINATOR_WEIGHTS, _MAX_LAYERS))
    conv, linear, batch_norm = _SPECTRAL_NORM if spectral_norm else _BATCH_NORM
    images = keras.Input(image_shape, name="image")
    if not num_classes:
        hidden = images
        for layer in range(4):
            hidden = conv(hidden, df_dim * 2**layer, f"d_h{layer}_conv", precision, seeds)
            hidden = batch_norm(hidden, f"d_bn{layer}", precision) if layer else hidden
            hidden = _leaky_relu(hidden, precision)
        logits = linear(layers.Flatten(dtype=precision)(hidden), 1, "d_h4_lin", "float32", seeds)
        return keras.Model({"image": images}, logits, name="discriminator")

    labels = keras.Input((), dtype="int32", name="label")
    condition = _Condition(labels, num_classes)
    hidden = conv(condition.join(images), image_shape[-1] + num_classes, "d_h0_conv", precision, seeds)
    hidden = condition.join(_leaky_relu(hidden, precision))
    hidden = conv(hidden, df_dim + num_classes, "d_h1_conv", precision, seeds)
    hidden = _leaky_relu(batch_norm(hidden, "d_bn1", precision), precision)
    hidden = condition.join(layers.Flatten(dtype=precision)(hidden))
    hidden = linear(hidden, dfc_dim, "d_h2_lin", precision, seeds)
    hidden = condition.join(_leaky_relu(batch_norm(hidden, "d_bn2", precision), precision))
    logits = linear(hidden, 1, "d_h3_lin", "float32", seeds)
    return keras.Model({"image": images, "label": labels}, logits, name="discriminator")


def named_inputs(network: keras.Model, first: object, labels: object) -> dict[str, object]:
    """What to call a network with: z or images, and the labels if it is conditional."""
    return dict(zip(network.input, (first, labels), strict=False))


class _Condition:
    """The original's y: one-hot labels, joined to vectors and to every pixel of feature maps (`conv_cond_concat`)."""

    def __init__(self, labels: keras.KerasTensor, num_classes: int) -> None:
        self._one_hot = ops.one_hot(labels, num_classes)
        self._num_classes = num_classes

    def join(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        one_hot = ops.cast(self._one_hot, hidden.dtype)
        if len(hidden.shape) == 4:
            one_hot = ops.reshape(one_hot, (-1, 1, 1, self._num_classes))
            one_hot = ops.tile(one_hot, (1, hidden.shape[1], hidden.shape[2], 1))
        return ops.concatenate([hidden, one_hot], axis=-1)


def _project(
    hidden: keras.KerasTensor,
    map_shape: tuple[int, int, int],
    condition: _Condition | None,
    number: int,
    precision: str,
    seeds: Iterator[int],
) -> keras.KerasTensor:
    """Vectors to the first feature map: the conditional network normalizes it unit by unit, else channel by channel."""
    reshape = layers.Reshape(map_shape, dtype=precision)
    hidden = _linear(hidden, math.prod(map_shape), f"g_h{number}_lin", precision, seeds)
    hidden = hidden if condition else reshape(hidden)
    hidden = layers.ReLU(dtype=precision)(_batch_norm(hidden, f"g_bn{number}", precision))
    return condition.join(reshape(hidden)) if condition else hidden


def _linear(
    hidden: keras.KerasTensor,
    units: int,
    name: str,
    precision: str,
    seeds: Iterator[int],
    layer: type[layers.Dense] = layers.Dense,
) -> keras.KerasTensor:
    initializer = keras.initializers.RandomNormal(stddev=0.02, seed=next(seeds))
    return layer(units, kernel_initializer=initializer, name=name, dtype=precision)(hidden)


def _conv(
    hidden: keras.KerasTensor,
    filters: int,
    name: str,
    precision: str,
    seeds: Iterator[int],
    layer: type[layers.Conv2D] = layers.Conv2D,
) -> keras.KerasTensor:
    initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=next(seeds))
    return layer(filters, 5, strides=2, padding="same", kernel_initializer=initializer, name=name, dtype=precision)(
        hidden
    )


def _transposed_conv(
    hidden: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    stride: int,
    in_size: tuple[int, int],
    out_size: tuple[int, int],
    name: str,
    precision: str,
    seeds: Iterator[int],
) -> keras.KerasTensor:
    """The original's `deconv2d`: SAME padding to a stated size, which Keras reaches through its output padding."""
    layer = layers.Conv2DTranspose(
        filters,
        kernel_size,
        strides=stride,
        padding="same",
        kernel_initializer=keras.initializers.RandomNormal(stddev=0.02, seed=next(seeds)),
        name=name,
        dtype=precision,
    )
    # Set here because the constructor refuses a padding as large as the stride, which even kernels need.
    layer.output_padding = tuple(
        out_pixels - (in_pixels - 1) * stride - kernel_size % 2
        for in_pixels, out_pixels in zip(in_size, out_size, strict=True)
    )
    return layer(hidden)


def _resized_conv(
    hidden: keras.KerasTensor,
    filters: int,
    kernel_size: int,
    stride: int,
    in_size: tuple[int, int],
    out_size: tuple[int, int],
    name: str,
    precision: str,
    seeds: Iterator[int],
) -> keras.KerasTensor:
    """Nearest-neighbour resizing and a convolution, whose kernels overlap evenly at every pixel.

    Odena et al., "Deconvolution and Checkerboard Artifacts", Distill, 2016. Pixels are repeated, and those beyond the
    size cut off: the gradient of TensorFlow's own resizing has no deterministic kernel on a GPU.
    """
    if stride > 1:
        hidden = layers.UpSampling2D(stride, interpolation="nearest", dtype=precision)(hidden)
    margins = [(0, pixels * stride - out_pixels) for pixels, out_pixels in zip(in_size, out_size, strict=True)]
    if any(map(any, margins)):
        hidden = layers.Cropping2D(margins, dtype=precision)(hidden)
    initializer = keras.initializers.RandomNormal(stddev=0.02, seed=next(seeds))
    return layers.Conv2D(
        filters, kernel_size, padding="same", kernel_initializer=initializer, name=name, dtype=precision
    )(hidden)


def _batch_norm(hidden: keras.KerasTensor, name: str, precision: str) -> keras.KerasTensor:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name, dtype=precision)(hidden)


def _leaky_relu(hidden: keras.KerasTensor, precision: str) -> keras.KerasTensor:
    return layers.LeakyReLU(negative_slope=0.2, dtype=precision)(hidden)


_UPSAMPLINGS: Mapping[str, Callable[..., keras.KerasTensor]] = {"transposed": _transposed_conv, "resize": _resized_conv}


class _Normalization(NamedTuple):
    """What a discriminator is built of."""

    conv: Callable[..., keras.KerasTensor]
    linear: Callable[..., keras.KerasTensor]
    batch_norm: Callable[..., keras.KerasTensor]


_BATCH_NORM = _Normalization(_conv, _linear, _batch_norm)
_SPECTRAL_NORM = _Normalization(
    functools.partial(_conv, layer=SpectralConv2D),
    functools.partial(_linear, layer=SpectralDense),
    lambda hidden, name, precision: hidden,
)
