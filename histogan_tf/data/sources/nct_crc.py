"""Reads NCT-CRC-HE-100K and CRC-VAL-HE-7K, patches of nine tissues of the colon and rectum.

Kather et al., "Predicting survival from colorectal cancer histology slides using deep learning", PLOS Medicine 16(1),
2019; https://doi.org/10.5281/zenodo.1214456.
"""

from __future__ import annotations

import logging
import os
import shutil
import zipfile
import zlib
from pathlib import Path

import numpy as np

from histogan_tf.data.decoding import Prepare
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import FileSource, LazyImages
from histogan_tf.data.sources.file_search import find_images_below, readable_name
from histogan_tf.data.sources.layouts import settled_parts
from histogan_tf.errors import UserError, listing
from histogan_tf.runs.files import written_aside

logger = logging.getLogger("histogan_tf")

# Adipose, background, debris, lymphocytes, mucus, smooth muscle, normal mucosa, cancer-associated stroma, tumour.
TISSUES = ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")

_TRAINING_FOLDERS = ("NCT-CRC-HE-100K", "NCT-CRC-HE-100K-NONORM")  # with colours normalized, and as scanned
_VALIDATION_FOLDER = "CRC-VAL-HE-7K"


def load_nct_crc(root: str, *, name: str, prepare: Prepare) -> ImageSet:
    """Returns the patches in the folders of nine tissues, lazy, ordered by tissue and then by path.

    Args:
        root: a folder that holds NCT-CRC-HE-100K or NCT-CRC-HE-100K-NONORM, CRC-VAL-HE-7K, or the first and the second;
            or one of these itself, of which the other is then taken too if it lies beside it. CRC-VAL-HE-7K is the
            validation part.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.

    Raises:
        UserError: if there is none of these folders, both of those for training, or a folder of another tissue.
    """
    root, folders = _find_folders(root)
    classes, parts, left_out = {}, {}, {}
    for folder, part in folders.items():
        found = find_images_below(os.path.join(root, folder))
        left_out |= {f"{reason}, in {folder}": count for reason, count in found.left_out.items()}
        for path in found.names:
            tissue = os.path.basename(os.path.dirname(path))
            if tissue not in TISSUES:
                raise UserError(
                    f"{os.path.join(root, folder, path)!r} is in none of the folders of the nine tissues "
                    f"({', '.join(TISSUES)}): move it away, or give --dataset another name"
                )
            full_path = f"{folder}/{path}"
            classes[full_path], parts[full_path] = TISSUES.index(tissue), part
    names = sorted(classes, key=lambda path: (classes[path], path))
    return ImageSet(
        images=LazyImages(FileSource(root, names, prepare)),
        labels=np.array([classes[path] for path in names], np.int32),
        ids=np.array(list(map(readable_name, names))),
        groups=None,
        name=name,
        class_names=TISSUES,
        parts=settled_parts([parts[path] for path in names]),
        left_out=left_out,
    )


def _find_folders(root: str) -> tuple[str, dict[str, str]]:
    """Returns the folder that holds those of the set, and the part of each of these by its name."""
    root = os.path.abspath(root)  # so that "." and a folder with "/" behind it have their names
    known = (*_TRAINING_FOLDERS, _VALIDATION_FOLDER)
    above, given = os.path.split(root)
    if given in known and not any(os.path.isdir(os.path.join(root, name)) for name in known):
        others = [name for name in known if name != given and os.path.isdir(os.path.join(above, name))]
        # The two folders for training hold the same patches: the one that was given is meant.
        other = [name for name in others if (name == _VALIDATION_FOLDER) != (given == _VALIDATION_FOLDER)]
        root, present = above, [given, *other[:1]]
    else:
        present = [name for name in known if os.path.isdir(os.path.join(root, name))]
    if not present:
        raise UserError(
            f"{root!r} holds none of the folders {listing(known)}, as --dataset=nct-crc needs; say with --data_path "
            f"where they lie"
        )
    if len(set(present).intersection(_TRAINING_FOLDERS)) == 2:
        raise UserError(
            f"{root!r} holds both {' and '.join(_TRAINING_FOLDERS)}, which are the same patches: choose one with "
            f"--data_path={os.path.join(root, _TRAINING_FOLDERS[0])}"
        )
    return root, {name: "validation" if name == _VALIDATION_FOLDER else "train" for name in present}


def unpack_tissues(archive_path: str, folder: str) -> None:
    """Unpacks the archive of one of the folders, completely or not at all: each image into the folder of its tissue.

    Args:
        archive_path: the zip, whose images lie in folders of the nine tissues, at any depth.
        folder: the folder to make.

    Raises:
        UserError: if the archive is damaged or holds no such images.
    """
    try:
        with zipfile.ZipFile(archive_path) as archive, written_aside(Path(folder)) as aside:
            aside.mkdir()
            for member in archive.infolist():
                tissue, _, file_name = member.filename.rpartition("/")
                tissue = tissue.rpartition("/")[2]
                if member.is_dir() or tissue not in TISSUES or file_name.startswith("."):
                    continue
                (aside / tissue).mkdir(exist_ok=True)
                with archive.open(member) as source, (aside / tissue / file_name).open("wb") as target:
                    shutil.copyfileobj(source, target)
            if not any(aside.iterdir()):
                raise UserError(f"{archive_path} holds no image in a folder of the nine tissues")
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError) as error:  # the last for one with a password
        raise UserError(
            f"{archive_path} cannot be unpacked ({error}): remove it, and give the command again"
        ) from error
