"""Losses of the GANs: pure functions, of logits or of images."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

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


def hinge_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0
) -> dict[str, tf.Tensor]:
    """The discriminator's hinge loss (Lim & Ye, "Geometric GAN", 2017; Miyato et al. 2018, equation 16).

    Args:
        real_logits: of real images, any shape.
        fake_logits: of generated images, any shape.
        real_target: 1: there is no probability to smooth.

    Returns:
        `d_loss_real`, `d_loss_fake`, and their sum `d_loss`: float32 scalars.
    """
    assert real_target == 1.0, real_target
    d_loss_real = tf.reduce_mean(tf.nn.relu(1.0 - tf.cast(real_logits, tf.float32)))
    d_loss_fake = tf.reduce_mean(tf.nn.relu(1.0 + tf.cast(fake_logits, tf.float32)))
    return {"d_loss": d_loss_real + d_loss_fake, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}


def hinge_generator_loss(fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """The generator's part of the hinge loss (Miyato et al. 2018, equation 17), which is linear.

    Args:
        fake_logits: of generated images, any shape.

    Returns:
        `g_loss`: float32 scalar.
    """
    return {"g_loss": -tf.reduce_mean(tf.cast(fake_logits, tf.float32))}


def r1_penalty(discriminate: Callable[[tf.Tensor], tf.Tensor], real_images: tf.Tensor) -> tf.Tensor:
    """Half the mean squared norm of the logits' gradient by real images.

    R1 of Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, equation 9, without gamma.
    With batch norm in the discriminator, an image's gradient contains its influence on the others' logits.

    Args:
        discriminate: from images to logits.
        real_images: (batch, height, width, channels).

    Returns:
        float32 scalar, with a gradient by the discriminator's weights.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real_images)
        logits = tf.reduce_sum(discriminate(real_images))
    gradient = tape.gradient(logits, real_images)
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3)))


def least_squares(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Mean squared difference of logits from one target: the adversarial loss of Mao et al., "Least Squares GAN", 2017.

    Args:
        logits: any shape, any float type; computed in float32.
        target: 1 for real, 0 for fake.

    Returns:
        float32 scalar.
    """
    return tf.reduce_mean(tf.square(tf.cast(logits, tf.float32) - target))


def least_squares_discriminator_terms(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0
) -> dict[str, tf.Tensor]:
    """The discriminator's least-squares loss (Mao et al., "Least Squares GAN", 2017, equation 2, without its halves).

    Args:
        real_logits: of real images, any shape.
        fake_logits: of generated images, any shape.
        real_target: what logits of real images should be.

    Returns:
        `d_loss_real`, `d_loss_fake`, and their sum `d_loss`: float32 scalars.
    """
    d_loss_real, d_loss_fake = least_squares(real_logits, real_target), least_squares(fake_logits, 0.0)
    return {"d_loss": d_loss_real + d_loss_fake, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}


def least_squares_generator_loss(fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """The generator's least-squares loss (Mao et al. 2017, equation 2, without its half).

    Args:
        fake_logits: of generated images, any shape.

    Returns:
        `g_loss`: float32 scalar.
    """
    return {"g_loss": least_squares(fake_logits, 1.0)}


def least_squares_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """CycleGAN's discriminator loss (Zhu et al. 2017, section 4): the mean, not the sum, of its two halves.

    Args:
        real_logits: of real images, any shape.
        fake_logits: of translations, any shape.

    Returns:
        float32 scalar.
    """
    return 0.5 * (least_squares(real_logits, 1.0) + least_squares(fake_logits, 0.0))


def mean_absolute_difference(images: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """The L1 distance of CycleGAN's cycle and identity losses (Zhu et al. 2017, equation 2), a mean over all pixels.

    Args:
        images: any shape, any float type; computed in float32.
        others: likewise.

    Returns:
        float32 scalar, in the unit of the images.
    """
    return tf.reduce_mean(tf.abs(tf.cast(images, tf.float32) - tf.cast(others, tf.float32)))


class AdversarialLoss(NamedTuple):
    """Both sides of a DCGAN's loss.

    Attributes:
        discriminator: from real logits, fake logits and a target for real images to `d_loss` and its parts.
        generator: from fake logits to `g_loss`.
        has_target: whether real images have a target that can be smoothed.
    """

    discriminator: Callable[..., dict[str, tf.Tensor]]
    generator: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    has_target: bool


LOSSES: Mapping[str, AdversarialLoss] = {
    "cross_entropy": AdversarialLoss(discriminator_loss, generator_loss, has_target=True),
    "least_squares": AdversarialLoss(least_squares_discriminator_terms, least_squares_generator_loss, has_target=True),
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss, has_target=False),
}
