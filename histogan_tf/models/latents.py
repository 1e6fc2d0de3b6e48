"""Random draws of z, the latent vector from which a DCGAN's generator makes an image."""

from __future__ import annotations

import tensorflow as tf

from histogan_tf.machine.randomness import Purpose, stateless_seed

LATENT_CHUNK_SIZE = 1024


def draw_latents(num_latents: int | tf.Tensor, z_dim: int, z_dist: str, seed: tf.Tensor) -> tf.Tensor:
    """Draws latents from the distributions of the original program's `gen_random`.

    Args:
        num_latents: the number of latents.
        z_dim: the dimensions of each latent.
        z_dist: the distribution: `uniform_signed` U(-1, 1), `uniform_unsigned` U(0, 1) or `normal01` N(0, 1).
        seed: the seed of TensorFlow's stateless operations, int (2,), see `stateless_seed`.

    Returns:
        float32 (num_latents, z_dim).
    """
    shape = [num_latents, z_dim]
    if z_dist == "normal01":
        return tf.random.stateless_normal(shape, seed)
    lowest = {"uniform_signed": -1.0, "uniform_unsigned": 0.0}[z_dist]
    return tf.random.stateless_uniform(shape, seed, lowest, 1.0)


def latent_chunk(chunk_index: int, z_dim: int, z_dist: str, seed: int, purpose: Purpose) -> tf.Tensor:
    """Draws one chunk of the endless list of latents that belongs to a seed and a purpose.

    Args:
        chunk_index: the number of the chunk; it begins at latent number `chunk_index * LATENT_CHUNK_SIZE`.
        z_dim: the dimensions of each latent.
        z_dist: the distribution, see `draw_latents`.
        seed: the value of --seed.
        purpose: what the latents are used for.

    Returns:
        float32 (LATENT_CHUNK_SIZE, z_dim).
    """
    return draw_latents(LATENT_CHUNK_SIZE, z_dim, z_dist, stateless_seed(seed, purpose, chunk_index))
