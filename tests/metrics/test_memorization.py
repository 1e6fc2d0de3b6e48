"""Planted copies are found, independent draws are not, and distances are those of brute force."""

import functools

import numpy as np
import pytest

from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.errors import UserError
from histogan_tf.metrics import memorization
from histogan_tf.metrics.memorization import find_copies
from histogan_tf.metrics.planted_copies import PLANTED_COPIES

SIZE = 12


@pytest.fixture(autouse=True)
def plant_few(monkeypatch):
    """Fewer planted copies, to save time."""
    monkeypatch.setattr(memorization, "_MAX_PLANTED", 30)


def patches(seed, num_images):
    return drawn_patches(seed, num_images).copy()


@functools.cache
def drawn_patches(seed, num_images, size=SIZE):
    """Independent smooth RGB textures: a few random waves each, in a random colour."""
    rng = np.random.default_rng(seed)
    y, x = np.indices((size, size)) / size
    images = np.empty((num_images, size, size, 3), np.uint8)
    for image in images:
        waves = sum(np.sin(2 * np.pi * (rng.uniform(-2, 2) * y + rng.uniform(-2, 2) * x + rng.random())) for _ in "abc")
        image[...] = np.clip(
            rng.uniform(90, 160, 3) + 25 * waves[..., None] + rng.normal(0, 3, (size, size, 3)), 0, 255
        )
    return images


