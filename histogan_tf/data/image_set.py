"""Holds ImageSet, the one form in which images pass between the packages of this program."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from histogan_tf.data.lazy_images import LazyImages
from histogan_tf.errors import UserError, counted, listing

# How to mend it that images have no labels, for messages.
WAYS_TO_LABEL = (
    "sort its images into a sub-folder for each label, name a table of labels by --labels_csv, or in Python give "
    "labels beside an array"
)


@dataclasses.dataclass(frozen=True)
class ImageSet:
    """Images of one size, with the label, the id and the patient of each.

    Attributes:
        images: uint8 (num_images, height, width, channels), channels 1 or 3, values in [0, 255]. They are in memory, or
            lazy: read from disk when indexed.
        labels: int32 (num_images,), for the IDC sets 0 = non-IDC and 1 = IDC; None if unlabelled.
        ids: str (num_images,), the file name relative to the dataset's folder, or the index.
        groups: str (num_images,), the patient of each image; None if unknown.
        name: the name of the dataset, as in --dataset.
        class_names: the names of labels 0, 1, …; empty if unlabelled.
        num_skipped: the number of images that were left out, because they could not be used or because of a flag.
        parts: str (num_images,), "train" or "validation": the part of the dataset's split that each image is in; None
            if the set was not split. A set that has them is never split again, so that whatever is trained and measured
            on it keeps to one split. A set that comes split may also hold "test" images, which are neither trained nor
            validated on.
        settings: the flags with which `load_with_parts` loaded the set, by name, with the values that were given; None
            if the set has another origin.
        num_loaded: the number of images that `load_with_parts` returned; 0 if the set has another origin.
        left_out: the number of files, folders or links in the dataset's folder that were not taken, by the reason.
    """

    images: np.ndarray | LazyImages
    labels: np.ndarray | None
    ids: np.ndarray
    groups: np.ndarray | None
    name: str
    class_names: tuple[str, ...] = ()
    num_skipped: int = 0
    parts: np.ndarray | None = None
    settings: Mapping[str, Any] | None = None
    num_loaded: int = 0
    left_out: Mapping[str, int] = dataclasses.field(default_factory=dict)

    def __post_init__(self) -> None:
        assert self.images.dtype == np.uint8 and self.images.ndim == 4, (self.images.dtype, self.images.ndim)
        # The channels of lazy images are not checked: to know them, some images would have to be read.
        assert self.is_lazy or self.images.shape[-1] in (1, 3), self.images.shape
        for column in (self.labels, self.ids, self.groups, self.parts):
            assert column is None or len(column) == len(self.images), (len(column), len(self.images))
        assert self.labels is None or self.labels.dtype == np.int32, self.labels.dtype

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        counts = ", ".join(count_of_class(count, name) for name, count in self.counts().items()) or "without labels"
        size = "on disk" if self.is_lazy else "x".join(map(str, self.image_shape))
        return f"<ImageSet {self.name}: {counted(len(self), 'image')} ({counts}), {size}>"

    @property
    def is_lazy(self) -> bool:
        """Whether images are read from disk when indexed, instead of being in memory."""
        return isinstance(self.images, LazyImages)

    @property
    def is_as_loaded(self) -> bool:
        """Whether these are all the images that `load_with_parts` gave, and not some that were selected from them."""
        return self.settings is not None and len(self) == self.num_loaded

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The (height, width, channels) of each image."""
        return tuple(self.images.shape[1:])

    @property
    def num_classes(self) -> int:
        """The number of classes; 0 if unlabelled."""
        return len(self.class_names)

    def select(self, indices: np.ndarray) -> ImageSet:
        """Returns the images at `indices` (int, any order), with all that is known of them; lazy images stay lazy."""
        return self._with_images(self.images.select(indices) if self.is_lazy else self.images[indices], indices)

    def take(self, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns the images at `indices` and their indices.

        A lazy image that cannot be used is replaced by another one, whose index is returned; see `LazyImages.take`.

        Args:
            indices: int (num_indices,), any order.

        Returns:
            The images, uint8 (num_indices, height, width, channels), and the index of each, int (num_indices,).
        """
        return self.images.take(indices) if self.is_lazy else (self.images[indices], indices)

    def in_memory(self, *, strict: bool = False) -> ImageSet:
        """Returns the set with its images in memory. Skips images that cannot be used, with a warning that names them.

        Args:
            strict: stop at the first image that cannot be used.

        Raises:
            UserError: if no image can be used, if images differ in size, or, with `strict`, if one cannot be used.
        """
        if not self.is_lazy:
            return self
        images, kept = self.images.in_memory(strict=strict)
        num_skipped = self.num_skipped + len(self) - len(kept)
        return dataclasses.replace(self._with_images(images, kept), num_skipped=num_skipped)

    def sample_in_memory(self, most: int, seed: int) -> ImageSet:
        """Returns the set in memory if it is there, else at most `most` of its images, drawn at random, in their order.

        Args:
            most: the number of lazy images that may be read, at least 1.
            seed: of the draw.

        Raises:
            UserError: if no image can be used.
        """
        if not self.is_lazy:
            return self
        chosen = np.random.default_rng(seed).choice(len(self), min(most, len(self)), replace=False)
        return self.select(np.sort(chosen)).in_memory()

    def _with_images(self, images: np.ndarray | LazyImages, indices: np.ndarray) -> ImageSet:
        return dataclasses.replace(
            self,
            images=images,
            labels=None if self.labels is None else self.labels[indices],
            ids=self.ids[indices],
            groups=None if self.groups is None else self.groups[indices],
            parts=None if self.parts is None else self.parts[indices],
        )

    def counts(self) -> dict[str, int]:
        """Returns the number of images by class name; empty if unlabelled."""
        if self.labels is None:
            return {}
        return dict(zip(self.class_names, np.bincount(self.labels, minlength=self.num_classes).tolist(), strict=True))

    def patients(self) -> list[str] | None:
        """Returns the sorted patients of the images; None if they are unknown."""
        return None if self.groups is None else np.unique(self.groups).tolist()

    def fingerprint(self) -> str:
        """Returns the SHA-256 of shape, pixels and labels in their order, by which a run recognizes its data.

        For lazy images, `LazyImages.fingerprint` takes the place of shape and pixels, because it decodes only a few.
        """
        if self.is_lazy:
            digest = hashlib.sha256(self.images.fingerprint())
        else:
            digest = hashlib.sha256(repr(self.images.shape).encode())
            digest.update(np.ascontiguousarray(self.images))
        if self.labels is not None:
            digest.update(np.ascontiguousarray(self.labels))
        return digest.hexdigest()


def find_class(name: str, class_names: Sequence[str]) -> int | None:
    """Returns the number of the class that a name means; None if there is none, or if more than one fits.

    The name is first compared exactly, and then, if no class has exactly this name, without regard to case.

    Args:
        name: the name to look for.
        class_names: the names of classes 0, 1, ….
    """
    names, folded = list(class_names), [class_name.casefold() for class_name in class_names]
    if name in names:
        return names.index(name)
    return folded.index(name.casefold()) if folded.count(name.casefold()) == 1 else None


def label_number(label: str, class_names: Sequence[str], flag: str = "label") -> int:
    """Returns the number of the label that a flag's value names.

    The value is first looked up by `find_class`, and then compared with the class numbers. So a class that is called
    "1" is found by its name, whatever its number is.

    Args:
        label: the flag's value.
        class_names: the names of labels 0, 1, …; empty if the images have no labels.
        flag: the name of the flag, for the message.

    Raises:
        UserError: if there is no such label, or several that differ only in case.
    """
    if not class_names:
        raise UserError(f"--{flag}={label}: the images have no labels; leave --{flag} out")
    number = find_class(label, class_names)
    if number is not None:
        return number
    numbers = [str(number) for number in range(len(class_names))]
    if label in numbers:
        return numbers.index(label)
    known = listing((f"{number} ({name})" for number, name in enumerate(class_names)), most=20)
    raise UserError(f"--{flag}={label}: the labels are {known}; choose one, by its name or number")


def count_of_class(count: int, name: str) -> str:
    """Returns words such as "545 non-idc", or "545 of class 0" where the class is named by a number."""
    return f"{count} of class {name}" if name.isdigit() else f"{count} {name}"
