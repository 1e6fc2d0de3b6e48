"""Reads PatchCamelyon (PCam) from its HDF5 files: patches of lymph nodes, with metastases in their centre or without.

Veeling et al., "Rotation Equivariant CNNs for Digital Pathology", MICCAI 2018; https://github.com/basveeling/pcam.
"""

from __future__ import annotations

import csv
import gzip
import logging
import os
import zlib
from pathlib import Path

import numpy as np

from histogan_tf.data.decoding import Prepare
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.joined_source import JoinedSource
from histogan_tf.data.lazy_images import LazyImages
from histogan_tf.data.sources.hdf5_file import StoredArray, find_arrays, image_source, read_whole
from histogan_tf.data.sources.layouts import settled_parts
from histogan_tf.errors import UserError, counted
from histogan_tf.runs.files import written_aside

logger = logging.getLogger("histogan_tf")

_PARTS = {"train": "train", "valid": "validation", "test": "test"}
_CLASS_NAMES = ("normal", "tumor")
_SIDE = 96
_HDF5_SIGNATURE = b"\x89HDF\r\n\x1a\n"
_MOST_UNPACKED_BYTES = 16 * 10**9  # twice the largest file of the set
_PIECE_BYTES = 2**24


def load_pcam(root: str, *, name: str, prepare: Prepare) -> ImageSet:
    """Returns the patches of the parts train, valid and test, those that are there, lazy, in their order.

    A part is camelyonpatch_level_2_split_PART_x.h5, whose array x is uint8 (n, 96, 96, 3), and _y.h5, whose array y is
    (n, 1, 1, 1). A file that is gzipped is unpacked beside itself first. The slides of PART_meta.csv become the groups
    if each part has one that fits its labels.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one patch, as in `ImageSource`.

    Raises:
        UserError: if there is no part, one of two files is missing or damaged, or they do not belong together.
    """
    files = _find_files(root)
    arrays = find_arrays([(paths[kind], kind) for paths in files.values() for kind in ("x", "y")])
    stored = dict(zip(files, arrays[::2], strict=True))
    labels = dict(zip(files, map(_read_labels, arrays[::2], arrays[1::2]), strict=True))
    slides = [_read_slides(root, part, labels[part]) for part in files]
    counts = [len(labels[part]) for part in stored]
    ids = np.array([f"{part}/{index}" for part, count in zip(stored, counts, strict=True) for index in range(count)])
    source = JoinedSource([image_source(array, prepare) for array in stored.values()], ids, prepare)
    return ImageSet(
        images=LazyImages(source),
        labels=np.concatenate(list(labels.values())),
        ids=ids,
        groups=None if any(part is None for part in slides) else np.concatenate(slides),
        name=name,
        class_names=_CLASS_NAMES,
        parts=settled_parts(np.repeat([_PARTS[part] for part in stored], counts)),
    )


def _stem(part: str) -> str:
    return f"camelyonpatch_level_2_split_{part}"


def _find_files(root: str) -> dict[str, dict[str, str]]:
    """Returns the paths of the files x and y of each part that is there."""
    found = {}
    for part in _PARTS:
        paths = {kind: _find_file(root, f"{_stem(part)}_{kind}.h5") for kind in ("x", "y")}
        if not any(paths.values()):
            continue
        if missing := [kind for kind, path in paths.items() if path is None]:
            raise UserError(
                f"{root!r} holds one of {_stem(part)}_x.h5 and {_stem(part)}_y.h5, and not {_stem(part)}_"
                f"{missing[0]}.h5: put the other beside it, or move the one away"
            )
        found[part] = paths
    if not found:
        raise UserError(
            f"no {_stem('train')}_x.h5 and {_stem('train')}_y.h5, or those of valid or test, in {root!r}, as "
            f"--dataset=pcam needs: fetch them with --mode=download --dataset=pcam"
        )
    return found


