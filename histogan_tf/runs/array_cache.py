"""A cache of arrays on disk, so that arrays that take long to compute are computed once."""

from __future__ import annotations

import hashlib
import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np

from histogan_tf.errors import reason_of
from histogan_tf.runs.files import written_aside

_CHECKSUM_BYTES = hashlib.sha256().digest_size

logger = logging.getLogger(__name__)


class ArrayCache:
    """A cache of arrays by name, each in an npy file that ends with a SHA-256 of what is before it.

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
        try:
            content = path.read_bytes()
        except FileNotFoundError:
            return None
        except OSError as error:
            logger.warning("%s cannot be read (%s): it is computed again", path, error.strerror)
            return None
        array_bytes, checksum = content[:-_CHECKSUM_BYTES], content[-_CHECKSUM_BYTES:]
        if hashlib.sha256(array_bytes).digest() != checksum:
            logger.warning("%s is damaged (its checksum is wrong): it is computed again", path)
            return None
        return np.load(io.BytesIO(array_bytes), allow_pickle=False)

    def write(self, name: str, array: np.ndarray) -> None:
        """Writes an array under a name; an array that has this name is replaced."""
        content = io.BytesIO()
        np.save(content, array, allow_pickle=False)
        with written_aside(self._path(name)) as aside, aside.open("wb") as file:
            file.write(content.getbuffer())
            file.write(hashlib.sha256(content.getbuffer()).digest())

    def read_or_compute(self, name: str, compute: Callable[[], np.ndarray]) -> np.ndarray:
        """Returns the array with this name, which is computed and written first if it is missing or damaged.

        If it cannot be written, as in a folder that is read-only, a warning says so: nothing but time is lost.
        """
        array = self.read(name)
        if array is None:
            array = compute()
            try:
                self.write(name, array)
            except OSError as error:
                logger.warning(
                    "%s cannot be written (%s): it is computed again the next time", self._path(name), reason_of(error)
                )
        return array

    def _path(self, name: str) -> Path:
        return self._directory / f"{name}.npy"
