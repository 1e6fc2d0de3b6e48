"""Notices 16-bit images whose upper bits are unused, as cameras of 10, 12 or 14 bits write them."""

from __future__ import annotations

import logging
import threading

logger = logging.getLogger("histogan_tf")

_DARK_BITS = 14


class BrightestPixel:
    """The largest value in all 16-bit grey images of a folder that were decoded; threads may share it.

    Args:
        folder: the folder, for the warning.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._value = 0
        self._has_warned = False
        self._lock = threading.Lock()

    def note(self, value: int) -> None:
        """Takes the largest value of one more image, from 0 to 65535; see `decoding.decode_image`."""
        with self._lock:
            self._value = max(self._value, value)

    def warn_if_dark(self) -> None:
        """Logs a warning, once, if the images noted until now use no more than 14 of their 16 bits."""
        num_bits = self._value.bit_length()
        if self._has_warned or not 0 < num_bits <= _DARK_BITS:
            return
        self._has_warned = True
        logger.warning(
            "the 16-bit images in %r use only %d of their 16 bits, as %d-bit cameras write them, and are read nearly "
            "black: multiply their pixels by %d and save them anew",
            self._folder,
            num_bits,
            num_bits,
            2 ** (16 - num_bits),
        )
