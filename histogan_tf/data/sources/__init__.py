"""The readers of datasets: one module for each layout of files, and the table of all readers.

To add a reader, write a module with a function from the dataset's folder to an ImageSet, and an entry in `READERS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.sources.folder import load_folder
from histogan_tf.data.sources.idc import load_idc, pad_tensor_to_patch, pad_to_patch
from histogan_tf.data.sources.lsun import load_lsun
from histogan_tf.data.sources.mnist import load_mnist
from histogan_tf.data.sources.phantom import load_phantom

if TYPE_CHECKING:
    import tensorflow as tf


@dataclasses.dataclass(frozen=True)
class Reader:
    """The way to read datasets of one layout.

    Attributes:
        help: what the images are and how their files are laid out, for the help of --dataset.
        load: a function that returns the whole ImageSet in its order. Its keyword arguments are `name`, the value of
            --dataset; `root`, the dataset's folder, which exists; `prepare`, the function that crops and resizes an
            image as the flags say; and the value of each flag in `flags`, under its name. It raises UserError if the
            folder does not hold such a dataset.
        flags: the names of the flags that `load` takes as further arguments.
        has_folder: whether the images are in a folder. If not, `load` takes neither `root` nor `prepare`.
        before_sizing: a function applied to an image, uint8 (height, width, channels), before it is cropped and
            resized; None for nothing. `load` must apply it itself; prediction, which reads images of any folder, calls
            this.
        tensor_before_sizing: the same function as TensorFlow operations, for served models; None for nothing.
    """

    help: str
    load: Callable[..., ImageSet]
    flags: tuple[str, ...] = ()
    has_folder: bool = True
    before_sizing: Callable[[np.ndarray], np.ndarray] | None = None
    tensor_before_sizing: Callable[[tf.Tensor], tf.Tensor] | None = None


READERS: dict[str, Reader] = {
    "phantom": Reader(
        "built-in, procedural H&E patches in two classes",
        load_phantom,
        flags=("phantom_images", "crop", "output_height", "output_width"),
        has_folder=False,
    ),
    "idc": Reader(
        "50x50 patches of breast tissue, with invasive ductal carcinoma or without, as X.npy and Y.npy, in "
        "PATIENT/LABEL/ or in LABEL/",
        load_idc,
        flags=("edge_patches",),
        before_sizing=pad_to_patch,
        tensor_before_sizing=pad_tensor_to_patch,
    ),
    "idc-full": Reader(
        "the same layouts, for all patients",
        load_idc,
        flags=("edge_patches",),
        before_sizing=pad_to_patch,
        tensor_before_sizing=pad_tensor_to_patch,
    ),
    "mnist": Reader("handwritten digits, as four idx files", load_mnist),
    "lsun": Reader("scenes, as LSUN's LMDB", load_lsun),
}
"""The reader of each value of --dataset. Any other value is the name of a folder, which FOLDER_READER reads."""

FOLDER_READER = Reader(
    "a folder of images, with a sub-folder for each label", load_folder, flags=("input_fname_pattern",)
)


def reader_of(dataset: str) -> Reader:
    """Returns the reader of a value of --dataset."""
    return READERS.get(dataset, FOLDER_READER)
