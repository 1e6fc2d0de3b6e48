"""Seeds of all random draws: each draw is a function of (seed, purpose, index).

A run that was stopped and resumed therefore draws the same numbers as one that was never stopped.
"""

from __future__ import annotations

import enum
import itertools
from collections.abc import Iterator

import numpy as np


class Purpose(enum.IntEnum):
    """The uses of random draws. Draws for different purposes are independent, even with the same seed."""

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
    PROJECTOR_WEIGHTS = 17
    GENERATOR_NOISE = 18


def stateless_seed(seed: int, purpose: Purpose, index, part: int = 0):
    """Returns the seed, int64 (2,), for one of TensorFlow's stateless random operations.

    Args:
        seed: the value of --seed, in [0, 2**31).
        purpose: what the draw is used for.
        index: the number of the step or of the draw, an int or an int64 scalar tensor.
        part: a number in [0, 2**20) that tells apart several draws of the same purpose and index.
    """
    import tensorflow as tf

    assert 0 <= seed < 2**31 and 0 <= part < 2**20, (seed, part)
    key = (seed << 32) + (int(purpose) << 20) + part
    return tf.stack([tf.constant(key, tf.int64), tf.cast(index, tf.int64)])


def weight_seeds(seed: int, purpose: Purpose, num_seeds: int) -> list[int]:
    """Returns `num_seeds` seeds in [0, 2**31), one for each weight initializer of a network."""
    sequence = np.random.SeedSequence([seed, int(purpose)])
    return [int(state) >> 1 for state in sequence.generate_state(num_seeds)]


def seeds_of_weights(seed: int, purpose: Purpose) -> Iterator[int]:
    """Yields the seeds of one network's weights; the n-th one does not depend on how many are used."""
    return (weight_seeds(seed, purpose, number)[-1] for number in itertools.count(1))
