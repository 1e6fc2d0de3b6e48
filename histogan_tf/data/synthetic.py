"""Loads synthetic images for a classifier's training set, and checks that none copies a validation image."""

from __future__ import annotations

import hashlib
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.data.class_file import CLASS_FILE, matching_class, numbered_images, read_class_file
from histogan_tf.data.decoding import read_images
from histogan_tf.data.given_images import check_pixels
from histogan_tf.data.image_set import ImageSet, label_number
from histogan_tf.data.sources.file_search import list_images, readable_name
from histogan_tf.errors import UserError, counted, listing
from histogan_tf.metrics.symmetries import apply_symmetry, symmetries_that_fit
from histogan_tf.runs.npz_file import NpzFileError, read_npz

logger = logging.getLogger(__name__)

_LAYOUTS = "images.npz with images and labels, 0.npz and 1.npz, or sub-folders 0/ and 1/ of images"
_COPY_BATCH = 1024


def load_synthetic(
    directory: str, class_names: Sequence[str], *, strict: bool = False, needs_labels: bool = True
) -> ImageSet:
    """Returns the images that --mode=generate or --mode=translate wrote into a folder.

    They are read from images.npz (arrays `images` and `labels`) if it is there. Else they are read, for each label,
    from LABEL.npz (array `images`) or else from the sub-folder LABEL/. So images that --format=both wrote twice are
    read once. A label may be missing. A classes.json beside them says which class each LABEL is, and the images get
    the label that this class has among the real images. Without it, LABEL is that label itself, and a warning says so.

    Args:
        directory: the folder, as in --synthetic_dir.
        class_names: the class names of the real set; label n is the n-th of them, from 0.
        strict: stop at the first unreadable image.
        needs_labels: whether the images must have labels. If not, images.npz may lack them, and if nothing else is
            found, the sub-folder images/ is read; the set is then unlabelled.

    Returns:
        A set whose ids start with "synthetic/".

    Raises:
        UserError: if there is no such folder or no image in it; if an archive is damaged or does not hold uint8 images
            and their labels (but, for instance, floats with NaN); or if images are of a class that the real set lacks,
            or of a label that has no name.
    """
    root = Path(directory).expanduser()
    if not os.path.isdir(root):  # Path.is_dir raises an error for a name that is too long
        raise UserError(f"--synthetic_dir={directory}: there is no such folder; give one with {_LAYOUTS}")
    recorded = read_class_file(root)
    numbered = class_names if recorded is None else recorded
    if (root / "images.npz").is_file():
        parts = [_read_archive(root / "images.npz", len(numbered), None, needs_labels)]
    else:
        _refuse_labels_without_names(root, numbered, "real set" if recorded is None else CLASS_FILE)
        parts = [part for label in range(len(numbered)) if (part := _read_label(root, label, strict))]
    if not parts and not needs_labels and (part := _read_folder(root, "images", strict)):
        parts = [(part[0], None, part[1])]
    if not sum(len(images) for images, _, _ in parts):
        raise UserError(f"--synthetic_dir={directory} holds no images; give a folder with {_LAYOUTS}")
    shapes = {images.shape[1:] for images, _, _ in parts if len(images)}
    if len(shapes) > 1:
        raise UserError(
            f"--synthetic_dir={directory}: images differ in shape ({listing(sorted(shapes))}); give images of one shape"
        )
    parts = [part for part in parts if len(part[0])]
    if any(labels is None for _, labels, _ in parts):
        images, ids = (np.concatenate([part[column] for part in parts]) for column in (0, 2))
        return ImageSet(images, None, ids, None, "synthetic")
    if recorded is None:
        found = np.unique(np.concatenate([labels for _, labels, _ in parts]))
        taken = listing(f"{label} = {class_names[label]}" for label in found)
        logger.warning("%s has no %s that names its classes: taken as %s", root, CLASS_FILE, taken)
    else:
        parts = [(images, _matched(labels, recorded, class_names, directory), ids) for images, labels, ids in parts]
        parts.sort(key=lambda part: part[1][0])  # without an images.npz, a part is of one label
    images, labels, ids = (np.concatenate([part[column] for part in parts]) for column in range(3))
    return ImageSet(images, labels.astype(np.int32), ids, None, "synthetic", tuple(class_names))


