"""What the trainers of generators share: networks, optimizers, the average of weights, augmentation, and samples."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.machine import replicas
from histogan_tf.machine.gpu import compiles_with_xla
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.latents import draw_latents
from histogan_tf.runs.checkpoints import Restorable
from histogan_tf.training import losses
from histogan_tf.training.augmentation import augmentation_of
from histogan_tf.training.averaging import WeightAverage
from histogan_tf.training.optimizers import make_adam
from histogan_tf.training.sampling import Sampler


class GeneratorTrainer:
    """The parts of a trainer of one generator and one discriminator network that do not depend on the step.

    Args:
        config: the resolved flags.
        num_classes: the number of labels of the networks; 0 for networks without labels.
        build_generator: a function that returns a new generator with its initial weights.
        discriminator: the network that the generator is trained against.
        beta_2: the decay rate of Adam's second moment.
        averages_statistics: see `WeightAverage`.
        refused_by_xla: the operations of the step that `gpu.compiles_with_xla` must know.

    Attributes:
        compiles_with_xla: whether XLA compiles the step.

    Raises:
        UserError: if --jit_compile asks for what XLA refuses.
    """

    def __init__(
        self,
        config: Config,
        num_classes: int,
        build_generator: Callable[[], keras.Model],
        discriminator: keras.Model,
        beta_2: float = 0.999,
        averages_statistics: bool = False,
        refused_by_xla: Collection[str] = (),
    ) -> None:
        self._config = config
        self.compiles_with_xla = compiles_with_xla(config, refused_by_xla)
        self.generator, self.discriminator = build_generator(), discriminator
        rates = config.learning_rate, config.discriminator_learning_rate or config.learning_rate
        self.g_optimizer, self.d_optimizer = (
            make_adam(rate, config.beta1, beta_2, cpu_kernels=config.cpu_kernels, precision=config.precision)
            for rate in rates
        )
        self._adversarial_loss = losses.LOSSES[config.adversarial_loss]
        self._augmentation = augmentation_of(config)
        self.sampled_generator, self._averages = self.generator, []
        if config.ema_decay:
            self.sampled_generator = build_generator()
            average = WeightAverage(
                self.sampled_generator, self.generator, config.ema_decay, averages_statistics=averages_statistics
            )
            self._averages = [average]
        self.sampler = Sampler(self.sampled_generator, config, num_classes)
        self.g_optimizer.build(self.generator.trainable_variables)
        self.d_optimizer.build(self.discriminator.trainable_variables)

    @property
    def networks(self) -> list[keras.Model]:
        """The networks to list in the tables at the start of a run."""
        return [self.generator, self.discriminator]

    def state(self) -> dict[str, tf.__internal__.tracking.Trackable]:
        """Returns the objects that a checkpoint must hold, by name."""
        return {
            "generator": self.generator,
            "discriminator": self.discriminator,
            "g_optimizer": self.g_optimizer,
            "d_optimizer": self.d_optimizer,
            **self.sampled_state(),
            **self._augmentation.state(),
        }

    def sampled_state(self) -> dict[str, keras.Model]:
        """Returns the generator that samples are made with, under the name that it has in a checkpoint."""
        return sampled_state(self._config, self.sampled_generator)

    def after_start(self) -> None:
        """Is called when the networks have taken over the weights of another run; see `starting`."""

    def draw_samples(self) -> dict[str, np.ndarray]:
        """Returns the sample sheet: images of the run's fixed latents, uint8 (sample_num, height, width, channels)."""
        images = self.sampler.numbered(0, self._config.sample_num, self._config.seed, Purpose.SAMPLE_LATENTS)
        return {"samples": images}

    def _draw_latents(self, step: tf.Tensor, num_images: int) -> tf.Tensor:
        """Returns the latents of a step, float32 (num_images, z_dim): this replica's share of them."""
        seed = stateless_seed(self._config.seed, Purpose.LATENTS, step)
        return replicas.drawn(
            lambda shape: draw_latents(shape[0], self._config.z_dim, self._config.z_dist, seed), [num_images]
        )

    def _generate(self, latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return self.generator(named_inputs(self.generator, latents, labels), training=True)

    def _average(self, step: tf.Tensor, latents: tf.Tensor, labels: tf.Tensor) -> None:
        """Updates the average of the generator's weights, if there is one, after a step."""
        for average in self._averages:
            average.update(step, named_inputs(self.generator, latents, labels))


def sampled_state(config: Config, generator: keras.Model) -> dict[str, keras.Model]:
    """Returns the generator that samples are made with, under the name that it has in a checkpoint.

    Args:
        config: the flags of the run; with --ema_decay, samples are made with the average of the weights.
        generator: the generator, newly built for the run.
    """
    return {"generator_average" if config.ema_decay else "generator": generator}


def restorable_generator(
    config: Config,
    dataset: Mapping[str, Any],
    build: Callable[[Config, tuple[int, int, int], int], keras.Model],
) -> list[Restorable]:
    """Returns the generator that a run samples from, ready to be restored from a checkpoint.

    Args:
        config: the flags of the run.
        dataset: the run's record of its images; see `jobs.dataset_record`.
        build: a function of the flags, the image shape and the number of labels that returns a new generator.
    """
    num_classes = len(dataset["class_names"]) if config.conditional else 0
    generator = build(config, tuple(dataset["image_shape"]), num_classes)
    return [Restorable("", generator, sampled_state(config, generator))]
