from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.data.stain import (
    HED_FROM_RGB,
    RGB_FROM_HED,
    image_of,
    jitter_stains,
    mean_stains,
    scale_stains,
    stains_of,
)

SEED = tf.constant([3, 5], tf.int64)


def tissue(num_images: int) -> np.ndarray:
    """Images whose stains are drawn from the range of real tissue, uint8 (num_images, 6, 5, 3)."""
    stains = np.random.default_rng(1).uniform(0.02, 0.8, (num_images, 6, 5, 3))
    return np.round(255 * np.exp(-stains @ RGB_FROM_HED)).astype(np.uint8)


def test_stains_of_pure_light_by_hand():
    haematoxylin = np.exp(-0.5 * RGB_FROM_HED[0])[None, None]
    np.testing.assert_allclose(stains_of(tf.constant(haematoxylin))[0, 0], [0.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(stains_of(tf.ones((1, 1, 3)))[0, 0], [0, 0, 0], atol=1e-7)
    np.testing.assert_allclose(HED_FROM_RGB @ RGB_FROM_HED, np.eye(3), atol=1e-6)


def test_stains_make_the_image_that_they_are_of_and_nothing_is_brighter_than_white():
    images = tf.constant(tissue(3), tf.float32) / 255.0
    np.testing.assert_allclose(image_of(stains_of(images)), images, atol=1e-6)
    np.testing.assert_array_equal(image_of(tf.constant([[-1.0, 0.0, 0.0]])), [[1.0, 1.0, 1.0]])


def test_a_jitter_is_one_factor_and_one_offset_for_each_stain_of_an_image():
    images = tf.constant(tissue(64), tf.float32) / 255.0
    before, after = stains_of(images).numpy(), stains_of(jitter_stains(images, SEED)).numpy()
    for image in range(64):
        for stain in range(3):
            slope, offset = np.polyfit(before[image, ..., stain].ravel(), after[image, ..., stain].ravel(), 1)
            assert 0.949 < slope < 1.051 and -0.051 < offset < 0.051
            np.testing.assert_allclose(slope * before[image, ..., stain] + offset, after[image, ..., stain], atol=2e-3)
    assert np.ptp((after - before).mean(axis=(1, 2)), axis=0).min() > 0.05  # each image has draws of its own


def test_the_gradient_of_a_jitter_agrees_with_differences():
    images = tf.constant(tissue(4), tf.float32) / 255.0
    direction = tf.constant(np.random.default_rng(2).uniform(-1, 1, images.shape), tf.float32)
    with tf.GradientTape() as tape:
        tape.watch(images)
        total = tf.reduce_sum(jitter_stains(images, SEED) ** 2)
    ahead, behind = (tf.reduce_sum(jitter_stains(images + sign * 1e-3 * direction, SEED) ** 2) for sign in (1, -1))
    found = float(tf.reduce_sum(tape.gradient(total, images) * direction))
    assert found == pytest.approx(float(ahead - behind) / 2e-3, rel=2e-2)


def test_scaled_stains_have_the_mean_that_was_asked_for_and_white_stays_white():
    images = tissue(5)
    scaled = scale_stains(images, np.array([1.5, 0.8, 1.0]))
    assert scaled.dtype == np.uint8 and scaled.shape == images.shape
    np.testing.assert_allclose(mean_stains(scaled) / mean_stains(images), [1.5, 0.8, 1.0], rtol=0.02)
    np.testing.assert_array_equal(scale_stains(np.full((1, 2, 2, 3), 255, np.uint8), np.array([3, 3, 3])), 255)
