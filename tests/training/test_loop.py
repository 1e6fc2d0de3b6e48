"""The loop with a trainer that only counts, so that when it does what can be told exactly."""

from __future__ import annotations

import json
import os
import signal

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints, checkpoint_folders
from histogan_tf.runs.run_directory import begin_run, read_metrics
from histogan_tf.runs.run_writer import Run
from histogan_tf.training import loop


class CountingTrainer:
    """Adds up the steps it is given; its loss is what `loss_at` says."""

    def __init__(self, loss_at=lambda step: 1.0 / step, on_step=lambda step: None) -> None:
        self.total = tf.Variable(0, dtype=tf.int64)
        self._loss_at, self._on_step = loss_at, on_step
        self.networks = []

    def state(self):
        return {"total": self.total}

    def train_step(self, step, batch):
        self.total.assign_add(batch)
        made = int(step) + 1
        self._on_step(made)
        return loop.StepResult({"loss": tf.constant(self._loss_at(made))}, {"batch": batch})

    def draw_samples(self):
        return {"sheet": np.zeros((1, 16, 16, 3), np.uint8)}


@pytest.fixture
def run(tiny_config) -> Run:
    config = tiny_config()
    return Run(begin_run(config, {"name": "numbers", "image_shape": [16, 16, 1], "class_names": []}), config)


def go(trainer: CountingTrainer, run: Run, total_steps: int = 10, **schedule) -> Checkpoints:
    checkpoints = Checkpoints(run.checkpoint_directory, trainer.state(), max_to_keep=10)
    start = checkpoints.restore()
    batches = tf.data.Dataset.range(start, total_steps).map(lambda step: (step, 10 * step))
    settings = {"sample_freq": 4, "ckpt_freq": 3, "ckpt_minutes": 60.0} | schedule
    loop.run_loop(trainer, batches, run, checkpoints, loop.Schedule(5, total_steps, **settings))
    return checkpoints


def saved_steps(run: Run) -> list[int]:
    return [int(folder.name.removeprefix("step-")) for folder in checkpoint_folders(run.checkpoint_directory)]


def test_everything_happens_when_it_is_due(run):
    trainer = CountingTrainer()
    go(trainer, run)
    assert int(trainer.total) == 10 * sum(range(10))
    assert [row["step"] for row in read_metrics(run.directory)] == list(range(1, 11))
    assert read_metrics(run.directory)[3]["loss"] == pytest.approx(0.25)
    assert saved_steps(run) == [3, 6, 9, 10]
    sheets = sorted(path.name for path in (run.directory / "samples").iterdir())
    assert sheets == [f"sheet_{step:08d}.png" for step in (0, 4, 8, 10)]


def test_the_rate_is_that_of_the_steps_though_losses_are_fetched_several_at_once(run, monkeypatch, caplog):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def take_time(step):
        now[0] += 0.3 if step == 1 else 0.4  # losses are fetched about once a second: so after three steps

    go(CountingTrainer(on_step=take_time), run, total_steps=2, sample_freq=100, ckpt_freq=100)
    assert [line for line in caplog.messages if "/2" in line] == ["step 2/2  epoch 1/1  loss 0.5000"]
    caplog.clear()
    go(CountingTrainer(on_step=take_time), run, total_steps=14, sample_freq=100, ckpt_freq=100)
    assert caplog.messages[-1] == "step 14/14  epoch 3/3  2.5 steps/s, 00:00 left  loss 0.0714"


def test_slow_steps_are_saved_by_the_clock(run):
    go(CountingTrainer(), run, total_steps=3, ckpt_freq=100, ckpt_minutes=0.0)
    assert saved_steps(run) == [1, 2, 3]


def test_the_longest_time_between_checkpoints_is_in_minutes(run, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(loop.time, "monotonic", lambda: now[0])

    def take_time(step):
        now[0] += 25.0

    go(CountingTrainer(on_step=take_time), run, total_steps=7, ckpt_freq=100, ckpt_minutes=1.0)
    assert saved_steps(run) == [3, 6, 7]


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_that_is_not_finite_stops_with_step_and_last_good_checkpoint(run, bad):
    trainer = CountingTrainer(loss_at=lambda step: bad if step == 6 else 1.0)
    with pytest.raises(UserError, match=rf"step 6: loss is {bad}.*checkpoint is of step 3.*--learning_rate"):
        go(trainer, run)
    assert saved_steps(run) == [3]


@pytest.mark.parametrize(("number", "exit_code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_step_saves_and_can_go_on(run, number, exit_code, caplog):
    handlers = [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)]
    trainer = CountingTrainer(on_step=lambda step: os.kill(os.getpid(), number) if step == 5 else None)
    with pytest.raises(loop.Interrupted) as stop:
        go(trainer, run)
    assert stop.value.exit_code == exit_code
    assert "stopped after step 5" in caplog.text
    assert saved_steps(run)[-1] == 5
    assert [signal.getsignal(name) for name in (signal.SIGINT, signal.SIGTERM)] == handlers
    resumed = CountingTrainer()
    go(resumed, run)
    assert int(resumed.total) == 10 * sum(range(10))
    assert [row["step"] for row in read_metrics(run.directory)] == list(range(1, 11))


def test_a_second_signal_does_not_wait(run):
    # A shell starts background jobs with SIGINT ignored; then there is no usual course to take.
    previous = signal.signal(signal.SIGINT, signal.default_int_handler)

    def interrupt_twice(step):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    try:
        with pytest.raises(KeyboardInterrupt):
            go(CountingTrainer(on_step=interrupt_twice), run)
    finally:
        signal.signal(signal.SIGINT, previous)


def test_a_full_disk_leaves_what_was_logged(run, monkeypatch):
    original = tf.train.Checkpoint.write

    def write(self, prefix):
        if "00000006" in str(prefix):
            raise tf.errors.ResourceExhaustedError(None, None, "No space left on device")
        return original(self, prefix)

    monkeypatch.setattr(tf.train.Checkpoint, "write", write)
    with pytest.raises(UserError, match="No space left.*step-00000003"):
        go(CountingTrainer(), run)
    assert saved_steps(run) == [3]
    assert json.loads((run.directory / "metrics.jsonl").read_text().splitlines()[-1])["step"] == 6
