"""Finds the image files below a folder, and counts by reason what else lies there."""

from __future__ import annotations

import dataclasses
import fnmatch
import logging
import os
from collections import Counter
from collections.abc import Mapping

from histogan_tf.data.decoding import SUFFIXES
from histogan_tf.errors import UserError, counted, listing

logger = logging.getLogger("histogan_tf")

_SLIDES = (".svs", ".ndpi", ".mrxs", ".scn", ".vms", ".bif")  # whole slides, as scanners write them

# Folders that storage systems, desktops and archivers make by themselves, with thumbnails, copies and deleted files.
_SYSTEM_FOLDERS = frozenset(
    {
        "@eadir",
        "@recycle",
        "@recently-snapshot",
        "@tmp",
        "#recycle",
        "#snapshot",
        "$recycle.bin",
        "__macosx",
        "lost+found",
        "system volume information",
    }
)


@dataclasses.dataclass(frozen=True)
class FoundFiles:
    """The image files below a folder.

    Attributes:
        names: the paths of the files, relative to the folder, with "/" between their parts, sorted.
        left_out: the number of entries of the folder and its sub-folders that were not taken, by the reason.
    """

    names: list[str]
    left_out: Mapping[str, int]


def list_images(root: str, pattern: str = "*") -> list[str]:
    """Returns the sorted relative paths of the image files below a folder: the `names` of `find_images_below`.

    Args:
        root: an existing folder.
        pattern: a glob for the files to take, as in `find_images_below`.

    Raises:
        UserError: for the reasons for which `find_images_below` raises it.
    """
    return find_images_below(root, pattern).names


def find_images_below(root: str, pattern: str = "*") -> FoundFiles:
    """Returns the image files below a folder: those whose suffix is that of an image, in large or small letters.

    Hidden entries, whose names begin with a dot, and the folders of storage systems and desktops are left out. A
    symbolic link to a folder or file outside `root` is followed, and the log tells it; one that leads into `root`, or
    to where another link led, is not, so that no file is read twice. What was left out is counted in the log.

    Args:
        root: an existing folder.
        pattern: a glob that is matched with the file name, or with the whole relative path if it contains a "/".

    Raises:
        UserError: if a folder cannot be listed, a link right below `root` leads nowhere, or there is no image that
            matches.
    """
    search = _Search(root, pattern)
    folders = [""]
    while folders:
        folders += search.look_into(folders.pop())
    search.tell()
    if not search.names:
        matching = "" if pattern == "*" else f" that matches {pattern!r}"
        others = f"; left out: {_with_counts(search.left_out)}" if search.left_out else ""
        has_slides = not search.left_out.keys().isdisjoint(f"files {suffix}" for suffix in _SLIDES)
        remedy = "; whole slides are not read: cut them into patches, with QuPath for example" if has_slides else ""
        raise UserError(
            f"no image{matching} in {root!r} or its sub-folders; looked for {', '.join(SUFFIXES)}{others}{remedy}"
        )
    return FoundFiles(sorted(search.names), dict(search.left_out))


def readable_name(name: str) -> str:
    r"""Returns a name with each byte that is not UTF-8 written as \x and two digits, so that any file can hold it."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


class _Search:
    """The state of one search below a folder."""

    def __init__(self, root: str, pattern: str) -> None:
        self.names: list[str] = []
        self.left_out: Counter[str] = Counter()
        self._root, self._pattern = root, pattern
        self._real_root = os.path.realpath(root)
        self._followed: dict[str, str] = {}
        self._searched, self._above = {self._real_root}, set(_parents(self._real_root))

    def look_into(self, folder: str) -> list[str]:
        """Takes the images of one folder, "" or a relative path that ends in "/", and returns its sub-folders."""
        folders = []
        path = os.path.join(self._root, folder)
        try:
            with os.scandir(path) as entries:
                found = sorted(entries, key=lambda entry: entry.name)
        except OSError as error:
            raise UserError(f"cannot list the folder {path!r}: {error.strerror}") from error
        for entry in found:
            name = folder + entry.name
            if entry.name.startswith("."):
                self.left_out["hidden"] += 1
            elif entry.is_symlink() and not self._can_follow(entry, name):
                continue
            elif entry.is_dir():
                if entry.name.casefold() in _SYSTEM_FOLDERS:
                    self.left_out["folders of a storage system or desktop"] += 1
                else:
                    folders.append(name + "/")
            else:
                self._take(name, is_file=entry.is_file())
        return folders

    def _can_follow(self, entry: os.DirEntry[str], name: str) -> bool:
        try:
            target = os.path.realpath(entry.path, strict=True)
        except OSError as error:
            if "/" not in name and not name.lower().endswith(SUFFIXES):
                raise UserError(
                    f"{entry.path!r} is a symbolic link that leads nowhere ({error.strerror}), and it may be a class: "
                    f"mend or remove it"
                ) from error
            self.left_out["links that lead nowhere"] += 1
            return False
        if target in self._above or not self._searched.isdisjoint((target, *_parents(target))):
            self.left_out["links to what is searched anyway"] += 1
            return False
        self._searched.add(target)
        self._above.update(_parents(target))
        self._followed[name] = target
        return True

    def _take(self, name: str, *, is_file: bool) -> None:
        file_name = name.rpartition("/")[2]
        if not is_file:
            self.left_out["neither files nor folders"] += 1
        elif not file_name.lower().endswith(SUFFIXES):
            suffix = os.path.splitext(readable_name(file_name))[1].lower()
            self.left_out[f"files {suffix}" if suffix else "files without suffix"] += 1
        elif not fnmatch.fnmatchcase(name if "/" in self._pattern else file_name, self._pattern):
            self.left_out["images that do not match --input_fname_pattern"] += 1
        else:
            self.names.append(name)

    def tell(self) -> None:
        """Logs which links were followed, and what was left out."""
        if self._followed:
            logger.info(
                "followed %s in %r: %s",
                counted(len(self._followed), "symbolic link"),
                self._root,
                listing((f"{name} -> {target}" for name, target in sorted(self._followed.items())), most=3),
            )
        if self.left_out:
            logger.info("left out in %r: %s", self._root, _with_counts(self.left_out))


def _parents(path: str) -> list[str]:
    """Returns the folders in which a path lies, the nearest first."""
    parents = []
    while (parent := os.path.dirname(path)) != path:
        parents.append(path := parent)
    return parents


def _with_counts(left_out: Mapping[str, int]) -> str:
    return listing(f"{reason} ({count})" for reason, count in sorted(left_out.items()))
