"""The networks of CycleGAN: a residual generator and a 70x70 PatchGAN discriminator.

Sources: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
ICCV 2017, section 7.2 and the Torch7 code released with it, whose parameter counts are matched: every convolution has a
bias, and instance normalization has a learned scale and offset. A bias right before an instance normalization changes
nothing, as the mean is subtracted at once; it is there because the published networks have it.

Layers carry the names of the paper: c7s1-k, dk, Rk, uk in the generator, Ck in the discriminator, with k filters.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from histogan_tf.errors import UserError
from histogan_tf.models.cpu_kernels import layer_classes

MIN_CYCLEGAN_SIZE = 32
"""Shortest side of an image, in pixels: below it too few patches are left for the discriminator to judge."""

UPSAMPLINGS = ("transposed", "resize")

_NUM_DOWNSAMPLINGS = 2


def default_num_blocks(image_shape: tuple[int, int, int]) -> int:
    """Residual blocks of the published generator: 6 up to 128 pixels a side, 9 above (section 7.2)."""
    return 6 if max(image_shape[:2]) <= 128 else 9


def build_cyclegan_generator(
    image_shape: tuple[int, int, int],
    *,
    seed: int,
    num_filters: int = 64,
    num_blocks: int | None = None,
    upsampling: str = "transposed",
    precision: str = "float32",
    cpu_kernels: bool = False,
    name: str = "generator",
) -> keras.Model:
    """ResNet generator: c7s1-64, d128, d256, residual blocks R256, u128, u64, c7s1-3 (section 7.2).

    Sizes that are no multiple of 4 are padded by reflection and cropped back, so that the output is as large as the
    input.

    Args:
        image_shape: (height, width, channels), both sides at least `MIN_CYCLEGAN_SIZE` pixels.
        seed: of the initial weights; the same seed gives the same bytes.
        num_filters: of the first layer; the others are multiples of it. Published: 64.
        num_blocks: residual blocks; None for the published number at this size.
        upsampling: "transposed" as published, or "resize": nearest-neighbour resizing and a convolution, which cures
            the checkerboard of transposed convolutions (Odena et al., "Deconvolution and Checkerboard Artifacts",
            Distill 2016). Both have equally many parameters.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy. The last layer is float32 under both.
        cpu_kernels: make the layers of what is fast on a CPU instead of plain Keras.
        name: of the model.

    Returns:
        A model from float32 (batch, height, width, channels) in [-1, 1] to the same.

    Raises:
        UserError: the image is too small, or `upsampling` is unknown.
    """
    _check_size(image_shape)
    if upsampling not in UPSAMPLINGS:
        raise UserError(f"upsampling={upsampling!r} is unknown: choose one of {', '.join(UPSAMPLINGS)}.")
    num_blocks = default_num_blocks(image_shape) if num_blocks is None else num_blocks
    channels = image_shape[-1]
    network = _Layers(seed, precision, cpu_kernels)
    margins = [_margins_to_multiple(size, 2**_NUM_DOWNSAMPLINGS) for size in image_shape[:2]]

    image = keras.Input(image_shape, name="image")
    x = network.conv(_reflect(image, margins), num_filters, 7, name=f"c7s1-{num_filters}")
    x = network.normalize(x, name=f"c7s1-{num_filters}", activation=layers.ReLU)
    for level in range(1, _NUM_DOWNSAMPLINGS + 1):
        filters = num_filters * 2**level
        x = network.conv(x, filters, 3, strides=2, padding="same", name=f"d{filters}")
        x = network.normalize(x, name=f"d{filters}", activation=layers.ReLU)
    for block in range(1, num_blocks + 1):
        x = network.residual_block(x, name=f"R{filters}-{block}")
    for level in reversed(range(_NUM_DOWNSAMPLINGS)):
        filters = num_filters * 2**level
        x = network.upsample(x, filters, upsampling, name=f"u{filters}")
        x = network.normalize(x, name=f"u{filters}", activation=layers.ReLU)
    # bfloat16 keeps 8 significant bits, too few for an image of 256 levels: the last layer is computed in float32.
    x = network.conv(x, channels, 7, reflection=_margin(3), dtype="float32", name=f"c7s1-{channels}")
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    x = layers.Cropping2D(margins, dtype="float32", name="crop")(x)
    return keras.Model(image, x, name=name)


def build_cyclegan_discriminator(
    image_shape: tuple[int, int, int],
    *,
    seed: int,
    num_filters: int = 64,
    precision: str = "float32",
    cpu_kernels: bool = False,
    name: str = "discriminator",
) -> keras.Model:
    """70x70 PatchGAN: C64-C128-C256-C512 and one logit for each patch (section 7.2).

    Each 4x4 convolution is padded by one zero on every side, as in pix2pix and the authors' PyTorch code: 256x256
    pixels give 30x30 logits, 50x50 give 4x4, and 32x32 give 2x2.

    Args:
        image_shape: (height, width, channels), both sides at least `MIN_CYCLEGAN_SIZE` pixels.
        seed: of the initial weights; the same seed gives the same bytes.
        num_filters: of the first layer; the others are multiples of it. Published: 64.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy. The last layer is float32 under both.
        cpu_kernels: make the layers of what is fast on a CPU instead of plain Keras.
        name: of the model.

    Returns:
        A model from float32 (batch, height, width, channels) in [-1, 1] to float32 logits
        (batch, height // 8 - 2, width // 8 - 2, 1).

    Raises:
        UserError: the image is too small.
    """
    _check_size(image_shape)
    network = _Layers(seed, precision, cpu_kernels)

    image = keras.Input(image_shape, name="image")
    x = image
    for index, strides in enumerate((2, 2, 2, 1)):
        filters = num_filters * 2**index
        x = network.zero_pad(x, name=f"C{filters}")
        x = network.conv(x, filters, 4, strides=strides, name=f"C{filters}")
        if index == 0:
            x = _leaky_relu(dtype=precision, name=f"C{filters}-relu")(x)
        else:
            x = network.normalize(x, name=f"C{filters}", activation=_leaky_relu)
    x = network.zero_pad(x, name="logits")
    x = network.conv(x, 1, 4, dtype="float32", name="logits")
    return keras.Model(image, x, name=name)


class _Layers:
    """Makes the layers of one network: a precision policy, and a seed of its own for each drawn weight."""

    def __init__(self, seed: int, precision: str, cpu_kernels: bool) -> None:
        self._seeds = np.random.default_rng(seed)
        self._precision = precision
        self._classes = layer_classes(cpu_kernels)

    def _normal(self, mean: float = 0.0) -> keras.initializers.Initializer:
        """Initial weights of the published networks."""
        return keras.initializers.RandomNormal(mean, 0.02, seed=int(self._seeds.integers(2**31)))

    def conv(self, x, filters: int, kernel_size: int, *, name: str, dtype: str | None = None, **kwargs):
        initializer, dtype = self._normal(), dtype or self._precision
        convolution = self._classes.reflected_conv(
            filters, kernel_size, kernel_initializer=initializer, dtype=dtype, name=f"{name}-conv", **kwargs
        )
        return convolution(x)

    def zero_pad(self, x, *, name: str):
        return layers.ZeroPadding2D(1, dtype=self._precision, name=f"{name}-pad")(x)

    def normalize(self, x, *, name: str, activation: Callable | None = None):
        """Instance normalization with float32 statistics, then the activation."""
        x = self._classes.instance_norm(
            epsilon=1e-5,
            gamma_initializer=self._normal(mean=1.0),
            dtype=self._precision,
            name=f"{name}-norm",
        )(x)
        return x if activation is None else activation(dtype=self._precision, name=f"{name}-relu")(x)

    def residual_block(self, x, *, name: str):
        filters = x.shape[-1]
        residual = self.conv(x, filters, 3, reflection=_margin(1), name=f"{name}a")
        residual = self.normalize(residual, name=f"{name}a", activation=layers.ReLU)
        residual = self.conv(residual, filters, 3, reflection=_margin(1), name=f"{name}b")
        residual = self.normalize(residual, name=f"{name}b")
        return layers.Add(dtype=self._precision, name=f"{name}-add")([x, residual])

    def upsample(self, x, filters: int, upsampling: str, *, name: str):
        if upsampling == "resize":
            x = layers.UpSampling2D(2, interpolation="nearest", dtype=self._precision, name=f"{name}-resize")(x)
            return self.conv(x, filters, 3, reflection=_margin(1), name=name)
        return self._classes.transposed_conv(
            filters,
            3,
            strides=2,
            padding="same",
            kernel_initializer=self._normal(),
            dtype=self._precision,
            name=f"{name}-conv",
        )(x)


def _leaky_relu(**kwargs) -> keras.Layer:
    return layers.LeakyReLU(0.2, **kwargs)


def _reflect(image, margins: list[tuple[int, int]]):
    """Mirrors the margins, and the three pixels that a 7x7 kernel sees beyond them, at the image's own edge.

    It stands before the first convolution, not in it, so that all that follows fits images of any size.
    """
    return ops.pad(image, [(0, 0), *((3 + before, 3 + after) for before, after in margins), (0, 0)], mode="reflect")


def _margin(pixels: int) -> list[tuple[int, int]]:
    """Equally many on each side, as `reflection`."""
    return [(pixels, pixels)] * 2


def _margins_to_multiple(size: int, multiple: int) -> tuple[int, int]:
    """Pixels to add before and after `size`, as evenly as possible, to reach the next multiple."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2


def _check_size(image_shape: tuple[int, int, int]) -> None:
    height, width, _ = image_shape
    if min(height, width) < MIN_CYCLEGAN_SIZE:
        raise UserError(
            f"Images of {height}x{width} pixels are too small for CycleGAN: both sides must be at least "
            f"{MIN_CYCLEGAN_SIZE}. Resize them, for example with --output_height and --output_width."
        )
