"""Draws a few patients of the study's training part, at which it asks whether synthetic images help."""

from __future__ import annotations

import csv
import dataclasses
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histogan_tf.paper.study_images import LABELS, StudyImages
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells

FEWEST_OF_A_CLASS = 10  # images, so that each of five folds can hold out two


@dataclasses.dataclass(frozen=True)
class FewPatients:
    """A few patients of the training part with all their images.

    Attributes:
        num_patients: the number of patients.
        indices: int (num_images,), the indices of their images in the whole dataset, sorted.
        counts: the number of images of each label.
    """

    num_patients: int
    indices: np.ndarray
    counts: dict[int, int]


def draw_patients(images: StudyImages, num_patients: int, seed: int) -> FewPatients | None:
    """Returns the first patients of a random order of the training patients.

    So the patients of a small number are among those of a larger one with the same seed.

    Args:
        images: the images of the study.
        num_patients: the number of patients.
        seed: the seed of the order.

    Returns:
        The draw; None if the patients are unknown or too few, or have fewer than FEWEST_OF_A_CLASS images of a label.
    """
    if images.whole.groups is None:
        return None
    groups = np.where(images.is_training, images.whole.groups, "")
    patients = np.unique(groups[images.is_training])
    if len(patients) < num_patients:
        return None
    chosen = np.random.default_rng(seed).permutation(patients)[:num_patients]
    indices = np.flatnonzero(images.is_training & np.isin(groups, chosen))
    counts = {label: int(np.sum(images.whole.labels[indices] == label)) for label in LABELS}
    if min(counts.values()) < FEWEST_OF_A_CLASS:
        return None
    return FewPatients(num_patients, indices, counts)


def write_few_patients(images: StudyImages, draws: Sequence[FewPatients], path: Path) -> None:
    """Writes a CSV in the format of clusters.csv, in which the number of a cluster is a number of patients.

    An image has a line for each draw that it is in.
    """
    whole = images.whole
    with files.written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(("id", "label", "patient", "cluster"))
        for draw in draws:
            for index in draw.indices.tolist():
                line = (whole.ids[index], whole.labels[index], whole.groups[index], draw.num_patients)
                writer.writerow(neutral_cells(line))
