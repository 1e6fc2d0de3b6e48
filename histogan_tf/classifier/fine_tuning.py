"""Fine-tunes the backbone (the paper does not): Adam on log loss, until held-out training images stop improving."""

from __future__ import annotations

import logging
import math
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.classifier.head import log_loss
from histogan_tf.classifier.prediction import Predictor
from histogan_tf.config import Config
from histogan_tf.data import pipeline
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.perturbations import random_view
from histogan_tf.errors import UserError
from histogan_tf.machine import replicas
from histogan_tf.machine.gpu import compiles_with_xla, has_gpu
from histogan_tf.machine.progress import Progress
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.machine.workers import check_same, of_the_chief, this_worker
from histogan_tf.models.resnet import ResNetClassifier
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_writer import Run
from histogan_tf.training.loop import StepResult
from histogan_tf.training.losses import sigmoid_cross_entropy
from histogan_tf.training.optimizers import with_loss_scaling

logger = logging.getLogger(__name__)

PATIENCE_EPOCHS = 5


class FineTuner:
    """Trains the head and a part of the backbone together.

    Each epoch ends with a checkpoint of the whole state, so a run that was killed goes on to the same result. The
    replicas share the training images among them. Every worker measures all held-out images; the chief's result counts.

    Args:
        config: the Config of the run; it gives --fine_tune, its learning rate, --batch_size, --epoch, --perturbations
            and --seed.
        classifier: the classifier, whose head is already fitted to the images of `training`; its weights are changed.
        training: labelled images to train on.
        held_out: labelled images that decide when to stop; never those of the validation part.
    """

    def __init__(self, config: Config, classifier: ResNetClassifier, training: ImageSet, held_out: ImageSet) -> None:
        self._config, self._classifier = config, classifier
        # The backbone's max pooling lies before the last stage.
        self.compiles_with_xla = compiles_with_xla(config, ("MaxPoolGrad",) if config.fine_tune == "all" else ())
        self._training, self._held_out = training, held_out
        self._steps_per_epoch = pipeline.steps_per_epoch(len(training), config.batch_size)
        self._predict = Predictor(classifier.network)
        self._variables = classifier.trainable_variables(config.fine_tune)
        self._optimizer = with_loss_scaling(keras.optimizers.Adam(config.fine_tune_learning_rate), config.precision)
        self._optimizer.build(self._variables)
        self._best = [tf.Variable(variable.numpy(), trainable=False) for variable in self._variables]
        self._best_loss = tf.Variable(math.inf, dtype=tf.float64, trainable=False)
        self._best_epoch = tf.Variable(0, dtype=tf.int64, trainable=False)

    def state(self) -> dict[str, object]:
        """Returns all that a checkpoint must hold."""
        return {
            **self._classifier.state(),
            "optimizer": self._optimizer,
            "best": self._best,
            "best_loss": self._best_loss,
            "best_epoch": self._best_epoch,
        }

    def train(self, run: Run, directory: Path) -> np.ndarray:
        """Trains until --epoch, or until the held-out log loss has not fallen for PATIENCE_EPOCHS.

        Args:
            run: the run that logs the losses.
            directory: the folder of the checkpoints.

        Returns:
            float64 (num_held_out,), probabilities of label 1 of the held-out images, or (num_held_out, num_classes) of
            three labels or more, by the network of the best epoch,
            whose weights the classifier then has. Epoch 0 is the network before fine-tuning.

        Raises:
            UserError: if a loss is not finite, or a checkpoint cannot be read or written.
        """
        checkpoints = Checkpoints(directory, self.state())
        epoch = checkpoints.restore()
        check_same("the epochs made and in all", [epoch, self._config.epoch])
        run.forget_after(epoch * self._steps_per_epoch)
        if epoch == 0:
            self._remember_best(0)
        with Progress(self._config.epoch, epoch, "epoch") as progress:
            while epoch < self._config.epoch and epoch - self._best_epoch.numpy() < PATIENCE_EPOCHS:
                losses = {"log_loss": self._train_epoch(epoch)}
                epoch += 1
                losses["held_out_log_loss"] = self._remember_best(epoch)
                _check_finite(epoch, losses)
                run.log_losses({epoch * self._steps_per_epoch: losses})
                checkpoints.save(epoch)
                progress.update(epoch, losses)
        for variable, best in zip(self._variables, self._best, strict=True):
            variable.assign(best)
        best_epoch, best_loss = self._best_epoch.numpy(), self._best_loss.numpy()
        logger.info("fine-tuning: best after epoch %d, with a held-out log loss of %.4f", best_epoch, best_loss)
        return self._predict(self._held_out.images)

    def _train_epoch(self, epoch: int) -> float:
        """Trains one epoch; returns the mean log loss of its batches, each computed before the batch's own update."""
        first = epoch * self._steps_per_epoch
        last = first + self._steps_per_epoch
        batches = pipeline.batches(
            self._training, self._config.batch_size, self._config.seed, first, last, *this_worker()
        )
        losses = [self._train_step(*batch).losses["log_loss"] for batch in batches]
        return float(tf.reduce_mean(tf.stack(losses)))

    @replicas.on_all_replicas
    def _train_step(self, step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        seed = stateless_seed(self._config.seed, Purpose.FINE_TUNING_VIEWS, step)
        images = random_view(images, self._config.perturbations or (), seed)
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch([variable.value for variable in self._variables])
            loss = _loss(self._classifier.network(images, training=False), labels)
            global_loss = self._optimizer.scale_loss(replicas.share_of_loss(loss))
        gradients = tape.gradient(global_loss, [variable.value for variable in self._variables])
        self._optimizer.apply(gradients, self._variables)
        return StepResult({"log_loss": loss}, {})

    def _remember_best(self, epoch: int) -> float:
        loss = float(of_the_chief(np.float64(log_loss(self._held_out.labels, self._predict(self._held_out.images)))))
        if loss < self._best_loss.numpy():
            self._best_loss.assign(loss)
            self._best_epoch.assign(epoch)
            for best, variable in zip(self._best, self._variables, strict=True):
                best.assign(variable.value)
        return loss


def _loss(logits: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
    """Returns the mean log loss, float32, of logits, float32 (batch, 1 or num_classes), and labels, int32 (batch,)."""
    if logits.shape[-1] > 1:
        # On a GPU, the gradient of TensorFlow's own softmax loss is not deterministic.
        likelihoods = tf.reduce_sum(tf.one_hot(labels, logits.shape[-1]) * tf.nn.log_softmax(logits), axis=1)
        return -tf.reduce_mean(likelihoods)
    logits, targets = logits[:, 0], tf.cast(labels, tf.float32)
    if has_gpu():
        return sigmoid_cross_entropy(logits, targets)
    # The gradient of TensorFlow's own has other last bits. Runs on CPUs were begun with it, and go on as they were.
    return tf.reduce_mean(tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=logits))


def _check_finite(epoch: int, losses: dict[str, float]) -> None:
    bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
    if bad:
        raise UserError(
            f"epoch {epoch} of fine-tuning: {', '.join(f'{name} is {value}' for name, value in bad.items())}; try a "
            f"smaller --fine_tune_learning_rate in a new --run"
        )
