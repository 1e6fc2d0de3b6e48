"""Every random draw is a function of (seed, purpose, index), so that a resumed run draws what it would have drawn."""

from __future__ import annotations

import enum

import numpy as np


class Purpose(enum.IntEnum):
    """What a draw is for: draws of different purposes are independent under one seed."""

    LATENTS = 1
    REAL_NOISE = 2
    FAKE_NOISE = 3
    SAMPLE_LATENTS = 4
    GENERATED_LATENTS = 5
    VISUALIZED_LATENTS = 6
    GENERATOR_WEIGHTS = 7
    DISCRIMINATOR_WEIGHTS = 8
    CYCLEGAN_WEIGHTS = 9
    IMAGE_POOLS = 10
    CLASSIFIER_WEIGHTS = 11
    CLASSIFIER_VIEWS = 12
    FINE_TUNING_VIEWS = 13
    REAL_AUGMENTATION = 14
    FAKE_AUGMENTATION = 15
    EVALUATED_LATENTS = 16


def stateless_seed(seed: int, purpose: Purpose, index, part: int = 0):
    """The seed, int64 (2,), of one of TensorFlow's stateless random operations.

    Args:
        seed: in [0, 2**31), as in --seed.
        purpose: of the draw.
        index: step or number of the draw: an int or an int64 scalar tensor.
        part: in [0, 2**20), for several draws of one purpose and index.
    """
    import tensorflow as tf

    assert 0 <= seed < 2**31 and 0 <= part < 2**20, (seed, part)
    key = (seed << 32) + (int(purpose) << 20) + part
    return tf.stack([tf.constant(key, tf.int64), tf.cast(index, tf.int64)])


def weight_seeds(seed: int, purpose: Purpose, num_seeds: int) -> list[int]:
    """Seeds for the initializers of a network, one a layer, below 2**31."""
    sequence = np.random.SeedSequence([seed, int(purpose)])
    return [int(state) >> 1 for state in sequence.generate_state(num_seeds)]
