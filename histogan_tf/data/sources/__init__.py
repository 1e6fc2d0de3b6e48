"""The readers of datasets: one module for each layout of files, and the table of all readers.

To add a reader, write a module with a function from the dataset's folder to an ImageSet, and an entry in `READERS`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.sources.breakhis import SUBTYPES_LABELLING, load_breakhis
from histogan_tf.data.sources.folder import load_folder
from histogan_tf.data.sources.idc import load_idc, pad_tensor_to_patch, pad_to_patch
from histogan_tf.data.sources.labels_table import load_cancer_detection, load_listed_images
from histogan_tf.data.sources.lsun import load_lsun
from histogan_tf.data.sources.medmnist import chosen_medmnist, load_medmnist
from histogan_tf.data.sources.mnist import load_mnist
from histogan_tf.data.sources.nct_crc import load_nct_crc
from histogan_tf.data.sources.pcam import load_pcam
from histogan_tf.data.sources.phantom import load_phantom
from histogan_tf.errors import UserError, listing

if TYPE_CHECKING:
    import tensorflow as tf

    from histogan_tf.config import Config


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
        labellings: values of --classes that do not name classes but a way of labelling, which `load` heeds itself.
        has_folder: whether the images are in a folder. If not, `load` takes neither `root` nor `prepare`.
        has_files: whether each image is a file of its own in that folder, which prediction then reads by itself.
        before_sizing: a function applied to an image, uint8 (height, width, channels), before it is cropped and
            resized; None for nothing. `load` must apply it itself; prediction, which reads images of any folder, calls
            this.
        chosen_set: a function of the Config that returns which of several sets --dataset stands for, for the names of
            runs, or None if that is not known; None for a reader of one set.
        tensor_before_sizing: the same function as TensorFlow operations, for served models; None for nothing.
    """

    help: str
    load: Callable[..., ImageSet]
    flags: tuple[str, ...] = ()
    labellings: tuple[str, ...] = ()
    has_folder: bool = True
    has_files: bool = True
    before_sizing: Callable[[np.ndarray], np.ndarray] | None = None
    chosen_set: Callable[[Config], str | None] | None = None
    tensor_before_sizing: Callable[[tf.Tensor], tf.Tensor] | None = None


READERS: dict[str, Reader] = {
    "phantom": Reader(
        "built-in, procedural H&E patches in two classes",
        load_phantom,
        flags=("phantom_images", "crop", "output_height", "output_width"),
        has_folder=False,
        has_files=False,
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
    "pcam": Reader(
        "PatchCamelyon, 96x96 patches of lymph nodes, with metastases or without, as HDF5 files of its three parts",
        load_pcam,
        has_files=False,
    ),
    "cancer-detection": Reader(
        "Kaggle's version of PatchCamelyon, as train/*.tif and train_labels.csv",
        load_cancer_detection,
        flags=("strict",),
    ),
    "medmnist": Reader(
        "one of MedMNIST's sets of two-dimensional images, as npz",
        load_medmnist,
        flags=("medmnist",),
        has_files=False,
        chosen_set=chosen_medmnist,
    ),
    "breakhis": Reader(
        "microscope images of benign and malignant breast tumours, whose names say class, patient and magnification",
        load_breakhis,
        flags=("classes", "magnification", "strict"),
        labellings=(SUBTYPES_LABELLING,),
    ),
    "nct-crc": Reader(
        "224x224 patches of nine colorectal tissues, as NCT-CRC-HE-100K and, for validation, CRC-VAL-HE-7K",
        load_nct_crc,
    ),
    "mnist": Reader("handwritten digits, as four idx files", load_mnist, has_files=False),
    "lsun": Reader("scenes, as LSUN's LMDB", load_lsun, has_files=False),
}
"""The reader of each value of --dataset. Any other value is the name of a folder of images."""

FOLDER_READER = Reader(
    "a folder of images, with a sub-folder for each label", load_folder, flags=("input_fname_pattern",)
)

LISTED_READER = Reader(
    "a folder of images with --labels_csv",
    load_listed_images,
    flags=("labels_csv", "csv_columns", "input_fname_pattern", "strict"),
)

# Flags that would do nothing for the readers that do not take them.
_NOT_FOR_ALL = ("labels_csv", "csv_columns", "medmnist", "magnification")


def reader_of(dataset: str, labels_csv: str | None = None) -> Reader:
    """Returns the reader of a value of --dataset, and for a folder, of --labels_csv."""
    return READERS.get(dataset) or (FOLDER_READER if labels_csv is None else LISTED_READER)


def refuse_flags_of_others(reader: Reader, config: Config) -> None:
    """Refuses flags that say how a dataset of another layout is read.

    Args:
        reader: the reader of the dataset.
        config: the resolved flags.

    Raises:
        UserError: if such a flag has a value.
    """
    for flag in _NOT_FOR_ALL:
        value = getattr(config, flag)
        if value is None or flag in reader.flags:
            continue
        shown = ",".join(value) if isinstance(value, tuple) else value
        meant = listing(f"--dataset={name}" for name, other in READERS.items() if flag in other.flags)
        if meant:
            raise UserError(f"--{flag}={shown} is for {meant}, not for --dataset={config.dataset}: leave it out")
        if config.labels_csv is None:
            raise UserError(f"--{flag}={shown} names columns of a table of labels: give the table with --labels_csv")
        raise UserError(
            f"--{flag}={shown}: --dataset={config.dataset} does not take its labels from a table; leave it out, or "
            f"give --dataset a name of your own, such as mine"
        )
