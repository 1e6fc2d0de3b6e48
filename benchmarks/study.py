"""Measures the stages of the whole study, which the study itself records."""

from __future__ import annotations

import collections
import dataclasses
import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from benchmarks.children import ContenderFailed
from histogan_tf.reporting.text_tables import markdown_table

_MAIN = Path(__file__).parents[1] / "main.py"
_TINY = (
    "--phantom_images=96",
    "--max_steps=2",
    "--sample_num=4",
    "--batch_size=8",
    "--split_by=patient",
    "--repeats=1",
)


@dataclasses.dataclass(frozen=True)
class StudyTimes:
    """The seconds of the stages of one study, those of its repeats added up.

    Attributes:
        seconds: the seconds of each stage by its name without the seed, in the order in which they ended.
        counts: the number of repeats of each stage.
    """

    seconds: Mapping[str, float]
    counts: Mapping[str, int]

    def text(self) -> str:
        """Returns a table in Markdown."""
        rows = [("stage", "repeats", "seconds")]
        rows += [(name, str(self.counts[name]), f"{seconds:.1f}") for name, seconds in self.seconds.items()]
        rows.append(("all", str(sum(self.counts.values())), f"{sum(self.seconds.values()):.1f}"))
        title = "**The study**, `--mode=paper --quick --weights=random` on the built-in patches"
        return f"{title}\n\n{markdown_table(rows, right=(1, 2))}"


def measure_study(is_tiny: bool, tell: Callable[[str], None]) -> StudyTimes:
    """Runs the quick study once, with random weights of the classifier, which take as long as trained ones.

    Raises:
        ContenderFailed: if the study fails.
    """
    tell("the whole study, quick")
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, str(_MAIN), "--mode=paper", "--quick", "--weights=random", "--run=study"]
        command += [f"--checkpoint_dir={folder}", *(_TINY if is_tiny else ())]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        if ended.returncode:
            words = " ".join((ended.stderr or ended.stdout).split())
            raise ContenderFailed(f"the study failed: {words[-300:]}")
        return read_times(Path(folder) / "study" / "stages")


def read_times(records: Path) -> StudyTimes:
    """Returns the times in a study's folder of records, one JSON file for each stage."""
    paths = sorted(records.glob("*.json"), key=lambda path: path.stat().st_mtime)
    seconds, counts = collections.Counter(), collections.Counter()
    for path in paths:
        name = re.sub(r"-seed-\d+", "", path.stem)
        seconds[name] += json.loads(path.read_text(encoding="utf-8"))["seconds"]
        counts[name] += 1
    return StudyTimes(dict(seconds), dict(counts))
