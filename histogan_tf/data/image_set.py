"""ImageSet: the only shape in which images travel between rooms."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

from histogan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of one size with what is known about each.

    Attributes:
        images: uint8 (num_images, height, width, channels), channels 1 or 3, values in [0, 255].
        labels: int32 (num_images,), in histology 0 = non-IDC and 1 = IDC; None if unlabelled.
        ids: str (num_images,), the file name relative to the data path, or the index.
        groups: str (num_images,), the patient of each image; None if unknown.
        name: of the dataset, as in --dataset.
        class_names: the names of labels 0, 1, …; empty if unlabelled.
        num_skipped: files that could not be used, each of which was named in a warning.
    """

    images: np.ndarray
    labels: np.ndarray | None
    ids: np.ndarray
    groups: np.ndarray | None
    name: str
    class_names: tuple[str, ...] = ()
    num_skipped: int = 0

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8 and self.images.ndim == 4, (self.images.dtype, self.images.shape)
        assert self.images.shape[-1] in (1, 3), self.images.shape
        for column in (self.labels, self.ids, self.groups):
            assert column is None or len(column) == len(self.images), (len(column), len(self.images))
        assert self.labels is None or self.labels.dtype == np.int32, self.labels.dtype

    def __len__(self) -> int:
        return len(self.images)

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels)."""
        return tuple(self.images.shape[1:])

    @property
    def num_classes(self) -> int:
        """Number of classes; 0 if unlabelled."""
        return len(self.class_names)

    def select(self, indices: np.ndarray) -> ImageSet:
        """The images at `indices` (int, any order), with their labels, ids and groups."""
        return dataclasses.replace(
            self,
            images=self.images[indices],
            labels=None if self.labels is None else self.labels[indices],
            ids=self.ids[indices],
            groups=None if self.groups is None else self.groups[indices],
        )

    def counts(self) -> dict[str, int]:
        """Number of images by class name; empty if unlabelled."""
        if self.labels is None:
            return {}
        return dict(zip(self.class_names, np.bincount(self.labels, minlength=self.num_classes).tolist(), strict=True))

    def fingerprint(self) -> str:
        """SHA-256 of shape, pixels and labels in their order: what a run records to know its data again."""
        digest = hashlib.sha256(repr(self.images.shape).encode())
        digest.update(np.ascontiguousarray(self.images))
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()


def label_number(label: str, class_names: Sequence[str]) -> int:
    """The number of a label given by number or, in any case, by class name.

    Raises:
        UserError: if there is no such label.
    """
    names = [name.casefold() for name in class_names]
    if label.casefold() in names:
        return names.index(label.casefold())
    if label.isdecimal() and int(label) < len(names):
        return int(label)
    known = (
        ", ".join(f"{number} ({name})" for number, name in enumerate(class_names)) or "none: its images are unlabelled"
    )
    raise UserError(f"--label={label}: this dataset has the labels {known}")
