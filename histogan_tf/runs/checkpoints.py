"""Checkpoints of a run: one folder each, whole or not there, never overwritten and never ignored."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.machine.workers import is_chief
from histogan_tf.runs import files

_UNREADABLE = (tf.errors.OpError, ValueError, AssertionError, OSError, LookupError, RuntimeError)


class Restorable(NamedTuple):
    """A network that was built to be restored from a run's checkpoint.

    Attributes:
        suffix: what is added to the run's name where a run has several networks, such as "-A2B".
        network: a keras.Model with its initial weights.
        state: the trackable objects that the checkpoint knows its weights by.
    """

    suffix: str
    network: Any
    state: Mapping[str, Any]


class Checkpoints:
    """Saves and restores TensorFlow state in `directory`/step-00000200/ and so on.

    Of the workers of one job, all restore the same and the chief saves: variables are the same in all of them, but for
    batch norm's moving averages, of which the chief's count.

    Args:
        directory: of the checkpoints.
        state: trackable objects by name; the number of steps made is kept beside them.
        max_to_keep: after a save, the oldest of the others are deleted until no more than so many are left.
    """

    def __init__(self, directory: Path, state: Mapping[str, Any], max_to_keep: int = 1) -> None:
        self._directory = directory
        self._max_to_keep = max_to_keep
        self._step = tf.Variable(0, dtype=tf.int64, trainable=False)
        self._checkpoint = tf.train.Checkpoint(step=self._step, **state)

    @property
    def step(self) -> int:
        """Steps made when the restored or saved state was written; 0 before."""
        return int(self._step.numpy())

    def restore(self, *, partial: bool = False) -> int:
        """Restores the newest checkpoint, if there is one.

        Args:
            partial: the state is only a part of what the checkpoint holds, such as the generator alone.

        Returns:
            The number of steps made; 0 if there is no checkpoint.

        Raises:
            UserError: if the newest one cannot be read, or is of other networks. It is left as it is.
        """
        folders = checkpoint_folders(self._directory)
        if not folders:
            return 0
        newest = folders[-1]
        try:
            status = self._checkpoint.read(str(newest / "state"))
            if partial:
                status.assert_existing_objects_matched().expect_partial()
            else:
                status.assert_consumed()
        except _UNREADABLE as error:
            reason = str(error).splitlines()[0][:200]
            remedy = f"the one before it, {folders[-2].name}" if len(folders) > 1 else "the start"
            raise UserError(
                f"the checkpoint {newest} cannot be read ({reason}) and was left as it is: put a good copy in its "
                f"place, or move it away to go on from {remedy}"
            ) from error
        return self.step

    def save(self, step: int) -> None:
        """Writes the state after `step` steps, in the chief alone.

        Raises:
            UserError: if it cannot be written, such as on a full disk; older checkpoints stay.
        """
        self._step.assign(step)
        if not is_chief():
            return
        folder = self._directory / f"step-{step:08d}"
        if not folder.exists():
            self._write(folder)
        others = [other for other in checkpoint_folders(self._directory) if other != folder]
        for old in others[: len(others) + 1 - self._max_to_keep]:
            files.remove(old)

    def _write(self, folder: Path) -> None:
        try:
            files.remove_leftovers(self._directory)
            with files.written_aside(folder) as aside:
                aside.mkdir()
                self._checkpoint.write(str(aside / "state"))
        except (tf.errors.OpError, OSError) as error:
            older = checkpoint_folders(self._directory)
            raise UserError(
                f"the checkpoint {folder} cannot be written ({str(error).splitlines()[0][:200]}): make room or mend "
                f"the folder, and run the same command again to go on from {older[-1].name if older else 'the start'}"
            ) from error


def best_directory(directory: Path) -> Path:
    """Where, beside the last checkpoints in `directory`, the best one is kept."""
    return directory / "best"


def checkpoint_folders(directory: Path) -> list[Path]:
    """The checkpoints in `directory`, oldest first."""
    if not directory.is_dir():
        return []
    folders = [path for path in directory.iterdir() if re.fullmatch(r"step-\d{8,}", path.name)]
    return sorted(folders, key=lambda path: int(path.name.removeprefix("step-")))
