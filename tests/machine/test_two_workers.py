"""Two processes of one job on this host, as two hosts would be, against one process and against being stopped."""

from __future__ import annotations

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.cli import commands
from histogan_tf.runs.checkpoints import checkpoint_folders
from histogan_tf.runs.run_directory import read_metrics

REPOSITORY = Path(__file__).parents[2]
NUM_STEPS = 60
FLAGS = (
    "--model=dcgan2",
    "--generator_updates=1",
    "--batch_size=8",
    f"--epoch={NUM_STEPS}",
    "--learning_rate=1e-5",  # chaos multiplies rounding errors less at a small one
    "--ckpt_freq=5",
    "--sample_freq=1000",
)
DISTRIBUTED = ("--distribution=multi_worker", "--sync_batch_norm")


def hold_port() -> socket.socket:
    """A port that the system chose, and gives to nobody who asks for any port, as long as the socket is open.

    A worker can still listen on it: its server asks for this port, and both sockets allow the address to be used again.
    """
    held = socket.socket()
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("", 0))
    return held


class Job:
    """Two workers with the same flags, which are gone when its context is left."""

    def __init__(self, config) -> None:
        arguments = [f"--{name}={value}" for name, value in config.to_json().items() if name in config.given]
        self._ports = [hold_port() for _ in range(2)]
        cluster = {"worker": [f"localhost:{port.getsockname()[1]}" for port in self._ports]}
        self.processes = []
        for index in range(2):
            task = {"cluster": cluster, "task": {"type": "worker", "index": index}}
            self.processes.append(
                subprocess.Popen(
                    [sys.executable, "main.py", *arguments],
                    cwd=REPOSITORY,
                    env=os.environ | {"TF_CONFIG": json.dumps(task)},
                    stdout=subprocess.PIPE,
                    stderr=subprocess.PIPE,
                    text=True,
                )
            )
        self._metrics = Path(config.checkpoint_dir) / config.run / "metrics.jsonl"

    def __enter__(self) -> Job:
        return self

    def __exit__(self, *exception: object) -> None:
        for process in self.processes:
            process.kill()
        for port in self._ports:
            port.close()

    def send(self, worker: int, number: signal.Signals) -> None:
        """Sends a signal to one worker once the job has made steps."""
        size_before = self._metrics.stat().st_size if self._metrics.exists() else 0
        deadline = time.monotonic() + 120
        while time.monotonic() < deadline and all(process.poll() is None for process in self.processes):
            if self._metrics.exists() and self._metrics.stat().st_size not in (0, size_before):
                break
            time.sleep(0.02)
        self.processes[worker].send_signal(number)

    def wait(self) -> list[tuple[int, str, str]]:
        """Exit code, stdout and stderr of each."""
        results = []
        for process in self.processes:
            stdout, stderr = process.communicate(timeout=240)
            results.append((process.returncode, stdout, stderr))
        return results


def contents(run: Path) -> tuple[dict[str, str], list[dict[str, float]]]:
    """Digests of every variable in the newest checkpoint by name, and the losses."""
    reader = tf.train.load_checkpoint(str(checkpoint_folders(run / "ckpt")[-1] / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
    digests = {name: hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest() for name in names}
    return digests, read_metrics(run)


def run_to_the_end(config) -> None:
    with Job(config) as job:
        for code, _, stderr in job.wait():
            assert (code, stderr) == (0, "")


@pytest.mark.slow
def test_two_workers_equal_one_and_killed_equals_never_stopped(tiny_config, tmp_path: Path):
    run_to_the_end(tiny_config(*FLAGS, *DISTRIBUTED, "--run=whole"))
    assert (tmp_path / "whole" / "losses.png").exists()

    commands.run_command(tiny_config(*FLAGS, "--run=one"))
    names = ("d_loss", "g_loss")
    two, one = (
        np.array([[row[name] for name in names] for row in read_metrics(tmp_path / run)]) for run in ("whole", "one")
    )
    assert two.shape == (NUM_STEPS, 2)
    np.testing.assert_allclose(two[:50], one[:50], atol=1e-4)

    stopped = tiny_config(*FLAGS, *DISTRIBUTED, "--run=stopped")
    with Job(stopped) as job:
        job.send(1, signal.SIGTERM)
        results = job.wait()
    assert [code for code, _, _ in results] == [143, 143]
    assert "the same command goes on" in results[0][1]

    with Job(stopped) as job:
        job.send(1, signal.SIGKILL)
        (chief_code, _, chief_stderr), (code, _, _) = job.wait()
    assert (chief_code, code) == (2, -signal.SIGKILL)
    assert chief_stderr.count("\n") == 1 and "error: worker 0 stops" in chief_stderr
    assert len(read_metrics(tmp_path / "stopped")) < NUM_STEPS

    run_to_the_end(stopped)
    assert contents(tmp_path / "stopped") == contents(tmp_path / "whole")