def _refuse_labels_without_names(root: Path, class_names: Sequence[str], named_by: str) -> None:
    """Refuses folders and archives whose numbers are those of no class, for their images would not be read."""
    numbers = [str(number) for number in range(len(class_names))]
    others = [name for name in numbered_images(root) if name != "images.npz" and Path(name).stem not in numbers]
    if class_names and others:
        raise UserError(
            f"--synthetic_dir={root} holds images of the label {Path(others[0]).stem} ({listing(others, most=3)}), and "
            f"the {named_by} names the labels {listing(numbers, most=20)} only: name its class too, or move it away"
        )


def _matched(labels: np.ndarray, recorded: Sequence[str], class_names: Sequence[str], directory: str) -> np.ndarray:
    """Returns the labels that the real set gives to the classes of synthetic images, int64 (num_images,).

    Args:
        labels: int (num_images,), numbers of `recorded`.
        recorded: the class names in the folder's classes.json.
        class_names: those of the real set.
        directory: the folder, for the message.
    """
    number_of = np.zeros(len(recorded), np.int64)
    for number in np.unique(labels):
        found = matching_class(number, recorded, class_names)
        if found is None:
            raise UserError(
                f"--synthetic_dir={directory}: its {CLASS_FILE} says that label {number} is {recorded[number]!r}, and "
                f"the real images have the classes {listing(class_names) or 'none'}: give images of these classes, or "
                f"correct the name if it means one of them"
            )
        number_of[number] = found
    return number_of[labels]


def synthetic_of(images: ImageSet | Mapping[Any, np.ndarray], class_names: Sequence[str]) -> ImageSet:
    """Synthetic images in memory as `load_synthetic` would read them from a file for each label.

    Args:
        images: uint8 (num_images, height, width, channels) by label, which is a number or a class name; or a labelled
            set.
        class_names: of the real set; labels of the result are their numbers.

    Returns:
        A set by rising label, whose ids start with "synthetic/".

    Raises:
        UserError: if there is no image, images are of another kind or differ in shape, or a label is none of the real
            set's.
    """
    if isinstance(images, ImageSet):
        if images.labels is None:
            raise UserError(f"synthetic={images!r} has no labels: give images by label, such as {{0: ..., 1: ...}}")
        pixels, names = np.asarray(images.images), images.class_names
        images = {names[label]: pixels[images.labels == label] for label in np.unique(images.labels)}
    if not isinstance(images, Mapping):
        raise UserError(
            f"synthetic is a {type(images).__name__}: give a dict of images by label, a labelled ImageSet, or a folder"
        )
    if not images:
        raise UserError("synthetic holds no images: leave it out, or give images by label, such as {0: ..., 1: ...}")
    for label, found in images.items():
        check_pixels(found, f"synthetic[{label!r}]")
    numbered = ((_real_label(label, class_names), found) for label, found in images.items())
    parts = sorted(numbered, key=lambda part: part[0])
    shapes = {found.shape[1:] for _, found in parts}
    if len(shapes) > 1:
        raise UserError(f"synthetic: images differ in shape ({listing(sorted(shapes))}); make them one")
    return ImageSet(
        images=np.concatenate([found for _, found in parts]),
        labels=np.concatenate([np.full(len(found), label, np.int32) for label, found in parts]),
        ids=np.array([f"synthetic/{label}/{index}" for label, found in parts for index in range(len(found))]),
        groups=None,
        name="synthetic",
        class_names=tuple(class_names),
    )


def _real_label(label: Any, class_names: Sequence[str]) -> int:
    try:
        return label_number(str(label), class_names)
    except UserError as error:  # it names --label
        known = listing(f"{number} ({name})" for number, name in enumerate(class_names)) or "none"
        raise UserError(
            f"synthetic has images of label {label!r}, but the real ones have the labels {known}"
        ) from error


