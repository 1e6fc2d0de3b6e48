"""Reads any folder of images; its sub-folders, if there are any, are the classes."""

from __future__ import annotations

import fnmatch
import logging
import os

import numpy as np

from histogan_tf.data.decoding import SUFFIXES, Prepare
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import FileSource, LazyImages
from histogan_tf.errors import UserError, listing

logger = logging.getLogger("histogan_tf")


def list_images(root: str, pattern: str = "*") -> list[str]:
    """Returns the paths of the image files below `root`, relative to `root`, with "/" between their parts, sorted.

    Files and folders whose names begin with a dot are left out. Symbolic links are not followed, so that no file
    outside the folder is read and no file inside it is read twice; a warning says how many links there were.

    Args:
        root: an existing folder.
        pattern: a glob that is matched with the file name, or with the whole relative path if it contains a "/".

    Raises:
        UserError: if a folder cannot be listed, or there is no image that matches.
    """
    names, links, folders = [], [], [""]
    while folders:
        folder = folders.pop()
        for entry in _scan(os.path.join(root, folder)):
            name = folder + entry.name
            if entry.is_symlink():
                links.append(name)
            elif entry.is_dir():
                folders.append(name + "/")
            elif entry.is_file() and _is_wanted(name, pattern):
                names.append(name)
    if links:
        logger.warning("did not follow %d symbolic links in %r: %s", len(links), root, listing(sorted(links), most=3))
    if not names:
        matching = "" if pattern == "*" else f" that matches {pattern!r}"
        raise UserError(f"no image{matching} in {root!r} or its sub-folders; looked for {', '.join(SUFFIXES)}")
    return sorted(names)


def _scan(folder: str) -> list[os.DirEntry[str]]:
    """Returns the entries of a folder, without the hidden ones."""
    try:
        with os.scandir(folder) as entries:
            return [entry for entry in entries if not entry.name.startswith(".")]
    except OSError as error:
        raise UserError(f"cannot list the folder {folder!r}: {error.strerror}") from error


def _is_wanted(name: str, pattern: str) -> bool:
    matched = name if "/" in pattern else name.rpartition("/")[2]
    return name.lower().endswith(SUFFIXES) and fnmatch.fnmatchcase(matched, pattern)


def sort_class_names(class_names: set[str]) -> list[str]:
    """Returns class names sorted by number if all are numbers, else alphabetically."""
    are_numbers = all(name.isascii() and name.isdigit() for name in class_names)
    return sorted(class_names, key=lambda name: (int(name) if are_numbers else 0, name))


def load_folder(root: str, *, name: str, prepare: Prepare, input_fname_pattern: str = "*") -> ImageSet:
    """Returns the images below a folder, lazy, ordered by class and then by path.

    Each sub-folder of `root` that holds images, at any depth, is a class. The set is unlabelled if some images are in
    `root` itself, or if there is only one such sub-folder.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.
        input_fname_pattern: a glob for the files to take, as in `list_images`.

    Raises:
        UserError: if a folder cannot be listed, or there is no image that matches.
    """
    names = list_images(root, input_fname_pattern)
    class_of = {path: path.partition("/")[0] if "/" in path else "" for path in names}
    class_names = sort_class_names(set(class_of.values()))
    if "" in class_names and len(class_names) > 1:
        logger.warning("images are in %r itself and in its sub-folders: taken as one set without labels", root)
    if "" in class_names or len(class_names) == 1:
        class_names = []
    number_of = {class_name: number for number, class_name in enumerate(class_names)}
    if class_names:
        names.sort(key=lambda path: (number_of[class_of[path]], path))
    return ImageSet(
        images=LazyImages(FileSource(root, names, prepare)),
        labels=np.array([number_of[class_of[path]] for path in names], np.int32) if class_names else None,
        ids=np.array(names),
        groups=None,
        name=name,
        class_names=tuple(class_names),
    )
