"""The losses of the GANs, as pure functions of logits or of images, and the tables by which flags choose them.

To add an adversarial loss, write its two functions and a line in `LOSSES`: --adversarial_loss then offers it for the
DCGANs and for CycleGAN. To add a penalty on the discriminator, write its function, a line in `DISCRIMINATOR_PENALTIES`
and a flag for its weight.

The flags read the tables, so TensorFlow is imported only when a loss is computed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping

from histogan_tf.machine.lazy_module import tensorflow as tf


def sigmoid_cross_entropy(logits: tf.Tensor, target: float | tf.Tensor) -> tf.Tensor:
    """Computes the mean cross entropy of sigmoid(logits) against one target, or against one for each logit.

    Its gradient is written out. TensorFlow derives one that adds up four terms, in an order that depends on which of
    their buffers is free at that moment (AddN), so that a step would not give the same bytes twice on a busy machine.

    Args:
        logits: any shape, any float type; computed in float32.
        target: probability in [0, 1], or float32 probabilities of the logits' shape.

    Returns:
        float32 scalar.
    """

    @tf.custom_gradient
    def cross_entropy(logits: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return upstream * (tf.sigmoid(logits) - target)

        labels = target if tf.is_tensor(target) else tf.fill(tf.shape(logits), target)
        return tf.nn.sigmoid_cross_entropy_with_logits(labels=labels, logits=logits), gradient

    return tf.reduce_mean(cross_entropy(tf.cast(logits, tf.float32)))


def least_squares(logits: tf.Tensor, target: float) -> tf.Tensor:
    """Returns the mean squared difference of logits from one target.

    Args:
        logits: any shape, any float type; the loss is computed in float32.
        target: the value that the logits should have.

    Returns:
        float32 scalar.
    """
    return tf.reduce_mean(tf.square(tf.cast(logits, tf.float32) - target))


def cross_entropy_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0
) -> dict[str, tf.Tensor]:
    """Returns the discriminator's loss of Goodfellow et al. 2014, equation 1, as in the original's `build_model`.

    Args:
        real_logits: the logits of real images, any shape.
        fake_logits: the logits of generated images, any shape.
        real_target: 1, or less for one-sided label smoothing (Salimans et al. 2016, section 3.4).

    Returns:
        `d_loss_real`, `d_loss_fake`, and their sum `d_loss`: float32 scalars.
    """
    return _summed(sigmoid_cross_entropy(real_logits, real_target), sigmoid_cross_entropy(fake_logits, 0.0))


def cross_entropy_generator_loss(real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns the generator's non-saturating loss (Goodfellow et al. 2014, section 3), as in the original.

    Args:
        real_logits: not used.
        fake_logits: the logits of generated images, any shape.

    Returns:
        float32 scalar.
    """
    return sigmoid_cross_entropy(fake_logits, 1.0)


def least_squares_discriminator_loss(
    real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0
) -> dict[str, tf.Tensor]:
    """Returns the discriminator's least-squares loss.

    Mao et al., "Least Squares GAN", 2017, equation 2, without its factors 1/2.

    Args:
        real_logits: the logits of real images, any shape.
        fake_logits: the logits of generated images, any shape.
        real_target: the value that the logits of real images should have.

    Returns:
        `d_loss_real`, `d_loss_fake`, and their sum `d_loss`: float32 scalars.
    """
    return _summed(least_squares(real_logits, real_target), least_squares(fake_logits, 0.0))


