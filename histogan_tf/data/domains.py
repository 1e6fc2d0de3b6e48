"""Loads the two domains of an unpaired translation: the images of two labels of one dataset."""

from __future__ import annotations

import dataclasses
import logging

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.image_set import WAYS_TO_LABEL, ImageSet, label_number
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError

logger = logging.getLogger("histogan_tf")


@dataclasses.dataclass(frozen=True)
class Domain:
    """One side of the translation.

    Attributes:
        label: the number of the domain's label in the dataset.
        name: the name of that label.
        image_set: the images with that label.
    """

    label: int
    name: str
    image_set: ImageSet


def load_domains(config: Config, images: ImageSet | None = None) -> tuple[Domain, Domain]:
    """Returns the images of --domain_a and of --domain_b.

    Args:
        config: the resolved flags.
        images: the images to choose from; None to read the dataset.

    Raises:
        UserError: if the dataset cannot be loaded, has no labels or not these two, or a domain has no image.
    """
    image_set = load_dataset(config, images)
    if not image_set.num_classes:
        raise UserError(f"CycleGAN needs two labels, and {image_set.name} has none: {WAYS_TO_LABEL}")
    domain_a, domain_b = (_domain(image_set, flag, getattr(config, flag)) for flag in ("domain_a", "domain_b"))
    if domain_a.label == domain_b.label:
        raise UserError(f"--domain_a and --domain_b are both {domain_a.name}: give two different labels")
    logger.info(
        "domain A: %d %s, domain B: %d %s",
        len(domain_a.image_set),
        domain_a.name,
        len(domain_b.image_set),
        domain_b.name,
    )
    return domain_a, domain_b


def _domain(image_set: ImageSet, flag: str, label: str) -> Domain:
    names = image_set.class_names
    number = label_number(label, names, flag)
    indices = np.flatnonzero(image_set.labels == number)
    if not len(indices):
        raise UserError(
            f"--{flag}={label}: no image of {names[number]} among {len(image_set)} ({image_set.counts()}); choose "
            f"another label, or take more images (--part=all, --train_size)"
        )
    return Domain(number, names[number], image_set.select(indices))
