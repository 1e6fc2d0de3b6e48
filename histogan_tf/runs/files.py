"""Writing files so that they are complete or absent, even after a crash: written aside, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PREFIX = ".writing-"


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames what was written there to `path` if nothing was raised.

    Args:
        path: the file or folder to write. A file replaces an existing file; for a folder, `path` must be absent or an
            empty folder. Missing parent folders are made.
    """
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    aside = path.with_name(f"{_PREFIX}{os.getpid()}-{path.name}")
    remove(aside)
    try:
        yield aside
        _flush_to_disk(aside)
        os.replace(aside, path)
        _flush_folder(path.parent)
    except BaseException:
        remove(aside)
        raise


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, completely or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, completely or not at all."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove(path: Path) -> None:
    """Removes a file or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes the unfinished files that a killed process left in `folder`."""
    for leftover in folder.glob(f"{_PREFIX}*"):
        remove(leftover)


def _flush_to_disk(path: Path) -> None:
    if path.is_dir():
        for child in path.iterdir():
            _flush_to_disk(child)
        _flush_folder(path)
    else:
        with path.open("rb") as file:
            os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    if os.name == "nt":  # Windows cannot open a folder, and keeps a rename without a flush
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
