"""Every loss against numbers that a reader can check by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.training import losses

LOG_2 = math.log(2.0)


def test_discriminator_loss_of_undecided_logits():
    terms = losses.discriminator_loss(tf.zeros((3, 1)), tf.zeros((3, 1)))
    assert float(terms["d_loss_real"]) == pytest.approx(LOG_2)
    assert float(terms["d_loss_fake"]) == pytest.approx(LOG_2)
    assert float(terms["d_loss"]) == pytest.approx(2 * LOG_2)


def test_discriminator_loss_by_hand():
    # -log sigmoid(1) = log(1 + e^-1); -log(1 - sigmoid(-2)) = log(1 + e^-2)
    terms = losses.discriminator_loss(tf.constant([[1.0]]), tf.constant([[-2.0]]))
    assert float(terms["d_loss_real"]) == pytest.approx(math.log1p(math.exp(-1.0)), rel=1e-6)
    assert float(terms["d_loss_fake"]) == pytest.approx(math.log1p(math.exp(-2.0)), rel=1e-6)


def test_smoothing_weighs_both_answers_for_real_images_only():
    # 0.9 * -log sigmoid(1) + 0.1 * -log(1 - sigmoid(1))
    expected = 0.9 * math.log1p(math.exp(-1.0)) + 0.1 * math.log1p(math.exp(1.0))
    logits = tf.constant([[1.0]])
    smoothed = losses.discriminator_loss(logits, logits, real_target=0.9)
    assert float(smoothed["d_loss_real"]) == pytest.approx(expected, rel=1e-6)
    assert smoothed["d_loss_fake"] == losses.discriminator_loss(logits, logits)["d_loss_fake"]


def test_generator_loss_does_not_saturate():
    logits = tf.Variable([[-20.0]])
    with tf.GradientTape() as tape:
        loss = losses.generator_loss(logits)["g_loss"]
    assert float(loss) == pytest.approx(20.0, rel=1e-6)
    assert float(tape.gradient(loss, logits)[0, 0]) == pytest.approx(-1.0, rel=1e-6)


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_losses_are_float32_scalars(dtype):
    terms = losses.discriminator_loss(tf.ones((2, 1), dtype), tf.ones((2, 1), dtype)) | losses.generator_loss(
        tf.ones((2, 1), dtype)
    )
    assert {term.dtype for term in terms.values()} == {tf.float32}
    assert {tuple(term.shape) for term in terms.values()} == {()}


def test_patch_logits_give_the_mean_of_their_patches():
    logits = np.random.default_rng(0).normal(size=(2, 3, 3, 1)).astype(np.float32)
    flat = losses.generator_loss(tf.constant(logits.reshape(-1, 1)))["g_loss"]
    assert float(losses.generator_loss(tf.constant(logits))["g_loss"]) == pytest.approx(flat.numpy(), rel=1e-6)


def test_huge_logits_stay_finite():
    terms = losses.discriminator_loss(tf.constant([[-1e4]]), tf.constant([[1e4]]))
    assert float(terms["d_loss"]) == pytest.approx(2e4)


def test_least_squares_by_hand():
    logits = tf.constant([[[[1.0], [3.0]]], [[[-1.0], [0.0]]]])
    assert float(losses.least_squares(logits, 1.0)) == pytest.approx((0 + 4 + 4 + 1) / 4)
    assert float(losses.least_squares(logits, 0.0)) == pytest.approx((1 + 9 + 1 + 0) / 4)


def test_least_squares_discriminator_loss_is_the_mean_of_its_halves():
    # ((1 - 3)^2 + (0.5 - 1)^2) / 2 = 2.125 for real ones, 0.25 for fake ones
    loss = losses.least_squares_discriminator_loss(tf.constant([[3.0], [0.5]]), tf.constant([[0.5], [-0.5]]))
    assert float(loss) == pytest.approx((2.125 + 0.25) / 2)


def test_mean_absolute_difference_by_hand():
    images, others = tf.constant([[0.5, -1.0], [0.0, 1.0]]), tf.constant([[1.0, 1.0], [0.0, 0.5]])
    assert float(losses.mean_absolute_difference(images, others)) == pytest.approx((0.5 + 2 + 0 + 0.5) / 4)


def test_losses_of_cyclegan_are_computed_in_float32():
    # 1 + 2^-8 rounds to 1 in bfloat16: sums of many patches would stop there.
    ones = tf.ones((1000, 1), tf.bfloat16)
    for loss in (
        losses.least_squares(ones, 0.0),
        losses.least_squares_discriminator_loss(0 * ones, ones),
        losses.mean_absolute_difference(ones, -ones) / 2,
    ):
        assert loss.dtype == tf.float32 and float(loss) == 1.0


def test_hinge_losses_by_hand():
    # real: max(0, 1 - D) = 0, 0.5, 2; fake: max(0, 1 + D) = 1, 0, 3
    terms = losses.hinge_discriminator_loss(tf.constant([[3.0], [0.5], [-1.0]]), tf.constant([[0.0], [-1.5], [2.0]]))
    assert float(terms["d_loss_real"]) == pytest.approx(2.5 / 3)
    assert float(terms["d_loss_fake"]) == pytest.approx(4 / 3)
    assert float(terms["d_loss"]) == pytest.approx(6.5 / 3)
    assert float(losses.hinge_generator_loss(tf.constant([[0.5], [-2.0]]))["g_loss"]) == pytest.approx(0.75)


@pytest.mark.parametrize("name", losses.LOSSES)
@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
def test_every_adversarial_loss_gives_the_same_terms_and_pulls_the_same_way(name, dtype):
    loss = losses.LOSSES[name]
    real, fake = tf.Variable([[0.25]], dtype=dtype), tf.Variable([[-0.5]], dtype=dtype)
    with tf.GradientTape(persistent=True) as tape:
        d_terms, g_terms = loss.discriminator(real, fake, 1.0), loss.generator(fake)
    assert list(d_terms) == ["d_loss", "d_loss_real", "d_loss_fake"] and list(g_terms) == ["g_loss"]
    assert {term.dtype for term in (d_terms | g_terms).values()} == {tf.float32}
    assert tape.gradient(d_terms["d_loss"], real) < 0 < tape.gradient(d_terms["d_loss"], fake)
    assert tape.gradient(g_terms["g_loss"], fake) < 0


def test_hinge_knows_no_smoothing():
    with pytest.raises(AssertionError):
        losses.hinge_discriminator_loss(tf.zeros((1, 1)), tf.zeros((1, 1)), 0.9)


def test_r1_penalty_of_known_gradients():
    # D(x) = w sum(x)^2 / 2: its gradient is w sum(x) in each of the 12 pixels, the penalty w^2 6 mean(sum(x)^2)
    weight = tf.Variable(0.5)
    images = tf.constant(np.stack([np.full((2, 2, 3), 0.25), np.full((2, 2, 3), 0.5)]).astype(np.float32))
    with tf.GradientTape() as tape:
        penalty = losses.r1_penalty(lambda x: weight * tf.reduce_sum(x, axis=(1, 2, 3), keepdims=True) ** 2 / 2, images)
    mean_square = (3.0**2 + 6.0**2) / 2
    assert float(penalty) == pytest.approx(0.5**2 * 6 * mean_square)
    assert float(tape.gradient(penalty, weight)) == pytest.approx(2 * 0.5 * 6 * mean_square)