_Part = tuple[np.ndarray, np.ndarray | None, np.ndarray]  # images, labels, ids


def _read_label(root: Path, label: int, strict: bool) -> _Part | None:
    if (root / f"{label}.npz").is_file():
        return _read_archive(root / f"{label}.npz", label + 1, label)
    found = _read_folder(root, str(label), strict)
    return found and (found[0], np.full(len(found[0]), label), found[1])


def _read_folder(root: Path, name: str, strict: bool) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns the images and ids of a sub-folder; None if it is absent or empty."""
    folder = root / name
    if not folder.is_dir() or not any(folder.iterdir()):
        return None
    names = list_images(str(folder))
    images, kept = read_images(str(folder), names, prepare=lambda image: image, strict=strict)
    return images, np.array([f"synthetic/{name}/{readable_name(names[index])}" for index in kept])


def _read_archive(path: Path, num_classes: int, label: int | None, needs_labels: bool = True) -> _Part:
    """Returns the images, labels and ids of an npz.

    The labels are all `label` if it is given, else those in the archive; None if there are none and none are needed.
    """
    try:
        if label is not None:
            arrays = read_npz(path, ["images"])
            arrays["labels"] = np.full(arrays["images"].shape[:1], label)
        else:
            arrays = read_npz(
                path, ["images", *(["labels"] if needs_labels else [])], optional=[] if needs_labels else ["labels"]
            )
    except NpzFileError as error:
        raise UserError(
            f"{path} is truncated, damaged or no npz of images{' and labels' if label is None else ''} ({error}): "
            f"write it again, as --mode=generate --format=npz does"
        ) from error
    images, labels = arrays["images"], arrays.get("labels")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3):
        num_nan = int(np.isnan(images).sum()) if images.dtype.kind == "f" else 0
        nan = f", {num_nan} of them NaN" if num_nan else ""
        raise UserError(
            f"{path}: images are {images.dtype} {images.shape}{nan}; they have to be uint8 (N, height, width, 1 or 3), "
            f"from 0 to 255"
        )
    if labels is not None and (labels.shape != images.shape[:1] or not np.isin(labels, range(num_classes)).all()):
        raise UserError(f"{path}: labels have to be {counted(len(images), 'whole number')} from 0 to {num_classes - 1}")
    return images, labels, np.array([f"synthetic/{path.name}/{index}" for index in range(len(images))])


def refuse_copies(synthetic: ImageSet, validation: ImageSet) -> None:
    """Refuses synthetic images that equal a validation image in every pixel, also when turned or mirrored.

    A classifier trained on such a copy would be measured on an image that it has seen.

    Raises:
        UserError: if there is such a copy; it names the first.
    """
    copies = {}
    for digest, name in _digests(validation, every_symmetry=True):
        copies.setdefault(digest, name)
    found = [(name, copies[digest]) for digest, name in _digests(synthetic) if digest in copies]
    if found:
        name, original = found[0]
        raise UserError(
            f"{len(found)} of {counted(len(synthetic), 'synthetic image')} copied from validation images, the first "
            f"{name!r} of {original!r}: make them with a generator that was trained on the training part only, with "
            "the same --split_seed and --split_by"
        )


def _digests(image_set: ImageSet, every_symmetry: bool = False) -> Iterator[tuple[bytes, str]]:
    """Yields (digest, id) of each image, or of all its turned and mirrored forms if `every_symmetry`."""
    symmetries = symmetries_that_fit(image_set.image_shape) if every_symmetry else (0,)
    for start in range(0, len(image_set), _COPY_BATCH):
        batch = image_set.images[start : start + _COPY_BATCH]
        names = image_set.ids[start : start + _COPY_BATCH]
        for symmetry in symmetries:
            for image, name in zip(apply_symmetry(batch, symmetry), names, strict=True):
                yield hashlib.blake2b(image.tobytes(), digest_size=16).digest(), str(name)
