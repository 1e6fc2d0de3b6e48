"""The networks, optimizers and training step of the DCGANs (the original's `train`).

The options for small sets that the original lacks are chosen from tables before the first step: a loss, penalties on
the discriminator, augmentation of its images, an average of the generator. Without them, the step is the original's.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.data.pipeline import to_float
from histogan_tf.machine import replicas
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.cpu_kernels.winograd import fixed_kernels
from histogan_tf.models.dcgan import build_dcgan_discriminator, build_dcgan_generator
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.precision import dtype_policy
from histogan_tf.runs.checkpoints import Restorable
from histogan_tf.training import losses
from histogan_tf.training.generator_trainer import GeneratorTrainer, restorable_generator
from histogan_tf.training.loop import StepResult

_AUGMENTATION = {
    Purpose.REAL_NOISE: Purpose.REAL_AUGMENTATION,
    Purpose.FAKE_NOISE: Purpose.FAKE_AUGMENTATION,
}


def dcgan_generator(config: Config, image_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Returns the generator that `config` describes, for training and for sampling."""
    return build_dcgan_generator(
        image_shape,
        z_dim=config.z_dim,
        gf_dim=config.gf_dim,
        strides=config.strides,
        kernel_size=config.kernel_size,
        num_classes=num_classes,
        gfc_dim=config.gfc_dim,
        upsampling=config.upsampling,
        sync_batch_norm=config.sync_batch_norm,
        precision=dtype_policy(config.precision),
        cpu_kernels=config.cpu_kernels,
        seed=config.seed,
    )


def dcgan_discriminator(config: Config, image_shape: tuple[int, int, int], num_classes: int) -> keras.Model:
    """Returns the discriminator that `config` describes."""
    return build_dcgan_discriminator(
        image_shape,
        num_layers=len(config.strides),
        df_dim=config.df_dim,
        num_classes=num_classes,
        dfc_dim=config.dfc_dim,
        spectral_norm=config.spectral_norm,
        sync_batch_norm=config.sync_batch_norm,
        precision=dtype_policy(config.precision),
        cpu_kernels=config.cpu_kernels,
        seed=config.seed,
    )


