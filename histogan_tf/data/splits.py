"""Splits a dataset 67/33 into training and validation, by image as in the paper, or by patient."""

from __future__ import annotations

import logging

import numpy as np

from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError, counted

logger = logging.getLogger("histogan_tf")

VALIDATION_FRACTION = 0.33
OWN_PARTS = "own parts"  # what results record as the way in which a set that comes split was split


def split_indices(image_set: ImageSet, *, seed: int, by: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the indices of the training part and those of the validation part; each image is in one of them.

    A set that has its parts already keeps them, whatever `seed` and `by`; its test images are in neither.

    The paper's own split is by="image" with seed 42, on the set in its file order: scikit-learn's train_test_split with
    test_size=0.33. By patient, 33 % of the patients, not of the images, are for validation.

    Args:
        image_set: the whole set.
        seed: the seed of the split.
        by: "image", or "patient" to keep each patient's images on one side.

    Returns:
        The indices for training, int64 (num_train,), and for validation, int64 (num_validation,), in scikit-learn's
        order.

    Raises:
        UserError: if there are fewer than two images, or, by patient, if patients are unknown or fewer than two.
    """
    from sklearn.model_selection import GroupShuffleSplit, train_test_split

    indices, groups = np.arange(len(image_set)), image_set.groups
    if image_set.parts is not None:
        return _indices_of_parts(image_set)
    if len(indices) < 2:
        raise UserError(f"cannot split {len(indices)} image: give at least two, or use --part=all")
    if by == "image":
        train, validation = train_test_split(indices, test_size=VALIDATION_FRACTION, random_state=seed)
        _warn_of_shared_patients(groups, train, validation, remedy="--split_by=patient keeps them apart")
        return train, validation
    assert by == "patient", by
    if groups is None:
        raise UserError(f"--split_by=patient: the patients of {image_set.name!r} are unknown; use --split_by=image")
    if len(np.unique(groups)) < 2:
        raise UserError(f"--split_by=patient needs at least two patients, but all images are of {str(groups[0])!r}")
    splitter = GroupShuffleSplit(n_splits=1, test_size=VALIDATION_FRACTION, random_state=seed)
    return next(splitter.split(indices, groups=groups))


def warn_if_parts_share_patients(image_set: ImageSet) -> None:
    """Warns of patients of a set that comes split that are in its training part and in its validation or test part."""
    is_training = image_set.parts == "train"
    train, others = np.flatnonzero(is_training), np.flatnonzero(~is_training)
    _warn_of_shared_patients(image_set.groups, train, others, remedy="put each patient's images into one part")


def _indices_of_parts(image_set: ImageSet) -> tuple[np.ndarray, np.ndarray]:
    return np.flatnonzero(image_set.parts == "train"), np.flatnonzero(image_set.parts == "validation")


def without_test_images(image_set: ImageSet) -> ImageSet:
    """Returns the images of a set that are for training or validation: all but those of a folder such as test/."""
    if image_set.parts is None or not np.any(image_set.parts == "test"):
        return image_set
    return image_set.select(np.flatnonzero(image_set.parts != "test"))


def _warn_of_shared_patients(groups: np.ndarray | None, train: np.ndarray, others: np.ndarray, remedy: str) -> None:
    if groups is None:
        return
    num_shared = len(np.intersect1d(groups[train], groups[others]))
    if num_shared:
        logger.warning(
            "the split has %d of %s on both sides, which flatters every score; %s",
            num_shared,
            counted(len(np.unique(groups)), "patient"),
            remedy,
        )
