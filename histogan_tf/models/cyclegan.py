"""The networks of CycleGAN: a residual generator and a 70x70 PatchGAN discriminator.

Sources: Zhu, Park, Isola, Efros, "Unpaired Image-to-Image Translation using Cycle-Consistent Adversarial Networks",
ICCV 2017, section 7.2 and the Torch7 code released with it. The numbers of parameters are those of that code: every
convolution has a bias, and instance normalization has a learned scale and offset. A bias before an instance
normalization has no effect, because the mean is subtracted; it is there because the published networks have it.

Layers have the paper's names: c7s1-k, dk, Rk, uk in the generator and Ck in the discriminator, with k filters.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

import keras
import numpy as np
from keras import layers, ops

from histogan_tf.errors import UserError
from histogan_tf.models.cpu_kernels import layer_classes

MIN_CYCLEGAN_SIZE = 32
"""The shortest allowed side of an image, in pixels: in a smaller one the discriminator has too few patches to judge."""

UPSAMPLINGS = ("transposed", "resize")

_NUM_DOWNSAMPLINGS = 2


def default_num_blocks(image_shape: tuple[int, int, int]) -> int:
    """Returns the number of residual blocks of the published generator (section 7.2).

    It is 6 for images (height, width, channels) of up to 128 pixels a side, and 9 for larger ones.
    """
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
    """Builds the ResNet generator: c7s1-64, d128, d256, residual blocks R256, u128, u64, c7s1-3 (section 7.2).

    Images whose sides are not multiples of 4 are padded by reflection, and the outputs are cropped to the same size. Of
    other images, the output is that of the authors' PyTorch code with the same weights: convolutions of stride 2 see a
    zero on every side, and transposed ones leave out the first row and column.

    Args:
        image_shape: (height, width, channels), both sides at least `MIN_CYCLEGAN_SIZE` pixels.
        seed: the seed of the initial weights; the same seed gives the same bytes.
        num_filters: the filters of the first layer, of which the other layers have multiples. Published: 64.
        num_blocks: the number of residual blocks; None for the published number at this size.
        upsampling: "transposed" as published, or "resize": nearest-neighbour resizing and a convolution, which avoids
            the checkerboard pattern of transposed convolutions (Odena et al., "Deconvolution and Checkerboard
            Artifacts", Distill 2016). Both have the same number of parameters.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`. The last layer is float32 with both.
        cpu_kernels: whether to use the layers that are fast on a CPU instead of Keras's own.
        name: the name of the model.

    Returns:
        A model from images, float32 (batch, height, width, channels) in [-1, 1], to images of the same shape and range.

    Raises:
        UserError: if the images are too small, or `upsampling` is unknown.
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
        x = network.zero_pad(x, name=f"d{filters}")
        x = network.conv(x, filters, 3, strides=2, name=f"d{filters}")
        x = network.normalize(x, name=f"d{filters}", activation=layers.ReLU)
    for block in range(1, num_blocks + 1):
        x = network.residual_block(x, name=f"R{filters}-{block}")
    for level in reversed(range(_NUM_DOWNSAMPLINGS)):
        filters = num_filters * 2**level
        x = network.upsample(x, filters, upsampling, name=f"u{filters}")
        x = network.normalize(x, name=f"u{filters}", activation=layers.ReLU)
    # bfloat16 has 8 significant bits, too few for images of 256 levels: the last layer computes in float32.
    x = network.conv(x, channels, 7, reflection=_margin(3), dtype="float32", name=f"c7s1-{channels}")
    x = layers.Activation("tanh", dtype="float32", name="tanh")(x)
    x = network.crop(x, margins, dtype="float32", name="crop")
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
    """Builds the 70x70 PatchGAN: C64-C128-C256-C512 and one logit for each patch (section 7.2).

    Each 4x4 convolution is padded by one zero on every side, as in pix2pix and the authors' PyTorch code: 256x256
    pixels give 30x30 logits, 50x50 give 4x4, and 32x32 give 2x2.

    Args:
        image_shape: (height, width, channels), both sides at least `MIN_CYCLEGAN_SIZE` pixels.
        seed: the seed of the initial weights; the same seed gives the same bytes.
        num_filters: the filters of the first layer, of which the other layers have multiples. Published: 64.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`. The last layer is float32 with both.
        cpu_kernels: whether to use the layers that are fast on a CPU instead of Keras's own.
        name: the name of the model.

    Returns:
        A model from images, float32 (batch, height, width, channels) in [-1, 1], to logits,
        float32 (batch, height // 8 - 2, width // 8 - 2, 1).

    Raises:
        UserError: if the images are too small.
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
            x = network.leaky_relu(dtype=precision, name=f"C{filters}-relu")(x)
        else:
            x = network.normalize(x, name=f"C{filters}", activation=network.leaky_relu)
    x = network.zero_pad(x, name="logits")
    x = network.conv(x, 1, 4, dtype="float32", name="logits")
    return keras.Model(image, x, name=name)


class _Layers:
    """Makes the layers of one network, with the same precision, and a new seed for each weight drawn at random."""

    def __init__(self, seed: int, precision: str, cpu_kernels: bool) -> None:
        self._seeds = np.random.default_rng(seed)
        self._precision = precision
        self._classes = layer_classes(cpu_kernels)
        self.leaky_relu = functools.partial(self._classes.leaky_relu, negative_slope=0.2)

    def _normal(self, mean: float = 0.0) -> keras.initializers.Initializer:
        """Returns the initializer of the published networks, with standard deviation 0.02."""
        return keras.initializers.RandomNormal(mean, 0.02, seed=int(self._seeds.integers(2**31)))

    def conv(self, x, filters: int, kernel_size: int, *, name: str, dtype: str | None = None, **kwargs):
        initializer, dtype = self._normal(), dtype or self._precision
        convolution = self._classes.enlarged_conv(
            filters, kernel_size, kernel_initializer=initializer, dtype=dtype, name=f"{name}-conv", **kwargs
        )
        return convolution(x)

    def zero_pad(self, x, *, name: str):
        return layers.ZeroPadding2D(1, dtype=self._precision, name=f"{name}-pad")(x)

    def normalize(self, x, *, name: str, activation: Callable | None = None):
        """Returns x after an instance normalization with float32 statistics, and the activation if there is one."""
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
        x = self._classes.transposed_conv(
            filters,
            3,
            strides=2,
            kernel_initializer=self._normal(),
            dtype=self._precision,
            name=f"{name}-conv",
        )(x)
        # As the authors' padding=1, output_padding=1 do; Keras's "same" would leave out the last row and column.
        return self.crop(x, [(1, 0), (1, 0)], dtype=self._precision, name=f"{name}-crop")

    def crop(self, x, margins: list[tuple[int, int]], *, dtype: str, name: str):
        return self._classes.cropping(margins, dtype=dtype, name=name)(x)


def _reflect(image, margins: list[tuple[int, int]]):
    """Pads an image by reflection: by the margins, and by the three pixels that a 7x7 kernel needs on each side.

    It is an operation before the first convolution and not part of it, so that the layers do not depend on the image's
    size.
    """
    return ops.pad(image, [(0, 0), *((3 + before, 3 + after) for before, after in margins), (0, 0)], mode="reflect")


def _margin(pixels: int) -> list[tuple[int, int]]:
    """Returns the value of `reflection` for the same number of pixels on each side."""
    return [(pixels, pixels)] * 2


def _margins_to_multiple(size: int, multiple: int) -> tuple[int, int]:
    """Returns the pixels to add before and after `size`, as evenly as possible, to reach the next multiple."""
    missing = -size % multiple
    return missing // 2, missing - missing // 2


def _check_size(image_shape: tuple[int, int, int]) -> None:
    height, width, _ = image_shape
    if min(height, width) < MIN_CYCLEGAN_SIZE:
        raise UserError(
            f"Images of {height}x{width} pixels are too small for CycleGAN: both sides must be at least "
            f"{MIN_CYCLEGAN_SIZE}. Resize them, for example with --output_height and --output_width."
        )
