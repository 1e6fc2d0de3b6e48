"""The training loop of all step-by-step trainers: it shows progress, logs, samples, saves checkpoints and can stop."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import math
import signal
import threading
import time
from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.errors import UserError, doing
from histogan_tf.machine.progress import Progress
from histogan_tf.machine.workers import chief_only, is_chief, of_all_workers
from histogan_tf.reporting import pictures
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_writer import Run

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


class StepResult(NamedTuple):
    """The values that one training step reports.

    Attributes:
        losses: float32 scalars by name, logged for every step.
        histograms: tensors by name, logged as histograms when samples are drawn.
    """

    losses: dict[str, tf.Tensor]
    histograms: dict[str, tf.Tensor]


class Trainer(Protocol):
    """The networks of a model family and the step that trains them, as the loop calls them."""

    @property
    def networks(self) -> list[keras.Model]:
        """The networks to list in the tables at the start of a run."""

    def state(self) -> dict[str, object]:
        """Returns the objects that a checkpoint must hold, by name."""

    def train_step(self, step: tf.Tensor, *batch: tf.Tensor) -> StepResult:
        """Makes one step; `step` is the number of steps made before, int64."""

    def draw_samples(self) -> dict[str, np.ndarray]:
        """Returns the images of each sample sheet by name, uint8 (num_images, height, width, channels)."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """The steps at which the loop draws samples, saves checkpoints and ends.

    Attributes:
        steps_per_epoch: the number of steps in an epoch, by which the log names the epoch.
        total_steps: the step at which the run is finished.
        sample_freq: the number of steps from one sample sheet to the next.
        ckpt_freq: the number of steps from one checkpoint to the next.
        ckpt_minutes: the longest time from one checkpoint to the next, in minutes.
    """

    steps_per_epoch: int
    total_steps: int
    sample_freq: int
    ckpt_freq: int
    ckpt_minutes: float

    def epoch_of(self, step: int) -> str:
        """Returns words such as "epoch 3/25" for the epoch that a step belongs to."""
        num_epochs = -(-self.total_steps // self.steps_per_epoch)
        return f"epoch {max(1, -(-step // self.steps_per_epoch))}/{num_epochs}"


class Interrupted(Exception):  # noqa: N818 - not an error: the run was asked to stop, and can go on
    """Raised when a signal stopped the run, after its checkpoint was saved."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


def run_loop(
    trainer: Trainer, batches: Iterable[tuple[tf.Tensor, ...]], run: Run, checkpoints: Checkpoints, schedule: Schedule
) -> None:
    """Trains from the restored step to the schedule's last one.

    Args:
        trainer: the trainer, whose state `checkpoints` has restored.
        batches: (step, *batch) for each step from the restored one on.
        run: the run directory.
        checkpoints: the checkpoints of the trainer's state.
        schedule: the steps at which to draw samples, save checkpoints and end.

    Raises:
        UserError: when a loss is not finite, or a checkpoint cannot be written.
        Interrupted: after SIGINT or SIGTERM to any worker of the job. All workers stop after the same step, when its
            checkpoint has been saved.
    """
    step = checkpoints.step
    run.forget_after(step)
    if step == 0:
        _draw_samples(trainer, run, step)
    saved_at = time.monotonic()
    stop_signal = 0
    progress = Progress(schedule.total_steps, step, "step", schedule.epoch_of)
    with progress, _stop_signals() as received:
        loss_log = _LossLog(run, checkpoints, progress)
        for step_tensor, *batch in batches:
            with doing(f"training step {step + 1}"):
                result = trainer.train_step(step_tensor, *batch)
            step += 1
            loss_log.add(step, result.losses)
            stop_signal = int(of_all_workers(np.int64(received[0] if received else 0)).max())
            is_last = step == schedule.total_steps
            if is_last or step % schedule.sample_freq == 0:
                loss_log.flush()
                _draw_samples(trainer, run, step)
                run.log_histograms(step, result.histograms)
            is_overdue = time.monotonic() - saved_at > 60 * schedule.ckpt_minutes
            if is_last or is_overdue or stop_signal or step % schedule.ckpt_freq == 0:
                loss_log.flush()
                run.flush()  # before the checkpoint, so that a run that goes on from it has the losses of all its steps
                checkpoints.save(step)
                saved_at = time.monotonic()
            if stop_signal:
                break
    if stop_signal and step < schedule.total_steps:
        of_all_workers(np.int64(step))  # all workers wait until the chief has saved
        logger.info("stopped after step %d; the same command goes on from there", step)
        raise Interrupted(stop_signal)


class _LossLog:
    """Keeps losses on the device and fetches them about once a second, so that no step waits for a log line.

    Only the chief of a job's workers logs and checks losses, so that an error about a bad loss is in the run's log.
    """

    def __init__(self, run: Run, checkpoints: Checkpoints, progress: Progress) -> None:
        self._run, self._checkpoints, self._progress = run, checkpoints, progress
        self._pending: dict[int, dict[str, tf.Tensor]] = {}
        self._flushed_at = time.monotonic()

    def add(self, step: int, losses: dict[str, tf.Tensor]) -> None:
        if not is_chief():
            self._progress.update(step)
            return
        self._pending[step] = losses
        if time.monotonic() - self._flushed_at > _FLUSH_SECONDS:
            self.flush()

    def flush(self) -> None:
        """Logs all pending losses.

        Raises:
            UserError: if one is not finite.
        """
        fetched = {
            step: {name: float(value) for name, value in losses.items()} for step, losses in self._pending.items()
        }
        self._pending.clear()
        self._flushed_at = time.monotonic()
        self._run.log_losses(fetched)
        for step, losses in fetched.items():
            bad = {name: value for name, value in losses.items() if not math.isfinite(value)}
            if bad:
                last_good = self._checkpoints.step
                raise UserError(
                    f"step {step}: {', '.join(f'{name} is {value}' for name, value in bad.items())}; the last good "
                    f"checkpoint is of step {last_good}. Try a smaller --learning_rate, --precision=float32 or a "
                    f"larger --batch_size in a new --run"
                )
        if fetched:  # one update for all steps: they were fetched together, so the time of each is unknown
            self._progress.update(step, losses)


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM until the end of the step; a second signal has its usual effect at once.

    Python lets only the main thread handle signals. Training in another thread leaves them to the program around it.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    previous = {}

    def receive(number: int, frame: object) -> None:
        received.append(number)
        signal.signal(number, previous[number])

    for number in (signal.SIGINT, signal.SIGTERM):
        previous[number] = signal.signal(number, receive)
    try:
        yield received
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


@chief_only
def save_sheet(run: Run, name: str, images: np.ndarray, step: int | None = None) -> None:
    """Saves images as one PNG in the run's sample folder and in TensorBoard.

    Args:
        run: the run directory.
        name: the name of the sheet.
        images: the images, uint8 (num_images, height, width, channels).
        step: the step, which becomes a part of the file's name; None to leave it out.
    """
    sheet = pictures.tile(images)
    pictures.save_png(run.sheet_path(name, step), sheet)
    run.show_image(name, sheet, step or 0)


@chief_only
def _draw_samples(trainer: Trainer, run: Run, step: int) -> None:
    for name, images in trainer.draw_samples().items():
        save_sheet(run, name, images, step)
