"""Modes: how a mode is drawn from z, and how images are told apart by their features."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.latents import draw_latents
from histogan_tf.models.modes import ModeOfFeatures, ModeOfLatent, pool

PROPORTIONS = np.array([[0.2, 0.0, 0.5, 0.3], [0.7, 0.1, 0.2, 0.0]])
DISTRIBUTIONS = ("normal01", "uniform_signed", "uniform_unsigned")


@pytest.mark.parametrize("z_dist", DISTRIBUTIONS)
def test_modes_are_drawn_in_their_proportions(z_dist):
    layer = ModeOfLatent(4, 2, z_dist, PROPORTIONS)
    latents = draw_latents(20_000, 3, z_dist, (1, 2))
    for label in (0, 1):
        conditions, places = (result.numpy() for result in layer(latents, tf.fill([20_000], label)))
        shares = np.bincount(conditions - 4 * label, minlength=4) / 20_000
        np.testing.assert_allclose(shares, PROPORTIONS[label], atol=0.012)
        assert np.all(shares[PROPORTIONS[label] == 0] == 0)
        assert places.min() >= 0 and places.max() < 1
        for condition in np.unique(conditions):  # places are uniformly distributed in each mode
            eighths = np.bincount((8 * places[conditions == condition]).astype(int), minlength=8)
            np.testing.assert_allclose(eighths / eighths.sum(), 1 / 8, atol=0.03)


@pytest.mark.parametrize("z_dist", DISTRIBUTIONS)
def test_latents_can_be_moved_to_a_mode(z_dist):
    layer = ModeOfLatent(4, 2, z_dist, PROPORTIONS)
    conditions = np.flatnonzero(PROPORTIONS.ravel()).astype(np.int32)
    latents = draw_latents(len(conditions), 3, z_dist, (1, 2))
    moved = layer.moved_to(conditions, latents)
    found, places = layer(moved, conditions // 4)
    np.testing.assert_array_equal(found, conditions)
    _, places_before = ModeOfLatent(1, 0, z_dist)(latents)
    np.testing.assert_allclose(places, np.clip(places_before, 0.01, 0.99), atol=1e-5)
    np.testing.assert_array_equal(moved[:, 1:], latents[:, 1:])


@pytest.mark.parametrize(
    ("z_dist", "extremes"),
    [("normal01", (-9.0, 9.0)), ("uniform_signed", (-1.0, 1.0)), ("uniform_unsigned", (0.0, 1.0))],
)
def test_the_ends_of_z_have_the_first_and_the_last_mode_that_exists(z_dist, extremes):
    layer = ModeOfLatent(3, 0, z_dist, np.array([[0.5, 0.5, 0.0]]))
    modes, places = layer(np.array(extremes, np.float32)[:, None])
    np.testing.assert_array_equal(modes, [0, 1])
    np.testing.assert_allclose(places, [0, 1], atol=1e-5)
    assert places[1] < 1


def test_without_proportions_modes_have_equal_shares_until_they_are_set():
    layer = ModeOfLatent(4, 2, "uniform_unsigned")
    np.testing.assert_allclose(layer.ends, [[0.25, 0.5, 0.75, 1.0]] * 2)
    layer.set_proportions(PROPORTIONS)
    np.testing.assert_allclose(layer.ends, [[0.2, 0.2, 0.7, 1.0], [0.7, 0.8, 1.0, 1.0]], rtol=1e-6)


def test_features_are_pooled_over_all_positions_and_scales():
    features = [np.arange(8.0).reshape(1, 2, 2, 2), np.full((1, 1, 1, 3), 5.0)]
    np.testing.assert_allclose(pool(features), [[3.0, 4.0, 5.0, 5.0, 5.0]])


def groups(num_groups: int, num_images: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Features of images in well separated groups, and the number of each image's group."""
    rng = np.random.default_rng(seed)
    numbers = rng.integers(0, num_groups, num_images)
    centres = np.random.default_rng(99).normal(size=(num_groups, 10))
    return (100 * centres[numbers] + rng.normal(size=(num_images, 10))).astype(np.float32), numbers


def test_groups_of_images_are_found_and_new_images_join_them():
    modes = ModeOfFeatures(10, 1, 3)
    pooled, numbers = groups(3, 60)
    modes.find(pooled, None, seed=1)
    found = modes(pooled, None).numpy()
    name = {int(found[numbers == number][0]): number for number in range(3)}
    assert sorted(name) == [0, 1, 2]
    np.testing.assert_array_equal([name[int(mode)] for mode in found], numbers)
    new_pooled, new_numbers = groups(3, 30, seed=7)
    np.testing.assert_array_equal([name[int(mode)] for mode in modes(new_pooled, None).numpy()], new_numbers)
    shares = modes.proportions(pooled, None)
    np.testing.assert_allclose([shares[0, mode] for mode in name], [np.mean(numbers == name[mode]) for mode in name])


def test_each_label_has_modes_of_its_own():
    modes = ModeOfFeatures(10, 2, 2)
    pooled, numbers = groups(2, 40)
    labels = (np.arange(40) % 2).astype(np.int32)
    modes.find(pooled, labels, seed=1)
    conditions = modes(pooled, labels).numpy()
    np.testing.assert_array_equal(conditions // 2, labels)
    for label in (0, 1):
        of_label = conditions[labels == label] - 2 * label
        assert abs(np.corrcoef(of_label, numbers[labels == label])[0, 1]) == pytest.approx(1.0)
    np.testing.assert_allclose(modes.proportions(pooled, labels).sum(axis=1), 1.0)


def test_of_few_images_fewer_modes_are_made():
    modes = ModeOfFeatures(10, 1, 32)
    pooled, _ = groups(2, 10)
    modes.find(pooled, None, seed=1)
    shares = modes.proportions(pooled, None)
    assert np.count_nonzero(shares) <= 3 and shares.sum() == pytest.approx(1.0)


def test_the_same_seed_finds_the_same_modes():
    pooled, _ = groups(5, 200)
    found = []
    for seed in (1, 1):
        modes = ModeOfFeatures(10, 1, 8)
        modes.find(pooled, None, seed)
        found.append([weight.tobytes() for weight in modes.get_weights()])
    assert found[0] == found[1]


def test_no_image_is_taken_for_a_mode_that_was_left_out():
    modes = ModeOfFeatures(10, 1, 3)
    pooled, numbers = groups(3, 60)
    modes.find(pooled, None, seed=1)
    empty = int(modes(pooled[numbers == 0], None).numpy()[0])
    modes.leave_out(np.arange(3)[None] == empty)
    found = modes(pooled, None).numpy()
    assert set(found) == {0, 1, 2} - {empty}
    shares = modes.proportions(pooled, None)
    assert shares[0, empty] == 0 and shares.sum() == 1
