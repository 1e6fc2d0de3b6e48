from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.machine.randomness import Purpose, stateless_seed, weight_seeds
from histogan_tf.models.latents import LATENT_CHUNK_SIZE, draw_latents, latent_chunk


def test_seeds_of_all_purposes_steps_and_parts_differ():
    keys = {
        tuple(stateless_seed(seed, purpose, index, part).numpy().tolist())
        for seed, purpose, index, part in itertools.product((0, 1, 42), Purpose, (0, 1, 1000), (0, 1))
    }
    assert len(keys) == 3 * len(Purpose) * 3 * 2


def test_a_seed_is_the_same_from_a_number_and_from_a_tensor():
    from_tensor = stateless_seed(42, Purpose.LATENTS, tf.constant(7, tf.int64))
    np.testing.assert_array_equal(stateless_seed(42, Purpose.LATENTS, 7), from_tensor)


def test_weight_seeds_depend_on_seed_and_purpose():
    first = weight_seeds(42, Purpose.GENERATOR_WEIGHTS, 8)
    assert first == weight_seeds(42, Purpose.GENERATOR_WEIGHTS, 8)
    assert not set(first) & set(weight_seeds(42, Purpose.DISCRIMINATOR_WEIGHTS, 8))
    assert not set(first) & set(weight_seeds(43, Purpose.GENERATOR_WEIGHTS, 8))


def test_the_first_weight_seeds_do_not_depend_on_how_many_are_asked_for():
    many = weight_seeds(42, Purpose.GENERATOR_WEIGHTS, 40)
    assert many[:3] == [977940817, 1219295047, 1676575598]
    for number in range(1, 40):
        assert weight_seeds(42, Purpose.GENERATOR_WEIGHTS, number) == many[:number]


@pytest.mark.parametrize(
    ("z_dist", "mean", "deviation", "lowest", "highest"),
    [
        ("uniform_signed", 0.0, np.sqrt(1 / 3), -1.0, 1.0),
        ("uniform_unsigned", 0.5, np.sqrt(1 / 12), 0.0, 1.0),
        ("normal01", 0.0, 1.0, -np.inf, np.inf),
    ],
)
def test_latents_have_the_distribution_they_are_named_after(z_dist, mean, deviation, lowest, highest):
    latents = draw_latents(4000, 10, z_dist, stateless_seed(1, Purpose.LATENTS, 0)).numpy()
    assert latents.shape == (4000, 10)
    assert latents.dtype == np.float32
    assert latents.mean() == pytest.approx(mean, abs=0.02)
    assert latents.std() == pytest.approx(deviation, rel=0.02)
    assert latents.min() >= lowest
    assert latents.max() <= highest


def test_chunks_of_the_endless_list_differ():
    chunks = [latent_chunk(chunk, 3, "normal01", 1, Purpose.GENERATED_LATENTS).numpy() for chunk in (0, 1)]
    assert chunks[0].shape == (LATENT_CHUNK_SIZE, 3)
    assert np.isin(chunks[0], chunks[1]).mean() < 0.01
