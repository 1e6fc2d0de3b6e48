"""Runs the program's own trainers, as `--mode=train` does."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from benchmarks.flops import flops_of_function
from histogan_tf.config import Config
from histogan_tf.machine import device
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.cpu_kernels.algorithm_choice import algorithms_chosen_by
from histogan_tf.models.cpu_kernels.algorithm_timing import MeasuredAlgorithms, cache_folder
from histogan_tf.models.latents import draw_latents
from histogan_tf.models.projected_generator import LatentNoise
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.projected_step import ProjectedTrainer

_NUM_KNOWN_IMAGES = 256
_NUM_CHECKED_STEPS = 2  # the losses of the second show the updates of the first
_DRAWS_OF_POLICIES = {"dihedral": 3, "reflected_translation": 2}  # uniform numbers that a policy draws for an image
_STEPS_PER_EPOCH = 10**6  # so long that the learning rate does not fall while we measure


class _Ours:
    """A trainer, and one batch that it trains on in every step."""

    def __init__(self, config: Config, batch: tuple[np.ndarray, ...]) -> None:
        self._config, self._batch = config, tuple(map(tf.constant, batch))
        self._step = 0
        self._algorithms = MeasuredAlgorithms(cache_folder())

    def check(self, material: dict[str, Any]) -> list[dict[str, float]]:
        """Returns the losses of the first steps; the seed gives the same weights and random draws as in `material`."""
        return [self._one_step() for _ in range(material["num_steps"])]

    def run(self, count: int) -> None:
        """Makes `count` steps, and waits for the last."""
        for _ in range(count - 1):
            self._train_step()
        self._one_step()

    def flops(self) -> int:
        """Returns the operations of the compiled step."""
        step = tf.constant(0, tf.int64)
        with algorithms_chosen_by(self._algorithms):
            return flops_of_function(self._trainer.train_step.get_concrete_function(step, *self._batch))

    def _one_step(self) -> dict[str, float]:
        return {name: float(loss) for name, loss in self._train_step().losses.items()}

    def _train_step(self):
        with algorithms_chosen_by(self._algorithms):
            result = self._trainer.train_step(tf.constant(self._step, tf.int64), *self._batch)
        self._step += 1
        return result

    def weights(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns the present weights of all networks, by the networks' names and the weights' paths."""
        return {network.name: weights_of(network) for network in self._trainer.networks}


class OurDCGAN(_Ours):
    """The trainer of a DCGAN.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        device.prepare(config)
        images = random_images(config.batch_size, image_shape, seed=0)
        super().__init__(config, (images, np.zeros(len(images), np.int32)))
        self._trainer = DCGANTrainer(config, image_shape, 0)

    def material(self) -> dict[str, Any]:
        """Returns what others need to make our first step: weights, images, and draws (z, then noise) as used."""
        config, images = self._config, self._batch[0]
        latents = draw_latents(
            len(images), config.z_dim, config.z_dist, stateless_seed(config.seed, Purpose.LATENTS, 0)
        )
        uses = [(Purpose.REAL_NOISE, 0), *((Purpose.FAKE_NOISE, part) for part in range(config.generator_updates + 1))]
        draws = [latents.numpy()]
        if config.instance_noise:
            for purpose, part in uses:
                seed = stateless_seed(config.seed, purpose, 0, part)
                draws.append(tf.random.stateless_normal(images.shape, seed, stddev=config.instance_noise).numpy())
        return {"weights": self.weights(), "batch": [images.numpy()], "draws": draws, "num_steps": 1}


class OurCycleGAN(_Ours):
    """The trainer of CycleGAN.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        device.prepare(config)
        super().__init__(config, tuple(random_images(config.batch_size, image_shape, seed) for seed in range(2)))
        samples = [images.numpy() for images in self._batch]
        self._trainer = CycleGANTrainer(config, image_shape, _STEPS_PER_EPOCH, samples)

    def material(self) -> dict[str, Any]:
        """Returns what others need to make our first two steps; the second's losses show the first's updates."""
        batch = [images.numpy() for images in self._batch]
        return {"weights": self.weights(), "batch": batch, "draws": [], "num_steps": 2}


class OurProjected(_Ours):
    """The trainer of a projected GAN, the generator of tissue, with random weights of its backbone.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        device.prepare(config)
        images = random_images(config.batch_size, image_shape, seed=0)
        super().__init__(config, (images, np.zeros(len(images), np.int32)))
        known = random_images(_NUM_KNOWN_IMAGES, image_shape, seed=1)  # by which the modes are found
        self._trainer = ProjectedTrainer(config, known, None, 0)

    def check(self, material: dict[str, Any]) -> list[dict[str, float]]:
        """Returns the losses of the first steps, with the modes of `material`: those of another precision differ."""
        modes, trainer = material["weights"]["modes"], self._trainer
        for weight in trainer.mode_of_features.weights:
            weight.assign(modes[weight.name])
        for generator in (trainer.generator, trainer.sampled_generator):
            generator.get_layer("mode").ends.assign(modes["ends"])
        return super().check(material)

    def material(self) -> dict[str, Any]:
        """Returns what others need to make our first two steps: weights, images, and uniform and normal draws as used.

        The draws of a step are z, those of each policy of augmentation for the real images, and those for the fake
        ones in each update of the generator; all are (number of draws, batch) but z.
        """
        config, trainer = self._config, self._trainer
        draws = []
        for step in range(_NUM_CHECKED_STEPS):
            seed = stateless_seed(config.seed, Purpose.LATENTS, step)
            draws.append(draw_latents(config.batch_size, config.z_dim, config.z_dist, seed).numpy())
            uses = [(Purpose.REAL_AUGMENTATION, 0)]
            uses += [(Purpose.FAKE_AUGMENTATION, part) for part in range(config.generator_updates)]
            for purpose, part in uses:
                seed = stateless_seed(config.seed, purpose, step, part)
                for number, policy in enumerate(config.diffaugment):
                    shape = (_DRAWS_OF_POLICIES[policy], config.batch_size)
                    draws.append(tf.random.stateless_uniform(shape, tf.random.fold_in(seed, number)).numpy())
        modes = {weight.name: weight.numpy() for weight in trainer.mode_of_features.weights}
        modes["ends"] = trainer.generator.get_layer("mode").ends.numpy()
        weights = self.weights() | {"feature_projector": weights_of(trainer.projector), "modes": modes}
        batch = [self._batch[0].numpy()]
        return {"weights": weights, "batch": batch, "draws": draws, "num_steps": _NUM_CHECKED_STEPS}

    def weights(self) -> dict[str, dict[str, np.ndarray]]:
        """Returns the present weights of the trained networks and of the averaged generator.

        Among those of the generators are the fixed vectors of their noise, such as `block1a_noise/vectors`.
        """
        trainer = self._trainer
        noise = {
            f"{layer.name}/vectors": layer._vectors
            for layer in trainer.generator.layers
            if isinstance(layer, LatentNoise)
        }
        generators = {"generator": trainer.generator, "generator_average": trainer.sampled_generator}
        return super().weights() | {name: weights_of(network) | noise for name, network in generators.items()}


def random_images(num_images: int, image_shape: tuple[int, int, int], seed: int) -> np.ndarray:
    """Returns random pixels, uint8 (num_images, height, width, channels)."""
    return np.random.default_rng(seed).integers(0, 256, (num_images, *image_shape), np.uint8)


def weights_of(network: keras.Model) -> dict[str, np.ndarray]:
    """Returns a network's weights by their paths, such as `g_h1/kernel`."""
    return {weight.path: weight.numpy() for weight in network.weights}
