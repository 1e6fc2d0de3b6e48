"""Several sources of images as one, such as the parts of a dataset that lie in a file each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from histogan_tf.data.decoding import Prepare
from histogan_tf.data.lazy_images import ImageSource


class JoinedSource(ImageSource):
    """A source of the images of several sources, one source after the other.

    Args:
        sources: the sources.
        names: the name of each image.
        prepare: crops and resizes one image, as in `ImageSource`.
    """

    def __init__(self, sources: Sequence[ImageSource], names: Sequence[str], prepare: Prepare) -> None:
        super().__init__(names, prepare)
        self._sources = sources
        self._ends = np.cumsum([len(source.names) for source in sources])
        assert len(names) == self._ends[-1], (len(names), self._ends)

    def decode(self, index: int) -> np.ndarray:
        """Returns an image as its source holds it; see `ImageSource.decode`."""
        number, inner = self._place(index)
        return self._sources[number].decode(inner)

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the size of each image in bytes, int64 (num_indices,); see `ImageSource.num_bytes`."""
        sizes = np.empty(len(indices), np.int64)
        numbers = np.searchsorted(self._ends, indices, side="right")
        for number, source in enumerate(self._sources):
            chosen = numbers == number
            sizes[chosen] = source.num_bytes(indices[chosen] - (self._ends[number] - len(source.names)))
        return sizes

    def _place(self, index: int) -> tuple[int, int]:
        """Returns the number of the source that holds an image, and the image's index there."""
        number = int(np.searchsorted(self._ends, index, side="right"))
        return number, int(index - (self._ends[number] - len(self._sources[number].names)))
