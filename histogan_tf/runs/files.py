"""Files that are whole or not there: written aside, flushed to disk, then renamed."""

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
    """Yields a path beside `path` to write a file or folder to; it takes `path`'s place only if nothing is raised.

    A file replaces a file that is there; a folder needs `path` to be absent or an empty folder.
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
    """Writes a whole UTF-8 file or nothing."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a whole JSON file or nothing."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def remove(path: Path) -> None:
    """Removes a file or folder, if it is there."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path) -> None:
    """Removes what a killed process left half-written in `folder`."""
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
    if os.name == "nt":  # Windows cannot open a folder, and needs no flush to keep a rename
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
