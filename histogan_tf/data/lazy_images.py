"""Images that stay on disk until they are indexed, so that a dataset may be larger than memory."""

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
from histogan_tf.data.file_remarks import FileRemarks
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.cores import num_usable_cores
from histogan_tf.machine.parallel import map_in_order

_PROBED = 64  # images that are read to find the size and the channels of all
_FINGERPRINTED = 256  # images whose pixels are part of the fingerprint
_IMAGES_PER_TASK = 16
_MOST_REPLACEMENTS = 1000


class ImageSource(abc.ABC):
    """A place that images are read from, one by one. Safe to use from several threads.

    Args:
        names: the names of the images, for messages. All methods take indices into this sequence.
        prepare: crops and resizes one image, so that all have one size.
    """

    def __init__(self, names: Sequence[str], prepare: Prepare) -> None:
        self.names = names
        self._prepare = prepare

    @abc.abstractmethod
    def decode(self, index: int) -> np.ndarray:
        """Returns an image as it is stored: uint8 (height, width, 1 or 3).

        Raises:
            UnusableImageError: if it cannot be read.
        """

    @abc.abstractmethod
    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the size in bytes of each image as it is stored, int64 (num_indices,), without decoding any."""

    def read(self, index: int) -> np.ndarray:
        """Returns an image cropped and resized by `prepare`: uint8 (height, width, 1 or 3).

        Raises:
            UnusableImageError: if it cannot be used.
        """
        return self._prepare(self.decode(index))

    def report(self, indices: np.ndarray) -> None:  # noqa: B027  (most sources have nothing to tell)
        """Logs what `read` did to these images, such as padding."""

    def warn_if_dark(self) -> None:  # noqa: B027  (most sources cannot be)
        """Warns, once, if none of the images decoded until now uses the upper bits of its pixels."""

    def warn_of_frames(self) -> None:  # noqa: B027  (most sources hold one image at a place)
        """Warns, once, of the files decoded until now of which only the first page or frame is read."""


class FileSource(ImageSource):
    """A source of image files below a folder.

    Args:
        root: the folder.
        names: the paths of the files, relative to `root`.
        prepare: crops and resizes one image, as in `ImageSource`.
    """

    def __init__(self, root: str, names: Sequence[str], prepare: Prepare) -> None:
        super().__init__(names, prepare)
        self._root = root
        self._remarks = FileRemarks(root)

    def decode(self, index: int) -> np.ndarray:
        """Returns an image as its file holds it; see `ImageSource.decode`."""
        return decode_image(os.path.join(self._root, self.names[index]), self._remarks)

    def warn_if_dark(self) -> None:
        """Warns of 16-bit images that use no more than 14 of their bits; see `ImageSource.warn_if_dark`."""
        self._remarks.warn_if_dark()

    def warn_of_frames(self) -> None:
        """Warns of files with several pages or frames; see `ImageSource.warn_of_frames`."""
        self._remarks.warn_of_frames()

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the size of each file in bytes, int64 (num_indices,); -1 for a file that is gone."""

        def size(index: int) -> int:
            try:
                return os.stat(os.path.join(self._root, self.names[index])).st_size
            except OSError:
                return -1

        return np.fromiter(map(size, indices.tolist()), np.int64, len(indices))


