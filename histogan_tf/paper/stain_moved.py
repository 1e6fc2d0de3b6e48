"""Makes images of a class from real ones of the other class by their stain alone.

A CycleGAN's translation changes stain and structure. Beside it, these images show what the stain alone is worth.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.class_file import write_class_file
from histogan_tf.data.loading import load_parts
from histogan_tf.data.stain import mean_stains, scale_stains
from histogan_tf.paper.study_images import LABELS
from histogan_tf.runs import files

logger = logging.getLogger(__name__)

# A class that almost lacks a stain would ask for a factor without bounds.
_FACTORS = (0.25, 4.0)


def write_stain_moved(config: Config, directory: Path) -> None:
    """Writes, for each label, LABEL.npz: the training images of the other label with the mean stain of this one.

    The amount of haematoxylin, eosin and DAB in each pixel is multiplied by one factor each, by which the mean over all
    training images of the one class becomes that of the other.

    Args:
        config: the resolved Config of the study.
        directory: the folder to write.

    Raises:
        UserError: if the dataset cannot be read.
    """
    training, _ = load_parts(config)
    of_label = {label: np.asarray(training.images)[training.labels == label] for label in LABELS}
    means = {label: mean_stains(images) for label, images in of_label.items()}
    write_class_file(directory, training.class_names)
    for label in LABELS:
        other = 1 - label
        factors = np.clip(means[label] / np.maximum(means[other], 1e-6), *_FACTORS)
        logger.info(
            "%s to %s: haematoxylin x %.2f, eosin x %.2f, DAB x %.2f",
            training.class_names[other],
            training.class_names[label],
            *factors,
        )
        with files.written_aside(directory / f"{label}.npz") as aside, aside.open("wb") as file:
            np.savez(file, images=scale_stains(of_label[other], factors))
