"""Reads arrays of HDF5 files, after checking that they are plain numbers which lie in the file itself, and all there.

HDF5 can hold links to other files, arrays whose values lie in other files, Python objects as text, and compression that
is a plug-in of code. Nothing of this is followed or loaded.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import os
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.data.decoding import Prepare, UnusableImageError
from histogan_tf.data.lazy_images import ArraySource, ImageSource
from histogan_tf.errors import UserError, listing
from histogan_tf.machine.memory import check_decoded_size

if TYPE_CHECKING:
    import h5py

_GZIP, _SHUFFLE, _CHECKSUM, _LZF = 1, 2, 3, 32000  # numbers of the filters that are part of HDF5 and h5py
_FILTERS = frozenset({_GZIP, _SHUFFLE, _CHECKSUM, _LZF})
_FEWEST_CACHE_BYTES = 2**20


@dataclasses.dataclass(frozen=True)
class StoredArray:
    """An array in an HDF5 file, which `find_array` has checked.

    Attributes:
        path: the file.
        key: its name in the file.
        shape: its shape.
        dtype: its type, of numbers.
        offset: where its values begin in the file, one after the other; None if they are in blocks.
        block_bytes: the size of a block in memory; 0 if there are none.
    """

    path: str
    key: str
    shape: tuple[int, ...]
    dtype: np.dtype
    offset: int | None
    block_bytes: int


def find_array(path: str, key: str) -> StoredArray:
    """Returns an array of numbers in an HDF5 file, without reading its values.

    Args:
        path: the file.
        key: the name of the array in the file.

    Raises:
        UserError: if the file is missing, damaged or no HDF5, or lacks the array; or if the array is none of numbers,
            is not wholly in the file, lies in another file, or is compressed in a way that is not part of HDF5.
    """
    import h5py

    try:
        with _open(path) as file:
            link = file.get(key, getlink=True)
            if link is None:
                raise UserError(f"{path} has no array {key!r}; it has {listing(file) or 'none'}")
            if not isinstance(link, h5py.HardLink):
                raise UserError(f"{key!r} in {path} is a link to another place, which is not followed: store the array")
            array = file[key]
            if not isinstance(array, h5py.Dataset):
                raise UserError(f"{key!r} in {path} is no array")
            _check_stored(array, f"{key!r} in {path}")
            offset = array.id.get_offset() if array.chunks is None else None
            block_bytes = 0 if array.chunks is None else math.prod(array.chunks) * array.dtype.itemsize
            return StoredArray(path, key, array.shape, array.dtype, offset, block_bytes)
    except (UserError, MemoryError):
        raise
    except Exception as error:  # a damaged file makes h5py raise nearly everything, from OSError to KeyError
        raise UserError(f"{path} cannot be read as HDF5, for it is damaged or another kind of file: {error}") from error


def _open(path: str, cache_bytes: int = _FEWEST_CACHE_BYTES) -> h5py.File:
    import h5py

    # Without locks, so that a file on a read-only disk can be read.
    return h5py.File(path, "r", locking=False, rdcc_nbytes=cache_bytes)


def _check_stored(array: h5py.Dataset, what: str) -> None:
    if array.dtype.kind not in "biu" or array.shape is None:
        raise UserError(f"{what} is {array.dtype}, not whole numbers")
    if array.is_virtual or array.external:
        raise UserError(f"the values of {what} lie in other files, which are not opened: store them in it")
    settings = array.id.get_create_plist()
    filters = {settings.get_filter(number)[0] for number in range(settings.get_nfilters())}
    if not filters <= _FILTERS:
        raise UserError(
            f"{what} is compressed by a plug-in (filter {min(filters - _FILTERS)}): store it with gzip or plainly"
        )
    if array.chunks is None:
        is_whole = array.id.get_storage_size() == array.nbytes
    else:
        check_decoded_size(math.prod(array.chunks) * array.dtype.itemsize, f"a block of {what}")
        sides = zip(array.shape, array.chunks, strict=True)
        is_whole = array.id.get_num_chunks() == math.prod(-(-side // chunk) for side, chunk in sides)
    if not is_whole:
        raise UserError(f"the values of {what} are not all there: get the file again")


def read_whole(stored: StoredArray) -> np.ndarray:
    """Returns all values of an array.

    Raises:
        UserError: if they take more memory than --memory_budget_gb allows, or cannot be read.
    """
    what = f"{stored.key!r} in {stored.path}"
    check_decoded_size(math.prod(stored.shape) * stored.dtype.itemsize, what)
    try:
        with _open(stored.path) as file:
            return file[stored.key][()]
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error}") from error


def image_source(stored: StoredArray, prepare: Prepare) -> ImageSource:
    """Returns a source of the images in an array, uint8 (num_images, height, width, channels), read one by one."""
    assert stored.dtype == np.uint8 and len(stored.shape) == 4, (stored.dtype, stored.shape)
    if stored.offset is None:
        return _BlockSource(stored, prepare)
    array = np.memmap(stored.path, np.uint8, mode="r", offset=stored.offset, shape=stored.shape)
    return ArraySource(array, prepare)


class _BlockSource(ImageSource):
    """A source of images that are stored in blocks, compressed or not."""

    def __init__(self, stored: StoredArray, prepare: Prepare) -> None:
        super().__init__(range(stored.shape[0]), prepare)
        self._stored = stored

    @functools.cached_property
    def _array(self) -> h5py.Dataset:
        # A block that does not fit the cache would be decompressed anew for each of its images.
        cache_bytes = max(_FEWEST_CACHE_BYTES, 2 * self._stored.block_bytes)
        return _open(self._stored.path, cache_bytes)[self._stored.key]

    def decode(self, index: int) -> np.ndarray:
        """Returns an image as the file holds it; see `ImageSource.decode`."""
        try:
            return self._array[index]
        except OSError as error:
            raise UnusableImageError(f"{os.path.basename(self._stored.path)} cannot be read: {error}") from error

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the size of each image in bytes, int64 (num_indices,): all are equal."""
        return np.full(len(indices), math.prod(self._stored.shape[1:]), np.int64)
