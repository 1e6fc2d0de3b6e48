"""Reads arrays of HDF5 files, after checking that they are plain numbers which lie in the file itself, and all there.

HDF5 can hold links to other files, arrays whose values lie in other files, Python objects as text, and compression that
is a plug-in of code; nothing of this is followed or loaded. The HDF5 library only tells where the values lie, in a
process of its own (see `hdf5_places`); they are read without it.
"""

from __future__ import annotations

import collections
import dataclasses
import io
import json
import math
import os
import subprocess
import sys
import threading
import zlib
from collections.abc import Sequence

import numpy as np

from histogan_tf.data.decoding import Prepare, UnusableImageError
from histogan_tf.data.lazy_images import ArraySource, ImageSource
from histogan_tf.errors import UserError
from histogan_tf.machine.memory import check_decoded_size

_GZIP, _SHUFFLE, _CHECKSUM = 1, 2, 3  # numbers of HDF5's filters
_CHECKSUM_BYTES = 4
_MOST_KEPT_ROWS, _MOST_KEPT_BYTES = 4, 2**28  # of blocks that were read; several threads read at a time


@dataclasses.dataclass(frozen=True)
class StoredBlocks:
    """The blocks in which an array is stored.

    Attributes:
        shape: of a block; those at the end of the array have it too, and hold more than the array.
        filters: the numbers of the filters that were applied, in their order.
        places: int64 (num_blocks, num_dimensions + 3), sorted: a block's first index in each dimension, its place in
            the file, its size there, and a mask of the filters that were not applied.
    """

    shape: tuple[int, ...]
    filters: tuple[int, ...]
    places: np.ndarray


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in an HDF5 file, which `find_arrays` has checked.

    Attributes:
        path: the file.
        key: its name in the file.
        shape: its shape.
        dtype: its type, of whole numbers.
        offset: where its values begin in the file, one after the other; None if they are in blocks.
        blocks: the blocks; None if there are none.
    """

    path: str
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    blocks: StoredBlocks | None


def find_arrays(asked: Sequence[tuple[str, str]]) -> list[StoredArray]:
    """Returns arrays of whole numbers in HDF5 files, without reading their values.

    Args:
        asked: a file and the name of an array in it, for each array.

    Raises:
        UserError: if a file is missing, damaged or no HDF5, or lacks the array; or if the array is none of whole
            numbers, is not wholly in the file, lies in another file, or is compressed by other means than gzip.
    """
    program = os.path.join(os.path.dirname(__file__), "hdf5_places.py")
    command = [sys.executable, "-P", program, *(word for pair in asked for word in pair)]
    printed = io.BytesIO(subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False).stdout)
    found = []
    for path, key in asked:
        places = None
        try:
            facts = json.loads(printed.readline())
            if "error" not in facts and facts["offset"] is None:
                places = np.load(printed, allow_pickle=False)
        except (ValueError, EOFError) as error:  # the HDF5 library has killed the process
            raise UserError(f"{path} cannot be read as HDF5, for it is damaged: get it again") from error
        if "error" in facts:
            raise UserError(facts["error"])
        blocks = None
        if places is not None:
            blocks = StoredBlocks(tuple(facts["block_shape"]), tuple(facts["filters"]), places)
        dtype = np.dtype(facts["dtype"])
        array = StoredArray(path, key, tuple(facts["shape"]), dtype, facts["offset"], blocks)
        if blocks is not None:  # those that hold one image are decompressed together
            num_values = max(math.prod(blocks.shape), math.prod((blocks.shape[0], *array.shape[1:])))
            check_decoded_size(num_values * dtype.itemsize, f"a block of {key!r} in {path}")
        found.append(array)
    return found


def read_whole(stored: StoredArray) -> np.ndarray:
    """Returns all values of an array.

    Raises:
        UserError: if they take more memory than --memory_budget_gb allows, or cannot be read.
    """
    what = f"{stored.key!r} in {stored.path}"
    check_decoded_size(math.prod(stored.shape) * stored.dtype.itemsize, what)
    try:
        if stored.offset is not None:
            values = np.fromfile(stored.path, stored.dtype, math.prod(stored.shape), offset=stored.offset)
            return values.reshape(stored.shape)
        rows = range(-(-stored.shape[0] // stored.blocks.shape[0]))
        return np.concatenate([_read_row(stored, row) for row in rows])
    except (OSError, ValueError, UnusableImageError) as error:
        raise UserError(f"{what} cannot be read: {error}") from error


def image_source(stored: StoredArray, prepare: Prepare) -> ImageSource:
    """Returns a source of the images in an array, uint8 (num_images, height, width, channels), read one by one."""
    assert stored.dtype == np.uint8 and len(stored.shape) == 4, (stored.dtype, stored.shape)
    if stored.offset is None:
        return _BlockSource(stored, prepare)
    array = np.memmap(stored.path, np.uint8, mode="r", offset=stored.offset, shape=stored.shape)
    return ArraySource(array, prepare)


class _BlockSource(ImageSource):
    """A source of images that are stored in blocks, compressed or not; it keeps the blocks that it read last."""

    def __init__(self, stored: StoredArray, prepare: Prepare) -> None:
        super().__init__(range(stored.shape[0]), prepare)
        self._stored = stored
        self._rows: collections.OrderedDict[int, np.ndarray] = collections.OrderedDict()
        self._lock = threading.Lock()
        row_bytes = stored.blocks.shape[0] * math.prod(stored.shape[1:])
        self._most_kept = max(1, min(_MOST_KEPT_ROWS, _MOST_KEPT_BYTES // row_bytes))

    def decode(self, index: int) -> np.ndarray:
        """Returns an image as the file holds it; see `ImageSource.decode`."""
        row, place = divmod(index, self._stored.blocks.shape[0])
        if self._stored.blocks.shape[0] == 1:
            return _read_row(self._stored, row)[place]
        with self._lock:  # or else several threads would decompress the same row
            if row not in self._rows:
                self._rows[row] = _read_row(self._stored, row)
            self._rows.move_to_end(row)
            while len(self._rows) > self._most_kept:
                self._rows.popitem(last=False)
            return self._rows[row][place]

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the size of each image in bytes, int64 (num_indices,): all are equal."""
        return np.full(len(indices), math.prod(self._stored.shape[1:]), np.int64)


