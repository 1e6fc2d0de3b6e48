"""`python -m benchmarks.learning_curves`: how good samples are after given minutes of training.

Each recipe is trained, stopped at each of the given minutes, and measured with --mode=evaluate. Only the time from the
first step to the stop counts, without compiling and measuring. A run that goes on is the same as one that was never
stopped.
"""

from __future__ import annotations

import argparse
import json
import re
import shlex
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from histogan_tf.reporting.pictures import save_figure
from histogan_tf.runs.files import write_json

_REPOSITORY = Path(__file__).parents[1]
_RECIPES = ("dcgan1", "dcgan3", "dcgan_small", "tissue")
_MINUTES = (2.0, 4.0, 8.0, 15.0, 30.0, 60.0)
# The measures that are drawn, by how their names in synthesis.json begin: title, whether the axis is logarithmic.
_MEASURES = {
    "kid": ("kernel distance (KID)", True),
    "precision": ("precision", False),
    "recall": ("recall", False),
    "coverage": ("coverage", False),
}
_STEP = re.compile(r"step (\d+)")


class CommandFailed(Exception):  # noqa: N818 - named as ContenderFailed is
    """A command of the program ended with an error; the message holds its last lines."""


class Stretch(NamedTuple):
    """What one stretch of a training did.

    Attributes:
        seconds: from its first step to its end.
        step: the number of steps that the run has made, with those before.
    """

    seconds: float
    step: int


def main(argv: Sequence[str] | None = None) -> int:
    """Measures the recipes that the command line names; returns the exit code."""
    arguments = _parse(argv)
    path = arguments.output / "learning_curves.json"
    curves = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    for recipe in arguments.recipes:
        marks = curves.setdefault(recipe, [])
        run = [f"--checkpoint_dir={arguments.output / 'runs'}", f"--run={recipe}"]
        training = [f"--flagfile={_REPOSITORY / 'flags' / recipe}.cfg", *run, *arguments.training]
        for minutes in arguments.minutes:
            trained = marks[-1]["minutes"] if marks else 0.0
            if minutes <= trained:
                continue
            stretch = train_for(training, 60 * (minutes - trained))
            metrics = measure([*run, *arguments.judge], arguments.output / "runs" / recipe / "evaluation")
            marks.append({"minutes": trained + stretch.seconds / 60, "step": stretch.step, "metrics": metrics})
            write_json(path, curves)
            plot_learning_curves(arguments.output / "learning_curves.png", curves)
            words = "  ".join(f"{name} {metrics[name]['value']:.4g}" for name in metrics)
            print(f"{recipe}: {marks[-1]['minutes']:.1f} minutes, step {stretch.step}  {words}", flush=True)
    print(f"written: {path}, learning_curves.png")
    return 0


def train_for(flags: Sequence[str], seconds: float) -> Stretch:
    """Trains for some seconds from the first step on, or to the end, and stops as with Ctrl-C.

    Args:
        flags: the flags of the program.
        seconds: the seconds of training.

    Raises:
        CommandFailed: if the training fails.
    """
    started, stopped, lines = None, None, []
    with _started(flags) as process:
        timer = threading.Timer(seconds, process.send_signal, (signal.SIGINT,))
        for line in process.stdout:
            lines.append(line)
            if started is None and line.startswith("step "):
                started = time.monotonic()
                timer.start()
            elif line.startswith("stopped after step "):
                stopped = int(_STEP.search(line)[1])
        ended = time.monotonic()
        timer.cancel()
    if started is None or process.returncode not in (0, 130):
        raise CommandFailed(_last_words(lines))
    steps = [int(_STEP.match(line)[1]) for line in lines if _STEP.match(line)]
    return Stretch(min(seconds, ended - started), max(steps) if stopped is None else stopped)


def measure(flags: Sequence[str], folder: Path) -> dict[str, dict[str, float]]:
    """Measures a run's samples, and returns the value and the floor of each measure that is drawn.

    Args:
        flags: the flags of --mode=evaluate.
        folder: the folder that the results are written to.

    Raises:
        CommandFailed: if the run cannot be measured.
    """
    with _started(["--mode=evaluate", *flags, f"--output_dir={folder}"]) as process:
        lines = list(process.stdout)
    if process.returncode:
        raise CommandFailed(_last_words(lines))
    return read_measures(json.loads((folder / "synthesis.json").read_text(encoding="utf-8")))


def read_measures(written: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Returns the value and the floor of each measure that is drawn, from the content of synthesis.json.

    If several networks measured, the last one counts.
    """
    found = {}
    for name, sides in written["metrics"].items():
        measure_name = name.partition("-")[0]
        if measure_name in _MEASURES:
            found[measure_name] = {"value": sides["synthetic"]["value"], "floor": sides["floor"]["value"]}
    return found


def plot_learning_curves(path: Path, curves: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
    """Draws each measure over the minutes of training, a line for each recipe; dotted lines are other real images.

    Args:
        path: the PNG to write.
        curves: the content of learning_curves.json.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4 * len(_MEASURES), 3.8), layout="constrained")
    all_axes = figure.subplots(1, len(_MEASURES))
    for axes, (name, (title, is_logarithmic)) in zip(all_axes, _MEASURES.items(), strict=True):
        floors = []
        for number, (recipe, marks) in enumerate(curves.items()):
            points = [(mark["minutes"], mark["metrics"][name]) for mark in marks if name in mark["metrics"]]
            minutes, values = [point[0] for point in points], [point[1]["value"] for point in points]
            axes.plot(minutes, values, marker="o", ms=4, color=f"C{number}", label=recipe)
            floors += [point[1]["floor"] for point in points]
        if floors and not (is_logarithmic and floors[0] <= 0):
            axes.axhline(floors[0], color="0.3", linestyle=":", linewidth=1)
        if is_logarithmic:
            axes.set_yscale("log")
        else:
            axes.set_ylim(0, 1)
        axes.set(title=title, xlabel="minutes of training")
        axes.grid(alpha=0.3)
    all_axes[0].legend(fontsize=8)
    save_figure(path, figure)


def _started(flags: Sequence[str]) -> subprocess.Popen:
    command = [sys.executable, str(_REPOSITORY / "main.py"), *flags]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def _last_words(lines: Sequence[str]) -> str:
    return " ".join("".join(lines[-3:]).split())[-300:]


def _parse(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.learning_curves", description=__doc__.partition(": ")[2]
    )
    parser.add_argument("--output", type=Path, required=True, help="folder of the results; a stopped benchmark goes on")
    parser.add_argument(
        "--recipes", type=lambda text: text.split(","), default=_RECIPES, help="names of files in flags/, without .cfg"
    )
    parser.add_argument(
        "--minutes",
        type=lambda text: sorted(float(number) for number in text.split(",")),
        default=_MINUTES,
        help="minutes of training after which to measure",
    )
    parser.add_argument(
        "--training", type=shlex.split, required=True, help="flags for all trainings, such as '--data_path=data/idc'"
    )
    parser.add_argument(
        "--judge",
        type=shlex.split,
        default=[],
        help="flags of --mode=evaluate, such as '--features=backbone --backbone=tf_efficientnet_lite0': take a network "
        "that no discriminator sees",
    )
    return parser.parse_args(argv)


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandFailed as error:
        sys.exit(f"error: {error}")