def features_of(images):
    """Means of sixteen cells: enough to tell patches apart."""
    cells = images.reshape(len(images), 4, SIZE // 4, 4, SIZE // 4, 3)
    return cells.mean(axis=(2, 4)).reshape(len(images), -1)


def copies_of(training, synthetic):
    return find_copies(training, synthetic, features_of(training), features_of(synthetic))


def test_nothing_is_suspected_among_independent_draws():
    training, synthetic = patches(1, 150), patches(2, 400)
    copies = copies_of(training, synthetic)
    assert not copies.is_suspected.any()
    assert copies.features.num_suspected_real == copies.pixels.num_suspected_real == 0


def noisy(image):
    return np.clip(image + np.random.default_rng(3).normal(0, 4, image.shape), 0, 255).astype(np.uint8)


PLANTED = {
    "exact": lambda image: image,
    "turned": np.rot90,
    "mirrored": lambda image: image[:, ::-1],
    "turned and mirrored": lambda image: np.rot90(image[:, ::-1], 3),
    "noisy": noisy,
    "brighter": lambda image: np.clip(image.astype(int) + 6, 0, 255).astype(np.uint8),
}


def test_copies_are_found_among_few_small_images():
    training, synthetic = patches(1, 150), patches(2, 60)
    sources, places = np.array([3, 70, 149, 20, 8, 100]), np.array([0, 31, 59, 7, 11, 30])
    synthetic[places] = [change(training[source]) for change, source in zip(PLANTED.values(), sources, strict=True)]
    copies = copies_of(training, synthetic)
    np.testing.assert_array_equal(np.flatnonzero(copies.is_suspected), np.sort(places))
    np.testing.assert_array_equal(copies.pixels.indices[places], sources)


@functools.cache
def phantom_copies():
    """Other phantom patches of the same patients, and copies of each kind, looked for by pixels alone."""
    images = make_phantom(440, 32, seed=7).images
    images = images[np.random.default_rng(0).permutation(len(images))]
    training, others = images[:400], images[400:]
    features = np.random.default_rng(1).standard_normal((440, 64))
    return find_copies(training, others, features[:400], features[400:])


def test_the_audit_tells_which_kinds_of_copy_it_finds_and_real_patches_are_none():
    copies = phantom_copies()
    assert copies.num_planted == 30
    assert list(copies.planted_rates) == list(PLANTED_COPIES)
    # Noise hides patches that are almost flat, brightening clips pale ones, and a blur removes what tells small patches
    # apart.
    least = {"noise, deviation 20": 0.5, "blurred, sigma 2 pixels": 0.35, "brightness + 30": 0.75}
    for kind, rate in copies.planted_rates.items():
        assert least.get(kind, 0.9) <= rate <= 1, kind
    assert not copies.is_suspected.any()
    assert copies.pixels.num_left_out == 400
    assert copies.pixels.num_suspected_real <= 1


def test_features_find_the_copies_that_pixels_miss():
    training, synthetic = patches(1, 150), patches(2, 60)
    training_features, synthetic_features = features_of(training), features_of(synthetic)
    synthetic_features[7] = training_features[20] + 0.01
    copies = find_copies(training, synthetic, training_features, synthetic_features)
    np.testing.assert_array_equal(np.flatnonzero(copies.is_suspected), [7])
    assert copies.features.is_suspected[7] and not copies.pixels.is_suspected[7]
    assert copies.features.indices[7] == 20


def third_nearest(features, vector):
    """Distance of one of the features to the third-nearest other one."""
    return np.sort(np.linalg.norm(features - vector, axis=1))[3]  # [0] is the image itself


def test_distances_and_their_scale_are_brute_force():
    training, synthetic = patches(1, 12), patches(2, 5)
    found = copies_of(training, synthetic).features
    features = features_of(training)
    median = np.median([third_nearest(features, vector) for vector in features])
    capped = 0
    for index, vector in enumerate(features_of(synthetic)):
        distances = np.linalg.norm(features - vector, axis=1)
        nearest = np.argmin(distances)
        scale = third_nearest(features, features[nearest])
        capped += scale > median
        assert found.indices[index] == nearest
        assert found.distances[index] == pytest.approx(distances[nearest], rel=1e-12)
        assert found.relative_distances[index] == pytest.approx(distances[nearest] / min(scale, median), rel=1e-12)
    assert 0 < capped < 5


def test_images_that_crowd_near_an_outlier_are_no_copies():
    training, synthetic = patches(1, 150), patches(2, 40)
    training_features = features_of(training)
    training_features[17] += 1000.0  # far from all others
    rng = np.random.default_rng(6)
    typical = np.median([third_nearest(training_features, vector) for vector in training_features])
    away = rng.standard_normal((40, training_features.shape[1]))
    synthetic_features = training_features[17] + typical * away / np.linalg.norm(away, axis=1, keepdims=True)
    found = find_copies(training, synthetic, training_features, synthetic_features).features
    assert set(found.indices) == {17}
    np.testing.assert_allclose(found.relative_distances, 1.0)
    assert not found.is_suspected.any()


def test_real_quantiles_leave_each_image_out():
    features = np.random.default_rng(5).standard_normal((20, 2))
    median = np.median([third_nearest(features, vector) for vector in features])
    relative = []
    for index in range(20):
        others = np.delete(features, index, axis=0)
        distances = np.linalg.norm(others - features[index], axis=1)
        nearest = np.argmin(distances)
        relative.append(distances[nearest] / min(third_nearest(others, others[nearest]), median))
    training = patches(1, 20)
    found = find_copies(training, training[:1], features, features[:1]).features
    assert found.real_quantiles == pytest.approx(np.quantile(relative, (0.01, 0.5)), rel=1e-12)


@pytest.mark.parametrize("dimensions", [1, 4, 20])
def test_threshold_follows_the_power_law(dimensions):
    # If a share r^D of images has a relative distance below r, the two quantiles give D, and the threshold its rate.
    low, middle = (share ** (1 / dimensions) for share in (0.01, 0.5))
    assert memorization._threshold(low, middle) == pytest.approx(1e-4 ** (1 / dimensions))


def test_exact_duplicates_in_the_training_set_hide_nothing():
    training = patches(1, 80)
    duplicated = np.concatenate([training, np.repeat(training[:10], 5, axis=0)])
    synthetic = patches(2, 20)
    synthetic[6] = noisy(training[2])
    copies = copies_of(duplicated, synthetic)
    np.testing.assert_array_equal(np.flatnonzero(copies.is_suspected), [6])
    assert copies.pixels.indices[6] == 2
    assert copies.pixels.threshold == copies_of(training, synthetic).pixels.threshold


def test_turned_duplicates_in_the_training_set_hide_nothing():
    training = patches(1, 80)
    turned = np.concatenate([np.rot90(training, turns, axes=(1, 2)) for turns in range(4)])
    synthetic = patches(2, 10)
    synthetic[3], synthetic[5] = training[11], training[2][::-1]
    pixels = copies_of(turned, synthetic).pixels
    np.testing.assert_array_equal(np.flatnonzero(pixels.is_suspected), [3, 5])
    assert pixels.distances[3] == pixels.distances[5] == 0
    assert pixels.threshold == copies_of(training, synthetic).pixels.threshold


def test_what_cannot_be_compared_is_the_users_mistake():
    training, synthetic = patches(1, 9), patches(2, 3)
    with pytest.raises(UserError, match="4 different training images are too few"):
        copies_of(np.concatenate([training[:4], training[:4]]), synthetic)
    assert len(copies_of(training[:5], synthetic).is_suspected) == 3
    with pytest.raises(UserError, match="12x12 RGB and synthetic ones 12x12 grey"):
        find_copies(training, synthetic[..., :1], features_of(training), features_of(synthetic))
    with pytest.raises(UserError, match="no synthetic images"):
        find_copies(training, synthetic[:0], features_of(training), np.zeros((0, 48)))
    with pytest.raises(UserError, match="not finite"):
        find_copies(training, synthetic, features_of(training), np.full((3, 48), np.nan))