def least_squares_generator_loss(real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns the generator's least-squares loss (Mao et al. 2017, equation 2, without its factor 1/2).

    Args:
        real_logits: not used.
        fake_logits: the logits of generated images, any shape.

    Returns:
        float32 scalar.
    """
    return least_squares(fake_logits, 1.0)


def hinge_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the discriminator's hinge loss (Lim & Ye, "Geometric GAN", 2017; Miyato et al. 2018, equation 16).

    Args:
        real_logits: the logits of real images, any shape.
        fake_logits: the logits of generated images, any shape.

    Returns:
        `d_loss_real`, `d_loss_fake`, and their sum `d_loss`: float32 scalars.
    """
    d_loss_real = tf.reduce_mean(tf.nn.relu(1.0 - tf.cast(real_logits, tf.float32)))
    d_loss_fake = tf.reduce_mean(tf.nn.relu(1.0 + tf.cast(fake_logits, tf.float32)))
    return _summed(d_loss_real, d_loss_fake)


def hinge_generator_loss(real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns the generator's part of the hinge loss (Miyato et al. 2018, equation 17), which is linear.

    Args:
        real_logits: not used.
        fake_logits: the logits of generated images, any shape.

    Returns:
        float32 scalar.
    """
    return -tf.reduce_mean(tf.cast(fake_logits, tf.float32))


def relativistic_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns the discriminator's relativistic loss: each real image should look more real than its fake partner.

    Jolicoeur-Martineau, "The relativistic discriminator: a key element missing from standard GAN", ICLR 2019, where it
    is called RSGAN: mean(-log sigmoid(D(real) - D(fake))).

    Args:
        real_logits: the logits of real images, any shape.
        fake_logits: the logits of generated images, of the same shape; images at the same position form a pair.

    Returns:
        `d_loss`: float32 scalar. It has no parts, because real and fake images are only judged together.
    """
    return {"d_loss": _mean_softplus_of_difference(fake_logits, real_logits)}


def relativistic_generator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
    """Returns the generator's relativistic loss: the discriminator's with real and fake swapped.

    Jolicoeur-Martineau 2019, RSGAN.

    Args:
        real_logits: the logits of real images, any shape.
        fake_logits: the logits of generated images, of the same shape; images at the same position form a pair.

    Returns:
        float32 scalar.
    """
    return _mean_softplus_of_difference(real_logits, fake_logits)


def _summed(d_loss_real: tf.Tensor, d_loss_fake: tf.Tensor) -> dict[str, tf.Tensor]:
    """Returns a discriminator's loss that is a sum over real and fake images, with its two parts."""
    return {"d_loss": d_loss_real + d_loss_fake, "d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake}


def _mean_softplus_of_difference(lower_logits: tf.Tensor, higher_logits: tf.Tensor) -> tf.Tensor:
    """Returns mean(-log sigmoid(higher - lower)), in float32."""
    return tf.reduce_mean(tf.nn.softplus(tf.cast(lower_logits, tf.float32) - tf.cast(higher_logits, tf.float32)))


def r1_penalty(judge: Callable[[tf.Tensor], tf.Tensor], real_images: tf.Tensor, fake_images: tf.Tensor) -> tf.Tensor:
    """Returns half the mean squared norm of the logits' gradient with respect to the real images.

    R1 of Mescheder et al., "Which Training Methods for GANs do actually Converge?", 2018, equation 9, without gamma.
    With batch norm in the discriminator, an image's gradient contains its influence on the logits of other images. The
    gradient goes through the augmentation to the image itself, as in the code of StyleGAN2-ADA (Karras et al. 2020).

    Args:
        judge: a function from images to the discriminator's logits; it augments them and adds noise first.
        real_images: float (batch, height, width, channels), before augmentation and noise.
        fake_images: not used.

    Returns:
        float32 scalar, which can be differentiated by the discriminator's weights.
    """
    with tf.GradientTape(watch_accessed_variables=False) as tape:
        tape.watch(real_images)
        logits = tf.reduce_sum(judge(real_images))
    gradient = tape.gradient(logits, real_images)
    return 0.5 * tf.reduce_mean(tf.reduce_sum(tf.square(gradient), axis=(1, 2, 3)))


def mean_absolute_difference(images: tf.Tensor, others: tf.Tensor) -> tf.Tensor:
    """Returns the L1 distance of CycleGAN's cycle and identity losses (Zhu et al. 2017, equation 2), a mean of pixels.

    Args:
        images: any shape, any float type; the distance is computed in float32.
        others: the images to compare with, of the same shape.

    Returns:
        float32 scalar, in the unit of the images.
    """
    return tf.reduce_mean(tf.abs(tf.cast(images, tf.float32) - tf.cast(others, tf.float32)))


@dataclasses.dataclass(frozen=True)
class AdversarialLoss:
    """The pair of losses with which a discriminator and a generator train against each other.

    Logits have any shape and any float type. Losses are float32 scalars, means over all logits, so the same functions
    also suit a discriminator that judges patches.

    Attributes:
        discriminator: a function from real logits and fake logits to a dict: `d_loss`, which the discriminator
            minimizes, and the parts of it to log, if it has any.
        generator: a function from real logits and fake logits to the scalar that the generator minimizes.
        has_target: whether `discriminator` takes a third argument, the value of --label_smoothing that logits of real
            images (or their sigmoid) should have. If not, label smoothing is refused.
        generator_sees_real: whether `generator` reads the real logits. If not, it gets None, which saves one pass of
            the real images in each update of the generator.
    """

    discriminator: Callable[..., dict[str, tf.Tensor]]
    generator: Callable[[tf.Tensor | None, tf.Tensor], tf.Tensor]
    has_target: bool = False
    generator_sees_real: bool = False

    def discriminator_terms(
        self, real_logits: tf.Tensor, fake_logits: tf.Tensor, real_target: float = 1.0
    ) -> dict[str, tf.Tensor]:
        """Returns the dict of `discriminator`, which gets `real_target` if it takes a target."""
        targets = (real_target,) if self.has_target else ()
        return self.discriminator(real_logits, fake_logits, *targets)


LOSSES: Mapping[str, AdversarialLoss] = {
    "cross_entropy": AdversarialLoss(cross_entropy_discriminator_loss, cross_entropy_generator_loss, has_target=True),
    "least_squares": AdversarialLoss(least_squares_discriminator_loss, least_squares_generator_loss, has_target=True),
    "hinge": AdversarialLoss(hinge_discriminator_loss, hinge_generator_loss),
    "relativistic": AdversarialLoss(
        relativistic_discriminator_loss, relativistic_generator_loss, generator_sees_real=True
    ),
}


@dataclasses.dataclass(frozen=True)
class Penalty:
    """A term that is added to a DCGAN's discriminator loss, and logged under its name in the table.

    Attributes:
        function: a function of the discriminator and of the real and the fake images, each (batch, height, width,
            channels) and not augmented. The discriminator is a function from images to logits, which augments the
            images and adds noise first, with the draws of the real images. The result is a float32 scalar. The fake
            images pass no gradient to the generator.
        weight_flag: the name of the flag that holds the penalty's weight; at 0 the penalty is not computed.
    """

    function: Callable[[Callable[[tf.Tensor], tf.Tensor], tf.Tensor, tf.Tensor], tf.Tensor]
    weight_flag: str


DISCRIMINATOR_PENALTIES: Mapping[str, Penalty] = {
    "r1_penalty": Penalty(r1_penalty, weight_flag="r1_gamma"),
}
