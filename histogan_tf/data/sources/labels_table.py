"""Reads a folder of images whose labels stand in a table: any with --labels_csv, and Kaggle's cancer detection.

The latter: https://www.kaggle.com/c/histopathologic-cancer-detection.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence

import numpy as np

from histogan_tf.data.decoding import Prepare
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import FileSource, LazyImages
from histogan_tf.data.sources.file_search import find_images_below, readable_name
from histogan_tf.data.sources.folder import sort_class_names
from histogan_tf.data.sources.layouts import patients_of, recognize_split, settled_parts
from histogan_tf.data.sources.table_columns import ListedImage, read_listed_images
from histogan_tf.errors import UserError, counted, listing

logger = logging.getLogger("histogan_tf")

# A whole number, such as 3, or 3.0 as pandas writes it where another line has no label.
_WHOLE_NUMBER = re.compile(r"(?P<digits>-?\d+)(?:\.0*)?", re.ASCII)
_KAGGLE_TABLE, _KAGGLE_CLASSES = "train_labels.csv", {"0": "normal", "1": "tumor"}


def load_listed_images(
    root: str,
    *,
    name: str,
    prepare: Prepare,
    labels_csv: str,
    csv_columns: Sequence[str] | None = None,
    input_fname_pattern: str = "*",
    strict: bool = False,
) -> ImageSet:
    """Returns the images that a table names, lazy, ordered by class and then by path.

    The table names an image by its path below the folder, with its suffix or without, or by its file name alone if no
    other image has it. Labels may be text or numbers. If the table has no patients, they are those of the file names,
    as `load_folder` knows them. If it has no parts, and every image is in a folder such as train/ or test/, these are
    the parts (see `recognize_split`); else the program splits the set. Images that the table names and that are not
    there, or that it does not label, are left out and counted.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.
        labels_csv: the table; its path as it stands, or below `root`.
        csv_columns: the names of its columns, as in `read_listed_images`.
        input_fname_pattern: a glob for the files to take, as in `find_images_below`.
        strict: stop at the first image that is not there or has no label.

    Raises:
        UserError: if the table cannot be read, names no image that is there, names one twice with different labels, or,
            with `strict`, names one that is not there or has no label.
    """
    table = _find_table(root, labels_csv)
    return _load(root, name, prepare, table, read_listed_images(table, csv_columns), input_fname_pattern, strict=strict)


def load_cancer_detection(root: str, *, name: str, prepare: Prepare, strict: bool = False) -> ImageSet:
    """Returns the patches of train/ that train_labels.csv names (columns id and label), lazy; those of test/ have none.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.
        strict: stop at the first patch that is not there or has no label.

    Raises:
        UserError: if the table is missing or damaged, has another label than 0 and 1, or names no patch that is there.
    """
    table = os.path.join(root, _KAGGLE_TABLE)
    if not os.path.isfile(table):
        raise UserError(
            f"no {_KAGGLE_TABLE} in {root!r}: --dataset=cancer-detection needs it, and train/*.tif beside it"
        )
    listed = read_listed_images(table, ("id", "label"))
    if other := [image for image in listed if image.label not in (*_KAGGLE_CLASSES, "")]:
        raise UserError(f"line {other[0].line} of {table} has the label {other[0].label!r}; it has to be 0 or 1")
    listed = [dataclasses.replace(image, label=_KAGGLE_CLASSES.get(image.label, "")) for image in listed]
    return _load(root, name, prepare, table, listed, strict=strict)


def _find_table(root: str, labels_csv: str) -> str:
    given = os.path.expandvars(os.path.expanduser(labels_csv))
    for path in (given, os.path.join(root, given)):
        if os.path.isfile(path):
            return path
    raise UserError(f"--labels_csv={labels_csv}: there is no such file, neither here nor in {root!r}")


def _load(
    root: str,
    name: str,
    prepare: Prepare,
    table: str,
    listed: Sequence[ListedImage],
    pattern: str = "*",
    *,
    strict: bool,
) -> ImageSet:
    found = find_images_below(root, pattern)
    left_out = Counter(found.left_out)
    images = _match(root, table, listed, found.names, left_out, strict=strict)
    labels = _as_whole_numbers({path: image.label for path, image in images.items()})
    class_names = sort_class_names(set(labels.values()))
    if len(class_names) == len(images) > 2:
        raise UserError(f"{table} gives each of its {len(images)} images a label of its own: choose with --csv_columns")
    names = sorted(images, key=lambda path: (class_names.index(labels[path]), path))
    groups, parts = ([getattr(images[path], column) for path in names] for column in ("group", "part"))
    if any(groups) and not all(groups):
        logger.warning("%s names no patient for %s: patients are unknown", table, counted(groups.count(""), "image"))
    return ImageSet(
        images=LazyImages(FileSource(root, names, prepare)),
        labels=np.array([class_names.index(labels[path]) for path in names], np.int32),
        ids=np.array(list(map(readable_name, names))),
        groups=np.array(groups) if all(groups) else None if any(groups) else patients_of(names),
        name=name,
        class_names=tuple(class_names),
        parts=settled_parts(parts) if all(parts) else _parts_of_folders(names),
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _parts_of_folders(paths: Sequence[str]) -> np.ndarray | None:
    """Returns the part of each image, if the folders right below the dataset's are those of a split; None if not."""
    folders = [path.partition("/")[0] if "/" in path else "" for path in paths]
    places = recognize_split(set(folders))
    return None if places is None else np.array([places[folder].part for folder in folders])


