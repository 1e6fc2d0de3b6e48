"""Reads BreakHis, microscope images of breast tumours whose file names say class, patient and magnification.

Spanhol et al., "A Dataset for Breast Cancer Histopathological Image Classification", IEEE Trans. Biomed. Eng. 63(7),
2016.
"""

from __future__ import annotations

import logging
import re
from collections import Counter
from collections.abc import Sequence

import numpy as np

from histogan_tf.data.decoding import Prepare
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import FileSource, LazyImages
from histogan_tf.data.sources.file_search import find_images_below, readable_name
from histogan_tf.errors import UserError, counted, listing

logger = logging.getLogger("histogan_tf")

SUBTYPES_LABELLING = "subtypes"  # the value of --classes for the eight subtypes

_TUMOURS = {"B": "benign", "M": "malignant"}
_SUBTYPES = {
    "A": "adenosis",
    "F": "fibroadenoma",
    "PT": "phyllodes_tumor",
    "TA": "tubular_adenoma",
    "DC": "ductal_carcinoma",
    "LC": "lobular_carcinoma",
    "MC": "mucinous_carcinoma",
    "PC": "papillary_carcinoma",
}
_EXAMPLE = "SOB_B_A-14-22549AB-100-001.png"  # biopsy, tumour, subtype, year, slide, magnification, number
_NAME = re.compile(
    r"SOB_(?:B_(?:A|F|PT|TA)|M_(?:DC|LC|MC|PC))-\d+-[0-9A-Z]+-(?:40|100|200|400)-\d+\.\w+", re.IGNORECASE
)


def load_breakhis(
    root: str,
    *,
    name: str,
    prepare: Prepare,
    classes: Sequence[str] | None = None,
    magnification: Sequence[str] | None = None,
    strict: bool = False,
) -> ImageSet:
    """Returns the images below a folder whose names are those of BreakHis, lazy, ordered by class and then by name.

    The folders in which the images lie do not count. A file that lies there twice under one name is taken once. The
    year and number of the slide are the patient.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.
        classes: the value of --classes. The labels are the eight subtypes if it is "subtypes" or names one of them,
            else benign and malignant.
        magnification: some of "40", "100", "200" and "400"; None for all.
        strict: stop at the first image whose name is not one of BreakHis.

    Raises:
        UserError: if there is no such image, or none of these magnifications, or for one with another name if `strict`.
    """
    found = find_images_below(root)
    left_out = Counter(found.left_out)
    paths = _by_file_name(root, found.names, left_out, strict=strict)
    facts = {file_name: _facts(file_name) for file_name in paths}
    if magnification is not None:
        facts = {file_name: fact for file_name, fact in facts.items() if fact["magnification"] in magnification}
        if not facts:
            raise UserError(
                f"--magnification={','.join(magnification)}: none of {counted(len(paths), 'image')} in {root!r} has "
                "it; leave it out"
            )
        left_out["images of other magnifications"] = len(paths) - len(facts)
    kind, class_names = _labelling(classes)
    ordered = sorted(facts, key=lambda file_name: (class_names.index(facts[file_name][kind]), file_name))
    names = [paths[file_name] for file_name in ordered]
    return ImageSet(
        images=LazyImages(FileSource(root, names, prepare)),
        labels=np.array([class_names.index(facts[file_name][kind]) for file_name in ordered], np.int32),
        ids=np.array(list(map(readable_name, names))),
        groups=np.array([facts[file_name]["patient"] for file_name in ordered]),
        name=name,
        class_names=class_names,
        left_out={reason: count for reason, count in left_out.items() if count},
    )


def _by_file_name(root: str, found: Sequence[str], left_out: Counter, *, strict: bool) -> dict[str, str]:
    """Returns the paths of BreakHis's images by file name; counts the others in `left_out`."""
    paths, strays = {}, []
    for path in found:
        file_name = path.rpartition("/")[2]
        if not _NAME.fullmatch(file_name):
            strays.append(path)
        elif file_name in paths:
            left_out["copies of images under the same name"] += 1
        else:
            paths[file_name] = path
    if not paths:
        raise UserError(f"no image in {root!r} has a name of BreakHis, such as {_EXAMPLE}, as --dataset=breakhis needs")
    if strays:
        words = f"{counted(len(strays), 'image')} in {root!r} without a name of BreakHis, such as {_EXAMPLE}"
        words = f"{words}: {listing(strays, most=3)}"
        if strict:
            raise UserError(f"{words} (without --strict they would be left out)")
        logger.warning("left out: %s", words)
        left_out["images whose names are not those of BreakHis"] = len(strays)
    return paths


def _facts(file_name: str) -> dict[str, str]:
    tumour, year, slide, magnification, _ = file_name.split("-")
    _, tumour, subtype = tumour.upper().split("_")
    return {
        "tumour": _TUMOURS[tumour],
        "subtype": _SUBTYPES[subtype],
        "patient": f"{year}-{slide.upper()}",
        "magnification": magnification,
    }


def _labelling(classes: Sequence[str] | None) -> tuple[str, tuple[str, ...]]:
    """Returns what of an image is its class, and the names of the classes."""
    subtypes = tuple(_SUBTYPES.values())
    if classes and not {name.casefold() for name in classes}.isdisjoint((SUBTYPES_LABELLING, *subtypes)):
        return "subtype", subtypes
    return "tumour", tuple(_TUMOURS.values())
