"""Reads and writes classes.json, which says in a folder of synthetic images which class each label's number means.

The file holds {"class_names": [...]}, the names of labels 0, 1, … by which sub-folders, archives and labels in archives
are numbered. Another dataset may number the same classes otherwise, so images are matched to its classes by name.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histogan_tf.data.image_set import find_class
from histogan_tf.errors import UserError, listing, reason_of
from histogan_tf.runs.files import write_json

CLASS_FILE = "classes.json"


def write_class_file(directory: Path, class_names: Sequence[str]) -> None:
    """Writes classes.json into a folder of synthetic images, unless the same names stand there already.

    Args:
        directory: the folder; it is made if it does not exist.
        class_names: the names of labels 0, 1, ….

    Raises:
        UserError: if the folder holds images whose labels are numbered otherwise, or images without a classes.json.
    """
    recorded = read_class_file(directory)
    if recorded is None:
        if numbered := numbered_images(directory):
            raise UserError(
                f"{directory} holds images ({listing(numbered, most=3)}) and no {CLASS_FILE} that says which classes "
                f"they are of: choose another --output_dir, or write {directory / CLASS_FILE} as "
                f'{{"class_names": ["name of label 0", "name of label 1"]}}'
            )
        write_json(directory / CLASS_FILE, {"class_names": list(class_names)})
    elif recorded != tuple(class_names):
        raise UserError(
            f"{directory} holds images of the classes {_numbered(recorded)}, and these are {_numbered(class_names)}: "
            f"choose another --output_dir"
        )


def read_class_file(directory: Path) -> tuple[str, ...] | None:
    """Returns the class names in a folder's classes.json; None if it has no such file.

    Raises:
        UserError: if the file cannot be read or does not hold class names.
    """
    path = directory / CLASS_FILE
    try:
        names = json.loads(path.read_text(encoding="utf-8"))["class_names"]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError("class_names is no list of names")
        if len(set(names)) < len(names):
            raise ValueError("a name stands twice in class_names")
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read ({reason_of(error)}): it has to hold "
            f'{{"class_names": ["name of label 0", "name of label 1"]}}'
        ) from error
    return tuple(names)


def matching_class(number: int, recorded: Sequence[str], class_names: Sequence[str]) -> int | None:
    """Returns the number that a recorded class has among other classes; None if none, or more than one, is the same.

    Args:
        number: the number of the class in `recorded`.
        recorded: the class names of a classes.json.
        class_names: the class names of the real images.
    """
    found = find_class(recorded[number], class_names)
    # In both directions, or else the recorded classes "IDC" and "idc" would both be taken for a class "idc".
    return None if found is None or find_class(class_names[found], recorded) != number else found


def numbered_images(directory: Path) -> list[str]:
    """Returns the names, sorted, of the numbered sub-folders and of the archives in a folder of synthetic images.

    Empty sub-folders are left out, and so is an archive that is neither numbered nor called images.npz.
    """
    if not directory.is_dir():
        return []
    found = (path for path in directory.iterdir() if path.stem.isdecimal() or path.name == "images.npz")
    return sorted(path.name for path in found if path.suffix == ".npz" or (path.is_dir() and any(path.iterdir())))


def _numbered(class_names: Sequence[str]) -> str:
    return listing((f"{number} ({name})" for number, name in enumerate(class_names)), most=20) or "none"


def labels_among(labels: np.ndarray, recorded: Sequence[str], class_names: Sequence[str]) -> np.ndarray:
    """Returns labels with the numbers that their classes have among other classes.

    Args:
        labels: int (num_images,), numbers of the classes in `recorded`.
        recorded: the class names that the labels number.
        class_names: the class names of the real images.

    Returns:
        int32 (num_images,).

    Raises:
        UserError: if a class of the labels is none of the real images'.
    """
    numbers = {int(label): matching_class(int(label), recorded, class_names) for label in np.unique(labels)}
    for label, number in numbers.items():
        if number is None:
            raise UserError(
                f"images were made as {recorded[label]!r}, and the real ones have the classes "
                f"{listing(class_names) or 'none'}: give real images of the same classes"
            )
    return np.array([numbers[int(label)] for label in labels], np.int32)
