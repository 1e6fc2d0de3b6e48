"""The checkpoints of a run: each is a folder that is complete or absent, and that is never overwritten."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

import tensorflow as tf

from histogan_tf.errors import UserError, doing
from histogan_tf.machine.workers import is_chief
from histogan_tf.runs import files

_UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, OSError, LookupError, RuntimeError)
_MOST_READS = 10  # of a newest checkpoint; a training that saves after every step replaces it while it is read

_Result = TypeVar("_Result")


class Restorable(NamedTuple):
    """A newly built network, with what is needed to restore its weights from a checkpoint of a run.

    Attributes:
        suffix: the text that is added to the run's name to name this network, such as "-A2B"; "" if the run has one
            network.
        network: the keras.Model, with its initial weights.
        state: the objects to restore, by the names under which the checkpoint holds them.
    """

    suffix: str
    network: Any
    state: Mapping[str, Any]


class Checkpoints:
    """Saves and restores TensorFlow state, in folders such as `directory`/step-00000200/.

    In a job of several workers, all workers restore the same checkpoint, and only the chief saves. Variables are equal
    in all workers, except the moving averages of batch norm; those of the chief are saved.

    Args:
        directory: the folder of all checkpoints.
        state: the trackable objects to save, by name; the number of steps made is saved with them.
        max_to_keep: the number of checkpoints to keep; after a save, older ones are deleted.
    """

    def __init__(self, directory: Path, state: Mapping[str, Any], max_to_keep: int = 1) -> None:
        self._directory = directory
        self._max_to_keep = max_to_keep
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(step=self._step, **state)

    @property
    def step(self) -> int:
        """The number of training steps in the state that was restored or saved last; 0 if there is none."""
        return int(self._step.numpy())

    def restore(self, *, partial: bool = False) -> int:
        """Restores the newest checkpoint, if there is one.

        Args:
            partial: whether the checkpoint may hold more than `state`, as when only a generator is restored.

        Returns:
            The number of training steps after which the checkpoint was saved; 0 if there is no checkpoint.

        Raises:
            UserError: if the newest checkpoint cannot be read or holds other networks. It is not changed.
        """

        def read(prefix: str) -> int:
            status = self._checkpoint.read(prefix)
            if partial:
                status.assert_existing_objects_matched().expect_partial()
            else:
                status.assert_consumed()
            return self.step

        return read_newest(self._directory, read) or 0

    def save(self, step: int) -> None:
        """Writes the state after `step` training steps; in a job of several workers, only the chief does.

        Raises:
            UserError: if the checkpoint cannot be written, as on a full disk. Older checkpoints are kept.
        """
        self._step.assign(step)
        if not is_chief():
            return
        folder = self._directory / f"step-{step:08d}"
        if not folder.exists():
            self._write(folder)
        others = [other for other in checkpoint_folders(self._directory) if other != folder]
        for old in others[: max(0, len(others) + 1 - self._max_to_keep)]:
            files.discard(old)

    def _write(self, folder: Path) -> None:
        try:
            files.remove_leftovers(self._directory, sole_writer=True)
            with doing(f"writing the checkpoint {folder}"), files.written_aside(folder) as aside:
                aside.mkdir()
                self._checkpoint.write(str(aside / "state"))
        except (tf.errors.OpError, OSError) as error:
            older = checkpoint_folders(self._directory)
            raise UserError(
                f"the checkpoint {folder} cannot be written ({_reason(error)}): make room or mend "
                f"the folder, and run the same command again to go on from {older[-1].name if older else 'the start'}"
            ) from error


def read_newest(directory: Path, read: Callable[[str], _Result]) -> _Result | None:
    """Reads the newest checkpoint by a function of its path, and returns what the function returned.

    A training that goes on meanwhile replaces its checkpoints. So one that is gone when it is read is not damaged, and
    the newest of those that are there by then is read instead.

    Args:
        directory: the folder of all checkpoints.
        read: reads the checkpoint whose path it is given, as TensorFlow takes it.

    Returns:
        None if there is no checkpoint.

    Raises:
        UserError: if the newest checkpoint cannot be read or holds other networks. It is not changed.
    """
    num_reads = 0
    while folders := checkpoint_folders(directory):
        newest = folders[-1]
        num_reads += 1
        try:
            with readable_path(newest) as folder:
                return read(str(folder / "state"))
        except _UNREADABLE as error:
            if num_reads < _MOST_READS and not newest.exists():
                continue
            reason = _reason(error)
            remedy = f"the one before it, {folders[-2].name}" if len(folders) > 1 else "the start"
            raise UserError(
                f"the checkpoint {newest} cannot be read ({reason}) and was left as it is: put a good copy in its "
                f"place, or move it away to go on from {remedy}"
            ) from error
    return None


@contextlib.contextmanager
def readable_path(folder: Path) -> Iterator[Path]:
    """Yields a path by which TensorFlow can read a checkpoint's folder: the folder itself, or a link to it.

    TensorFlow takes the path for a pattern and does not find `runs [v2]`, which it has written.

    Raises:
        OSError: if no link can be made.
    """
    if is_path_for_tensorflow(folder):
        yield folder
        return
    with tempfile.TemporaryDirectory(prefix="histogan-") as links:
        link = Path(links) / "checkpoint"
        link.symlink_to(folder.resolve(), target_is_directory=True)
        yield link


def is_path_for_tensorflow(path: Path) -> bool:
    """Returns whether TensorFlow finds what it has written at a path: not if the path looks like a pattern."""
    return not set(path.as_posix()) & {"[", "\\"}


def best_directory(directory: Path) -> Path:
    """Returns the folder in which the best checkpoint is kept, inside the folder of the last ones, `directory`."""
    return directory / "best"


def _reason(error: Exception) -> str:
    """Returns the first line of an error without TensorFlow's internal names; of one about a full disk, only that."""
    full = os.strerror(errno.ENOSPC)
    if full in str(error):
        return full
    lines = re.sub(r"\{\{.*?\}\} *", "", str(error)).splitlines()
    return lines[0][:200] if lines else type(error).__name__


def checkpoint_folders(directory: Path) -> list[Path]:
    """Returns the folders of the checkpoints in `directory`, oldest first."""
    if not directory.is_dir():
        return []
    folders = [path for path in directory.iterdir() if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(folders, key=lambda path: int(path.name.removeprefix("step-")))
