"""The networks, optimizers and training step of CycleGAN (Zhu, Park, Isola, Efros, ICCV 2017).

Names follow the paper's algebra: A2B is an image of A translated to B; A2B2A is that image translated back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from keras import ops

from histogan_tf.config import Config
from histogan_tf.data.pipeline import to_float, to_uint8
from histogan_tf.machine import replicas
from histogan_tf.machine.gpu import compiles_with_xla
from histogan_tf.machine.randomness import Purpose, stateless_seed, weight_seeds
from histogan_tf.models.cyclegan import build_cyclegan_discriminator, build_cyclegan_generator, default_num_blocks
from histogan_tf.models.precision import dtype_policy
from histogan_tf.runs.checkpoints import Restorable
from histogan_tf.training import losses
from histogan_tf.training.image_pool import ImagePool
from histogan_tf.training.loop import StepResult
from histogan_tf.training.optimizers import make_adam

DIRECTIONS = ("A2B", "B2A")

_PIXELS_A_BATCH = 2**16  # pixels translated at once: 26 images of 50x50, or one of 256x256


def cyclegan_generator(
    config: Config, direction: str, trained_shape: tuple[int, int, int], image_shape: tuple[int, int, int] | None = None
) -> keras.Model:
    """Returns the generator of one direction that `config` describes, for training and for translation.

    Args:
        config: the flags of the run.
        direction: "A2B" or "B2A".
        trained_shape: the (height, width, channels) of the training images, which decide the number of blocks.
        image_shape: the (height, width, channels) of the images to translate; None if it is that of the training
            images. The weights fit any size.
    """
    return build_cyclegan_generator(
        image_shape or trained_shape,
        seed=weight_seeds(config.seed, Purpose.CYCLEGAN_WEIGHTS, 4)[DIRECTIONS.index(direction)],
        num_filters=config.gf_dim,
        num_blocks=config.num_blocks or default_num_blocks(trained_shape),
        upsampling=config.upsampling,
        precision=dtype_policy(config.precision),
        cpu_kernels=config.cpu_kernels,
        name=f"generator_{direction}",
    )


def cyclegan_networks(
    config: Config,
    dataset: Mapping[str, Any],
    *,
    image_shape: tuple[int, int, int] | None = None,
    directions: Collection[str] = DIRECTIONS,
) -> list[Restorable]:
    """Returns the generators of a run, ready to be restored from a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `dataset_record`.
        image_shape: the (height, width, channels) of the images to translate; None if it is that of the training
            images.
        directions: "A2B", "B2A" or both, in this order.
    """
    trained_shape = tuple(dataset["image_shape"])
    generators = [cyclegan_generator(config, direction, trained_shape, image_shape) for direction in directions]
    return [
        Restorable(f"-{direction}", generator, {generator.name: generator})
        for direction, generator in zip(directions, generators, strict=True)
    ]


def cyclegan_discriminator(config: Config, domain: str, image_shape: tuple[int, int, int]) -> keras.Model:
    """Returns the discriminator of one domain, "A" or "B", that `config` describes."""
    return build_cyclegan_discriminator(
        image_shape,
        seed=weight_seeds(config.seed, Purpose.CYCLEGAN_WEIGHTS, 4)[2 + "AB".index(domain)],
        num_filters=config.df_dim,
        precision=dtype_policy(config.precision),
        cpu_kernels=config.cpu_kernels,
        name=f"discriminator_{domain}",
    )


def cyclegan_discriminators(config: Config, dataset: Mapping[str, Any]) -> dict[str, keras.Model]:
    """Returns both discriminators of a run, by the names that they have in a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `dataset_record`.
    """
    image_shape = tuple(dataset["image_shape"])
    return {f"discriminator_{domain}": cyclegan_discriminator(config, domain, image_shape) for domain in "AB"}


class ConstantThenLinear(keras.optimizers.schedules.LearningRateSchedule):
    """The published schedule of the learning rate: constant at first, then falling linearly to 0.

    Args:
        learning_rate: the learning rate before it falls.
        decay_step: the step from which it falls.
        total_steps: the step at which it reaches 0.
    """

    def __init__(self, learning_rate: float, decay_step: int, total_steps: int) -> None:
        self._learning_rate = learning_rate
        self._num_decay_steps = max(1, total_steps - decay_step)
        self._total_steps = total_steps

    def __call__(self, step: tf.Tensor) -> tf.Tensor:
        num_left = ops.cast(self._total_steps - ops.cast(step, "int64"), "float32")
        return self._learning_rate * ops.clip(num_left / self._num_decay_steps, 0.0, 1.0)


class CycleGANTrainer:
    """The networks, the optimizers, the image pools and the step of CycleGAN.

    Args:
        config: the resolved flags.
        image_shape: the (height, width, channels) of the images of both domains.
        steps_per_epoch: the number of steps in an epoch, by which the learning rate's epochs become steps.
        samples: the images of A and of B for the sample sheets, each uint8 (num_images, height, width, channels).
    """

    def __init__(
        self, config: Config, image_shape: tuple[int, int, int], steps_per_epoch: int, samples: Sequence[np.ndarray]
    ) -> None:
        self._config = config
        self.compiles_with_xla = compiles_with_xla(config)
        self._samples = samples
        self._adversarial_loss = losses.LOSSES[config.adversarial_loss]
        self.generator_A2B, self.generator_B2A = (
            cyclegan_generator(config, direction, image_shape) for direction in DIRECTIONS
        )
        self.discriminator_A, self.discriminator_B = (
            cyclegan_discriminator(config, domain, image_shape) for domain in "AB"
        )
        self.pool_A, self.pool_B = (ImagePool(config.pool_size, image_shape, f"pool_{domain}") for domain in "AB")
        # Adam treats each weight by itself, so one optimizer for two networks does the same as one for each.
        self._g_optimizer = self._adam(steps_per_epoch)
        self._d_optimizer = self._adam(steps_per_epoch)
        self._g_variables = self.generator_A2B.trainable_variables + self.generator_B2A.trainable_variables
        self._d_variables = self.discriminator_A.trainable_variables + self.discriminator_B.trainable_variables
        self._g_optimizer.build(self._g_variables)
        self._d_optimizer.build(self._d_variables)
        self._translators = [Translator(self.generator_A2B), Translator(self.generator_B2A)]

    def _adam(self, steps_per_epoch: int) -> keras.Optimizer:
        config = self._config
        decay_step, total_steps = config.decay_epoch * steps_per_epoch, config.epoch * steps_per_epoch
        schedule = ConstantThenLinear(config.learning_rate, decay_step, total_steps)
        return make_adam(schedule, config.beta1, cpu_kernels=config.cpu_kernels, precision=config.precision)

    @property
    def networks(self) -> list[keras.Model]:
        """The networks to list in the tables at the start of a run."""
        return [self.generator_A2B, self.generator_B2A, self.discriminator_A, self.discriminator_B]

    def state(self) -> dict[str, tf.__internal__.tracking.Trackable]:
        """Returns the objects that a checkpoint must hold, by name."""
        return {network.name: network for network in self.networks} | {
            "g_optimizer": self._g_optimizer,
            "d_optimizer": self._d_optimizer,
            "pool_A": self.pool_A,
            "pool_B": self.pool_B,
        }

    @replicas.on_all_replicas
    def train_step(self, step: tf.Tensor, images_a: tf.Tensor, images_b: tf.Tensor) -> StepResult:
        """Updates both generators once, then both discriminators, which see translations made before the update.

        Args:
            step: int64 scalar, the number of steps made before.
            images_a: images of domain A, uint8 (batch, height, width, channels), this replica's share of the batch.
            images_b: images of domain B, of the same shape and type.
        """
        real_a, real_b = to_float(images_a), to_float(images_b)
        terms, A2B, B2A = self._update_generators(real_a, real_b)
        d_terms, logits = self._update_discriminators(step, real_a, real_b, A2B, B2A)
        return StepResult(terms | d_terms, logits)

    def _update_generators(
        self, real_a: tf.Tensor, real_b: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], tf.Tensor, tf.Tensor]:
        weights = self._loss_weights()
        real_logits_a = self._real_logits_for_generators(self.discriminator_A, real_a)
        real_logits_b = self._real_logits_for_generators(self.discriminator_B, real_b)
        with tf.GradientTape() as tape:
            A2B, identity_b = self._translate(self.generator_A2B, real_a, real_b)
            B2A, identity_a = self._translate(self.generator_B2A, real_b, real_a)
            A2B2A = self.generator_B2A(A2B, training=True)
            B2A2B = self.generator_A2B(B2A, training=True)
            terms = {
                "G_A2B": self._adversarial_loss.generator(real_logits_b, self.discriminator_B(A2B, training=True)),
                "G_B2A": self._adversarial_loss.generator(real_logits_a, self.discriminator_A(B2A, training=True)),
                "cycle_A": losses.mean_absolute_difference(A2B2A, real_a),
                "cycle_B": losses.mean_absolute_difference(B2A2B, real_b),
            }
            if "identity_A" in weights:
                terms["identity_A"] = losses.mean_absolute_difference(identity_a, real_a)
                terms["identity_B"] = losses.mean_absolute_difference(identity_b, real_b)
            loss = replicas.share_of_loss(tf.add_n([weights[name] * term for name, term in terms.items()]))
            loss = self._g_optimizer.scale_loss(loss)
        self._g_optimizer.apply(tape.gradient(loss, self._g_variables), self._g_variables)
        return terms, A2B, B2A

    def _real_logits_for_generators(self, discriminator: keras.Model, real_images: tf.Tensor) -> tf.Tensor | None:
        """Returns the logits of real images if the generators' loss reads them; else None, which saves the pass."""
        if not self._adversarial_loss.generator_sees_real:
            return None
        return discriminator(real_images, training=True)

    def _loss_weights(self) -> dict[str, float]:
        """Returns the weights of the generators' losses (section 5.2 and the authors' code).

        The identity losses are left out if their weight is 0.
        """
        cycle = self._config.lambda_cycle
        identity = cycle * self._config.lambda_identity
        weights = {"G_A2B": 1.0, "G_B2A": 1.0, "cycle_A": cycle, "cycle_B": cycle}
        return weights | ({"identity_A": identity, "identity_B": identity} if identity else {})

    def _translate(
        self, generator: keras.Model, sources: tf.Tensor, targets: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor | None]:
        """Returns the translations of `sources` and, for the identity loss, those of `targets`, else None.

        `targets` are already in the domain that the generator translates to. Both go through in one pass, because
        instance normalization treats each image of a batch by itself.
        """
        if "identity_A" not in self._loss_weights():
            return generator(sources, training=True), None
        return tf.split(generator(tf.concat([sources, targets], axis=0), training=True), 2)

    def _update_discriminators(
        self, step: tf.Tensor, real_a: tf.Tensor, real_b: tf.Tensor, A2B: tf.Tensor, B2A: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        seeds = [stateless_seed(self._config.seed, Purpose.IMAGE_POOLS, step, part) for part in range(2)]
        fake_a, fake_b = self.pool_A.query(B2A, seeds[0]), self.pool_B.query(A2B, seeds[1])
        with tf.GradientTape() as tape:
            real_logits_a, fake_logits_a = self._discriminate(self.discriminator_A, real_a, fake_a)
            real_logits_b, fake_logits_b = self._discriminate(self.discriminator_B, real_b, fake_b)
            terms = {
                "D_A": self._discriminator_loss(real_logits_a, fake_logits_a),
                "D_B": self._discriminator_loss(real_logits_b, fake_logits_b),
            }
            loss = self._d_optimizer.scale_loss(replicas.share_of_loss(terms["D_A"] + terms["D_B"]))
        self._d_optimizer.apply(tape.gradient(loss, self._d_variables), self._d_variables)
        logits = {
            "D_A(A)": real_logits_a,
            "D_A(B2A)": fake_logits_a,
            "D_B(B)": real_logits_b,
            "D_B(A2B)": fake_logits_b,
        }
        return terms, logits

    def _discriminator_loss(self, real_logits: tf.Tensor, fake_logits: tf.Tensor) -> tf.Tensor:
        """Returns half of the table's loss, because the paper divides the discriminators' loss by 2 (section 4)."""
        return 0.5 * self._adversarial_loss.discriminator_terms(real_logits, fake_logits)["d_loss"]

    def _discriminate(
        self, discriminator: keras.Model, real_images: tf.Tensor, fake_images: tf.Tensor
    ) -> tuple[tf.Tensor, tf.Tensor]:
        return tf.split(discriminator(tf.concat([real_images, fake_images], axis=0), training=True), 2)

    def draw_samples(self) -> dict[str, np.ndarray]:
        """Returns the sheets A2B2A, which starts from images of A, and B2A2B, which starts from images of B.

        Each is uint8 (num_images, height, 3 * width, channels): image, translation, and translation back, side by side.
        """
        A2B, B2A = self._translators
        sheets = {}
        for name, images, there, back in (("A2B2A", self._samples[0], A2B, B2A), ("B2A2B", self._samples[1], B2A, A2B)):
            translated = there.images(images)
            sheets[name] = np.concatenate([images, translated, back.images(translated)], axis=2)
        return sheets


class Translator:
    """Runs one generator on any number of images, in batches of bounded size.

    Args:
        generator: a generator that `cyclegan_generator` built.
    """

    def __init__(self, generator: keras.Model) -> None:
        self._generator = generator
        height, width = generator.input_shape[1:3]
        self._batch_size = max(1, _PIXELS_A_BATCH // (height * width))

    def images(self, images: np.ndarray) -> np.ndarray:
        """Returns the translations, uint8, of images, uint8 (num_images, height, width, channels), at least one."""
        starts = range(0, len(images), self._batch_size)
        return np.concatenate([self._batch(images[start : start + self._batch_size]).numpy() for start in starts])

    @tf.function(reduce_retracing=True)
    def _batch(self, images: tf.Tensor) -> tf.Tensor:
        return to_uint8(self._generator(to_float(images), training=False))
