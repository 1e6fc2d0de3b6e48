"""The number of CPU cores that this process may use."""

from __future__ import annotations

import os


def num_usable_cores() -> int:
    """Returns the number of cores that this process may use; outside of Linux, that of all cores of the machine."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
