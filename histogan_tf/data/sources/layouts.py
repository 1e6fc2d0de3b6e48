"""Recognizes the parts into which somebody has split a dataset already: train, val and test, or trainA and trainB."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Collection, Sequence

import numpy as np

from histogan_tf.errors import listing

logger = logging.getLogger("histogan_tf")

_PARTS = {
    "train": "train",
    "training": "train",
    "val": "validation",
    "valid": "validation",
    "validation": "validation",
    "dev": "validation",
    "test": "test",
    "testing": "test",
}
_PARTS_OF_TWO = {"train": "train", "test": "validation"}
_DOMAINS = ("A", "B")
_HELD_OUT = "; the part test is held out: neither trained nor validated on, unless --part=test chooses it"
_DOMAIN_FOLDER = re.compile(r"(?P<part>[a-z]+)[_-]?(?P<domain>[ab])", re.IGNORECASE)

# PATIENT_idx5_xX_yY_classLABEL.png, as the patches of the IDC sets are named.
_PATCH_NAME = re.compile(r"(?P<patient>.+)_idx\d+_x\d+_y\d+_class[01]\.\w+")


@dataclasses.dataclass(frozen=True)
class Place:
    """What a folder right below the dataset's folder says of the images in it.

    Attributes:
        part: "train", "validation" or "test".
        domain: "A" or "B", for a folder such as trainA; None if the folder names only a part.
    """

    part: str
    domain: str | None = None


def recognize_split(folders: Collection[str]) -> dict[str, Place] | None:
    """Returns what each folder says, by its name; None if the folders are not those of a split.

    They are if every one names a part (such as train, val, test) or every one names a part and a domain (such as
    trainA, testB), and there are images for training and others. Letters may be large or small. Where there are folders
    for training and for testing only, the latter are the validation part.

    Args:
        folders: the names of all folders, right below that of the dataset, that hold images.
    """
    places = {folder: _place(folder) for folder in folders}
    if None in places.values() or len({place.domain is None for place in places.values()}) != 1:
        return None
    parts = {place.part for place in places.values()}
    domains = {place.domain for place in places.values() if place.part == "train"}
    if "train" not in parts or len(parts) == 1 or domains not in ({None}, set(_DOMAINS)):
        return None
    if "validation" not in parts:
        places = {
            folder: dataclasses.replace(place, part=_PARTS_OF_TWO[place.part]) for folder, place in places.items()
        }
    _tell(places)
    return places


def part_named(name: str) -> str | None:
    """Returns the part that a name such as "val" means: "train", "validation" or "test"; None if it means none."""
    return _PARTS.get(name.strip().casefold())


def settled_parts(parts: Sequence[str]) -> np.ndarray | None:
    """Returns the parts of a dataset that comes split, as an ImageSet has them; None if they are no split.

    They are one if there are images for training and others. Where there are images for training and testing only, the
    latter are the validation part.

    Args:
        parts: "train", "validation" or "test", for each image.
    """
    present = sorted(set(parts))
    if "train" not in present or len(present) == 1:
        logger.warning(
            "the images are all of %s: they are taken as one set, without parts of its own",
            " and ".join(f"the part {part}" for part in present),
        )
        return None
    if "validation" not in present:
        logger.info("there is no validation part: the test part is taken for it")
        parts = [_PARTS_OF_TWO[part] for part in parts]
    names, counts = np.unique(parts, return_counts=True)
    counted = listing(f"{count} {name}" for name, count in zip(names, counts, strict=True))
    logger.info("the dataset comes split: %s%s", counted, _HELD_OUT if "test" in names else "")
    return np.asarray(parts)


def _place(folder: str) -> Place | None:
    if part := _PARTS.get(folder.casefold()):
        return Place(part)
    match = _DOMAIN_FOLDER.fullmatch(folder)
    part = match and _PARTS.get(match["part"].casefold())
    return Place(part, match["domain"].upper()) if part else None


def _tell(places: dict[str, Place]) -> None:
    logger.info(
        "the folders are taken as the split: %s%s",
        ", ".join(f"{folder} = {_described(places[folder])}" for folder in sorted(places)),
        _HELD_OUT if any(place.part == "test" for place in places.values()) else "",
    )


def _described(place: Place) -> str:
    return place.part if place.domain is None else f"{place.part}, domain {place.domain}"


def patient_of(file_name: str) -> str | None:
    """Returns the patient that a file's name says, as those of the IDC sets do; None if it says none."""
    match = _PATCH_NAME.fullmatch(file_name)
    return match and match["patient"]


def patients_of(paths: Sequence[str]) -> np.ndarray | None:
    """Returns the patient of each image, str (num_images,); None if one file name does not say it.

    Args:
        paths: the images, with "/" between the parts of a path.
    """
    patients = [patient_of(path.rpartition("/")[2]) for path in paths]
    return np.array(patients) if all(patients) else None
