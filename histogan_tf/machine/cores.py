"""The cores of this machine."""

from __future__ import annotations

import os


def num_usable_cores() -> int:
    """Cores that this process may use, where the system tells (Linux), and otherwise all that there are."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