def _read_row(stored: StoredArray, row: int) -> np.ndarray:
    """Returns the part of an array that lies in the blocks with one first index: (at most block_shape[0], …).

    Raises:
        UnusableImageError: if a block cannot be read.
    """
    blocks, num_dimensions = stored.blocks, len(stored.shape)
    first = row * blocks.shape[0]
    values = np.empty((min(blocks.shape[0], stored.shape[0] - first), *stored.shape[1:]), stored.dtype)
    start, stop = np.searchsorted(blocks.places[:, 0], (first, first + 1))
    try:
        with open(stored.path, "rb", buffering=0) as file:
            for place in blocks.places[start:stop].tolist():
                corner, (offset, size, unfiltered) = place[:num_dimensions], place[num_dimensions:]
                file.seek(offset)
                block = _unfilter(file.read(size), unfiltered, blocks, stored.dtype)
                target = tuple(slice(start, start + side) for start, side in zip(corner, blocks.shape, strict=True))
                target = (slice(0, blocks.shape[0]), *target[1:])
                part = values[target]
                part[...] = block[tuple(map(slice, part.shape))]
    except (OSError, ValueError, zlib.error) as error:
        name = os.path.basename(stored.path)
        raise UnusableImageError(f"{name} is damaged, or has changed since it was opened: {error}") from error
    return values


def _unfilter(content: bytes, unfiltered: int, blocks: StoredBlocks, dtype: np.dtype) -> np.ndarray:
    """Returns the values of a block as the file holds it, with the filters undone.

    Raises:
        ValueError: if there are more or fewer values than a block has.
        zlib.error: if they cannot be decompressed.
    """
    num_bytes = math.prod(blocks.shape) * dtype.itemsize
    for number, code in reversed(list(enumerate(blocks.filters))):
        if unfiltered & 1 << number:
            continue
        if code == _CHECKSUM:
            content = content[:-_CHECKSUM_BYTES]
        elif code == _GZIP:
            content = zlib.decompressobj().decompress(content, num_bytes + _CHECKSUM_BYTES + 1)
        elif code == _SHUFFLE:
            content = np.frombuffer(content, np.uint8).reshape(dtype.itemsize, -1).T.tobytes()
    if len(content) != num_bytes:
        raise ValueError(f"a block has {len(content)} bytes, and not {num_bytes}")
    return np.frombuffer(content, dtype).reshape(blocks.shape)
