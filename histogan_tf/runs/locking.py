"""One process at a time writes a run: it locks the folder, and only then makes the run or throws an old one away.

A folder is written to only if it is empty, holds a run of this program, or was begun by a process that was killed. In
a run's folder, only the files and folders that this program writes there are ever removed; they are moved into a folder
of their own first, so that what a kill leaves in the middle is never taken for a run, and the next start finishes it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import filelock

from histogan_tf.errors import UserError, listing
from histogan_tf.machine.console import copied_to, details_logger
from histogan_tf.machine.workers import is_chief
from histogan_tf.runs import files
from histogan_tf.runs.checkpoints import best_directory, checkpoint_folders

logger = logging.getLogger(__name__)

_LOCK, _LOG = ".lock", "log.txt"
_REMOVED = ".histogan-removed"  # the folder into which a run is moved before it is deleted


@dataclasses.dataclass(frozen=True)
class Kind:
    """A kind of folder that this program writes.

    Attributes:
        name: its name in messages.
        record: the file that marks such a folder.
        keys: the keys that the JSON of that file has.
        entries: the names of all files and folders that this program writes into such a folder.
    """

    name: str
    record: str
    keys: frozenset[str]
    entries: frozenset[str]

    def marks(self, path: Path) -> bool:
        """Returns whether a file is the record of such a folder, and not a file of the same name of another program."""
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError):
            return False
        return isinstance(content, dict) and self.keys <= content.keys()


_RESULTS = ("generated", "translated", "visualize", "evaluation", "quiz", "classified", "compared", "exported")
_CLASSIFIER_FILES = ("training.json", "training_folds.csv", "predictions.csv", "metrics.json")
_PLOTS = ("losses.png", "roc.png", "precision_recall.png", "reliability.png", "confusion_matrix.png")
RUN = Kind(
    name="run",
    record="config.json",
    keys=frozenset({"settings", "dataset", "versions"}),
    entries=frozenset(
        {"config.json", "metrics.jsonl", "convolutions.json", _LOG, "logs", "samples", "ckpt", "initial"}
        | {"features", "fine_tuning"}
        | {*_CLASSIFIER_FILES, *_PLOTS, *_RESULTS}
    ),
)


@contextlib.contextmanager
def sole_writer(directory: Path, kind: Kind = RUN, *, restart: bool = False) -> Iterator[None]:
    """Locks a folder against other processes, and copies log messages to its log.txt, while the block runs.

    The folder is made if it is missing. In a job of several workers, only the chief does this.

    Args:
        directory: the folder.
        kind: what it holds or is to hold.
        restart: whether what it holds of that kind is thrown away first, as --restart says.

    Raises:
        UserError: if another process has locked the folder, or it holds something else. Nothing was changed then.
    """
    if not is_chief():
        yield
        return
    _require_own(directory, kind)
    with _locked(directory):
        _require_own(directory, kind)  # once more: another process may have made it meanwhile
        if restart or (directory / _REMOVED).exists():
            _throw_away(directory, kind)
        for folder in (directory, directory / "samples"):  # where others may be writing what they make with the run
            files.remove_leftovers(folder)
        for folder in (directory / "ckpt", best_directory(directory / "ckpt")):
            files.remove_leftovers(folder, sole_writer=True)
        with files.errors_named(directory / _LOG):
            handler = logging.FileHandler(directory / _LOG, encoding="utf-8", errors="backslashreplace")
        handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
        try:
            with copied_to(handler):
                try:
                    yield
                except UserError as error:
                    details_logger.error("%s", error)  # only for log.txt: the caller shows it on the console
                    raise
        finally:
            with contextlib.suppress(OSError):  # a full disk, on which log.txt cannot be completed
                handler.close()


@contextlib.contextmanager
def _locked(directory: Path) -> Iterator[None]:
    directory.mkdir(parents=True, exist_ok=True)
    lock = filelock.FileLock(directory / _LOCK, timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"another process is working on {directory}: wait for it, or choose another --run") from None
    try:
        yield
    finally:
        lock.release()


def is_own(directory: Path, kind: Kind = RUN) -> bool:
    """Returns whether a folder is of a kind that this program writes, so that it may write there, or start anew.

    It is if its record says so. A damaged record counts if other files of such a folder lie beside it.
    """
    if (directory / _REMOVED).is_dir() or kind.marks(directory / kind.record):
        return True
    return (directory / kind.record).is_file() and (directory / _LOCK).is_file() and (directory / _LOG).is_file()


def _require_own(directory: Path, kind: Kind) -> None:
    if not os.path.lexists(directory):
        return
    if directory.is_dir() and (is_own(directory, kind) or not _foreign_entries(directory)):
        return
    raise UserError(
        f"{directory} exists and is no {kind.name} of this program; nothing in it was changed: choose another --run or "
        f"--checkpoint_dir"
    )


def _foreign_entries(directory: Path) -> list[str]:
    """Returns what a process that was killed before it wrote the record cannot have left there."""
    names = set(os.listdir(directory))
    begun = {_LOCK, _LOG} if _LOCK in names else set()
    return sorted(name for name in names - begun if not files.is_unfinished(name))


def _throw_away(directory: Path, kind: Kind) -> None:
    """Removes what this program has written into a folder, and leaves the rest; finishes what a kill interrupted."""
    aside = directory / _REMOVED
    entries = kind.entries | _sample_folder(aside) | _sample_folder(directory)
    found = [name for name in sorted(entries) if os.path.lexists(directory / name)]
    if not found and not aside.exists():
        return
    checkpoints = checkpoint_folders(directory / "ckpt")
    aside.mkdir(exist_ok=True)
    found.sort(key=lambda name: name != kind.record)  # first the record: the rest is no longer taken for a run
    for name in found:
        os.replace(directory / name, aside / name)
    num_bytes = sum(path.lstat().st_size for path in aside.rglob("*") if path.is_file())
    files.remove(aside)
    newest = checkpoints[-1].name if checkpoints else "no checkpoint"
    logger.info("--restart: removed %s (%s, %.1f MB)", directory, newest, num_bytes / 1e6)
    if kept := sorted(set(os.listdir(directory)) - {_LOCK}):
        logger.warning("--restart: %s was not written by this program, and stays in %s", listing(kept), directory)


def _sample_folder(directory: Path) -> frozenset[str]:
    """Returns the name of the folder of sample sheets that a run's settings give, if they can be read."""
    try:
        name = json.loads((directory / RUN.record).read_bytes())["settings"]["sample_dir"]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return frozenset()
    is_plain = isinstance(name, str) and name not in ("", ".", "..") and name == os.path.basename(name)
    return frozenset({name} if is_plain else ())


def folder_entries(paths: Iterable[str]) -> frozenset[str]:
    """Returns the names of the files and folders at the top that hold the given relative paths."""
    return frozenset(Path(path).parts[0] for path in paths)