def _match(
    root: str, table: str, listed: Sequence[ListedImage], paths: Sequence[str], left_out: Counter, *, strict: bool
) -> dict[str, ListedImage]:
    """Returns the line of each image that is there and labelled, by its path; counts the others in `left_out`."""
    known, images, missing, unlabelled, unnamed = _by_name(paths), {}, [], [], set(paths)
    for image in listed:
        path = _find(root, table, image, known)
        unnamed.discard(path)
        if path is None:
            missing.append(image.file)
        elif not image.label:
            unlabelled.append(image.file)
        elif path in images and _content(images[path]) != _content(image):
            raise UserError(
                f"{table} names {image.file!r} twice, in the lines {images[path].line} and {image.line}, and says "
                f"different things of it: keep one"
            )
        else:
            images.setdefault(path, image)
    for files, what in ((missing, "without a file"), (unlabelled, "that it does not label")):
        if not files:
            continue
        words = f"{table} names {counted(len(files), 'image')} {what}: {listing(files, most=3)}"
        if strict:
            raise UserError(f"{words} (without --strict they would be left out)")
        logger.warning("left out: %s", words)
        left_out[f"images of the table {what}"] = len(files)
    left_out["images that the table does not name"] = len(unnamed)
    if not images:
        raise UserError(
            f"none of {counted(len(listed), 'image')} that {table} names, such as {listed[0].file!r}, is in {root!r}"
        )
    return images


def _content(image: ListedImage) -> tuple[str, str, str]:
    return image.label, image.group, image.part


def _by_name(paths: Sequence[str]) -> Mapping[str, list[str]]:
    """Returns the images by each name that a table may use: path and file name, with suffix and without."""
    known = defaultdict(list)
    for path in paths:
        file_name = path.rpartition("/")[2]
        for key in {path, os.path.splitext(path)[0], file_name, os.path.splitext(file_name)[0]}:
            known[key].append(path)
    return known


def _find(root: str, table: str, image: ListedImage, known: Mapping[str, list[str]]) -> str | None:
    """Returns the path of the image that a line names; None if it is not there.

    A name with folders is that of a path below the folder, whose first folders may be those of another machine.
    """
    name = os.path.normpath(image.file.replace("\\", "/")).lstrip("/")
    folders = name.split("/")
    for start in range(len(folders)):
        key = "/".join(folders[start:])
        paths = known.get(key, ())
        if len(folders) > 1:
            paths = [path for path in paths if key in (path, os.path.splitext(path)[0])]
        if name in paths:
            return name
        if len(paths) > 1:
            raise UserError(
                f"line {image.line} of {table} names {image.file!r}, which may be any of {listing(paths, most=3)}: "
                f"give the path below {root!r}"
            )
        if paths:
            return paths[0]
    return None


def _as_whole_numbers(labels: Mapping[str, str]) -> dict[str, str]:
    """Returns labels such as 1.0, as a table that was saved by pandas may have them, as 1, if all are such numbers."""
    matches = {label: _WHOLE_NUMBER.fullmatch(label) for label in set(labels.values())}
    if not all(matches.values()):
        return dict(labels)
    return {path: matches[label]["digits"] for path, label in labels.items()}
