from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.data import perturbations
from histogan_tf.data.perturbations import add_noise, apply_symmetries, perturbed_view, random_view, symmetries_of
from histogan_tf.errors import UserError

SEED = tf.constant([3, 5], tf.int64)
# By NumPy, in the order of their numbers: identity, left-right, up-down, 180; transpose, 90 and 270 clockwise, other.
BY_HAND = (
    lambda image: image,
    np.fliplr,
    np.flipud,
    lambda image: np.rot90(image, 2),
    lambda image: image.transpose(1, 0, 2),
    lambda image: np.rot90(image, -1),
    lambda image: np.rot90(image, 1),
    lambda image: np.rot90(image.transpose(1, 0, 2), 2),
)


def random_images(num_images: int, height: int = 5, width: int = 5) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (num_images, height, width, 3), np.uint8)


def in_a_pipeline(function, images: np.ndarray) -> np.ndarray:
    """What `function` makes of the batch inside tf.data.Dataset.map."""
    dataset = tf.data.Dataset.from_tensors(images).map(function)
    return next(dataset.as_numpy_iterator())


@pytest.mark.parametrize("symmetry", range(8))
def test_each_symmetry_equals_numpys_eagerly_and_in_a_pipeline(symmetry):
    images = random_images(3)
    expected = np.stack([BY_HAND[symmetry](image) for image in images])
    np.testing.assert_array_equal(apply_symmetries(images, np.full(3, symmetry)), expected)
    np.testing.assert_array_equal(in_a_pipeline(lambda x: apply_symmetries(x, [symmetry] * 3), images), expected)


def test_each_image_of_a_batch_has_its_own_symmetry():
    image = random_images(1)[0]
    made = apply_symmetries(np.stack([image] * 8), np.arange(8)).numpy()
    np.testing.assert_array_equal(made, np.stack([turn(image) for turn in BY_HAND]))
    assert len({view.tobytes() for view in made}) == 8


def test_images_that_are_not_square_have_four_symmetries():
    image = random_images(1, 4, 6)[0]
    made = apply_symmetries(np.stack([image] * 4), np.arange(4)).numpy()
    np.testing.assert_array_equal(made, np.stack([turn(image) for turn in BY_HAND[:4]]))


@pytest.mark.parametrize(
    ("names", "square", "oblong"),
    [
        (("rotation",), [3, 5, 6], [3]),
        (("flips",), [1, 2, 3], [1, 2, 3]),
        (("flips", "rotation"), [1, 2, 3, 4, 5, 6, 7], [1, 2, 3]),
        (("noise",), [], []),
    ],
)
def test_rotations_are_quarter_turns_and_flips_are_mirrors(names, square, oblong):
    assert symmetries_of(names, (5, 5, 3)) == square
    assert symmetries_of(names, (4, 6, 3)) == oblong


def test_noise_has_its_deviation_no_bias_and_stays_in_range():
    grey = np.full((1, 200, 200, 1), 128, np.uint8)
    noise = add_noise(grey, SEED).numpy().astype(float) - 128
    assert noise.std() == pytest.approx(8, rel=0.02)
    assert noise.mean() == pytest.approx(0, abs=0.15)
    black = add_noise(np.zeros((1, 50, 50, 1), np.uint8), SEED).numpy()
    assert black.dtype == np.uint8 and 0 < np.mean(black == 0) < 0.6 and black.max() < 60


@pytest.mark.parametrize("names", [("rotation",), ("rotation", "flips"), ("flips", "noise"), ("stain",)])
def test_views_are_the_same_eagerly_and_in_a_pipeline_and_by_seed(names):
    images = random_images(4)
    for function in (
        lambda x, seed: perturbed_view(x, names, 2, seed),
        lambda x, seed: random_view(x, names, seed),
    ):
        eager = function(tf.constant(images), SEED).numpy()
        np.testing.assert_array_equal(in_a_pipeline(lambda x, f=function: f(x, SEED), images), eager)
        assert (function(tf.constant(images), SEED + 1).numpy() != eager).any()


def test_an_images_views_are_all_its_symmetries_before_any_recurs():
    images = tf.constant(random_images(6))
    views = [perturbed_view(images, ("rotation", "flips"), view, SEED).numpy() for view in range(1, 8)]
    for number, image in enumerate(images.numpy()):
        made = {view[number].tobytes() for view in views}
        assert made == {np.ascontiguousarray(turn(image)).tobytes() for turn in BY_HAND[1:]}


def test_random_views_take_every_symmetry_about_equally_often():
    image = random_images(1)[0]
    views = random_view(tf.constant(np.stack([image] * 4000)), ("rotation", "flips"), SEED).numpy()
    counts = np.unique(views.reshape(4000, -1), axis=0, return_counts=True)[1]
    assert len(counts) == 8 and counts.min() > 400 and counts.max() < 600


def test_more_views_than_symmetries_are_refused_without_noise():
    perturbations.check_views(("rotation", "flips"), 7, (5, 5, 3))
    perturbations.check_views(("noise",), 100, (5, 5, 3))
    perturbations.check_views(("flips", "stain"), 100, (5, 5, 3))
    with pytest.raises(UserError, match="3 channels only, and these have 1"):
        perturbations.check_views(("stain",), 1, (5, 5, 1))
    with pytest.raises(UserError, match="--views=8: .* makes only 7 different views of a 5x5 image"):
        perturbations.check_views(("rotation", "flips"), 8, (5, 5, 3))
    with pytest.raises(UserError, match="makes only 1 different views of a 4x6 image"):
        perturbations.check_views(("rotation",), 2, (4, 6, 3))
