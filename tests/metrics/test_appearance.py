"""What measures of patches say of images whose stains, spots and waves are known."""

from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.metrics import appearance

HAEMATOXYLIN, EOSIN = np.array([0.650, 0.704, 0.286]), np.array([0.072, 0.990, 0.105])


def stained(blue: float | np.ndarray, pink: float | np.ndarray) -> np.ndarray:
    """An RGB patch of 32x32 pixels with these optical densities of the stains."""
    densities = np.zeros((32, 32, 3)) + np.asarray(blue)[..., None] * HAEMATOXYLIN / np.linalg.norm(HAEMATOXYLIN)
    densities += np.asarray(pink)[..., None] * EOSIN / np.linalg.norm(EOSIN)
    return np.rint(256 * 10.0**-densities - 1).clip(0, 255).astype(np.uint8)


def test_the_densities_of_both_stains_are_found_apart():
    images = np.stack([stained(0.5, 0.2), stained(0.1, 0.6)])
    np.testing.assert_allclose(appearance.haematoxylin(images), [0.5, 0.1], atol=0.01)
    np.testing.assert_allclose(appearance.eosin(images), [0.2, 0.6], atol=0.01)


def test_white_is_where_all_colours_are_light():
    image = np.full((1, 10, 10, 3), 230, np.uint8)
    image[0, :3] = (230, 230, 200)
    assert appearance.white_area(image) == [0.7]


def test_nuclei_are_counted_and_broad_shades_are_not():
    y, x = np.mgrid[:32, :32]
    spots = sum(np.exp(-((y - row) ** 2 + (x - column) ** 2) / 4) for row, column in [(6, 6), (6, 24), (20, 15)])
    shade = np.exp(-((y - 16) ** 2 + (x - 16) ** 2) / 200)
    images = np.stack([stained(0.6 * spots, 0.3), stained(0.6 * shade, 0.3), stained(0.2, 0.2)])
    np.testing.assert_array_equal(appearance.num_nuclei(images), [3, 0, 0])


def test_the_texture_scale_of_a_wave_is_its_length_over_2_pi():
    waves = [128 + 100 * np.sin(2 * np.pi * np.arange(64) / length) for length in (16, 32)]
    images = np.stack([np.tile(wave, (64, 1))[..., None] for wave in waves]).astype(np.uint8)
    np.testing.assert_allclose(appearance.texture_scale(images), [16 / 2 / np.pi, 32 / 2 / np.pi], rtol=0.02)
    assert appearance.texture_scale(np.full((1, 8, 8, 1), 7, np.uint8)) == [0.0]


@pytest.mark.parametrize(("channels", "num_measures"), [(1, 2), (3, 5)])
def test_measures_fit_the_channels_and_have_names_of_their_own(channels, num_measures):
    measures = appearance.measures_of(channels)
    images = np.random.default_rng(0).integers(0, 256, (4, 12, 13, channels), np.uint8)
    assert all(measure.compute(images).shape == (4,) for measure in measures)
    assert len({name for measure in measures for name in (measure.less, measure.more)}) == 2 * num_measures
