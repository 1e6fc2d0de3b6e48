"""Tells how long an unfinished stage was worked on, so that its record has the sum over all stretches of work."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

_DATED_LINE = re.compile(r"^(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d),\d{3} ", re.MULTILINE)  # of a run's log.txt


def time_now() -> str:
    """Returns the local time as the lines of a run's log.txt begin, to the second."""
    return datetime.datetime.now().isoformat(" ", "seconds")


def seconds_before(record: Mapping[str, Any] | None, outputs: Sequence[Path]) -> float:
    """Returns the seconds of work that an unfinished stage has had until it was stopped.

    A stage that was stopped by Ctrl-C, SIGTERM or an error has recorded them. One that was killed, or whose machine
    went off, could not: its last stretch is taken to end with the last line of the log.txt of its run. So the work
    after that line is missing, about half a minute of a training; all of the stretch is, if no line was written.

    Args:
        record: the stage's record; None if there is none. Its `seconds` are those of the stretches that ended in
            order, and `begun` is the local time at which a stretch began that has not.
        outputs: the files and folders that the stage writes.
    """
    seconds, begun = (None, None) if record is None else (record.get("seconds"), record.get("begun"))
    before = float(seconds) if isinstance(seconds, int | float) else 0.0
    if not isinstance(begun, str):
        return before
    ends = [line for path in outputs if (line := _last_time(path / "log.txt"))]
    try:
        lasted = [datetime.datetime.fromisoformat(end) - datetime.datetime.fromisoformat(begun) for end in ends]
    except ValueError:
        return before
    return before + max([0.0, *(time.total_seconds() for time in lasted)])  # a log may be older than the stretch


def _last_time(path: Path) -> str | None:
    """Returns the time of a log's last dated line; None if there is no such file or line."""
    try:
        times = _DATED_LINE.findall(path.read_text(encoding="utf-8", errors="replace"))
    except OSError:
        return None
    return times[-1] if times else None
