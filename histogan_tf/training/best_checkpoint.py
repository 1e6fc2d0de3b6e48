"""Does what --eval_freq says: measures a generator while it is trained, and keeps the best one in a checkpoint."""

from __future__ import annotations

import logging
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.machine.randomness import Purpose
from histogan_tf.machine.workers import is_chief
from histogan_tf.metrics.generative import NUM_NEIGHBOURS, manifold_metrics, squared_mmd
from histogan_tf.models.feature_extractors import random_extractor
from histogan_tf.runs.checkpoints import Checkpoints, best_directory
from histogan_tf.runs.run_directory import read_metrics, run_directory
from histogan_tf.training.generator_trainer import GeneratorTrainer
from histogan_tf.training.loop import StepResult

logger = logging.getLogger(__name__)

MAX_MEASURED_IMAGES = 1000
_FALLEN = 0.8  # a recall below this share of the highest so far has fallen


class Measures(NamedTuple):
    """The measures of the samples of one step.

    Attributes:
        kid: the kernel distance from the real images, unbiased, so that it may be below 0.
        recall: the share of real images that have samples like them, in [0, 1]; NaN if there are too few images.
    """

    kid: float
    recall: float


class MeasuredTrainer:
    """A generator's trainer that adds KID and recall of its samples to the losses of every --eval_freq-th step.

    It makes as many samples as there are real images, every time from the same latents, which nothing else uses; a
    generator that is conditional on labels makes as many of each label as there are real ones. The features are those
    of the fixed untrained network. The trainer has no state of its own: when a run goes on, it reads the measures so
    far from the run's metrics.jsonl, so --eval_freq can change at any time.

    A generator that is trained for long may make fewer and fewer kinds of images, while each of them looks better: the
    log says when recall has fallen, and --min_recall keeps such a generator from being taken for the best one.

    Args:
        trainer: the trainer to measure.
        config: the Config of the run.
        real_images: uint8 (num_images, height, width, channels), 2 to MAX_MEASURED_IMAGES real images.
        labels: their labels, int (num_images,); None if they have none.
    """

    def __init__(
        self, trainer: GeneratorTrainer, config: Config, real_images: np.ndarray, labels: np.ndarray | None = None
    ) -> None:
        self._trainer, self._config, self._labels = trainer, config, labels
        self._extractor = random_extractor()
        self._real_features = self._extractor(real_images)
        features = f"{self._extractor.name}-n{len(real_images)}"
        self._kid_name, self._recall_name = f"kid-{features}", f"recall-{features}"
        self._checkpoints = Checkpoints(best_directory(run_directory(config) / "ckpt"), trainer.sampled_state())
        self._lowest_kid, self._highest_recall = None, None

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
        if self._lowest_kid is None:
            self._read_earlier_measures()
        kid, recall = self._measure()
        if kid < self._lowest_kid and not recall < self._config.min_recall:
            self._lowest_kid = kid
            self._checkpoints.save(num_steps)
        logger.info(
            "step %d: %s %.5f, best %.5f, recall %.2f", num_steps, self._kid_name, kid, self._lowest_kid, recall
        )
        if recall < _FALLEN * self._highest_recall:
            logger.warning(
                "step %d: recall has fallen to %.2f from %.2f: the generator leaves out kinds of images that it made "
                "before; --checkpoint=best is the one with the lowest KID, and --min_recall=%.2f would refuse this one",
                num_steps,
                recall,
                self._highest_recall,
                _FALLEN * self._highest_recall,
            )
        self._highest_recall = max(self._highest_recall, 0.0 if np.isnan(recall) else recall)
        measured = {self._kid_name: kid} | ({} if np.isnan(recall) else {self._recall_name: recall})
        return result._replace(
            losses=result.losses | {name: tf.constant(value, tf.float32) for name, value in measured.items()}
        )

    def _read_earlier_measures(self) -> None:
        """Reads the lowest KID with enough recall, and the highest recall, from the run's metrics.jsonl."""
        rows = [row for row in read_metrics(run_directory(self._config)) if self._kid_name in row]
        recalls = [row.get(self._recall_name, np.nan) for row in rows]
        enough = [
            row[self._kid_name]
            for row, recall in zip(rows, recalls, strict=True)
            if not recall < self._config.min_recall
        ]
        self._lowest_kid = min(enough, default=float("inf"))
        self._highest_recall = float(np.nanmax([0.0, *recalls]))

    def _measure(self) -> Measures:
        num_images = len(self._real_features)
        images = self._trainer.sampler.numbered(
            0, num_images, self._config.seed, Purpose.EVALUATED_LATENTS, self._labels
        )
        features = self._extractor(images)
        recall = np.nan
        if num_images > NUM_NEIGHBOURS:
            recall = manifold_metrics(self._real_features, features).recall
        return Measures(float(np.float32(squared_mmd(self._real_features, features))), float(np.float32(recall)))
