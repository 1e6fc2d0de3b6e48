"""Every policy against NumPy or numbers by hand, and ADA's probability against a plain count."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.config import Config, resolve
from histogan_tf.config.families import FAMILIES
from histogan_tf.config.training_flags import DIFFAUGMENT_POLICIES
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.stain import jitter_stains
from histogan_tf.errors import UserError
from histogan_tf.training import augmentation
from histogan_tf.training.augmentation import (
    POLICIES,
    AdaptiveAugmentation,
    Augmentation,
    color,
    cutout,
    dihedral,
    random_shift,
)

SEED = tf.constant([3, 4], tf.int64)


# The policy `stain` is not linear, and needs three channels; tests/data/test_stain.py has its arithmetic.
WITHOUT_STAIN = {name: policy for name, policy in POLICIES.items() if name != "stain"}


def random_images(num_images: int, height: int = 16, width: int = 16, channels: int = 3) -> tf.Tensor:
    pixels = np.random.default_rng(0).uniform(-1, 1, (num_images, height, width, channels))
    return tf.constant(pixels.astype(np.float32))


def test_the_flag_offers_all_policies():
    assert sorted(DIFFAUGMENT_POLICIES) == sorted(POLICIES)


@pytest.mark.parametrize("policy", WITHOUT_STAIN.values(), ids=WITHOUT_STAIN)
@pytest.mark.parametrize("shape", [(16, 16, 3), (17, 30, 1)])
def test_a_policy_keeps_the_shape_depends_on_the_seed_alone_and_agrees_in_a_graph(policy, shape):
    images = random_images(32, *shape)
    result = policy(images, SEED)
    assert (result.shape, result.dtype) == (images.shape, tf.float32)
    np.testing.assert_array_equal(policy(images, SEED), result)
    np.testing.assert_allclose(tf.function(policy)(images, SEED), result, atol=1e-6)
    assert not np.array_equal(policy(images, SEED + 1), result)
    assert len({difference.tobytes() for difference in (result - images).numpy()}) > 4  # each image has its own draw


@pytest.mark.parametrize("policy", WITHOUT_STAIN.values(), ids=WITHOUT_STAIN)
def test_a_policy_is_linear_in_the_pixels_and_its_gradient_reaches_them(policy):
    images = random_images(8)
    with tf.GradientTape() as tape:
        tape.watch(images)
        result = policy(images, SEED)
        total = tf.reduce_sum(result * result)
    gradient = tape.gradient(total, images)
    # d/ds of f(x + s d)^2 at 0, by differences; f is affine in x, so that they are exact but for rounding
    direction = random_images(8)[::-1]
    ahead, behind = (tf.reduce_sum(policy(images + sign * 0.5 * direction, SEED) ** 2) for sign in (1, -1))
    assert float(tf.reduce_sum(gradient * direction)) == pytest.approx(float(ahead - behind), rel=1e-3)


def test_stain_jitters_the_stains_of_images_between_minus_one_and_one():
    images = random_images(8)
    expected = 2.0 * jitter_stains((images + 1.0) / 2.0, SEED) - 1.0
    np.testing.assert_allclose(POLICIES["stain"](images, SEED), expected, atol=1e-6)
    with pytest.raises(UserError, match="3 channels only, and these have 1"):
        POLICIES["stain"](random_images(2, channels=1), SEED)


def test_dihedral_gives_each_of_the_eight_symmetries_equally_often():
    image = random_images(1)
    pixels = image[0].numpy()
    symmetries = [np.rot90(flipped, turns).copy() for flipped in (pixels, pixels[:, ::-1]) for turns in range(4)]
    results = dihedral(tf.repeat(image, 800, axis=0), SEED).numpy()
    counts = [int(np.all(results == symmetry, axis=(1, 2, 3)).sum()) for symmetry in symmetries]
    assert sum(counts) == 800
    assert min(counts) > 100 - 5 * 10 and max(counts) < 100 + 5 * 10  # five deviations of a binomial (800, 1/8)


def test_dihedral_does_not_transpose_what_is_not_square():
    image = random_images(1, 8, 12)
    pixels = image[0].numpy()
    results = dihedral(tf.repeat(image, 64, axis=0), SEED).numpy()
    symmetries = [pixels, pixels[::-1], pixels[:, ::-1], pixels[::-1, ::-1]]
    assert [np.all(results == symmetry, axis=(1, 2, 3)).any() for symmetry in symmetries] == [True] * 4
    assert sum(np.all(results == symmetry, axis=(1, 2, 3)).sum() for symmetry in symmetries) == 64


def test_translation_moves_by_up_to_an_eighth_and_fills_with_grey():
    image = random_images(1, 16, 24)
    pixels = np.pad(image[0].numpy(), ((2, 2), (3, 3), (0, 0)))
    moved = {
        (down, right): pixels[2 - down : 18 - down, 3 - right : 27 - right]
        for down in range(-2, 3)
        for right in range(-3, 4)
    }
    results = random_shift(tf.repeat(image, 700, axis=0), SEED).numpy()
    counts = [int(np.all(results == expected, axis=(1, 2, 3)).sum()) for expected in moved.values()]
    assert sum(counts) == 700
    assert min(counts) > 0


def test_cutout_clears_a_window_of_half_the_size_cut_by_the_edge():
    images = tf.ones((600, 16, 20, 2))
    is_cleared = cutout(images, SEED).numpy() == 0
    np.testing.assert_array_equal(is_cleared[..., 0], is_cleared[..., 1])
    rows, columns = is_cleared[..., 0].any(axis=2), is_cleared[..., 0].any(axis=1)
    np.testing.assert_array_equal(is_cleared[..., 0], rows[:, :, None] & columns[:, None, :])
    for lines, width in ((rows, 8), (columns, 10)):
        lengths = lines.sum(axis=1)
        assert (lengths.min(), lengths.max()) == (width // 2, width)
        assert (np.abs(np.diff(lines.astype(int), axis=1)).sum(axis=1) <= 2).all()  # in one piece
        assert lines.any(axis=0).all()


def test_color_is_brightness_saturation_and_contrast_by_hand():
    images = random_images(500)
    results = color(images, SEED).numpy().astype(np.float64)
    pixels = images.numpy().astype(np.float64)
    means, grey = pixels.mean(axis=(1, 2, 3)), pixels.mean(axis=-1)
    brightness = results.mean(axis=(1, 2, 3)) - means
    grey_results = results.mean(axis=-1)
    contrast = grey_results.std(axis=(1, 2)) / grey.std(axis=(1, 2))
    saturation = (results - grey_results[..., None]).std(axis=(1, 2, 3)) / (pixels - grey[..., None]).std(
        axis=(1, 2, 3)
    )
    for values, low, high in ((brightness, -0.5, 0.5), (contrast, 0.5, 1.5), (saturation / contrast, 0.0, 2.0)):
        assert low - 1e-3 <= values.min() < low + 0.02 * (high - low)
        assert high - 0.02 * (high - low) < values.max() <= high + 1e-3
    saturated = grey[..., None] + (saturation / contrast)[:, None, None, None] * (pixels - grey[..., None])
    expected = means[:, None, None, None] + contrast[:, None, None, None] * (saturated - means[:, None, None, None])
    np.testing.assert_allclose(results, expected + brightness[:, None, None, None], atol=1e-4)


def test_no_policy_changes_nothing_and_has_no_state():
    images = random_images(2)
    augmentation = Augmentation(())
    assert augmentation(images, SEED) is images
    assert augmentation.state() == {} == augmentation.adapt(tf.constant(0, tf.int64), tf.ones((2, 1)))


def test_policies_are_applied_in_one_order_however_they_are_named():
    images = random_images(4)
    first, again = Augmentation(("cutout", "color")), Augmentation(("color", "cutout", "color"))
    np.testing.assert_array_equal(first(images, SEED), again(images, SEED))
    seeds = [tf.random.fold_in(SEED, number) for number in range(2)]
    np.testing.assert_array_equal(first(images, SEED), cutout(color(images, seeds[0]), seeds[1]))


def test_adaptive_policies_reach_the_share_p_of_the_images():
    images = random_images(1000, 8, 8, 1)
    augmentation = AdaptiveAugmentation(("color",), 0.6, 4)
    np.testing.assert_array_equal(augmentation(images, SEED), images)
    augmentation.probability.assign(0.3)
    is_changed = np.any(augmentation(images, SEED).numpy() != images.numpy(), axis=(1, 2, 3))
    assert is_changed.mean() == pytest.approx(0.3, abs=5 * np.sqrt(0.3 * 0.7 / 1000))
    augmentation.probability.assign(1.0)
    assert np.any(augmentation(images, SEED).numpy() != images.numpy(), axis=(1, 2, 3)).all()


def test_p_moves_every_fourth_step_by_the_sign_of_the_heuristic():
    # 4 steps of 2500 images are a tenth of the 100,000 in which p can go from 0 to 1.
    augmentation = AdaptiveAugmentation(("color",), 0.6, 2500)
    adapt = tf.function(augmentation.adapt)
    # mean signs by step: four times 1 rises; 0.8 falls on average below 0.6 with one 0; 0.75 rises again
    signs = [1, 1, 1, 1, 0.8, 0.8, 0.7, 0, 0, 1, 1, 1]
    found = []
    for step, sign in enumerate(signs):
        logits = np.zeros((1000, 1), np.float32)
        logits[: round(1000 * sign)] = 7.0
        terms = adapt(tf.constant(step, tf.int64), tf.constant(logits))
        assert float(terms["ada_sign"]) == pytest.approx(sign)
        found.append(float(terms["ada_p"]))
    np.testing.assert_allclose(found, [0, 0, 0, 0.1, 0.1, 0.1, 0.1, 0, 0, 0, 0, 0.1], atol=1e-6)


@pytest.mark.parametrize(("logit", "start"), [(-1.0, 0.05), (1.0, 0.95)])
def test_p_stays_a_probability(logit, start):
    augmentation = AdaptiveAugmentation(("color",), 0.6, 2500)
    augmentation.probability.assign(start)
    for step in range(8):
        augmentation.adapt(tf.constant(step, tf.int64), tf.fill((4, 1), logit))
    assert float(augmentation.probability) == pytest.approx(round(start))
    assert set(augmentation.state()) == {"ada_probability", "ada_sum_of_signs"}


@pytest.mark.parametrize(
    ("size", "furthest", "width"), [(20, 3, 10), (36, 5, 18), (50, 6, 25), (25, 3, 13), (12, 2, 6)]
)
def test_ranges_are_rounded_half_up_as_at_the_source(size, furthest, width):
    assert augmentation._half_up(size / 8) == furthest
    shifted = augmentation._moved(tf.constant([0.0, 0.999]), size)
    np.testing.assert_array_equal(np.flatnonzero(np.sum(shifted[0], axis=1)), np.arange(0, size - furthest))
    np.testing.assert_array_equal(np.flatnonzero(np.sum(shifted[1], axis=1)), np.arange(furthest, size))
    assert np.sum(augmentation._window(tf.constant([0.5]), size)) == width


def test_the_help_tells_the_speed_of_ada():
    field = Config.__dataclass_fields__["ada_target"]
    assert f"from 0 to 1 in {augmentation._ADA_IMAGES:,} images" in field.metadata["help"]


def test_stains_of_grey_images_are_refused_before_a_run_is_begun(tmp_path):
    grey = ImageSet(np.zeros((8, 16, 16, 1), np.uint8), None, np.arange(8).astype(str), None, "grey")
    config = resolve(
        Config(mode="train", part="all", diffaugment=("stain",), batch_size=4, checkpoint_dir=str(tmp_path))
    )
    with pytest.raises(UserError, match="3 channels only, and these have 1: leave stain out"):
        FAMILIES["dcgan"].call("train", config, images=grey)
    assert not list(tmp_path.glob("*/config.json"))
