"""Reads one of MedMNIST's sets of two-dimensional images from its npz file, grey or RGB, in its own three parts."""

from __future__ import annotations

import logging
import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.data.decoding import Prepare, prepare_array
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.sources.layouts import settled_parts
from histogan_tf.data.sources.medmnist_sets import MEDMNIST_SETS, SIDES, UNUSABLE_SETS, MedMNISTSet
from histogan_tf.errors import UserError, counted, listing
from histogan_tf.runs.npz_file import NpzFileError, read_npz

if TYPE_CHECKING:
    from histogan_tf.config import Config

logger = logging.getLogger("histogan_tf")

_PARTS = {"train": "train", "val": "validation", "test": "test"}
_SUFFIX = "|".join(f"_{side}" for side in SIDES[1:])
_NAME = re.compile(rf"(?P<set>[a-z0-9]+mnist(?:3d)?)(?:{_SUFFIX})?")


def load_medmnist(root: str, *, name: str, prepare: Prepare, medmnist: str | None = None) -> ImageSet:
    """Returns the images of a file such as pathmnist.npz, in memory: for training, for validation and for testing.

    The file holds train_images, uint8 (n, side, side) or (n, side, side, 3), train_labels, (n, 1), and the same two of
    val and test. The class names are those of MedMNIST's table.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `prepare_array`.
        medmnist: the name of the file without .npz, such as "pathmnist" or "breastmnist_224"; None for the only one.

    Raises:
        UserError: if there is no such file or several, it is damaged or too large, it is one of MedMNIST's sets with
            several labels an image or three dimensions, or its arrays do not belong together.
    """
    file_name = _choose_file(root, medmnist)
    medmnist_set = medmnist_set_of(file_name)
    path = os.path.join(root, f"{file_name}.npz")
    kinds = ("images", "labels")
    try:
        arrays = read_npz(Path(path), (), [f"{part}_{kind}" for part in _PARTS for kind in kinds])
    except NpzFileError as error:
        raise UserError(f"{path} cannot be read as npz: {error}") from error
    parts = [part for part in _PARTS if any(f"{part}_{kind}" in arrays for kind in kinds)]
    if not parts:
        raise UserError(f"{path} holds none of the arrays of MedMNIST, such as train_images and train_labels")
    images, labels = [], []
    for part in parts:
        if missing := [f"{part}_{kind}" for kind in kinds if f"{part}_{kind}" not in arrays]:
            raise UserError(f"{path} has no {missing[0]}: get the file again, for instance with --mode=download")
        images.append(_checked_images(path, f"{part}_images", arrays.pop(f"{part}_images")))
        labels.append(_checked_labels(path, f"{part}_labels", arrays[f"{part}_labels"], len(images[-1]), medmnist_set))
    if len({part.shape[1:] for part in images}) > 1:
        raise UserError(
            f"the parts of {path} have images of different shapes: {listing(part.shape for part in images)}"
        )
    if medmnist_set.is_ordinal:
        logger.info(
            "the labels of %s are grades, of which a higher one means more: they are taken as classes", file_name
        )
    counts = [len(part) for part in images]
    # Each part is made smaller before they are joined, so that they are not in memory twice at their full size.
    prepared = [prepare_array(images.pop(0), prepare) for _ in parts]
    return ImageSet(
        images=np.concatenate(prepared),
        labels=np.concatenate(labels),
        ids=np.array([f"{part}/{index}" for part, count in zip(parts, counts, strict=True) for index in range(count)]),
        groups=None,
        name=name,
        class_names=medmnist_set.classes,
        parts=settled_parts(np.repeat([_PARTS[part] for part in parts], counts)),
    )


def medmnist_set_of(file_name: str) -> MedMNISTSet:
    """Returns what is known of one of MedMNIST's sets.

    Args:
        file_name: the name of its file without .npz, such as "pathmnist" or "breastmnist_224".

    Raises:
        UserError: if there is no such set, or this program cannot use it.
    """
    match = _NAME.fullmatch(file_name)
    set_name = match["set"] if match else file_name
    if set_name in UNUSABLE_SETS:
        raise UserError(f"--medmnist={file_name} cannot be used: {UNUSABLE_SETS[set_name]}; choose another set")
    if set_name not in MEDMNIST_SETS:
        raise UserError(
            f"--medmnist={file_name} is none of MedMNIST's sets: choose one of {listing(MEDMNIST_SETS, most=20)}, with "
            f"_64, _128 or _224 added for larger images"
        )
    return MEDMNIST_SETS[set_name]


def chosen_medmnist(config: Config) -> str | None:
    """Returns the name of the set that --medmnist names, or that lies alone in the dataset's folder; None if neither.

    The names are those of files without .npz. The file is not opened.
    """
    if config.medmnist is not None:
        name = _file_name(config.medmnist)
        return name if _NAME.fullmatch(name) else None
    try:
        known = [name for name in _present_files(config.dataset_folder()) if _NAME.fullmatch(name)]
    except OSError:
        return None
    return known[0] if len(known) == 1 else None


def _file_name(medmnist: str) -> str:
    return medmnist.lower().removesuffix(".npz")


def _present_files(root: str) -> list[str]:
    return sorted(entry.removesuffix(".npz") for entry in os.listdir(root) if entry.endswith(".npz"))


def _choose_file(root: str, medmnist: str | None) -> str:
    present = _present_files(root)
    known = [file_name for file_name in present if _NAME.fullmatch(file_name)]
    if medmnist is not None:
        medmnist = _file_name(medmnist)
        medmnist_set_of(medmnist)
        if medmnist not in present:
            raise UserError(
                f"no {medmnist}.npz in {root!r}, which holds {listing(known) or 'none of MedMNIST'}: fetch it with "
                f"--mode=download --dataset=medmnist --medmnist={medmnist}"
            )
        return medmnist
    if not known:
        raise UserError(
            f"no file of MedMNIST, such as pathmnist.npz, in {root!r}: fetch one with --mode=download "
            f"--dataset=medmnist --medmnist=pathmnist"
        )
    if len(known) > 1:
        raise UserError(f"{root!r} holds {listing(known)}: choose one with --medmnist={known[0]}")
    return known[0]


def _checked_images(path: str, name: str, images: np.ndarray) -> np.ndarray:
    """Returns images as uint8 (num_images, height, width, 1 or 3)."""
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or (images.ndim == 4 and images.shape[-1] != 3):
        raise UserError(
            f"{name} in {path} is {images.dtype} {images.shape}; it has to be uint8 (n, height, width) or "
            f"(n, height, width, 3)"
        )
    if not images.size:
        raise UserError(f"{name} in {path} holds no image")
    return images[..., np.newaxis] if images.ndim == 3 else images


def _checked_labels(path: str, name: str, labels: np.ndarray, num_images: int, medmnist_set: MedMNISTSet) -> np.ndarray:
    """Returns labels as int32 (num_images,)."""
    if labels.ndim == 2 and labels.shape[1] > 1:
        raise UserError(f"{name} in {path} has {labels.shape[1]} labels for each image, and this program takes one")
    if labels.shape not in ((num_images,), (num_images, 1)):
        raise UserError(
            f"{name} in {path} has shape {labels.shape}, and it needs one for each of {counted(num_images, 'image')}"
        )
    if labels.dtype.kind not in "iu" or labels.min() < 0 or labels.max() >= len(medmnist_set.classes):
        raise UserError(
            f"{name} in {path} ({labels.dtype}) holds other values than the numbers 0 to "
            f"{len(medmnist_set.classes) - 1} of its classes"
        )
    return labels.reshape(-1).astype(np.int32)
