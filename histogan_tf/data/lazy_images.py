"""Images that stay where they are until somebody asks for them, so that a set may be larger than memory."""

from __future__ import annotations

import abc
import contextlib
import functools
import hashlib
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from histogan_tf.data.decoding import (
    Prepare,
    UnusableImageError,
    decode_image,
    different_sizes,
    gather,
    report_unusable,
)
from histogan_tf.errors import UserError
from histogan_tf.machine.cores import num_usable_cores
from histogan_tf.machine.parallel import map_in_order

_PROBED = 64  # images whose sizes and channels stand for those of all
_FINGERPRINTED = 256  # images whose pixels are part of the fingerprint
_IMAGES_PER_TASK = 16
_MOST_REPLACEMENTS = 1000


class ImageSource(abc.ABC):
    """Where images lie. Safe to use from several threads.

    Args:
        names: of the images, as messages have them; all methods take indices among these.
        prepare: makes the images one size.
    """

    def __init__(self, names: Sequence[str], prepare: Prepare) -> None:
        self.names = names
        self._prepare = prepare

    @abc.abstractmethod
    def decode(self, index: int) -> np.ndarray:
        """An image as it lies there: uint8 (height, width, 1 or 3); UnusableImageError if there is none."""

    @abc.abstractmethod
    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """int64 (num_indices,): how many bytes each image takes up there, found without decoding any."""

    def read(self, index: int) -> np.ndarray:
        """An image prepared: uint8 (height, width, 1 or 3); UnusableImageError if it cannot be used."""
        return self._prepare(self.decode(index))

    def report(self, indices: np.ndarray) -> None:  # noqa: B027  (most sources have nothing to tell)
        """Tells the log what `read` came across when it read these images."""


class FileSource(ImageSource):
    """Image files below a folder.

    Args:
        root: the folder.
        names: paths of the files, relative to it.
        prepare: as in ImageSource.
    """

    def __init__(self, root: str, names: Sequence[str], prepare: Prepare) -> None:
        super().__init__(names, prepare)
        self._root = root

    def decode(self, index: int) -> np.ndarray:
        """As in ImageSource."""
        return decode_image(os.path.join(self._root, self.names[index]))

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """As in ImageSource; -1 for a file that is gone."""

        def size(index: int) -> int:
            try:
                return os.stat(os.path.join(self._root, self.names[index])).st_size
            except OSError:
                return -1

        return np.fromiter(map(size, indices.tolist()), np.int64, len(indices))


class ArraySource(ImageSource):
    """The rows of an array on disk, read one by one: mapped into memory, those once seen would seem to fill it.

    Args:
        array: uint8 (num_images, height, width, channels), mapped from a file in C order.
        prepare: as in ImageSource.
    """

    def __init__(self, array: np.memmap, prepare: Prepare) -> None:
        assert array.flags.c_contiguous and array.dtype == np.uint8, (array.flags, array.dtype)
        super().__init__(range(len(array)), prepare)
        self._path, self._offset, self._shape = array.filename, array.offset, array.shape[1:]
        self._row_bytes = int(np.prod(self._shape))

    def decode(self, index: int) -> np.ndarray:
        """As in ImageSource."""
        try:
            with open(self._path, "rb", buffering=0) as file:
                file.seek(self._offset + index * self._row_bytes)
                content = file.read(self._row_bytes)
        except OSError as error:
            raise UnusableImageError(error.strerror) from error
        if len(content) < self._row_bytes:
            raise UnusableImageError(f"{self._path} has been cut off since it was opened")
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """As in ImageSource."""
        return np.full(len(indices), self._row_bytes, np.int64)


