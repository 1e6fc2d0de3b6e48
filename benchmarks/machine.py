"""Describes the machine and the software that the measurements were made on."""

from __future__ import annotations

import datetime
import importlib.metadata
import os
import platform

from histogan_tf.machine.cores import num_usable_cores
from histogan_tf.machine.processor import has_bfloat16, processor_name, vector_instructions

_PACKAGES = ("histogan_tf", "tensorflow", "keras", "torch", "opencv-python-headless", "scikit-learn", "numpy")


def describe_machine() -> dict[str, object]:
    """Returns date, processor and what it can, usable cores, memory, and the versions of the measured packages."""
    return {
        "date": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "processor": processor_name(),
        "instructions": list(vector_instructions() or ()),
        "num_cores": num_usable_cores(),
        "memory_gigabytes": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9, 1),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: version for name in _PACKAGES if (version := version_of(name))},
    }


def fast_precisions() -> tuple[str, ...]:
    """Returns the precisions that the processor has instructions for: float32, and bfloat16 if it is not emulated.

    Outside of Linux nobody tells, so that both are returned.
    """
    is_emulated = vector_instructions() is not None and not has_bfloat16()
    return ("float32",) if is_emulated else ("float32", "bfloat16")


def version_of(package: str) -> str | None:
    """Returns the installed version of a package; None if it is not installed."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
