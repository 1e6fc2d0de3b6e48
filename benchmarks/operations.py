"""`python -m benchmarks.operations`: how the time of a training step divides among TensorFlow's operations.

The step of each named workload is profiled on one thread, so that operations do not wait for each other. Other work of
the machine stretches all operations alike, so that the shares are those of an idle machine.
"""

from __future__ import annotations

import argparse
import collections
import importlib
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import tensorflow as tf
from tensorflow.tsl.profiler.protobuf import xplane_pb2

from benchmarks.workloads import WORKLOADS

_STEPS = ("dcgan1", "dcgan3", "cyclegan_b1", "cyclegan_b8", "tissue")
_WARM_UP = 2
_NUM_SHOWN = 8
# Parts of the names of operations that multiply: convolutions, their gradients, and products of matrices.
_SUMS = ("Conv2D", "MatMul")


def main(argv: Sequence[str] | None = None) -> int:
    """Profiles the steps that the command line names, and prints a table for each; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.operations", description=__doc__.split("\n")[0])
    parser.add_argument("--workloads", type=lambda text: text.split(","), default=["dcgan1"], help=", ".join(_STEPS))
    parser.add_argument("--precision", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--steps", type=int, default=4, help="the number of steps that are profiled")
    parser.add_argument("--tiny", action="store_true", help="profile tiny networks, to try the command out")
    arguments = parser.parse_args(argv)
    if unknown := [name for name in arguments.workloads if name not in _STEPS]:
        parser.error(f"--workloads: {', '.join(unknown)} has no training step: choose from {', '.join(_STEPS)}")
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    for name in arguments.workloads:
        milliseconds = profile_step(name, arguments.precision, arguments.steps, arguments.tiny)
        print(f"{name}, {arguments.precision}:\n{table_of(milliseconds)}\n", flush=True)
    return 0


def profile_step(workload: str, precision: str, num_steps: int, is_tiny: bool) -> dict[str, float]:
    """Returns the milliseconds that each type of operation takes in a training step of ours, such as `Conv2D`."""
    ours = WORKLOADS[workload]([precision], is_tiny).contenders[0]
    module, name = ours.factory.split(":")
    contender = getattr(importlib.import_module(f"benchmarks.contenders.{module}"), name)(**ours.arguments)
    contender.run(_WARM_UP)
    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            contender.run(num_steps)
        (path,) = Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    picoseconds: collections.Counter[str] = collections.Counter()
    for plane in space.planes:
        names = {number: _operation_of(metadata.name) for number, metadata in plane.event_metadata.items()}
        for event in (event for line in plane.lines for event in line.events):
            if operation := names[event.metadata_id]:
                picoseconds[operation] += event.duration_ps
    return {operation: time / 1e9 / num_steps for operation, time in picoseconds.items()}


def _operation_of(event: str) -> str | None:
    """Returns the type of the operation that an event of the profile is of; None for another event.

    The name of an operation's event ends with a colon and its type. oneDNN's operations have prefixes of their own.
    """
    _, colon, operation = event.rpartition(":")
    is_operation = bool(colon) and not event.startswith(" ") and "::" not in event and operation.isidentifier()
    return operation.removeprefix("_Mkl").removeprefix("Native") if is_operation else None


def table_of(milliseconds: Mapping[str, float]) -> str:
    """Returns a Markdown table: all that multiplies in one row, then the other operations that take most time."""
    total = sum(milliseconds.values())
    multiplying = {name: time for name, time in milliseconds.items() if any(part in name for part in _SUMS)}
    others = sorted((time, name) for name, time in milliseconds.items() if name not in multiplying)[::-1]
    rows = [("convolutions and products of matrices", sum(multiplying.values()))]
    rows += [(name, time) for time, name in others[:_NUM_SHOWN]]
    rows.append(("all others", sum(time for time, _ in others[_NUM_SHOWN:])))
    lines = [f"| {name} | {time:.1f} | {time / total:.1%} |" for name, time in rows]
    return "\n".join(["| operation | ms in a step | share |", "| --- | ---: | ---: |", *lines])


if __name__ == "__main__":
    raise SystemExit(main())
