"""Every loss against numbers that a reader can check by hand, and what every loss of the table must do."""

from __future__ import annotations

import math
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.training import losses
from histogan_tf.training.losses import DISCRIMINATOR_PENALTIES, LOSSES

LOG_2 = math.log(2.0)

# Of each loss in the table: d_loss and the generator's loss of one real logit of 0.5 and one fake logit of -1.5.
BY_HAND = {
    # -log sigmoid(0.5) - log(1 - sigmoid(-1.5)); -log sigmoid(-1.5)
    "cross_entropy": (math.log1p(math.exp(-0.5)) + math.log1p(math.exp(-1.5)), math.log1p(math.exp(1.5))),
    # (0.5 - 1)^2 + (-1.5)^2; (-1.5 - 1)^2
    "least_squares": (0.25 + 2.25, 6.25),
    # max(0, 1 - 0.5) + max(0, 1 - 1.5); -(-1.5)
    "hinge": (0.5 + 0.0, 1.5),
    # -log sigmoid(0.5 - -1.5); -log sigmoid(-1.5 - 0.5)
    "relativistic": (math.log1p(math.exp(-2.0)), math.log1p(math.exp(2.0))),
}


def both_losses(name: str, real_logits, fake_logits) -> tuple[tf.Tensor, tf.Tensor]:
    """What the discriminator and what the generator minimizes."""
    loss = LOSSES[name]
    g_loss = loss.generator(real_logits if loss.generator_sees_real else None, fake_logits)
    return loss.discriminator_terms(real_logits, fake_logits)["d_loss"], g_loss


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_has_the_values_computed_by_hand(name):
    d_loss, g_loss = both_losses(name, tf.constant([[0.5]]), tf.constant([[-1.5]]))
    assert (float(d_loss), float(g_loss)) == pytest.approx(BY_HAND[name], rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_of_bfloat16_logits_is_computed_in_float32(name):
    # A sum of 1000 terms in bfloat16, which has 8 significant bits, would be far off.
    real, fake = (
        tf.constant(np.random.default_rng(seed).normal(size=(1000, 1)), dtype=tf.bfloat16) for seed in range(2)
    )
    expected = both_losses(name, tf.cast(real, tf.float32), tf.cast(fake, tf.float32))
    for loss, value in zip(both_losses(name, real, fake), expected, strict=True):
        assert (loss.dtype, loss.shape) == (tf.float32, ())
        assert float(loss) == float(value)


@pytest.mark.parametrize("name", LOSSES)
def test_logits_of_patches_give_the_mean_over_patches(name):
    real, fake = (np.random.default_rng(seed).normal(size=(2, 3, 3, 1)).astype(np.float32) for seed in range(2))
    of_patches = both_losses(name, tf.constant(real), tf.constant(fake))
    each = [
        both_losses(name, tf.constant([[r]]), tf.constant([[f]])) for r, f in zip(real.flat, fake.flat, strict=True)
    ]
    np.testing.assert_allclose(of_patches, np.mean(each, axis=0), rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_a_discriminator_pulls_real_and_fake_apart_and_a_generator_pulls_fake_up(name, dtype):
    real, fake = tf.Variable([[0.25]], dtype=dtype), tf.Variable([[0.5]], dtype=dtype)  # judged wrongly
    with tf.GradientTape(persistent=True) as tape:
        d_loss, g_loss = both_losses(name, real, fake)
    assert tape.gradient(d_loss, real) < 0 < tape.gradient(d_loss, fake)
    assert tape.gradient(g_loss, fake) < 0


@pytest.mark.parametrize("name", LOSSES)
def test_the_logged_parts_of_a_discriminators_loss_add_up_to_it(name):
    terms = LOSSES[name].discriminator_terms(tf.constant([[0.5], [2.0]]), tf.constant([[-1.5], [0.25]]))
    assert next(iter(terms)) == "d_loss"
    parts = [float(value) for part, value in terms.items() if part != "d_loss"]
    assert not parts or float(terms["d_loss"]) == pytest.approx(sum(parts), rel=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_huge_logits_stay_finite(name):
    for real, fake in ((-1e4, 1e4), (1e4, -1e4)):
        assert np.isfinite(both_losses(name, tf.constant([[real]]), tf.constant([[fake]]))).all()


@pytest.mark.parametrize("name", [name for name, loss in LOSSES.items() if loss.has_target])
def test_a_target_is_for_real_images_alone(name):
    logits = tf.constant([[1.5]])
    hard, smoothed = (LOSSES[name].discriminator_terms(logits, logits, target) for target in (1.0, 0.9))
    assert smoothed["d_loss_real"] != hard["d_loss_real"]
    assert smoothed["d_loss_fake"] == hard["d_loss_fake"]


def test_a_loss_without_a_target_is_not_given_one():
    logits = tf.constant([[1.0]])
    assert LOSSES["hinge"].discriminator_terms(logits, logits, 0.9) == LOSSES["hinge"].discriminator_terms(
        logits, logits
    )


def test_cross_entropy_of_undecided_logits():
    terms = losses.cross_entropy_discriminator_loss(tf.zeros((3, 1)), tf.zeros((3, 1)))
    assert float(terms["d_loss_real"]) == pytest.approx(LOG_2)
    assert float(terms["d_loss_fake"]) == pytest.approx(LOG_2)
    assert float(terms["d_loss"]) == pytest.approx(2 * LOG_2)


def test_smoothing_weighs_both_answers_for_real_images():
    # 0.9 * -log sigmoid(1) + 0.1 * -log(1 - sigmoid(1))
    expected = 0.9 * math.log1p(math.exp(-1.0)) + 0.1 * math.log1p(math.exp(1.0))
    logits = tf.constant([[1.0]])
    smoothed = losses.cross_entropy_discriminator_loss(logits, logits, real_target=0.9)
    assert float(smoothed["d_loss_real"]) == pytest.approx(expected, rel=1e-6)


def test_the_generators_cross_entropy_does_not_saturate():
    logits = tf.Variable([[-20.0]])
    with tf.GradientTape() as tape:
        loss = losses.cross_entropy_generator_loss(None, logits)
    assert float(loss) == pytest.approx(20.0, rel=1e-6)
    assert float(tape.gradient(loss, logits)[0, 0]) == pytest.approx(-1.0, rel=1e-6)


def test_least_squares_by_hand():
    logits = tf.constant([[[[1.0], [3.0]]], [[[-1.0], [0.0]]]])
    assert float(losses.least_squares(logits, 1.0)) == pytest.approx((0 + 4 + 4 + 1) / 4)
    assert float(losses.least_squares(logits, 0.0)) == pytest.approx((1 + 9 + 1 + 0) / 4)


def test_hinge_losses_by_hand():
    # real: max(0, 1 - D) = 0, 0.5, 2; fake: max(0, 1 + D) = 1, 0, 3
    terms = losses.hinge_discriminator_loss(tf.constant([[3.0], [0.5], [-1.0]]), tf.constant([[0.0], [-1.5], [2.0]]))
    assert float(terms["d_loss_real"]) == pytest.approx(2.5 / 3)
    assert float(terms["d_loss_fake"]) == pytest.approx(4 / 3)
    assert float(terms["d_loss"]) == pytest.approx(6.5 / 3)
    assert float(losses.hinge_generator_loss(None, tf.constant([[0.5], [-2.0]]))) == pytest.approx(0.75)


def test_relativistic_losses_judge_pairs_by_their_difference():
    real, fake = tf.constant([[3.0], [-1.0]]), tf.constant([[1.0], [-4.0]])
    # differences 2 and 3, whatever the height of both
    expected = (math.log1p(math.exp(-2.0)) + math.log1p(math.exp(-3.0))) / 2
    for height in (0.0, 100.0):
        found = losses.relativistic_discriminator_loss(real + height, fake + height)["d_loss"]
        assert float(found) == pytest.approx(expected, rel=1e-5)
    assert (
        losses.relativistic_generator_loss(fake, real) == losses.relativistic_discriminator_loss(real, fake)["d_loss"]
    )


def test_mean_absolute_difference_by_hand():
    images, others = tf.constant([[0.5, -1.0], [0.0, 1.0]]), tf.constant([[1.0, 1.0], [0.0, 0.5]])
    assert float(losses.mean_absolute_difference(images, others)) == pytest.approx((0.5 + 2 + 0 + 0.5) / 4)


def test_mean_absolute_difference_is_computed_in_float32():
    # Sums of many ones would stop at 256 in bfloat16.
    ones = tf.ones((1000, 1), tf.bfloat16)
    difference = losses.mean_absolute_difference(ones, -ones)
    assert (difference.dtype, float(difference)) == (tf.float32, 2.0)


def test_r1_penalty_of_known_gradients():
    # D(x) = w sum(x)^2 / 2: its gradient is w sum(x) in each of the 12 pixels, the penalty w^2 6 mean(sum(x)^2)
    weight = tf.Variable(0.5)
    images = tf.constant(np.stack([np.full((2, 2, 3), 0.25), np.full((2, 2, 3), 0.5)]).astype(np.float32))

    def discriminate(images):
        return weight * tf.reduce_sum(images, axis=(1, 2, 3), keepdims=True) ** 2 / 2

    with tf.GradientTape() as tape:
        penalty = DISCRIMINATOR_PENALTIES["r1_penalty"].function(discriminate, images, tf.zeros_like(images))
    mean_square = (3.0**2 + 6.0**2) / 2
    assert float(penalty) == pytest.approx(0.5**2 * 6 * mean_square)
    assert float(tape.gradient(penalty, weight)) == pytest.approx(2 * 0.5 * 6 * mean_square)


def test_the_tables_that_flags_read_need_no_tensorflow():
    program = (
        "import sys\n"
        "from histogan_tf.training.augmentation import POLICIES\n"
        "from histogan_tf.training.losses import LOSSES\n"
        "assert len(LOSSES) > 3 and len(POLICIES) > 3\n"
        "assert not {'tensorflow', 'keras', 'numpy'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
