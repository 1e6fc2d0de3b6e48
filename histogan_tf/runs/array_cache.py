"""Arrays that are kept on disk, so that they need not be computed again."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from histogan_tf.runs.files import written_aside

logger = logging.getLogger(__name__)


class ArrayCache:
    """Arrays by name, each in an npy file.

    A name has to tell all that the array depends on, such as by a digest. A file that is damaged counts as missing.

    Args:
        directory: of the files; made when the first is written.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory

    def read(self, name: str) -> np.ndarray | None:
        """The array of that name; None if there is none."""
        path = self._path(name)
        if not path.exists():
            return None
        try:
            return np.load(path, allow_pickle=False)
        except (OSError, ValueError, EOFError) as error:
            logger.warning("%s is damaged (%s): it is computed anew", path, error)
            return None

    def write(self, name: str, array: np.ndarray) -> None:
        """Keeps an array under a name."""
        with written_aside(self._path(name)) as aside, aside.open("wb") as file:
            np.save(file, array, allow_pickle=False)

    def read_or_compute(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """The array of that name; computed and kept if there is none."""
        array = self.read(name)
        if array is None:
            array = compute()
            self.write(name, array)
        return array

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.npy"
