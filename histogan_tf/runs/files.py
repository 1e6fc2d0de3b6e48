"""Writing files so that they are complete or absent, even after a crash: written aside, flushed to disk, renamed."""

from __future__ import annotations

import contextlib
import errno
import functools
import hashlib
import json
import os
import platform
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_PREFIX = ".writing-"
# The name of what is written aside: the host and the process that write it, and the name that it is to have.
_ASIDE_NAME = re.compile(re.escape(_PREFIX) + r"(?:(?P<host>[0-9a-f]{8})-)?(?P<process>\d+)-")
# NumPy's words for a write that was cut short, as on a full disk; its error has no number.
_CUT_SHORT = re.compile(r"\d+ requested and \d+ written")
_ABANDONED_SECONDS = 24 * 60 * 60.0  # after which what another host was writing is taken for left over


@contextlib.contextmanager
def written_aside(path: Path) -> Iterator[Path]:
    """Yields a temporary path in the same folder, and renames what was written there to `path` if nothing was raised.

    What killed processes have left unfinished in that folder is removed first.

    Args:
        path: the file or folder to write. A file replaces an existing file; for a folder, `path` must be absent or an
            empty folder. Missing parent folders are made.

    Raises:
        OSError: if it cannot be written; it names a file, as `errors_named` says.
    """
    path = Path(path)
    with errors_named(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _remove_leftovers_once(path.parent.resolve())
        aside = path.with_name(f"{_PREFIX}{_host()}-{os.getpid()}-{path.name}")
        remove(aside)
        try:
            yield aside
            _flush_to_disk(aside)
            os.replace(aside, path)
            _flush_folder(path.parent)
        except BaseException:
            with contextlib.suppress(OSError):  # the first error says what is wrong
                remove(aside)
            raise


@contextlib.contextmanager
def errors_named(path: Path) -> Iterator[None]:
    """Adds the name of a file to an OSError that names none, as one of a write to a full disk does.

    NumPy's error about a write that was cut short is taken for one about a full disk. Another error without a number,
    such as that of a library about a file that it cannot read, is left as it is.

    Args:
        path: the file or folder that is written.
    """
    try:
        yield
    except OSError as error:
        number = errno.ENOSPC if error.errno is None and _CUT_SHORT.search(str(error)) else error.errno
        if error.filename is not None or number is None:
            raise
        raise OSError(number, error.strerror or os.strerror(number), str(path)) from error


def write_text(path: Path, text: str) -> None:
    """Writes a text file in UTF-8, completely or not at all."""
    with written_aside(path) as aside:
        aside.write_text(text, encoding="utf-8")


def write_json(path: Path, value: Any) -> None:
    """Writes a JSON file, completely or not at all."""
    text = json.dumps(value, indent=2, ensure_ascii=False)
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # a file name that is not UTF-8; it is written as its escape sequence
        text = json.dumps(value, indent=2)
    write_text(path, text + "\n")


def remove(path: Path) -> None:
    """Removes a file or a folder with its contents, if it exists."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def remove_leftovers(folder: Path, *, sole_writer: bool = False) -> None:
    """Removes the unfinished files and folders that killed processes have left in `folder`.

    What a process of this host is still writing stays. What another host was writing, whose processes cannot be seen
    from here, goes when nothing was written to it for a day.

    Args:
        folder: the folder; it may be missing.
        sole_writer: whether no other process can be writing there, as a lock keeps them out; then all is left over.
    """
    if not folder.is_dir():
        return
    with os.scandir(folder) as entries:
        found = [Path(entry.path) for entry in entries if entry.name.startswith(_PREFIX)]
    for path in found:
        match = _ASIDE_NAME.match(path.name)
        if match and (sole_writer or _is_abandoned(path, match["host"], int(match["process"]))):
            with contextlib.suppress(OSError):  # another process may be removing it too
                remove(path)


def discard(folder: Path) -> None:
    """Removes a folder that marks something by its name: the name is gone at once, whatever a kill leaves of it."""
    renamed = folder.with_name(f"{_PREFIX}{_host()}-{os.getpid()}-{folder.name}")
    remove(renamed)
    os.replace(folder, renamed)
    remove(renamed)


def is_unfinished(name: str) -> bool:
    """Returns whether a file or folder of this name is one that `written_aside` has not finished."""
    return _ASIDE_NAME.match(name) is not None


@functools.lru_cache(maxsize=256)
def _remove_leftovers_once(folder: Path) -> None:
    """Does what `remove_leftovers` does, once in a process for each folder, as listing a large one takes time."""
    remove_leftovers(folder)


@functools.cache
def _host() -> str:
    """Returns a digest of this host's name and, in a container, of the container, whose processes it can see."""
    try:
        namespace = os.readlink("/proc/self/ns/pid")
    except OSError:  # no Linux
        namespace = ""
    return hashlib.sha256(f"{platform.node()} {namespace}".encode()).hexdigest()[:8]


def _is_abandoned(path: Path, host: str | None, process: int) -> bool:
    if host == _host() and os.name != "nt":  # on Windows, the call below would end the process
        try:
            os.kill(process, 0)
        except ProcessLookupError:
            return True
        except (OSError, OverflowError):
            return False
        return False
    try:
        inner = list(path.iterdir()) if path.is_dir() and not path.is_symlink() else []
        newest = max(entry.lstat().st_mtime for entry in (path, *inner))
    except OSError:
        return False
    return time.time() - newest > _ABANDONED_SECONDS


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
