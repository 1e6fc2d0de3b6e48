"""Chooses images of a whole dataset before it is split: some classes, some patients, some images of each class."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Sequence

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet, label_number
from histogan_tf.errors import UserError, counted, listing

logger = logging.getLogger("histogan_tf")

# First number of each seed, so that the draw of patients, that of images and the split do not repeat each other.
_GROUP_STREAM, _IMAGE_STREAM = 11, 12


def choose(image_set: ImageSet, config: Config, labellings: Collection[str] = ()) -> ImageSet:
    """Returns the images that --classes, --max_groups and --images_per_class leave, in the dataset's order.

    The draws depend on --split_seed and on the dataset, and not on --seed: two networks with different seeds, such as
    a GAN and a classifier, then see the same images, and none of them trains on what another is validated on.

    Args:
        image_set: the whole dataset.
        config: the resolved flags.
        labellings: values of --classes that the dataset's reader has heeded, such as "subtypes".

    Raises:
        UserError: if there is no such class, or the dataset has no labels, or no patients that are known.
    """
    if config.classes is not None and not (len(config.classes) == 1 and config.classes[0].casefold() in labellings):
        image_set = choose_classes(image_set, config.classes)
    if config.max_groups is not None:
        image_set = draw_groups(image_set, config.max_groups, config.split_seed)
    if config.images_per_class is not None:
        image_set = draw_of_each_class(image_set, config.images_per_class, config.split_seed)
    return image_set


def choose_classes(image_set: ImageSet, classes: Sequence[str]) -> ImageSet:
    """Returns the images of some classes, whose labels become 0, 1, … in the order in which they are named.

    Args:
        image_set: the images.
        classes: the names or numbers of two classes or more.

    Raises:
        UserError: if there is no such class or no image of it, a class is named twice, or there are fewer than two.
    """
    given = f"--classes={','.join(classes)}"
    numbers = [label_number(name, image_set.class_names, "classes") for name in classes]
    if len(numbers) < 2:
        raise UserError(f"{given}: name two classes or more, or take the images of one with --label")
    if len(set(numbers)) < len(numbers):
        raise UserError(f"{given} names a class twice: name each once")
    indices = np.flatnonzero(np.isin(image_set.labels, numbers))
    chosen = image_set.select(indices)
    new_number = np.zeros(image_set.num_classes, np.int32)
    new_number[numbers] = np.arange(len(numbers))
    names = tuple(image_set.class_names[number] for number in numbers)
    chosen = dataclasses.replace(chosen, labels=new_number[chosen.labels], class_names=names)
    if empty := [name for name, count in chosen.counts().items() if not count]:
        raise UserError(f"{given}: there is no image of {listing(empty)}; leave it out")
    logger.info("%s: %d of %s", given, len(chosen), counted(len(image_set), "image"))
    return chosen


def draw_groups(image_set: ImageSet, most: int, seed: int) -> ImageSet:
    """Returns all images of a few patients of each part, drawn at random.

    The draw first takes one patient of each class that has images in the part, as long as `most` allows, so that no
    class is lost by chance. A larger `most` only adds patients.

    Args:
        image_set: the images.
        most: the largest number of patients in each part; in the whole set if it has no parts.
        seed: of the draw.

    Raises:
        UserError: if the patients are unknown.
    """
    if image_set.groups is None:
        raise UserError(f"--max_groups={most}: the patients of {image_set.name!r} are unknown; leave it out")
    kept = np.zeros(len(image_set), bool)
    for indices in _parts(image_set):
        groups = image_set.groups[indices]
        labels = None if image_set.labels is None else image_set.labels[indices]
        kept[indices] = np.isin(groups, _in_random_order(groups, labels, seed)[:most])
    chosen = image_set.select(np.flatnonzero(kept))
    logger.info(
        "--max_groups=%d: %d of %s, %d of %s",
        most,
        len(chosen.patients()),
        counted(len(image_set.patients()), "patient"),
        len(chosen),
        counted(len(image_set), "image"),
    )
    return chosen


def _in_random_order(groups: np.ndarray, labels: np.ndarray | None, seed: int) -> list[str]:
    """Returns the patients in random order, but first one of each class."""
    order = np.random.default_rng((_GROUP_STREAM, seed)).permutation(np.unique(groups)).tolist()
    if labels is None:
        return order
    first = []
    for label in np.unique(labels):
        of_label = set(groups[labels == label].tolist())
        if of_label.isdisjoint(first):
            first.append(next(group for group in order if group in of_label))
    return first + [group for group in order if group not in first]


def draw_of_each_class(image_set: ImageSet, most: int, seed: int) -> ImageSet:
    """Returns a few images of each class and part, drawn at random.

    The images of a class depend neither on the other classes nor on their numbers, and a larger `most` only adds some.

    Args:
        image_set: the images.
        most: the largest number of images of each class in each part; in the whole set if it has no parts.
        seed: of the draw.

    Raises:
        UserError: if the images have no labels.
    """
    if image_set.labels is None:
        raise UserError(
            f"--images_per_class={most}: the images of {image_set.name!r} have no labels; give --train_size instead"
        )
    kept = []
    for number, name in enumerate(image_set.class_names):
        rng = np.random.default_rng((_IMAGE_STREAM, seed, *name.encode(errors="surrogateescape")))
        order = rng.permutation(np.flatnonzero(image_set.labels == number))
        if image_set.parts is None:
            kept.append(order[:most])
        else:
            kept += [order[image_set.parts[order] == part][:most] for part in np.unique(image_set.parts)]
    chosen = image_set.select(np.sort(np.concatenate(kept)))
    logger.info("--images_per_class=%d: %d of %s", most, len(chosen), counted(len(image_set), "image"))
    return chosen


def _parts(image_set: ImageSet) -> list[np.ndarray]:
    """Returns the indices of the images in each part of a set that comes split, or of all images."""
    if image_set.parts is None:
        return [np.arange(len(image_set))]
    return [np.flatnonzero(image_set.parts == part) for part in np.unique(image_set.parts)]