class ArraySource(ImageSource):
    """A source of the images in one .npy file, each read from the file when it is needed.

    The images are not read through the memory map: every page of a map that was once read counts as used memory.

    Args:
        array: uint8 (num_images, height, width, channels), mapped from a file in C order.
        prepare: crops and resizes one image, as in `ImageSource`.
    """

    def __init__(self, array: np.memmap, prepare: Prepare) -> None:
        assert array.flags.c_contiguous and array.dtype == np.uint8, (array.flags, array.dtype)
        super().__init__(range(len(array)), prepare)
        self._path, self._offset, self._shape = array.filename, array.offset, array.shape[1:]
        self._row_bytes = int(np.prod(self._shape))

    def decode(self, index: int) -> np.ndarray:
        """Returns an image as the file holds it; see `ImageSource.decode`."""
        try:
            with open(self._path, "rb", buffering=0) as file:
                file.seek(self._offset + index * self._row_bytes)
                content = file.read(self._row_bytes)
        except OSError as error:
            raise UnusableImageError(error.strerror) from error
        if len(content) < self._row_bytes:
            raise UnusableImageError(f"{self._path} has become shorter since it was opened")
        return np.frombuffer(content, np.uint8).reshape(self._shape)

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the size of each image in bytes, int64 (num_indices,): all are equal."""
        return np.full(len(indices), self._row_bytes, np.int64)


class LazyImages:
    """Behaves as an array, uint8 (num_images, height, width, channels), whose images are decoded when it is indexed.

    Decoding uses all cores. The size and the channels are those of a few images spread over the set, which are read
    when the shape is first asked for. An image that cannot be used, or has another size, is named once in a warning and
    replaced by the next usable image of the set. So the image at an index does not depend on what was read before.

    Args:
        source: the source of the images; it is read in worker threads.
        indices: int64 (num_images,), the images' indices in the source; None for all.
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
        """The shape, (num_images, height, width, channels)."""
        return (len(self), *self._image_shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes that all images would take in memory."""
        return int(np.prod(self.shape))

    def select(self, indices: np.ndarray) -> LazyImages:
        """Returns the images at `indices` (int, any order), still lazy."""
        selected = LazyImages(self.source, self._indices[indices])
        selected._reported = self._reported
        if "_image_shape" in self.__dict__:
            selected._image_shape = self._image_shape
        return selected

    def decode(self, index: int) -> np.ndarray:
        """Returns one image as it is stored, of any size, neither cropped nor resized.

        Raises:
            UnusableImageError: if it cannot be read.
        """
        return self.source.decode(int(self._indices[index]))

    def __getitem__(self, key: int | slice | np.ndarray) -> np.ndarray:
        if isinstance(key, (int, np.integer)):
            return self.take(np.array([range(len(self))[key]]))[0][0]
        return self.take(np.arange(len(self))[key])[0]

    def __array__(self, dtype: np.dtype | None = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:], dtype)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Reads the images at `indices`, and replaces those that cannot be used.

        Args:
            indices: int (num_indices,), each at least 0.

        Returns:
            The images, uint8 (num_indices, height, width, channels), and the index of each, int64 (num_indices,). The
            index differs from the one asked for where an image was replaced.

        Raises:
            UserError: if a thousand images in a row cannot be used.
        """
        images, taken = np.empty((len(indices), *self._image_shape), np.uint8), np.empty(len(indices), np.int64)

        def fill(start: int) -> None:
            for place in range(start, min(start + _IMAGES_PER_TASK, len(indices))):
                images[place], taken[place] = self._read_or_replace(int(indices[place]))

        list(_workers().map(fill, range(0, len(indices), _IMAGES_PER_TASK)))
        return images, taken

    def in_memory(self, *, strict: bool) -> tuple[np.ndarray, np.ndarray]:
        """Reads all images into one array; skips those that cannot be used, with a warning.

        Args:
            strict: stop at the first image that cannot be used.

        Returns:
            The images, uint8 (num_kept, height, width, channels), and their indices, int64 (num_kept,).

        Raises:
            UserError: for the reasons for which `gather` raises it.
        """
        result = gather(lambda index: self.source.read(int(self._indices[index])), _Names(self), strict=strict)
        self.source.report(self._indices)
        self.source.warn_of_frames()
        return result

    def check(self) -> None:
        """Reads every image once, to find out whether all can be used.

        Raises:
            UserError: for the first image that cannot be used.
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
        self.source.warn_of_frames()

    def fingerprint(self) -> bytes:
        """Returns a SHA-256 of the shape, of every image's name and size in bytes, and of the pixels of 256 images.

        The 256 images are spread over the set, so that the whole set need not be decoded. Dates of files are left out,
        since copying changes them. The digest misses a change to any other file that keeps the file's size.
        """
        digest = hashlib.sha256(repr(self.shape).encode())
        for index in self._indices.tolist():
            digest.update(f"{self.source.names[index]}\0".encode(errors="surrogateescape"))
        digest.update(self.source.num_bytes(self._indices))
        digest.update(self[_spread(len(self), _FINGERPRINTED)])
        return digest.digest()

    @functools.cached_property
    def _image_shape(self) -> tuple[int, int, int]:
        """The (height, width, channels) of every image, found by reading a few."""
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
        self.source.warn_if_dark()
        if size is None:
            raise UserError(
                f"none of {counted(len(probed), 'image')} tried, of {len(self)}, can be used; the last, {reason}"
            )
        return (*size, channels)

    def _read_alike(self, index: int) -> np.ndarray:
        """Returns an image of the set's height and width; it may be grey in an RGB set.

        Raises:
            UnusableImageError: if it cannot be read, or differs from the others in size or colour.
        """
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
    """The names of selected images, looked up one by one, because there may be millions."""

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
