"""Reads the handwritten digits of LeCun, Cortes & Burges, in the order in which DCGAN-tensorflow takes them."""

from __future__ import annotations

import gzip
import math
import os
import struct
import zlib

import numpy as np

from histogan_tf.data.decoding import Prepare, prepare_array
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError, reason_of
from histogan_tf.machine.memory import check_decoded_size

DIGIT_NAMES = tuple("0123456789")

_SHUFFLE_SEED = 547  # the seed in the original's load_mnist


def load_mnist(root: str, *, name: str, prepare: Prepare) -> ImageSet:
    """Reads train-images-idx3-ubyte, train-labels-idx1-ubyte and the same two of t10k; each may be gzipped (.gz).

    Training and test digits become one set of 70,000 grey 28x28 images, shuffled as the original's load_mnist does. The
    id of an image is its index before the shuffle.

    Args:
        root: an existing folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `prepare_array`.

    Raises:
        UserError: if a file is missing or damaged, or the files do not belong together.
    """
    images = [_read_idx(root, f"{part}-images-idx3-ubyte", num_dimensions=3) for part in ("train", "t10k")]
    labels = [_read_idx(root, f"{part}-labels-idx1-ubyte", num_dimensions=1) for part in ("train", "t10k")]
    if [len(part) for part in images] != [len(part) for part in labels]:
        raise UserError(
            f"{root!r} holds {len(images[0])} + {len(images[1])} images (train + t10k), but {len(labels[0])} + "
            f"{len(labels[1])} labels"
        )
    if images[0].shape[1:] != images[1].shape[1:] or not images[0].size or not images[1].size:
        raise UserError(f"the images in {root!r} have shapes {images[0].shape} (train) and {images[1].shape} (t10k)")
    all_labels = np.concatenate(labels)
    if all_labels.max() > 9:
        raise UserError(f"the labels in {root!r} reach {all_labels.max()}; digits are 0 to 9")
    order = np.arange(len(all_labels))
    np.random.RandomState(_SHUFFLE_SEED).shuffle(order)
    return ImageSet(
        images=prepare_array(np.concatenate(images)[order, ..., np.newaxis], prepare),
        labels=all_labels[order].astype(np.int32),
        ids=order.astype(str),
        groups=None,
        name=name,
        class_names=DIGIT_NAMES,
    )


def _read_idx(root: str, file_name: str, num_dimensions: int) -> np.ndarray:
    """Returns the uint8 array in an idx file.

    Such a file holds the bytes 0, 0, 8 (for uint8) and the number of dimensions, then the sizes as big-endian 32-bit
    numbers, then the data.
    """
    path = os.path.join(root, file_name)
    header_size = 4 + 4 * num_dimensions
    try:
        with open(path, "rb") if os.path.isfile(path) else gzip.open(path + ".gz") as file:
            header = file.read(header_size)
            if len(header) < header_size or header[:4] != bytes([0, 0, 8, num_dimensions]):
                raise UserError(f"{file_name} in {root!r} is no idx file of bytes in {num_dimensions} dimensions")
            shape = struct.unpack(f">{num_dimensions}I", header[4:])
            check_decoded_size(math.prod(shape), f"{file_name} in {root!r}")
            content = file.read(math.prod(shape) + 1)
    except FileNotFoundError as error:
        raise UserError(f"no {file_name} or {file_name}.gz in {root!r}, which --dataset=mnist needs") from error
    except (OSError, EOFError, zlib.error) as error:
        raise UserError(f"cannot read {file_name} in {root!r}: {reason_of(error)}") from error
    if len(content) != math.prod(shape):
        found = "more" if len(content) > math.prod(shape) else f"{len(content)} bytes"
        raise UserError(
            f"{file_name} in {root!r} is damaged: after its header it holds {found}, not the "
            f"{math.prod(shape)} of {' x '.join(map(str, shape))}"
        )
    return np.frombuffer(content, np.uint8).reshape(shape)
