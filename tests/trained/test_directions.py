"""Directions of a generator of which it is known what each number of z does to its images."""

from __future__ import annotations

import types

import keras
import numpy as np
import pytest
from keras import layers

from histogan_tf.models.modes import ModeOfLatent
from histogan_tf.trained import directions

Z_DIM = 6


@pytest.fixture
def trained(monkeypatch):
    """Makes a generator of 16x16 pixels: the third number of z makes images dark, and the fifth one a little lighter.

    The others do next to nothing, but for the first one, if it chooses a mode: it then changes the most.
    """
    monkeypatch.setattr(directions, "_NUM_PAIRS", 2000)

    def make(channels: int = 3, z_dist: str = "normal01", *, has_modes: bool = False):
        latents = keras.Input((Z_DIM,), name="z")
        hidden = layers.Dense(16, use_bias=False, name="first")(latents)
        if has_modes:
            mode, _ = ModeOfLatent(4, 0, z_dist, name="mode")(latents)
            hidden = hidden + 3.0 * keras.ops.cast(mode, "float32")[:, None]
        hidden = layers.UpSampling2D(2)(layers.Reshape((4, 4, 1))(hidden))
        hidden = layers.UpSampling2D(2)(layers.Conv2D(1, 1, use_bias=False, kernel_initializer="ones")(hidden))
        network = keras.Model({"z": latents}, keras.ops.tanh(keras.ops.repeat(hidden, channels, axis=-1)))
        kernel = np.full((Z_DIM, 16), 1e-3) * np.random.default_rng(0).normal(size=(Z_DIM, 16))
        kernel[2] = -0.5
        kernel[4] = 0.15
        network.get_layer("first").set_weights([kernel])
        config = types.SimpleNamespace(z_dim=Z_DIM, z_dist=z_dist)
        return types.SimpleNamespace(network=network, config=config, num_classes=0, image_shape=(16, 16, channels))

    return make


@pytest.mark.parametrize("z_dist", ["normal01", "uniform_signed", "uniform_unsigned"])
def test_the_strongest_direction_is_found_turned_to_more_and_named(trained, z_dist):
    first, *others = directions.find_directions(trained(1, z_dist))
    expected = np.float64([0, 0, -1, 0, 0.3, 0])  # the numbers that lighten images
    assert first.vector @ expected / np.linalg.norm(expected) > 0.99
    assert first.name.split(", ")[0] == "paler"
    assert first.correlations["paler"] > 0.9
    vectors = np.stack([first.vector, *(other.vector for other in others)])
    assert vectors.shape == (5, Z_DIM)  # along the sixth one, images stay what they are
    np.testing.assert_allclose(vectors @ vectors.T, np.eye(5), atol=1e-5)
    middle = {"normal01": 0.0, "uniform_signed": 0.0, "uniform_unsigned": 0.5}[z_dist] * first.vector.sum()
    deviation = {"normal01": 1.0, "uniform_signed": 3**-0.5, "uniform_unsigned": 12**-0.5}[z_dist]
    assert (first.low, first.high) == pytest.approx((middle - 4 * deviation, middle + 4 * deviation), rel=1e-4)


def test_a_direction_that_changes_next_to_nothing_has_a_number(trained):
    names = [direction.name for direction in directions.find_directions(trained(3))]
    assert names[:4] == ["more blue, less white", "direction 2", "direction 3", "direction 4"]


def test_equal_names_are_told_apart(trained, monkeypatch):
    monkeypatch.setattr(directions, "_VISIBLE", 0.0)
    names = [direction.name for direction in directions.find_directions(trained(3))]
    assert names[0] == "more blue, less white"
    assert names[1:3] == ["more blue", "more blue (2)"]
    assert len(set(names)) == len(names)


def test_no_direction_changes_the_number_that_chooses_a_mode(trained):
    found = directions.find_directions(trained(has_modes=True))
    assert len(found) == Z_DIM - 2
    assert all(direction.vector[0] == 0 for direction in found)
    assert abs(found[0].vector[2]) > 0.9


def test_there_is_no_direction_where_images_stay_the_same_or_all_of_z_chooses_the_mode(trained):
    same = trained()
    same.network.get_layer("first").set_weights([np.zeros((Z_DIM, 16))])
    assert directions.find_directions(same) == []
    assert directions._principal_directions(trained(), held=Z_DIM).shape == (0, Z_DIM)


def test_a_latent_moves_to_the_place_it_is_told_and_nowhere_else(trained):
    first, second, *_ = directions.find_directions(trained())
    latents = np.random.default_rng(1).normal(size=(3, Z_DIM))
    moved = first.moved(latents, np.array([-4.0, 0.0, 2.5]))
    np.testing.assert_allclose(moved @ first.vector, [-4.0, 0.0, 2.5], atol=1e-5)
    np.testing.assert_allclose(moved @ second.vector, latents @ second.vector, atol=1e-5)
    assert moved.dtype == np.float32

    first, *_ = directions.find_directions(trained(z_dist="uniform_signed"))
    moved = first.moved(np.zeros((1, Z_DIM)), first.high)
    assert np.abs(moved).max() == 1.0
