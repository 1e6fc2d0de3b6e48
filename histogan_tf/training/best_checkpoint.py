"""--eval_freq: measures a DCGAN while it is trained, and keeps the best generator beside the last checkpoint."""

from __future__ import annotations

import logging

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.machine.randomness import Purpose
from histogan_tf.machine.workers import is_chief
from histogan_tf.metrics.generative import squared_mmd
from histogan_tf.models.feature_extractors import extractor
from histogan_tf.runs.checkpoints import Checkpoints, best_directory
from histogan_tf.runs.run_directory import read_metrics, run_directory
from histogan_tf.training.dcgan_step import DCGANTrainer, sampled_state
from histogan_tf.training.loop import StepResult

logger = logging.getLogger(__name__)

MAX_MEASURED_IMAGES = 1000


class MeasuredDCGANTrainer:
    """A DCGAN's trainer that adds to the losses of every --eval_freq-th step the KID of its samples.

    Samples are of latents of their own, the same every time, and as many as there are real images; features are those
    of the fixed untrained network. It has no state: what the best KID was before a run goes on stands in the run's
    metrics.jsonl, so that --eval_freq can change at any time.

    Args:
        trainer: that is measured.
        config: of the run.
        real_images: uint8 (num_images, height, width, channels), at least 2, of which at most 1000 should be given.
    """

    def __init__(self, trainer: DCGANTrainer, config: Config, real_images: np.ndarray) -> None:
        self._trainer, self._config = trainer, config
        self._extractor = extractor("random")
        self._real_features = self._extractor(real_images)
        self._name = f"kid-{self._extractor.name}-n{len(real_images)}"
        state = sampled_state(config, trainer.sampled_generator)
        self._checkpoints = Checkpoints(best_directory(run_directory(config) / "ckpt"), state)
        self._best: float | None = None

    @property
    def networks(self) -> list[keras.Model]:
        """For the tables at the start of a run."""
        return self._trainer.networks

    def state(self) -> dict[str, object]:
        """All that a checkpoint must hold."""
        return self._trainer.state()

    def draw_samples(self) -> dict[str, np.ndarray]:
        """The trainer's sample sheets."""
        return self._trainer.draw_samples()

    def train_step(self, step: tf.Tensor, *batch: tf.Tensor) -> StepResult:
        """Makes one step; measures and perhaps saves after every --eval_freq-th, in the chief alone."""
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
