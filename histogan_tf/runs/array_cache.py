"""A cache of arrays on disk, so that arrays that take long to compute are computed once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from histogan_tf.runs.files import written_aside

logger = logging.getLogger(__name__)


class ArrayCache:
    """A cache of arrays by name, each in an npy file.

    The name must identify all that the array was computed from, for example by a digest. A damaged file is treated as
    missing.

    Args:
        directory: the folder of the files; it is made when the first file is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> np.ndarray | None:
        """Returns the array with this name; None if it is missing or its file is damaged."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s is damaged (%s): it is computed again", path, error)
            return None

    def write(self, name: str, array: np.ndarray) -> None:
        """Writes an array under a name; an array that has this name is replaced."""
        with written_aside(self._path(name)) as aside, aside.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    def read_or_compute(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the array with this name, which is computed and written first if it is missing or damaged."""
        array = self.read(name)
        if array is None:
            array = compute()
            self.write(name, array)
        return array

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.npy"
