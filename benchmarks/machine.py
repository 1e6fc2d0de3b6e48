"""Describes the machine and the software that the measurements were made on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform
from pathlib import Path

from histogan_tf.machine.cores import num_usable_cores

_PACKAGES = ("histogan_tf", "tensorflow", "keras", "torch", "opencv-python-headless", "scikit-learn", "numpy")


def describe_machine() -> dict[str, object]:
    """Returns date, processor, cores that this process may use, memory, and the versions of the measured packages."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": _processor(),
        "num_cores": num_usable_cores(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := version_of(name))},
    }


def version_of(package: str) -> str | None:
    """Returns the installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:  # not Linux
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()
