"""Adversarial losses: pure functions on logits that return named terms."""

from __future__ import annotations

import tensorflow as tf


def sigmoid_cross_entropy(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Mean cross entropy of sigmoid(logits) against one target.

    Args:
        logits: any shape, any float type; computed in float32.
        target: probability in [0, 1].

    Returns:
        float32 scalar.
    """
    logits = tf.cast(logits, tf.float32)
    return tf.reduce_mean(
        tf.nn.sigmoid_cross_entropy_with_logits(labels=tf.fill(tf.shape(logits), target), logits=logits)
    )


def discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0
) -> dict[str, tf.Tensor]:
    """The discriminator's loss of Goodfellow et al. 2014, equation 1, as in the original's `build_model`.

    Args:
        real_logits: of real images, any shape.
        fake_logits: of generated images, any shape.
        real_target: 1, or less for one-sided label smoothing (Salimans et al. 2016, section 3.4).

    Returns:
        `d_loss_real`, `d_loss_fake`, and their sum `d_loss`: float32 scalars.
    """
    d_loss_real = sigmoid_cross_entropy(real_logits, real_target)
    d_loss_fake = sigmoid_cross_entropy(fake_logits, 0.0)
    return {"d_loss": d_loss_real + d_loss_fake, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}


def generator_loss(fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """The generator's non-saturating loss (Goodfellow et al. 2014, section 3), as in the original's `build_model`.

    Args:
        fake_logits: of generated images, any shape.

    Returns:
        `g_loss`: float32 scalar.
    """
    return {"g_loss": sigmoid_cross_entropy(fake_logits, 1.0)}
