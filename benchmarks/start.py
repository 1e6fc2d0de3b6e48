"""Measures how soon the program answers: the seconds until --help ends and until the first training step."""

from __future__ import annotations

import dataclasses
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

_MAIN = Path(__file__).parents[1] / "main.py"
_HEAVY = ("tensorflow", "keras", "torch")


@dataclasses.dataclass(frozen=True)
class Start:
    """The seconds from the command to its answer, for each run.

    Attributes:
        help_seconds: seconds until --help ends.
        first_step_seconds: seconds until the progress line of the first step of DCGAN1 on the built-in patches.
        imported_by_help: heavy packages that --help imports; there should be none.
    """

    help_seconds: Sequence[float]
    first_step_seconds: Sequence[float]
    imported_by_help: Sequence[str]

    def text(self) -> str:
        """Returns one line of Markdown."""
        imported = f"imports {', '.join(self.imported_by_help)}" if self.imported_by_help else "imports no TensorFlow"
        return (
            f"**Start**: `--help` {statistics.median(self.help_seconds):.2f} s ({imported}); "
            f"first step of DCGAN1 {statistics.median(self.first_step_seconds):.1f} s"
        )


def measure_start(num_repeats: int, is_tiny: bool, tell: Callable[[str], None]) -> Start:
    """Runs `python main.py` `num_repeats` times for each of the two answers."""
    help_seconds, first_step_seconds = [], []
    for number in range(num_repeats):
        help_seconds.append(_seconds_to_help())
        first_step_seconds.append(_seconds_to_first_step(is_tiny))
        tell(f"start {number + 1}/{num_repeats}: --help {help_seconds[-1]:.2f} s, step {first_step_seconds[-1]:.1f} s")
    return Start(help_seconds, first_step_seconds, heavy_imports())


def heavy_imports() -> list[str]:
    """Returns the names of the heavy packages that `main.py --help` imports."""
    command = [sys.executable, "-X", "importtime", str(_MAIN), "--help"]
    listing = subprocess.run(command, check=True, capture_output=True, text=True).stderr
    imported = {line.rpartition("|")[2].strip().partition(".")[0] for line in listing.splitlines()}
    return [name for name in _HEAVY if name in imported]


def _seconds_to_help() -> float:
    started = time.perf_counter()
    subprocess.run([sys.executable, str(_MAIN), "--help"], check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - started


def _seconds_to_first_step(is_tiny: bool) -> float:
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(_MAIN), "--model=dcgan1", "--max_steps=1", f"--checkpoint_dir={folder}"]
        command += ["--gf_dim=4", "--df_dim=4", "--batch_size=4", "--output_height=16"] if is_tiny else []
        started = time.perf_counter()
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
            lines = []
            for line in process.stdout:
                lines.append(line)
                if line.startswith("step 1/"):
                    seconds = time.perf_counter() - started
                    process.communicate()  # waits until it has saved and ended
                    return seconds
    raise RuntimeError(f"the program made no step: {''.join(lines[-3:])}")
