"""Decides which of two classes is the positive one, and makes it label 1."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence

from histogan_tf.data.image_set import ImageSet, find_class
from histogan_tf.errors import UserError, listing

logger = logging.getLogger("histogan_tf")

_POSITIVE_BY_NAME = "idc"


def with_positive_class(image_set: ImageSet, positive_class: str | None) -> ImageSet:
    """Returns the set with the positive class as label 1; images and their order stay as they are.

    A set whose label 1 is the positive class already is returned itself, and so is one that has not two classes.

    Args:
        image_set: the images.
        positive_class: the name of the positive class, as in --positive_class. None for the class that is called IDC
            (in capitals or not), or for label 1 if neither or both are.

    Raises:
        UserError: if a name is given, and the set has no such class or not two classes.
    """
    number = _positive_number(image_set, positive_class)
    if number == 1:
        return image_set
    negative, positive = image_set.class_names[1], image_set.class_names[0]
    return dataclasses.replace(image_set, labels=1 - image_set.labels, class_names=(negative, positive))


def _positive_number(image_set: ImageSet, positive_class: str | None) -> int:
    names = image_set.class_names
    if positive_class is None:
        number = find_class(_POSITIVE_BY_NAME, names) if len(names) == 2 else 1
        return 1 if number is None else number
    known = listing(names, most=20) or "none"
    if len(names) != 2:
        raise UserError(
            f"--positive_class={positive_class} needs a dataset with two classes, and {image_set.name!r} has "
            f"{len(names)} ({known}): leave it out"
        )
    number = find_class(positive_class, names)
    if number is None:
        raise UserError(f"--positive_class={positive_class}: the classes are {known}; give one of these names")
    return number


def positive_note(class_names: Sequence[str]) -> str:
    """Returns the words "positive class: NAME" for tables, figures and logs.

    Args:
        class_names: the names of the classes 0 and 1, of which 1 is the positive one.
    """
    return f"positive class: {class_names[1]}"


def tell_positive_class(class_names: Sequence[str]) -> None:
    """Logs which class precision and recall are about.

    Args:
        class_names: the names of the classes 0 and 1, of which 1 is the positive one.
    """
    logger.info(
        "positive class: %s (label 1); precision, recall and probabilities are those of %s, against %s; "
        "--positive_class chooses",
        class_names[1],
        class_names[1],
        class_names[0],
    )
