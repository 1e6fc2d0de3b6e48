"""Collects what a user should know of image files that can be read: unused upper bits, several pages or frames."""

from __future__ import annotations

import contextlib
import logging
import os
import threading

import numpy as np
from PIL import Image

from histogan_tf.errors import counted

logger = logging.getLogger("histogan_tf")

_DARK_BITS = 14
_TIFF_BITS_PER_CHANNEL = 258
_16_BIT_COLOUR_PNGS = (b"\x10\x02", b"\x10\x06")  # bit depth and colour type: RGB and RGBA


class FileRemarks:
    """Remarks about the files of a folder that were decoded, each logged once; threads may share it.

    Args:
        folder: the folder, for the warnings.
    """

    def __init__(self, folder: str) -> None:
        self._folder = folder
        self._brightest = 0
        self._with_frames: set[str] = set()
        self._told: set[str] = set()
        self._lock = threading.Lock()

    def look_at(self, image: Image.Image, content: bytes, path: str | os.PathLike[str]) -> None:
        """Notes whether a file holds several pages or frames, and the largest red, green or blue of 16-bit RGB.

        Args:
            image: the file, opened by Pillow, at its first page.
            content: the file.
            path: the path; a file that is read twice counts once.
        """
        if _has_several_frames(image, content):
            with self._lock:
                self._with_frames.add(os.fspath(path))
        if not self._is_bright and _is_16_bit_colour(image, content):  # a brighter pixel would change nothing
            self.note_brightest(_brightest_colour(content))

    def note_brightest(self, value: int) -> None:
        """Takes the largest value of one more 16-bit image, from 0 to 65535."""
        with self._lock:
            self._brightest = max(self._brightest, value)

    def warn_if_dark(self) -> None:
        """Logs a warning, once, if the 16-bit images decoded until now use no more than 14 of their 16 bits."""
        num_bits = self._brightest.bit_length()
        if num_bits == 0 or self._is_bright or not self._is_first("dark"):
            return
        logger.warning(
            "the 16-bit images in %r use only %d of their 16 bits, as %d-bit cameras write them, and are read nearly "
            "black: multiply their pixels by %d and save them anew",
            self._folder,
            num_bits,
            num_bits,
            2 ** (16 - num_bits),
        )

    def warn_of_frames(self) -> None:
        """Logs a warning, once, of the files decoded until now that hold several pages or frames."""
        if self._with_frames and self._is_first("frames"):
            logger.warning(
                "found %s in %r with several pages or frames, of which only the first is read",
                counted(len(self._with_frames), "file"),
                self._folder,
            )

    @property
    def _is_bright(self) -> bool:
        return self._brightest.bit_length() > _DARK_BITS

    def _is_first(self, remark: str) -> bool:
        with self._lock:
            is_first = remark not in self._told
            self._told.add(remark)
        return is_first


def _has_several_frames(image: Image.Image, content: bytes) -> bool:
    if image.format == "TIFF":  # whose n_frames would read the header of every page, also a damaged one
        return 0 < (image.tag_v2.next or 0) < len(content)
    return image.format in ("PNG", "WEBP") and image.n_frames > 1


def _is_16_bit_colour(image: Image.Image, content: bytes) -> bool:
    if image.format == "TIFF":
        return image.mode in ("RGB", "RGBA") and set(image.tag_v2.get(_TIFF_BITS_PER_CHANNEL, ())) == {16}
    return image.format == "PNG" and content[24:26] in _16_BIT_COLOUR_PNGS


def _brightest_colour(content: bytes) -> int:
    """Returns the largest red, green or blue in a file of 16-bit colour, of which Pillow reads the upper 8 bits only.

    It is 0, as of a black image, where OpenCV cannot read the file.
    """
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)  # it prints what it finds odd in a TIFF
    with contextlib.suppress(cv2.error):
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is not None and pixels.dtype == np.uint16:
            return int(pixels[..., :3].max())  # without transparency
    return 0
