"""Two replicas on this host against one that sees the same global batch."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.machine import replicas
from histogan_tf.runs.run_directory import read_metrics

FLAGS = (
    "--model=dcgan1",
    "--generator_updates=1",
    "--batch_size=8",
    "--epoch=6",
    "--learning_rate=1e-5",
    "--sample_freq=100",
    "--run=run",
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("two_replicas")


@pytest.fixture(scope="module")
def run_flags(folder: Path) -> list[str]:
    tiny = ("--gf_dim=4", "--df_dim=4", "--z_dim=5", "--output_height=16", "--train_size=14")
    return [*tiny, *FLAGS, f"--checkpoint_dir={folder}"]


@pytest.fixture(scope="module")
def found(folder: Path, run_flags) -> dict:
    script = Path(__file__).with_name("two_replicas.py")
    subprocess.run([sys.executable, script, folder, *run_flags, "--max_steps=3"], check=True, stdout=subprocess.PIPE)
    return json.loads((folder / "found.json").read_text())


def test_alone_nothing_is_shared_out():
    values = np.arange(4)
    assert replicas.this_replica() == (0, 1)
    assert replicas.share(values) is replicas.share_of_loss(values) is replicas.mean(values) is values
    assert replicas.drawn(lambda shape: shape, [4, 2]) == [4, 2]


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dcgan_options", "dcgan_spectral", "projected", "cyclegan"])
def test_two_replicas_take_the_steps_of_one(found, name):
    # Of features around 1, through a network of seventeen layers, rounding leaves more of its traces.
    limit = 2e-4 if name == "projected" else 1e-5
    assert found[name]["variables"] < limit
    assert found[name]["losses"] < limit


@pytest.mark.slow
def test_copies_stay_equal_byte_for_byte(found):
    apart, change = found["copies_of_adam"]
    assert apart == 0.0
    assert change > 1e-4


@pytest.mark.slow
def test_batch_norm_is_of_each_replica_by_default(found):
    assert 1e-4 < found["dcgan_unsynchronized"]["losses"] < 0.3


@pytest.mark.slow
def test_fine_tuning_and_frozen_features_are_shared_out(found):
    assert found["fine_tuning"] < 1e-5
    assert found["features"] < 1e-3  # of features around 100


@pytest.mark.slow
def test_a_batch_that_cannot_be_shared_out_is_refused(found):
    assert (
        "--batch_size=7 cannot be divided equally among 2 replicas" in found["indivisible"]
        and "such as 8" in found["indivisible"]
    )


@pytest.mark.slow
def test_a_run_goes_on_without_its_replicas(found, folder, run_flags, tmp_path):
    assert found["begun"] == ""
    assert len(read_metrics(folder / "run")) == 3
    commands.run_command(command_line.parse(["main.py", *run_flags]))
    commands.run_command(command_line.parse(["main.py", *run_flags, f"--checkpoint_dir={tmp_path}"]))
    halves, whole = (
        np.array([list(row.values()) for row in read_metrics(directory / "run")]) for directory in (folder, tmp_path)
    )
    assert whole.shape == (6, 5)
    np.testing.assert_allclose(halves, whole, atol=1e-5)
