"""Reads any folder of images; its sub-folders, if there are any, are the classes, or the parts of a split."""

from __future__ import annotations

import dataclasses
import logging
import os
import posixpath
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from histogan_tf.data.class_file import read_class_file
from histogan_tf.data.decoding import Prepare
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import FileSource, LazyImages
from histogan_tf.data.sources.file_search import find_images_below, readable_name
from histogan_tf.data.sources.layouts import Place, part_named, patients_of, recognize_split
from histogan_tf.errors import listing

logger = logging.getLogger("histogan_tf")


def sort_class_names(class_names: set[str]) -> list[str]:
    """Returns class names sorted by number if all are numbers, else alphabetically."""
    are_numbers = all(name.isascii() and name.isdigit() for name in class_names)
    return sorted(class_names, key=lambda name: (int(name) if are_numbers else 0, name))


def load_folder(root: str, *, name: str, prepare: Prepare, input_fname_pattern: str = "*") -> ImageSet:
    """Returns the images below a folder, lazy, ordered by class and then by path.

    Each sub-folder of `root` that holds images, at any depth, is a class. The set is unlabelled if some images are in
    `root` itself, or if there is only one such sub-folder; a warning tells where folders further down look like the
    classes. If the sub-folders are the parts of a split (see `recognize_split`), the folders in them are the classes,
    or the domains A and B, and the set comes split. Patients are known where every file name says them as those of the
    IDC sets do. Classes are named by their folders; those of a folder of synthetic images, by its classes.json.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.
        input_fname_pattern: a glob for the files to take, as in `find_images_below`.

    Raises:
        UserError: if a folder cannot be listed, there is no image that matches, or classes.json is damaged.
    """
    found = find_images_below(root, input_fname_pattern)
    arranged = _arrange(
        root, found.names, recognize_split({name.partition("/")[0] for name in found.names if "/" in name})
    )
    class_names = sort_class_names({of_image for of_image in arranged.classes.values() if of_image})
    if "" in arranged.classes.values() or len(class_names) == 1:
        class_names = []
    number_of = {class_name: number for number, class_name in enumerate(class_names)}
    names = sorted(arranged.classes, key=lambda path: (number_of.get(arranged.classes[path], 0), path))
    return ImageSet(
        images=LazyImages(FileSource(root, names, prepare)),
        labels=np.array([number_of[arranged.classes[path]] for path in names], np.int32) if class_names else None,
        ids=np.array(list(map(readable_name, names))),
        groups=patients_of(names),
        name=name,
        class_names=_recorded_names(Path(root), class_names) or tuple(map(readable_name, class_names)),
        parts=None if arranged.parts is None else np.array([arranged.parts[path] for path in names]),
        left_out={**found.left_out, **arranged.left_out},
    )


def _recorded_names(root: Path, folders: Sequence[str]) -> tuple[str, ...] | None:
    """Returns the names that classes.json gives to classes whose folders are numbers; None if it does not."""
    recorded = read_class_file(root) or ()
    numbers = [int(folder) for folder in folders if folder.isascii() and folder.isdigit()]
    if len(numbers) < len(folders) or not all(number < len(recorded) for number in numbers):
        return None
    return tuple(recorded[number] for number in numbers)


@dataclasses.dataclass(frozen=True)
class _Arranged:
    """What the folders say of the images.

    Attributes:
        classes: the name of each image's class, by path; "" for an image that is in no class's folder.
        parts: the part of the split that each image is in, by path; None if the folders are not those of a split.
        left_out: the number of images that are not taken, by the reason.
    """

    classes: Mapping[str, str]
    parts: Mapping[str, str] | None
    left_out: Mapping[str, int]


def _arrange(root: str, names: list[str], places: Mapping[str, Place] | None) -> _Arranged:
    if places is None:
        classes = {path: path.partition("/")[0] if "/" in path else "" for path in names}
        if len(set(classes.values())) > 1 and "" in classes.values():
            logger.warning("images are in %r itself and in its sub-folders: taken as one set without labels", root)
        _warn_of_folders_further_down(root, names)
        return _Arranged(classes, None, {})
    in_parts = [path for path in names if "/" in path]
    num_beside = len(names) - len(in_parts)
    classes = {path: _class_in_part(path, places) for path in in_parts}
    # A part such as test/ often has no classes; its images cannot be used together with labelled ones.
    has_classes = {folder: [] for folder in places}
    for path, of_image in classes.items():
        has_classes[path.partition("/")[0]].append(bool(of_image))
    labelled = {folder for folder, told in has_classes.items() if all(told)}
    left_out = Counter({"images beside the folders of the split": num_beside} if num_beside else {})
    if labelled and any(places[folder].part == "train" for folder in labelled):
        for folder in sorted(places.keys() - labelled):
            left_out[f"images of {folder}/, which are not in folders of classes"] = len(has_classes[folder])
        classes = {path: of_image for path, of_image in classes.items() if path.partition("/")[0] in labelled}
    else:
        if any(classes.values()):
            logger.warning("images are in a part's folder itself and in its sub-folders: taken as a set without labels")
        classes = dict.fromkeys(classes, "")
    if left_out:
        logger.warning("left out: %s", listing(f"{reason} ({count})" for reason, count in left_out.items()))
    parts = {path: places[path.partition("/")[0]].part for path in classes}
    # What is left of a split may be its training part only: then the program splits it.
    return _Arranged(classes, parts if len(set(parts.values())) > 1 else None, left_out)


def _warn_of_folders_further_down(root: str, names: list[str]) -> None:
    """Warns where the classes seem to be folders that are not right below `root`, and so are not taken as classes."""
    folders = {posixpath.dirname(name) for name in names}
    outer = posixpath.commonpath(folders)
    if outer and outer not in folders:
        inner = {folder.removeprefix(f"{outer}/").partition("/")[0] for folder in folders}
        logger.warning(
            "all images are in %s/, so they have no labels: to take its sub-folders (%s) as %s, give --data_path=%s",
            readable_name(outer),
            listing(map(readable_name, sorted(inner))),
            "parts" if any(map(part_named, inner)) else "classes",
            readable_name(os.path.join(root, outer)),
        )
        return
    classes_with = defaultdict(set)
    for class_name, has_inner, rest in (folder.partition("/") for folder in folders):
        if has_inner:
            classes_with[rest.partition("/")[0]].add(class_name)
    repeated = sorted(name for name, class_names in classes_with.items() if len(class_names) > 1)
    outer_folders = set().union(*classes_with.values())
    # Images right in `root` make a set without classes. Patients are more than classes: few folders that all hold many
    # of the same names are classes, with a folder for each patient in them.
    if len(repeated) > 1 and "" not in folders and len(outer_folders) >= len(classes_with):
        logger.warning(
            "the folders %s are taken as the classes, though folders called %s repeat in them: if they are patients, "
            "give a table of the file, label and patient of each image by --labels_csv",
            listing(map(readable_name, sort_class_names(set.union(*(classes_with[name] for name in repeated))))),
            listing(map(readable_name, repeated)),
        )


def _class_in_part(path: str, places: Mapping[str, Place]) -> str:
    folder, _, inner = path.partition("/")
    return places[folder].domain or (inner.partition("/")[0] if "/" in inner else "")
