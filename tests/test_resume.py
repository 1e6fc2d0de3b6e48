"""Killed and resumed must equal never stopped, byte for byte."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import tensorflow as tf

from histogan_tf.cli import commands
from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import checkpoint_folders
from histogan_tf.runs.run_directory import read_metrics

REPOSITORY = Path(__file__).parents[1]


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of every variable in the newest checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(checkpoint_folders(run / "ckpt")[-1] / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
    return {name: hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest() for name in names}


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags",
    [
        ["--model=dcgan2", "--precision=bfloat16"],
        ["--model=dcgan3", "--conditional", "--z_dist=normal01"],
        [
            "--model=dcgan1",
            "--generator_updates=1",
            "--upsampling=resize",
            "--spectral_norm",
            "--adversarial_loss=hinge",
            "--ema_decay=0.9",
            "--diffaugment=color,translation,cutout,dihedral",
            "--ada_target=0.6",
            "--r1_gamma=0.5",
            "--eval_freq=3",
        ],
    ],
)
def test_two_halves_equal_the_whole(tiny_config, tmp_path: Path, flags):
    # Three steps are an epoch, so the halves meet inside one and the whole crosses two.
    commands.run_command(tiny_config(*flags, "--run=whole", "--max_steps=8"))
    commands.run_command(tiny_config(*flags, "--run=halves", "--max_steps=4"))
    commands.run_command(tiny_config(*flags, "--run=halves", "--max_steps=8"))
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    assert len(digests(whole)) > 50
    assert digests(halves) == digests(whole)
    assert read_metrics(halves) == read_metrics(whole)
    for sheet in ("reals.png", "samples_00000000.png", "samples_00000008.png"):
        assert (halves / "samples" / sheet).read_bytes() == (whole / "samples" / sheet).read_bytes()


def test_a_finished_run_does_nothing(tiny_config, tmp_path: Path, caplog):
    for _ in range(2):
        commands.run_command(tiny_config("--model=dcgan1", "--generator_updates=1", "--run=run", "--max_steps=2"))
    assert "is finished: 2 of 2 steps; raise --max_steps to go on" in caplog.text
    assert caplog.text.count("trained 2 steps") == 1
    plot = tmp_path / "run" / "losses.png"
    drawn = plot.read_bytes()
    plot.unlink()  # as if the first one had been killed between its last checkpoint and the plot
    commands.run_command(tiny_config("--model=dcgan1", "--generator_updates=1", "--run=run", "--max_steps=1"))
    assert "is finished: 2 steps made, more than the 1 asked for; raise --max_steps" in caplog.text
    assert plot.read_bytes() == drawn


def run_and_kill(arguments: list[str], seconds_after_first_step: float, metrics: Path) -> int:
    """Starts the program, lets it make a step, waits, and kills it as a power cut would; returns its exit code."""
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"}
    process = subprocess.Popen([sys.executable, "main.py", *arguments], cwd=REPOSITORY, env=environment)
    size_before = metrics.stat().st_size if metrics.exists() else 0
    deadline = time.monotonic() + 240
    while process.poll() is None and time.monotonic() < deadline:
        if metrics.exists() and metrics.stat().st_size not in (0, size_before):
            break
        time.sleep(0.05)
    time.sleep(seconds_after_first_step)
    process.send_signal(signal.SIGKILL)
    return process.wait()


@pytest.mark.slow
@pytest.mark.parametrize(("precision", "moments"), [("float32", (0.1, 0.4)), ("bfloat16", (0.25,))])
def test_a_run_killed_at_any_moment_ends_with_the_same_bytes(tiny_config, tmp_path: Path, precision, moments):
    flags = ["--model=dcgan2", "--max_steps=400", f"--precision={precision}", "--ckpt_freq=7", "--sample_freq=50"]
    commands.run_command(tiny_config(*flags, "--run=whole"))
    config = tiny_config(*flags, "--run=killed")
    arguments = [f"--{name}={value}" for name, value in config.to_json().items() if name in config.given]
    exit_codes = [run_and_kill(arguments, seconds, tmp_path / "killed" / "metrics.jsonl") for seconds in moments]
    assert -signal.SIGKILL in exit_codes
    commands.run_command(config)
    assert digests(tmp_path / "killed") == digests(tmp_path / "whole")
    assert read_metrics(tmp_path / "killed") == read_metrics(tmp_path / "whole")


def test_a_damaged_checkpoint_stops_training_and_is_kept(tiny_config, tmp_path: Path):
    commands.run_command(tiny_config("--model=dcgan1", "--run=run", "--max_steps=2"))
    data = tmp_path / "run" / "ckpt" / "step-00000002" / "state.data-00000-of-00001"
    data.write_bytes(data.read_bytes()[:100])
    with pytest.raises(UserError, match="step-00000002 cannot be read"):
        commands.run_command(tiny_config("--model=dcgan1", "--run=run", "--max_steps=4"))
    assert data.stat().st_size == 100
