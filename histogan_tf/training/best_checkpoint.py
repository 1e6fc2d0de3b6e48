"""Does what --eval_freq says: measures a generator while it is trained, and keeps the best one in a checkpoint."""

from __future__ import annotations

import logging

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.machine.randomness import Purpose
from histogan_tf.machine.workers import is_chief
from histogan_tf.metrics.generative import squared_mmd
from histogan_tf.models.feature_extractors import random_extractor
from histogan_tf.runs.checkpoints import Checkpoints, best_directory
from histogan_tf.runs.run_directory import read_metrics, run_directory
from histogan_tf.training.generator_trainer import GeneratorTrainer
from histogan_tf.training.loop import StepResult

logger = logging.getLogger(__name__)

MAX_MEASURED_IMAGES = 1000


class MeasuredTrainer:
    """A generator's trainer that adds the KID of its samples to the losses of every --eval_freq-th step.

    It makes as many samples as there are real images, every time from the same latents, which nothing else uses. The
    features are those of the fixed untrained network. The trainer has no state of its own: when a run goes on, it reads
    the best KID so far from the run's metrics.jsonl, so --eval_freq can change at any time.

    Args:
        trainer: the trainer to measure.
        config: the Config of the run.
        real_images: uint8 (num_images, height, width, channels), 2 to MAX_MEASURED_IMAGES real images.
    """

    def __init__(self, trainer: GeneratorTrainer, config: Config, real_images: np.ndarray) -> None:
        self._trainer, self._config = trainer, config
        self._extractor = random_extractor()
        self._real_features = self._extractor(real_images)
        self._name = f"kid-{self._extractor.name}-n{len(real_images)}"
        self._checkpoints = Checkpoints(best_directory(run_directory(config) / "ckpt"), trainer.sampled_state())
        self._best: float | None = None

    @property
    def networks(self) -> list[keras.Model]:
        """The networks to describe in the tables at the start of a run."""
        return self._trainer.networks

    def state(self) -> dict[str, object]:
        """Returns all that a checkpoint must hold."""
        return self._trainer.state()

    def draw_samples(self) -> dict[str, np.ndarray]:
        """Returns the trainer's sample sheets, by name."""
        return self._trainer.draw_samples()

    def train_step(self, step: tf.Tensor, *batch: tf.Tensor) -> StepResult:
        """Makes one step; after every --eval_freq-th, the chief measures, and saves if the KID is the lowest so far."""
        result = self._trainer.train_step(step, *batch)
        num_steps = int(step) + 1
        if num_steps % self._config.eval_freq or not is_chief():
            return result
        kid = self._kernel_distance()
        if self._best is None:
            self._best = min(
                (row[self._name] for row in read_metrics(run_directory(self._config)) if self._name in row),
                default=float("inf"),
            )
        if kid < self._best:
            self._best = kid
            self._checkpoints.save(num_steps)
        logger.info("step %d: %s %.5f, best %.5f", num_steps, self._name, kid, self._best)
        return result._replace(losses=result.losses | {self._name: tf.constant(kid, tf.float32)})

    def _kernel_distance(self) -> float:
        num_images = len(self._real_features)
        images = self._trainer.sampler.numbered(0, num_images, self._config.seed, Purpose.EVALUATED_LATENTS)
        return float(np.float32(squared_mmd(self._real_features, self._extractor(images))))
