"""Builds the generator of the projected GAN, for any image size and depth.

It is a small one of upsampling blocks, after Liu et al., "Towards Faster and Stabilized GAN Training for High-fidelity
Few-shot Image Synthesis" (FastGAN), ICLR 2021, section 3.1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

from histogan_tf.errors import UserError
from histogan_tf.machine.gpu import has_gpu
from histogan_tf.machine.randomness import Purpose, seeds_of_weights
from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.equalized import EqualizedDense
from histogan_tf.models.modes import ModeOfLatent
from histogan_tf.models.placement import Placement, num_shifts

MIN_PROJECTED_SIZE = 8
_FIRST_SIZE = 4  # pixels of the generator's first feature map along its shorter side, at most
_EXCITED_FROM = 2  # scales between the map that excites channels and the map whose channels are excited
_EMBEDDING_DIM = 64  # numbers by which the generator is told the label and the mode
_MOST_NOISE_LATENTS = 32  # numbers of z of which the noise is made
_NOISE_SEED = 42  # the same for all runs, so that a generator can start from that of another run


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
    hidden = network.blocks(hidden, inputs["z"], sizes[1:], widths[1:])
    images = network.conv(hidden, image_shape[-1], "image")
    images = layers.Activation("tanh", dtype="float32", name="tanh")(images)
    if is_placed:
        placement = Placement(shifts, is_turned, network.is_for_cpu, dtype="float32", name="placement")
        images = placement(images, place)
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

    Attributes:
        is_for_cpu: whether to choose what is faster on a CPU.

    Args:
        precision: a Keras dtype policy.
        seed: the seed of the initial weights.
        sync_batch_norm: whether batch norm uses the statistics of all replicas' batches together.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
    """

    def __init__(self, precision: str, seed: int, sync_batch_norm: bool, cpu_kernels: bool) -> None:
        self._precision, self._sync_batch_norm = precision, sync_batch_norm
        self.is_for_cpu = cpu_kernels and not has_gpu()
        self._classes = layer_classes(cpu_kernels)
        self._seeds = seeds_of_weights(seed, Purpose.GENERATOR_WEIGHTS)
        self._noise_seeds = seeds_of_weights(_NOISE_SEED, Purpose.GENERATOR_NOISE)

    def joined(
        self, hidden: keras.KerasTensor, condition: keras.KerasTensor | None, num_conditions: int
    ) -> keras.KerasTensor:
        """Returns vectors with the embedding of their conditions, int32 (batch,), behind them, if there are several."""
        if num_conditions == 1:
            return hidden
        # The factor gives the embedding's numbers, like those of z, a variance of 1.
        one_hot = ops.one_hot(condition, num_conditions) * math.sqrt(num_conditions)
        return ops.concatenate([hidden, self.dense(one_hot, _EMBEDDING_DIM, "condition")], axis=-1)

    def blocks(
        self,
        hidden: keras.KerasTensor,
        latents: keras.KerasTensor,
        sizes: Sequence[tuple[int, int]],
        widths: Sequence[int],
    ) -> keras.KerasTensor:
        """Returns the output of the blocks that lead from the first map to the last.

        Args:
            hidden: the first map.
            latents: z, of which the noise is made.
            sizes: the (height, width) of the blocks' maps.
            widths: the number of channels of the blocks' maps.
        """
        scales = [hidden]
        for number, (size, width) in enumerate(zip(sizes, widths, strict=True), start=1):
            name = f"block{number}"
            for half, upsampled_size in ((f"{name}a", size), (f"{name}b", None)):
                hidden = self.conv(hidden, 2 * width, half, upsampled_size)
                hidden = self.gated(self.noisy(hidden, latents, half), half)
            scales.append(hidden)
            if number > _EXCITED_FROM:
                hidden = hidden * self.excitation(scales[number - _EXCITED_FROM], width, name)
        return hidden

    def dense(self, hidden: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        """Returns the output of a fully connected layer with an equalized learning rate."""
        return EqualizedDense(units, kernel_initializer=self._normal(), name=f"{name}_dense", dtype=self._precision)(
            hidden
        )

    def conv(
        self, hidden: keras.KerasTensor, filters: int, name: str, upsampled_size: tuple[int, int] | None = None
    ) -> keras.KerasTensor:
        """Returns the output of a 3x3 convolution with an equalized learning rate, after bilinear upsampling if asked.

        Repeated pixels would leave their grid in the images: a line in the spectrum at a period of 4 pixels.
        """
        return self._classes.equalized_conv(
            filters,
            3,
            padding="same",
            upsampled_size=upsampled_size,
            kernel_initializer=self._normal(),
            name=f"{name}_conv",
            dtype=self._precision,
        )(hidden)

    def gated(self, hidden: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns batch-normalized channels, of which one half is multiplied by the sigmoid of the other half."""
        hidden = self._classes.batch_norm(
            momentum=0.99, epsilon=1e-5, synchronized=self._sync_batch_norm, name=f"{name}_norm", dtype=self._precision
        )(hidden)
        values, gates = ops.split(hidden, 2, axis=-1)
        gates = ops.sigmoid(ops.cast(gates, "float32"))  # on a CPU, bfloat16 takes longer
        return values * ops.cast(gates, values.dtype)

    def noisy(self, hidden: keras.KerasTensor, latents: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns a map with noise added to it, the same to all channels."""
        layer = LatentNoise(hidden.shape[1:3], next(self._noise_seeds), name=f"{name}_noise", dtype=self._precision)
        return layer(hidden, latents)

    def excitation(self, coarse: keras.KerasTensor, channels: int, name: str) -> keras.KerasTensor:
        """Returns a gate for each channel, (batch, 1, 1, channels), computed from a coarser map."""
        hidden = ops.mean(coarse, axis=(1, 2))
        hidden = ops.leaky_relu(self.dense(hidden, channels, f"{name}_squeeze"), 0.2)
        gates = ops.sigmoid(self.dense(hidden, channels, f"{name}_excite"))
        return ops.reshape(gates, (-1, 1, 1, channels))

    def _normal(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=1.0, seed=next(self._seeds))