class LazyImages:
    """What an array uint8 (num_images, height, width, channels) would be; indexing it decodes, on all cores.

    Size and channels are those of a few images spread over the set, and are found when first asked for. An image that
    cannot be used, or is of another size, is named once in a warning, and the next one of the set stands in for it: so
    what an index gives does not depend on what was read before.

    Args:
        source: where the images lie; it is read in worker threads.
        indices: int64 (num_images,) into the source; all of it if None.
    """

    dtype = np.dtype(np.uint8)
    ndim = 4

    def __init__(self, source: ImageSource, indices: np.ndarray | None = None) -> None:
        self.source = source
        self._indices = np.arange(len(source.names)) if indices is None else indices
        self._reported: set[int] = set()

    def __len__(self) -> int:
        return len(self._indices)

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """(num_images, height, width, channels)."""
        return (len(self), *self._image_shape)

    @property
    def nbytes(self) -> int:
        """Bytes that all images would take in memory."""
        return int(np.prod(self.shape))

    def select(self, indices: np.ndarray) -> LazyImages:
        """Some of the images, in any order, as lazy as these."""
        selected = LazyImages(self.source, self._indices[indices])
        selected._reported = self._reported
        if "_image_shape" in self.__dict__:
            selected._image_shape = self._image_shape
        return selected

    def decode(self, index: int) -> np.ndarray:
        """One image as it lies there, not prepared and of any size; UnusableImageError if it cannot be read."""
        return self.source.decode(int(self._indices[index]))

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(key, (int, np.integer)):
            return self.take(np.array([range(len(self))[key]]))[0][0]
        return self.take(np.arange(len(self))[key])[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads some images.

        Args:
            indices: int (num_indices,), from 0 on.

        Returns:
            uint8 (num_indices, height, width, channels).
            int64 (num_indices,): the indices of the images that these are; another one than asked for where that cannot
            be used.

        Raises:
            UserError: if a thousand images one after the other cannot be used.
        """
        images, taken = np.empty((len(indices), *self._image_shape), np.uint8), np.empty(len(indices), np.int64)

        def fill(start: int) -> None:
            for place in range(start, min(start + _IMAGES_PER_TASK, len(indices))):
                images[place], taken[place] = self._read_or_replace(int(indices[place]))

        list(_workers().map(fill, range(0, len(indices), _IMAGES_PER_TASK)))
        return images, taken

    def in_memory(self, *, strict: bool) -> tuple[np.ndarray, np.ndarray]:
        """All images as one array, less those that cannot be used.

        Returns:
            uint8 (num_kept, height, width, channels) and the indices of those kept, int64 (num_kept,).

        Raises:
            UserError: as `gather` does.
        """
        result = gather(lambda index: self.source.read(int(self._indices[index])), _Names(self), strict=strict)
        self.source.report(self._indices)
        return result

    def check(self) -> None:
        """Reads every image once.

        Raises:
            UserError: at the first that cannot be used.
        """

        def try_one(index: int) -> UnusableImageError | None:
            try:
                self._read_alike(int(self._indices[index]))
            except UnusableImageError as error:
                return error
            return None

        with contextlib.closing(map_in_order(try_one, range(len(self)))) as results:
            for index, error in enumerate(results):
                if error:
                    report_unusable(_Names(self)[index], error, strict=True)
        self.source.report(self._indices)

    def fingerprint(self) -> bytes:
        """SHA-256 of the shape, the name and size in bytes of each image, and the pixels of 256 spread over the set.

        It costs no decoding of the whole set, and does not change when files are copied, as their dates would. A change
        of a file outside of those 256 that leaves its size as it was goes unnoticed.
        """
        digest = hashlib.sha256(repr(self.shape).encode())
        for index in self._indices.tolist():
            digest.update(f"{self.source.names[index]}\0".encode(errors="surrogateescape"))
        digest.update(self.source.num_bytes(self._indices))
        digest.update(self[_spread(len(self), _FINGERPRINTED)])
        return digest.digest()

    @functools.cached_property
    def _image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        probed, size, channels, reason = _spread(len(self), _PROBED), None, 1, "there is none"
        for index in self._indices[probed].tolist():
            try:
                height, width, image_channels = self.source.read(index).shape
            except UnusableImageError as error:
                reason = f"{str(self.source.names[index])!r}: {error}"
                continue
            if size is None:
                size, first = (height, width), index
            elif size != (height, width):
                names = self.source.names
                raise UserError(different_sizes(names[first], size, names[index], (height, width)))
            channels = max(channels, image_channels)
        if size is None:
            raise UserError(f"none of the {len(probed)} images tried, of {len(self)}, can be used; the last, {reason}")
        return (*size, channels)

    def _read_alike(self, index: int) -> np.ndarray:
        """An image of `_image_shape`, or grey where that is RGB."""
        image, (height, width, channels) = self.source.read(index), self._image_shape
        if image.shape[:2] != (height, width):
            raise UnusableImageError(f"it is {image.shape[0]}x{image.shape[1]}, the others {height}x{width}")
        if image.shape[2] > channels:
            raise UnusableImageError("it has colours, the others are grey")
        return image

    def _read_or_replace(self, index: int) -> tuple[np.ndarray, int]:
        for replacement in range(index, index + min(len(self), _MOST_REPLACEMENTS)):
            replacement %= len(self)
            source_index = int(self._indices[replacement])
            try:
                return self._read_alike(source_index), replacement
            except UnusableImageError as error:
                if source_index not in self._reported:
                    self._reported.add(source_index)
                    report_unusable(str(self.source.names[source_index]), error)
                reason = error
        raise UserError(f"no image can be used any more; the last tried, {_Names(self)[replacement]!r}: {reason}")


class _Names(Sequence):
    """The names of selected images, looked up one by one, for there may be millions."""

    def __init__(self, images: LazyImages) -> None:
        self._names, self._indices = images.source.names, images._indices

    def __len__(self) -> int:
        return len(self._indices)

    def __getitem__(self, index: int) -> str:
        return str(self._names[self._indices[index]])


def _spread(count: int, most: int) -> np.ndarray:
    return np.unique(np.linspace(0, count - 1, min(most, count)).astype(int))


@functools.cache
def _workers() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(num_usable_cores(), thread_name_prefix="images")