def _read_labels(images: StoredArray, stored: StoredArray) -> np.ndarray:
    """Returns the labels of a part, int32 (num_images,), after checking that its two arrays belong together."""
    if images.dtype != np.uint8 or images.shape[1:] != (_SIDE, _SIDE, 3) or not images.shape[0]:
        raise UserError(
            f"x in {images.path} is {images.dtype} {images.shape}; it has to be uint8 (n, {_SIDE}, {_SIDE}, 3)"
        )
    path, num_images = stored.path, images.shape[0]
    if stored.shape not in ((num_images, 1, 1, 1), (num_images,)):
        raise UserError(
            f"y in {path} has shape {stored.shape}, and x in {images.path} holds {counted(num_images, 'patch')}: it "
            f"has to be ({num_images}, 1, 1, 1)"
        )
    labels = read_whole(stored).reshape(-1)
    if not np.isin(labels, (0, 1)).all():
        raise UserError(f"y in {path} holds something else than 0 (normal) and 1 (tumor)")
    return labels.astype(np.int32)


def _read_slides(root: str, part: str, labels: np.ndarray) -> np.ndarray | None:
    """Returns the slide of each patch, str (num_images,); None if they are unknown."""
    path = os.path.join(root, f"{_stem(part)}_meta.csv")
    try:
        with open(path, encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
        slides = [row["wsi"] for row in rows]
        centres = [row.get("center_tumor_patch") for row in rows]
    except FileNotFoundError:
        logger.info("no %s: the slides of the patches are unknown", os.path.basename(path))
        return None
    except (OSError, UnicodeDecodeError, csv.Error, KeyError) as error:
        logger.warning("%s cannot be used (%s): the slides of the patches are unknown", path, error)
        return None
    if len(slides) != len(labels) or not all(slides):
        number = counted(len(slides), "slide")
        logger.warning("%s names %s for %s: they are unknown", path, number, counted(len(labels), "patch"))
        return None
    # The files of valid and test have been exchanged at one of the places that offer them; their tables may not have.
    told = [{"true": 1, "1": 1, "false": 0, "0": 0}.get((centre or "").strip().casefold()) for centre in centres]
    if None not in told and told != labels.tolist():
        logger.warning("%s belongs to other patches, for its labels differ: the slides are unknown", path)
        return None
    return np.array(slides)


def _find_file(root: str, file_name: str) -> str | None:
    """Returns the path of a file, unpacked if only the gzipped one is there; None if neither is."""
    path = os.path.join(root, file_name)
    if os.path.isfile(path):
        return path
    if not os.path.isfile(f"{path}.gz"):
        return None
    unpack_hdf5(f"{path}.gz", path)
    return path


def unpack_hdf5(packed: str, path: str) -> None:
    """Unpacks a gzipped HDF5 file, completely or not at all.

    Args:
        packed: the gzipped file.
        path: the file to write.

    Raises:
        UserError: if it is damaged, holds no HDF5 or more than 16 GB, or cannot be written.
    """
    logger.info("unpacking %s beside it, once", packed)
    try:
        with gzip.open(packed) as source, written_aside(Path(path)) as aside, aside.open("wb") as target:
            num_bytes = 0
            while piece := source.read(_PIECE_BYTES):
                if not num_bytes and not piece.startswith(_HDF5_SIGNATURE):
                    raise UserError(f"{packed} holds no HDF5 file: get it again")
                num_bytes += len(piece)
                if num_bytes > _MOST_UNPACKED_BYTES:
                    raise UserError(f"{packed} holds more than {_MOST_UNPACKED_BYTES // 10**9} GB: get it again")
                target.write(piece)
            if not num_bytes:
                raise UserError(f"{packed} holds no HDF5 file: get it again")
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise UserError(f"{packed} is damaged ({error}): get it again") from error
    except OSError as error:
        raise UserError(
            f"{packed} cannot be unpacked beside itself ({error.strerror or error}): unpack it with gunzip --keep, and "
            f"say with --data_path where the file lies"
        ) from error
