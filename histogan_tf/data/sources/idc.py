"""Reads the 50x50 breast-histology patches with and without invasive ductal carcinoma (IDC), as Kaggle delivers them.

Janowczyk & Madabhushi, J. Pathol. Inform. 7:29 (2016); Cruz-Roa et al., SPIE 9041 (2014).
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from histogan_tf.data.decoding import Prepare, UnusableImageError, UnwantedImageError, prepare_array
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import ArraySource, FileSource, LazyImages
from histogan_tf.data.sources.file_search import find_images_below, readable_name
from histogan_tf.data.sources.layouts import patient_of, recognize_split
from histogan_tf.errors import UserError, counted, listing, reason_of

if TYPE_CHECKING:
    import tensorflow as tf

logger = logging.getLogger("histogan_tf")

IDC_CLASS_NAMES = ("non-idc", "idc")
PATCH_SIZE = 50

_NESTED_COPY = "IDC_regular_ps50_idx5/"  # the archive holds all patients twice: at its root and in this folder
_IN_PATIENT_FOLDER = re.compile(r"(?P<patient>[^/]+)/(?P<label>[01])/(?P<file>[^/]+)")
_IN_LABEL_FOLDER = re.compile(r"(?P<label>[01])/(?P<file>[^/]+)")


def load_idc(root: str, *, name: str, prepare: Prepare, edge_patches: str = "pad") -> ImageSet:
    """Returns the patches in one of three layouts: X.npy and Y.npy, files in PATIENT/LABEL/, or files in LABEL/.

    Files are named PATIENT_idx5_xX_yY_classLABEL.png. LABEL is 0 (non-IDC) or 1 (IDC); the label of the folder counts,
    not that of the file name. Arrays stay in their order. Files are ordered by label, as in the paper's Y.npy, then by
    patient, then by name. The patients become the groups; without patient folders they are read from the file names,
    and the set has no groups if one file name does not say its patient. In folders that name the parts of a split, such
    as train/ and test/, the two layouts of files lie in each, and the set comes split. Images are lazy.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one 50x50 patch, as in `ImageSource`.
        edge_patches: "pad" to pad patches that the edge of a slide cut off, by reflection; "skip" to leave them out.

    Raises:
        UserError: if the folder has none of the layouts, or an array has the wrong type, shape or values.
    """
    assert edge_patches in ("pad", "skip"), edge_patches
    if os.path.exists(os.path.join(root, "X.npy")):
        return _load_arrays(root, name, prepare)
    patches, left_out = _list_patches(root)
    paths = [patch.path for patch in patches]
    patients, parts = ([getattr(patch, name) for patch in patches] for name in ("patient", "part"))
    return ImageSet(
        images=LazyImages(_PatchSource(root, paths, prepare, edge_patches)),
        labels=np.array([patch.label for patch in patches], np.int32),
        ids=np.array(list(map(readable_name, paths))),
        groups=np.array(list(map(readable_name, patients))) if all(patients) else None,
        name=name,
        class_names=IDC_CLASS_NAMES,
        parts=np.array(parts) if len(set(parts)) > 1 else None,
        left_out=left_out,
    )


class _Patch(NamedTuple):
    """A patch file; patches are sorted by these, one after the other. Patient and part are "" if unknown."""

    label: int
    patient: str
    file: str
    part: str
    path: str


class _PatchSource(FileSource):
    """A source of patch files; smaller patches are padded to 50x50 or left out, as --edge_patches says."""

    def __init__(self, root: str, names: Sequence[str], prepare: Prepare, edge_patches: str) -> None:
        super().__init__(root, names, prepare)
        self._edge_patches = edge_patches
        self._padded: set[int] = set()

    def read(self, index: int) -> np.ndarray:
        """Returns a patch, padded to 50x50 and then prepared; see `ImageSource.read`.

        Raises:
            UnusableImageError: if it cannot be used.
            UnwantedImageError: if it is smaller than 50x50 and --edge_patches=skip.
        """
        image = self.decode(index)
        patch = pad_to_patch(image)
        if patch is not image:
            if self._edge_patches == "skip":
                raise UnwantedImageError("it is cut off by the edge of the slide")
            self._padded.add(index)
        return self._prepare(patch)

    def report(self, indices: np.ndarray) -> None:
        """Logs how many of these patches were padded."""
        if num_padded := len(self._padded.intersection(indices.tolist())):
            logger.info("patches smaller than 50x50, padded by reflection: %d", num_padded)


def pad_to_patch(image: np.ndarray) -> np.ndarray:
    """Pads an image, uint8 (height, width, channels), to 50x50 by reflection at the right and the bottom.

    These are the sides at which the edge of a slide cuts patches off.

    Raises:
        UnusableImageError: if the image is larger than 50x50.
    """
    height, width = image.shape[:2]
    if height > PATCH_SIZE or width > PATCH_SIZE:
        raise UnusableImageError(f"{height}x{width} is larger than a patch of this set, {PATCH_SIZE}x{PATCH_SIZE}")
    if height == width == PATCH_SIZE:
        return image
    return np.pad(image, ((0, PATCH_SIZE - height), (0, PATCH_SIZE - width), (0, 0)), mode="reflect")


def pad_tensor_to_patch(image: tf.Tensor) -> tf.Tensor:
    """Does the same as `pad_to_patch` in a TensorFlow graph, where sizes are unknown.

    An image that `pad_to_patch` would refuse is returned as it is.
    """
    import tensorflow as tf

    size = tf.shape(image)[:2]
    padded = image
    for axis in (0, 1):
        # tf.pad reflects once only, which is too little for patches narrower than half of 50 pixels.
        last = size[axis] - 1
        place = tf.math.floormod(tf.range(PATCH_SIZE), tf.maximum(2 * last, 1))
        place = tf.where(place <= last, place, 2 * last - place)
        padded = tf.gather(padded, tf.clip_by_value(place, 0, last), axis=axis)
    return tf.cond(tf.reduce_all(size <= PATCH_SIZE), lambda: padded, lambda: image)


def _list_patches(root: str) -> tuple[list[_Patch], dict[str, int]]:
    """Returns the patches, sorted, and how many other entries of the folder were left out, by the reason."""
    found = find_images_below(root)
    places = recognize_split({name.partition("/")[0] for name in found.names if "/" in name}) or {}
    if any(place.domain for place in places.values()):
        places = {}
    patches, strays = {}, []
    for path in sorted(found.names, key=lambda path: path.startswith(_NESTED_COPY)):
        folder, _, in_part = path.partition("/")
        part = places[folder].part if folder in places else ""
        inner_path = in_part if part else path.removeprefix(_NESTED_COPY)
        if match := _IN_PATIENT_FOLDER.fullmatch(inner_path):
            patient = match["patient"]
        elif match := _IN_LABEL_FOLDER.fullmatch(inner_path):
            patient = patient_of(match["file"]) or ""
        else:
            strays.append(path)
            continue
        patch = _Patch(int(match["label"]), patient, match["file"], part, path)
        patches.setdefault(patch[:4], patch)
    if not patches:
        raise UserError(
            f"no patches in {root!r}: --dataset=idc looks for X.npy and Y.npy, PATIENT/0/*.png and PATIENT/1/*.png, or "
            f"0/*.png and 1/*.png; for a folder with other sub-folders, give --dataset another name"
        )
    left_out = dict(found.left_out)
    if strays:
        logger.warning(
            "ignored %s outside the folders 0 and 1: %s", counted(len(strays), "image"), listing(strays, most=3)
        )
        left_out["images that are not in a folder 0 or 1"] = len(strays)
    return sorted(patches.values()), left_out


def _load_arrays(root: str, name: str, prepare: Prepare) -> ImageSet:
    """Reads the layout of simjeg/lymphoma-subtype-classification-fl-vs-cll: the paper's 5,547 patches in X.npy."""
    images = _open_array(root, "X.npy")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (PATCH_SIZE, PATCH_SIZE, 3):
        raise UserError(f"X.npy in {root!r} is {images.dtype} {images.shape}; it has to be uint8 (N, 50, 50, 3)")
    labels = _open_array(root, "Y.npy")
    if labels.ndim != 1 or len(labels) != len(images):
        raise UserError(
            f"Y.npy in {root!r} has shape {labels.shape}; it has to be ({len(images)},), one label for each patch"
        )
    if labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise UserError(f"Y.npy in {root!r} ({labels.dtype}) holds something else than 0 (non-IDC) and 1 (IDC)")
    if not len(images):
        raise UserError(f"X.npy in {root!r} holds no patch")
    if images.flags.c_contiguous:
        images = LazyImages(ArraySource(images, prepare))
    else:  # in another order than C, a patch's bytes are scattered over the file
        images = prepare_array(np.ascontiguousarray(images), prepare)
    return ImageSet(
        images=images,
        labels=labels.astype(np.int32),
        ids=np.arange(len(images)).astype(str),
        groups=None,
        name=name,
        class_names=IDC_CLASS_NAMES,
    )


def _open_array(root: str, file_name: str) -> np.ndarray:
    """Maps an npy file into memory. Unlike np.load, open_memmap never unpickles, which could run foreign code."""
    try:
        return np.lib.format.open_memmap(os.path.join(root, file_name), mode="r")
    except MemoryError:
        raise
    except Exception as error:  # a damaged header makes NumPy raise nearly everything, from OSError to SyntaxError
        raise UserError(f"cannot read {file_name} in {root!r}: {reason_of(error)}") from error