class DCGANTrainer(GeneratorTrainer):
    """The networks, the optimizers and the step of DCGAN1, 2 and 3, conditional or not.

    Args:
        config: the resolved flags.
        image_shape: the (height, width, channels) of the training images.
        num_classes: the number of classes of the dataset.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], num_classes: int) -> None:
        num_classes = num_classes if config.conditional else 0
        super().__init__(
            config,
            num_classes,
            functools.partial(dcgan_generator, config, image_shape, num_classes),
            dcgan_discriminator(config, image_shape, num_classes),
        )
        self._penalties = {
            name: (weight, penalty.function)
            for name, penalty in losses.DISCRIMINATOR_PENALTIES.items()
            if (weight := getattr(config, penalty.weight_flag))
        }

    @replicas.on_all_replicas
    def train_step(self, step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        """Makes one discriminator update, then --generator_updates generator updates, all with the same z.

        The discriminator update and the first generator update have the same z and the same generator weights, so they
        share one forward pass of the generator.

        Args:
            step: int64 scalar, the number of steps made before.
            images: uint8 (batch, height, width, channels), this replica's share of the batch.
            labels: int32 (batch,); only read if the network is conditional.
        """
        real_images = to_float(images)
        latents = self._draw_latents(step, images.shape[0])

        with tf.GradientTape() as generator_tape, _counting_forwards(self.generator, 2):
            fake_images = self._generate(latents, labels)
        step_losses, histograms = self._update_discriminator(step, real_images, fake_images, labels)

        step_losses |= self._update_generator(step, 0, generator_tape, real_images, fake_images, labels)
        for update in range(1, self._config.generator_updates):
            with tf.GradientTape() as generator_tape:
                fake_images = self._generate(latents, labels)
            step_losses |= self._update_generator(step, update, generator_tape, real_images, fake_images, labels)
        self._average(step, latents, labels)
        return StepResult(step_losses, histograms | {"z": latents})

    def _update_discriminator(
        self, step: tf.Tensor, real_images: tf.Tensor, fake_images: tf.Tensor, labels: tf.Tensor
    ) -> tuple[dict[str, tf.Tensor], dict[str, tf.Tensor]]:
        def judge_real(images: tf.Tensor) -> tf.Tensor:
            return self._discriminate(self._as_seen(images, Purpose.REAL_NOISE, step), labels)

        with tf.GradientTape() as tape:
            real_logits = judge_real(real_images)
            fake_logits = self._discriminate(
                self._as_seen(tf.stop_gradient(fake_images), Purpose.FAKE_NOISE, step), labels
            )
            terms = self._adversarial_loss.discriminator_terms(real_logits, fake_logits, self._config.label_smoothing)
            penalties = {
                name: weight * penalty(judge_real, real_images, tf.stop_gradient(fake_images))
                for name, (weight, penalty) in self._penalties.items()
            }
            loss = replicas.share_of_loss(tf.add_n([terms["d_loss"], *penalties.values()]))
            loss = self.d_optimizer.scale_loss(loss)
        variables = self.discriminator.trainable_variables
        self.d_optimizer.apply(tape.gradient(loss, variables), variables)
        terms |= penalties | self._augmentation.adapt(step, real_logits)
        return terms, {"D(x)": tf.sigmoid(real_logits), "D(G(z))": tf.sigmoid(fake_logits)}

    def _update_generator(
        self,
        step: tf.Tensor,
        update: int,
        generator_tape: tf.GradientTape,
        real_images: tf.Tensor,
        fake_images: tf.Tensor,
        labels: tf.Tensor,
    ) -> dict[str, tf.Tensor]:
        real_logits = None
        if self._adversarial_loss.generator_sees_real:
            seen_real_images = self._as_seen(real_images, Purpose.REAL_NOISE, step, part=update + 1)
            real_logits = self._discriminate(seen_real_images, labels)
        # The discriminator's weights need no gradient here, so the tape watches only the images.
        with tf.GradientTape(watch_accessed_variables=False) as tape, fixed_kernels():
            tape.watch(fake_images)
            seen_images = self._as_seen(fake_images, Purpose.FAKE_NOISE, step, part=update + 1)
            g_loss = self._adversarial_loss.generator(real_logits, self._discriminate(seen_images, labels))
            loss = self.g_optimizer.scale_loss(replicas.share_of_loss(g_loss))
        image_gradient = tape.gradient(loss, fake_images)
        variables = self.generator.trainable_variables
        gradients = generator_tape.gradient(fake_images, variables, output_gradients=image_gradient)
        self.g_optimizer.apply(gradients, variables)
        return {"g_loss": g_loss}

    def _discriminate(self, images: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        # Real and fake images pass in separate calls, so that batch norm uses the statistics of each batch alone.
        return self.discriminator(named_inputs(self.discriminator, images, labels), training=True)

    def _as_seen(self, images: tf.Tensor, purpose: Purpose, step: tf.Tensor, part: int = 0) -> tf.Tensor:
        """Returns images augmented and with noise; each pass has its own draws (Zhao et al. 2020, section 3.2)."""
        seed = stateless_seed(self._config.seed, _AUGMENTATION[purpose], step, part)
        return self._with_noise(self._augmentation(images, seed), purpose, step, part)

    def _with_noise(self, images: tf.Tensor, purpose: Purpose, step: tf.Tensor, part: int = 0) -> tf.Tensor:
        """Returns images with instance noise (Sønderby et al. 2017; Arjovsky & Bottou 2017)."""
        if not self._config.instance_noise:
            return images
        seed = stateless_seed(self._config.seed, purpose, step, part)
        return images + replicas.drawn(
            lambda shape: tf.random.stateless_normal(shape, seed, stddev=self._config.instance_noise),
            tf.unstack(tf.shape(images)),
        )


def dcgan_networks(config: Config, dataset: Mapping[str, Any], **_: Any) -> list[Restorable]:
    """Returns the generator that a run samples from, ready to be restored from a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `jobs.dataset_record`.
    """
    return restorable_generator(config, dataset, dcgan_generator)


def dcgan_discriminators(config: Config, dataset: Mapping[str, Any]) -> dict[str, keras.Model]:
    """Returns the discriminator of a run, by the name that it has in a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `jobs.dataset_record`.
    """
    num_classes = len(dataset["class_names"]) if config.conditional else 0
    return {"discriminator": dcgan_discriminator(config, tuple(dataset["image_shape"]), num_classes)}


@contextlib.contextmanager
def _counting_forwards(network: keras.Model, num_forwards: int) -> Iterator[None]:
    """Lets batch norm's moving averages count one forward pass as several passes of the same batch.

    n updates m <- a m + (1 - a) b with the same b equal a single update with a^n in place of a.
    """
    batch_norms = [layer for layer in network.layers if isinstance(layer, keras.layers.BatchNormalization)]
    momenta = [layer.momentum for layer in batch_norms]

    def assign(momenta: Sequence[float]) -> None:
        for layer, momentum in zip(batch_norms, momenta, strict=True):
            layer.momentum = momentum

    replicas.once(lambda: assign([momentum**num_forwards for momentum in momenta]))
    try:
        yield
    finally:
        replicas.once(lambda: assign(momenta))
