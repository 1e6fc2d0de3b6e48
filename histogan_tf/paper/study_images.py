"""The study's images: the dataset and its split, which are checked before anything is trained on them."""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import find_dataset
from histogan_tf.data.pipeline import steps_per_epoch
from histogan_tf.data.splits import OWN_PARTS, split_indices, without_test_images
from histogan_tf.errors import UserError
from histogan_tf.models import cyclegan
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells

LABELS = (0, 1)


@dataclasses.dataclass(frozen=True)
class StudyImages:
    """A dataset and its split into training and validation images.

    Attributes:
        whole: all images; image files are read only when they are needed.
        is_training: bool (num_images,), true for training images, false for validation images.
    """

    whole: ImageSet
    is_training: np.ndarray

    @property
    def is_colour(self) -> bool:
        """Whether the images have three channels."""
        return self.whole.image_shape[-1] == 3

    @property
    def num_training_patients(self) -> int:
        """The number of patients with training images; 0 if the patients are unknown."""
        return 0 if self.whole.groups is None else len(np.unique(self.whole.groups[self.is_training]))

    def num_training(self, label: int) -> int:
        """Counts the training images of a label."""
        return int(np.sum(self.is_training & (self.whole.labels == label)))


def find_images(config: Config) -> StudyImages:
    """Finds the dataset of a study, splits it, and checks that the study can be done with it.

    Raises:
        UserError: if there is no such dataset; if it does not have two labels; if a label has fewer training images
            than a batch, or no validation image; if images are too small for the CycleGAN.
    """
    whole = without_test_images(find_dataset(config))
    if whole.num_classes != 2:
        raise UserError(
            f"the study needs exactly two labels, and {whole.name!r} has {whole.num_classes}: sort its images into two "
            f"sub-folders, or give another --dataset"
        )
    train, _ = split_indices(whole, seed=config.split_seed, by=config.split_by)
    images = StudyImages(whole, np.isin(np.arange(len(whole)), train))
    for label in LABELS:
        try:
            steps_per_epoch(images.num_training(label), config.batch_size)
        except UserError as error:
            raise UserError(f"training images of {whole.class_names[label]}: {error}") from error
        if not np.any(~images.is_training & (whole.labels == label)):
            remedy = "another --split_seed, or --split_by=image" if whole.parts is None else "its validation part some"
            raise UserError(f"the validation part has no image of {whole.class_names[label]}: give {remedy}")
    if min(whole.image_shape[:2]) < cyclegan.MIN_CYCLEGAN_SIZE:
        raise UserError(
            f"images of {whole.image_shape[0]}x{whole.image_shape[1]} are too small for the study's CycleGAN: give "
            f"--output_height={cyclegan.MIN_CYCLEGAN_SIZE} or more"
        )
    return images


def write_split(images: StudyImages, config: Config, directory: Path) -> None:
    """Writes split.csv, a line for each image, and dataset.json, the number of images of each label in each part.

    Where the dataset comes split, dataset.json says that it was split by its "own parts", with no seed.
    """
    whole, is_training, comes_split = images.whole, images.is_training, images.whole.parts is not None
    groups = np.full(len(whole), "") if whole.groups is None else whole.groups
    parts = np.where(is_training, "train", "validation")
    with files.written_aside(directory / "split.csv") as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "patient", "label", "part"))
        writer.writerows(map(neutral_cells, zip(whole.ids, groups, whole.labels, parts, strict=True)))
    dataset = {
        "name": whole.name,
        "fingerprint": whole.fingerprint(),
        "image_shape": list(whole.image_shape),
        "class_names": list(whole.class_names),
        "positive_class": whole.class_names[1],
        "split_by": OWN_PARTS if comes_split else config.split_by,
        "split_seed": None if comes_split else config.split_seed,
        "train": whole.select(np.flatnonzero(is_training)).counts(),
        "validation": whole.select(np.flatnonzero(~is_training)).counts(),
        "patients_on_both_sides": None,
    }
    if whole.groups is not None:
        dataset["patients_on_both_sides"] = len(np.intersect1d(groups[is_training], groups[~is_training]))
    files.write_json(directory / "dataset.json", dataset)
