"""The one training loop: every trainer brings its step, this brings progress, logs, samples, checkpoints and stops."""

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

from histogan_tf.errors import UserError
from histogan_tf.machine.progress import Progress
from histogan_tf.machine.workers import chief_only, is_chief, of_all_workers
from histogan_tf.reporting import pictures
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_directory import Run

logger = logging.getLogger(__name__)

_FLUSH_SECONDS = 1.0


class StepResult(NamedTuple):
    """What a step reports.

    Attributes:
        losses: float32 scalars by name, logged for every step.
        histograms: tensors by name, logged when samples are drawn.
    """

    losses: dict[str, tf.Tensor]
    histograms: dict[str, tf.Tensor]


class Trainer(Protocol):
    """What the loop needs of a model family."""

    @property
    def networks(self) -> list[keras.Model]:
        """All networks, for the tables at the start."""

    def state(self) -> dict[str, object]:
        """All that a checkpoint must hold."""

    def train_step(self, step: tf.Tensor, *batch: tf.Tensor) -> StepResult:
        """Makes one step; `step` is the number of steps made before, int64."""

    def draw_samples(self) -> dict[str, np.ndarray]:
        """Sheets by name: uint8 (num_images, height, width, channels)."""


@dataclasses.dataclass(frozen=True)
class Schedule:
    """When the loop does what, in steps.

    Attributes:
        steps_per_epoch: for the log.
        total_steps: where the run is finished.
        sample_freq: steps from one sample sheet to the next.
        ckpt_freq: steps from one checkpoint to the next.
        ckpt_minutes: longest time from one checkpoint to the next, in minutes.
    """

    steps_per_epoch: int
    total_steps: int
    sample_freq: int
    ckpt_freq: int
    ckpt_minutes: float

    def epoch_of(self, step: int) -> str:
        """The epoch that a number of steps lies in, in words."""
        num_epochs = -(-self.total_steps // self.steps_per_epoch)
        return f"epoch {max(1, -(-step // self.steps_per_epoch))}/{num_epochs}"


class Interrupted(Exception):  # noqa: N818 - not an error: the run was asked to stop, and can go on
    """The run was stopped by a signal, after saving a checkpoint."""

    def __init__(self, signal_number: int) -> None:
        super().__init__(signal.Signals(signal_number).name)
        self.exit_code = 128 + signal_number


def run_loop(
    trainer: Trainer, batches: Iterable[tuple[tf.Tensor, ...]], run: Run, checkpoints: Checkpoints, schedule: Schedule
) -> None:
    """Trains from the restored step to the schedule's last one.

    Args:
        trainer: whose state `checkpoints` restored.
        batches: (step, *batch) from that step on.
        run: the run directory.
        checkpoints: of the trainer's state.
        schedule: when to do what.

    Raises:
        UserError: when a loss is not finite, or a checkpoint cannot be written.
        Interrupted: on SIGINT or SIGTERM to any worker of the job, in all of them after the same step, once its
            checkpoint is saved.
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
                checkpoints.save(step)
                run.flush()
                saved_at = time.monotonic()
            if stop_signal:
                break
    if stop_signal and step < schedule.total_steps:
        of_all_workers(np.int64(step))  # none leaves before the chief has saved
        logger.info("stopped after step %d; the same command goes on from there", step)
        raise Interrupted(stop_signal)


class _LossLog:
    """Keeps losses on the device and fetches them about once a second, so that no step waits for a log line.

    Of the workers of one job, the chief alone logs and judges, so that what it says of a bad loss is in the run's log.
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
        if fetched:  # one update for all: that they were fetched together says nothing of the time that each took
            self._progress.update(step, losses)


@contextlib.contextmanager
def _stop_signals() -> Iterator[list[int]]:
    """Collects SIGINT and SIGTERM for the end of the step; a second one takes its usual course at once.

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
        name: what the sheet is called.
        images: uint8 (num_images, height, width, channels).
        step: part of the file's name, if given.
    """
    sheet = pictures.tile(images)
    pictures.save_png(run.sheet_path(name, step), sheet)
    run.show_image(name, sheet, step or 0)


@chief_only
def _draw_samples(trainer: Trainer, run: Run, step: int) -> None:
    for name, images in trainer.draw_samples().items():
        save_sheet(run, name, images, step)
