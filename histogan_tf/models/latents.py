"""The latent z of the DCGANs."""

from __future__ import annotations

import tensorflow as tf

from histogan_tf.machine.randomness import Purpose, stateless_seed

LATENT_CHUNK_SIZE = 1024


def draw_latents(num_latents: int | tf.Tensor, z_dim: int, z_dist: str, seed: tf.Tensor) -> tf.Tensor:
    """Latents of the original's `gen_random`.

    Args:
        num_latents: how many.
        z_dim: their dimensions.
        z_dist: `uniform_signed` U(-1, 1), `uniform_unsigned` U(0, 1) or `normal01` N(0, 1).
        seed: int (2,), of TensorFlow's stateless operations.

    Returns:
        float32 (num_latents, z_dim).
    """
    shape = [num_latents, z_dim]
    if z_dist == "normal01":
        return tf.random.stateless_normal(shape, seed)
    lowest = {"uniform_signed": -1.0, "uniform_unsigned": 0.0}[z_dist]
    return tf.random.stateless_uniform(shape, seed, lowest, 1.0)


def latent_chunk(chunk_index: int, z_dim: int, z_dist: str, seed: int, purpose: Purpose) -> tf.Tensor:
    """Latents number `chunk_index * LATENT_CHUNK_SIZE` and on of an endless list that depends on `seed` alone.

    Returns:
        float32 (LATENT_CHUNK_SIZE, z_dim).
    """
    return draw_latents(LATENT_CHUNK_SIZE, z_dim, z_dist, stateless_seed(seed, purpose, chunk_index))
