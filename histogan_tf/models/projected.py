"""Builds the generator and the discriminators of the projected GAN, for any image size and depth.

The generator is a small one of upsampling blocks, after Liu et al., "Towards Faster and Stabilized GAN Training for
High-fidelity Few-shot Image Synthesis" (FastGAN), ICLR 2021, section 3.1. The discriminators look at features of a
pretrained network, after Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, section 3; the frozen part that
computes these features is `projector.FeatureProjector`.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

import keras
import numpy as np
from keras import layers, ops

from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.equalized import EqualizedDense
from histogan_tf.models.modes import ModeOfLatent
from histogan_tf.models.placement import Placement, num_shifts
from histogan_tf.models.spectral import SpectralDense

MIN_PROJECTED_SIZE = 8
_FIRST_SIZE = 4  # pixels of the generator's first feature map along its shorter side, at most
_EXCITED_FROM = 2  # scales between the map that excites channels and the map whose channels are excited
_EMBEDDING_DIM = 64  # numbers by which the generator is told the label and the mode
_MOST_NOISE_LATENTS = 32  # numbers of z of which the noise is made
_NOISE_SEED = 42  # the same for all runs, so that a generator can start from that of another run
_MOST_LOGITS = 8  # patch logits along the longer side of a discriminator's output


def map_sizes(height: int, width: int, margin: int = 0) -> list[tuple[int, int]]:
    """Returns the (height, width) in pixels of the generator's feature maps, from the first to the last.

    Args:
        height, width: the size of the images.
        margin: by how much the last map is higher and wider than the images.

    Raises:
        UserError: when the images are too small.
    """
    if min(height, width) < MIN_PROJECTED_SIZE:
        raise UserError(
            f"images of {height}x{width} pixels are too small for --model=projected: set --output_height and "
            f"--output_width to {MIN_PROJECTED_SIZE} or more"
        )
    sizes, image_sides = [(height + margin, width + margin)], min(height, width)
    while image_sides > _FIRST_SIZE:
        image_sides = -(-image_sides // 2)
        sizes.insert(0, tuple(-(-pixels // 2) for pixels in sizes[0]))
    return sizes


def build_projected_generator(
    image_shape: tuple[int, int, int],
    *,
    z_dim: int = 128,
    gf_dim: int = 32,
    max_gf_dim: int = 128,
    num_classes: int = 0,
    num_modes: int = 1,
    proportions: np.ndarray | None = None,
    z_dist: str = "normal01",
    is_turned: bool = False,
    is_shifted: bool = False,
    precision: str = "float32",
    sync_batch_norm: bool = False,
    cpu_kernels: bool = False,
    seed: int = 42,
) -> keras.Model:
    """Builds the generator, which maps z, and labels if it is conditional, to images.

    A linear layer makes the first map of at most 4 pixels along its shorter side. Each block doubles the size: bilinear
    upsampling and two 3x3 convolutions, each with batch normalization and a gated linear unit. The channels of the
    finer maps are scaled by gates that are computed from the map two sizes smaller (skip-layer excitation, FastGAN,
    equation 1). All kernels have an equalized learning rate.

    Noise with a learned weight is added after each convolution of a block (Karras et al., "A Style-Based Generator
    Architecture for GANs", CVPR 2019, section 2). It is a fixed random projection of z, so that an image depends on z
    and the label alone.

    Args:
        image_shape: the (height, width, channels) of the images.
        z_dim: the number of dimensions of z.
        gf_dim: the number of channels at the size of the image; doubled with each halving of the size.
        max_gf_dim: the largest number of channels.
        num_classes: the number of labels of the label-conditioned network; 0 for a network without labels.
        num_modes: the number of modes of each label, see `modes`; with 1, z alone tells the images apart.
        proportions: the shares of the modes, (labels, num_modes); None for equal shares.
        z_dist: the distribution of z, which only modes and placements depend on.
        is_turned: whether z also chooses the orientation of each image, see `placement`.
        is_shifted: whether z also chooses the part of a larger image that each image is.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        sync_batch_norm: whether batch norm uses the statistics of all replicas' batches together.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
        seed: the seed of the initial weights.

    Returns:
        A model with the inputs `z`, float32 (batch, z_dim), and, if conditional, `label`, int32 (batch,). Its output is
        float32 (batch, height, width, channels) in [-1, 1].

    Raises:
        UserError: when the images are too small.
    """
    shifts = num_shifts(*image_shape[:2]) if is_shifted else 1
    sizes = map_sizes(*image_shape[:2], margin=shifts - 1)
    widths = [min(max_gf_dim, gf_dim * 2**exponent) for exponent in reversed(range(len(sizes)))]
    network = _GeneratorLayers(precision, seed, sync_batch_norm, cpu_kernels)
    inputs = {"z": keras.Input((z_dim,), name="z")}
    if num_classes:
        inputs["label"] = keras.Input((), dtype="int32", name="label")
    hidden, condition = inputs["z"], inputs.get("label")
    is_placed = is_turned or shifts > 1
    if num_modes > 1 or is_placed:
        condition, place = ModeOfLatent(num_modes, num_classes, z_dist, proportions, name="mode")(hidden, condition)
        hidden = hidden[:, 1:]
    hidden = network.joined(hidden, condition, max(1, num_classes) * num_modes)
    hidden = network.dense(hidden, math.prod(sizes[0]) * 2 * widths[0], "first")
    hidden = layers.Reshape((*sizes[0], 2 * widths[0]), dtype=precision)(hidden)
    hidden = network.gated(hidden, "first")
    scales = [hidden]
    for number, (size, width) in enumerate(zip(sizes[1:], widths[1:], strict=True), start=1):
        name = f"block{number}"
        hidden = network.upsampled(hidden, size)
        for half in (f"{name}a", f"{name}b"):
            hidden = network.conv(hidden, 2 * width, half)
            hidden = network.gated(network.noisy(hidden, inputs["z"], half), half)
        scales.append(hidden)
        if number > _EXCITED_FROM:
            hidden = hidden * network.excitation(scales[number - _EXCITED_FROM], width, name)
    images = network.conv(hidden, image_shape[-1], "image")
    images = layers.Activation("tanh", dtype="float32", name="tanh")(images)
    if is_placed:
        images = Placement(shifts, is_turned, dtype="float32", name="placement")(images, place)
    return keras.Model(inputs, images, name="generator")


class LatentNoise(layers.Layer):
    """Adds noise with a learned weight to maps: at each pixel, the product of z with a fixed random vector.

    Over all z, the noise of each pixel has a mean of 0, and a variance of 1 where z has. The vectors are a function of
    the layer's seed and none of its weights.

    Args:
        size: the (height, width) of the maps.
        seed: the seed of the vectors.
    """

    def __init__(self, size: tuple[int, int], seed: int, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._size, self._seed = size, seed
        self.weight = self.add_weight(name="weight", shape=(), initializer="zeros")

    def build(self, maps_shape: tuple[int, ...], latents_shape: tuple[int, ...]) -> None:
        num_latents = min(_MOST_NOISE_LATENTS, latents_shape[-1])
        vectors = np.random.default_rng(self._seed).standard_normal((num_latents, math.prod(self._size)), np.float32)
        self._vectors = vectors / np.sqrt(np.square(vectors).sum(axis=0))

    def call(self, maps, latents):
        """Returns the maps with noise.

        Args:
            maps: (batch, height, width, channels).
            latents: z, float32 (batch, z_dim), of which the last numbers are used.
        """
        noise = ops.matmul(latents[:, -len(self._vectors) :], ops.convert_to_tensor(self._vectors, latents.dtype))
        return maps + ops.reshape(noise, (-1, *self._size, 1)) * self.weight

    def compute_output_shape(self, maps_shape: tuple[int, ...], latents_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the maps."""
        return maps_shape


class _GeneratorLayers:
    """Makes the layers of a generator, each from a seed of its own.

    Args:
        precision: a Keras dtype policy.
        seed: the seed of the initial weights.
        sync_batch_norm: whether batch norm uses the statistics of all replicas' batches together.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
    """

    def __init__(self, precision: str, seed: int, sync_batch_norm: bool, cpu_kernels: bool) -> None:
        self._precision, self._sync_batch_norm = precision, sync_batch_norm
        self._classes = layer_classes(cpu_kernels)
        self._seeds = _seeds(seed, Purpose.GENERATOR_WEIGHTS)
        self._noise_seeds = _seeds(_NOISE_SEED, Purpose.GENERATOR_NOISE)

    def joined(
        self, hidden: keras.KerasTensor, condition: keras.KerasTensor | None, num_conditions: int
    ) -> keras.KerasTensor:
        """Returns vectors with the embedding of their conditions, int32 (batch,), behind them, if there are several."""
        if num_conditions == 1:
            return hidden
        # The factor gives the embedding's numbers, like those of z, a variance of 1.
        one_hot = ops.one_hot(condition, num_conditions) * math.sqrt(num_conditions)
        return ops.concatenate([hidden, self.dense(one_hot, _EMBEDDING_DIM, "condition")], axis=-1)

    def dense(self, hidden: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        """Returns the output of a fully connected layer with an equalized learning rate."""
        return EqualizedDense(units, kernel_initializer=self._normal(), name=f"{name}_dense", dtype=self._precision)(
            hidden
        )

    def conv(self, hidden: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """Returns the output of a 3x3 convolution with an equalized learning rate."""
        return self._classes.equalized_conv(
            filters, 3, padding="same", kernel_initializer=self._normal(), name=f"{name}_conv", dtype=self._precision
        )(hidden)

    def gated(self, hidden: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns batch-normalized channels, of which one half is multiplied by the sigmoid of the other half."""
        hidden = self._classes.batch_norm(
            momentum=0.99, epsilon=1e-5, synchronized=self._sync_batch_norm, name=f"{name}_norm", dtype=self._precision
        )(hidden)
        values, gates = ops.split(hidden, 2, axis=-1)
        return values * ops.sigmoid(gates)

    def noisy(self, hidden: keras.KerasTensor, latents: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns a map with noise added to it, the same to all channels."""
        layer = LatentNoise(hidden.shape[1:3], next(self._noise_seeds), name=f"{name}_noise", dtype=self._precision)
        return layer(hidden, latents)

    def upsampled(self, hidden: keras.KerasTensor, size: tuple[int, int]) -> keras.KerasTensor:
        """Returns a map of twice the size by bilinear interpolation, cut to `size`.

        Repeated pixels would leave their grid in the images: a line in the spectrum at a period of 4 pixels.
        """
        hidden = layers.UpSampling2D(2, interpolation="bilinear", dtype=self._precision)(hidden)
        margins = [(0, pixels - kept) for pixels, kept in zip(hidden.shape[1:3], size, strict=True)]
        if any(map(any, margins)):
            hidden = layers.Cropping2D(margins, dtype=self._precision)(hidden)
        return hidden

    def excitation(self, coarse: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
        """Returns a gate for each channel, (batch, 1, 1, channels), computed from a coarser map."""
        hidden = ops.mean(coarse, axis=(1, 2))
        hidden = ops.leaky_relu(self.dense(hidden, channels, f"{name}_squeeze"), 0.2)
        gates = ops.sigmoid(self.dense(hidden, channels, f"{name}_excite"))
        return ops.reshape(gates, (-1, 1, 1, channels))

    def _normal(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=1.0, seed=next(self._seeds))


def build_projected_discriminators(
    feature_shapes: Sequence[tuple[int, int, int]],
    *,
    df_dim: int = 128,
    num_conditions: int = 1,
    precision: str = "float32",
    cpu_kernels: bool = False,
    seed: int = 42,
) -> keras.Model:
    """Builds one small discriminator for each scale of projected features; each judges patches of an image.

    A discriminator halves its features by 4x4 convolutions until no side has more than 8 pixels; a 3x3 convolution and
    a 1x1 convolution make the logits. All kernels are spectrally normalized. A conditional discriminator adds the inner
    product of the condition's embedding and the last features (Miyato & Koyama, "cGANs with Projection Discriminator",
    ICLR 2018).

    Args:
        feature_shapes: the (height, width, channels) of the features at each scale.
        df_dim: the largest number of channels of the convolutions.
        num_conditions: the number of labels times that of modes; 1 for networks without either.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
        seed: the seed of the initial weights.

    Returns:
        A model with the inputs `features_1` and so on, (batch, height, width, channels), and, if conditional,
        `condition`, int32 (batch,). Its outputs are the logits of "this patch is real" by scale, `scale1` and so on,
        each float32 (batch, n), with n patches.
    """
    make = _DiscriminatorLayers(precision, seed, cpu_kernels)
    names = [f"features_{scale}" for scale in range(1, len(feature_shapes) + 1)]
    inputs = {name: keras.Input(shape, name=name) for name, shape in zip(names, feature_shapes, strict=True)}
    if num_conditions > 1:
        inputs["condition"] = keras.Input((), dtype="int32", name="condition")
    logits = {}
    for scale, name in enumerate(names, start=1):
        hidden = inputs[name]
        number = 0
        while max(hidden.shape[1:3]) > _MOST_LOGITS:
            number += 1
            filters = min(df_dim, 2 * hidden.shape[-1])
            hidden = make.conv(hidden, filters, 4, f"scale{scale}_conv{number}", strides=2)
        hidden = make.conv(hidden, df_dim, 3, f"scale{scale}_last")
        judged = make.conv(hidden, 1, 1, f"scale{scale}_logits", is_linear=True)
        if num_conditions > 1:
            one_hot = ops.one_hot(inputs["condition"], num_conditions)
            embedding = make.embedding(one_hot, df_dim, f"scale{scale}_condition")
            judged = judged + ops.sum(hidden * embedding[:, None, None], axis=-1, keepdims=True)
        logits[f"scale{scale}"] = layers.Flatten(dtype="float32", name=f"scale{scale}")(judged)
    return keras.Model(inputs, logits, name="discriminators")


class _DiscriminatorLayers:
    """Makes the spectrally normalized layers of the discriminators, each from a seed of its own."""

    def __init__(self, precision: str, seed: int, cpu_kernels: bool) -> None:
        self._precision = precision
        self._conv = layer_classes(cpu_kernels).spectral_conv
        self._seeds = _seeds(seed, Purpose.DISCRIMINATOR_WEIGHTS)

    def conv(
        self,
        hidden: keras.KerasTensor,
        filters: int,
        kernel_size: int,
        name: str,
        strides: int = 1,
        is_linear: bool = False,
    ) -> keras.KerasTensor:
        """Returns the output of a convolution, followed by a leaky ReLU of slope 0.2 unless `is_linear`."""
        hidden = self._conv(
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            kernel_initializer=self._normal(),
            name=name,
            dtype=self._precision,
        )(hidden)
        return hidden if is_linear else layers.LeakyReLU(0.2, dtype=self._precision)(hidden)

    def embedding(self, one_hot: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        """Returns the vector of each condition, (batch, units)."""
        layer = SpectralDense(
            units, use_bias=False, kernel_initializer=self._normal(), name=name, dtype=self._precision
        )
        return layer(one_hot)

    def _normal(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.02, seed=next(self._seeds))


def _seeds(seed: int, purpose: Purpose) -> Iterator[int]:
    """Yields the seeds of one network's weights; the n-th one does not depend on how many are used."""
    return (weight_seeds(seed, purpose, number)[-1] for number in itertools.count(1))
