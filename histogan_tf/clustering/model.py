"""The model of a clustering, with which new images are put into its clusters, and its npz file, without pickle."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from histogan_tf.clustering.descriptors import DESCRIPTOR_LENGTH, DescriptorSettings
from histogan_tf.config import flag_fields
from histogan_tf.config.flag import check
from histogan_tf.errors import UserError
from histogan_tf.runs.npz_file import NpzFileError, read_npz

_ARRAYS = ("words", "word_weights", "centres")
_SETTINGS = tuple(field.name for field in dataclasses.fields(DescriptorSettings))


@dataclasses.dataclass(frozen=True)
class ClusterModel:
    """The parts of a clustering that are needed to put a new image into one of its clusters.

    Attributes:
        words: the vocabulary, float32 (num_words, 128): one descriptor for each visual word.
        word_weights: the weights of the words, float32 (num_words,): inverse document frequencies, or ones without
            tf-idf.
        centres: the centres of the clusters, float32 (num_clusters, num_words), the largest cluster first.
        settings: the settings with which images are described.
    """

    words: np.ndarray
    word_weights: np.ndarray
    centres: np.ndarray
    settings: DescriptorSettings

    @property
    def num_clusters(self) -> int:
        return len(self.centres)


def save_model(path: Path, model: ClusterModel) -> None:
    """Writes a model to an npz file; equal models give equal bytes.

    Args:
        path: the file to write, whose name ends in .npz.
        model: the model.
    """
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    np.savez(path, **arrays, **{name: np.int32(getattr(model.settings, name)) for name in _SETTINGS})


def load_model(path: Path) -> ClusterModel:
    """Reads a model from the npz file that `save_model` wrote.

    Raises:
        UserError: if the file is missing, is not an npz file, or does not hold the arrays of a model.
    """
    try:
        arrays = read_npz(path, _ARRAYS + _SETTINGS)
    except FileNotFoundError as error:
        raise UserError(f"there is no vocabulary at {path}; give a vocabulary.npz that --mode=cluster wrote") from error
    except NpzFileError as error:
        raise UserError(
            f"{path} is not a vocabulary.npz of --mode=cluster ({error}); give one that --mode=cluster wrote"
        ) from error
    words, word_weights, centres = (arrays[name] for name in _ARRAYS)
    whole = all(array.dtype == np.float32 and np.isfinite(array).all() for array in (words, word_weights, centres))
    fits = words.ndim == 2 and words.shape[1] == DESCRIPTOR_LENGTH and word_weights.shape == (len(words),)
    fits = fits and centres.ndim == 2 and centres.shape[1] == len(words) and centres.size > 0
    settings_whole = all(arrays[name].shape == () and arrays[name].dtype == np.int32 for name in _SETTINGS)
    if not (whole and fits and settings_whole):
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise UserError(
            f"{path} does not hold a vocabulary and centres that fit each other ({shapes}); give a vocabulary.npz that "
            f"--mode=cluster wrote"
        )
    settings = DescriptorSettings(int(arrays["upsample"]), bool(arrays["dense"]), bool(arrays["root_sift"]))
    _check_as_flag(path, "upsample", settings.upsample)
    return ClusterModel(words, word_weights, centres, settings)


def _check_as_flag(path: Path, name: str, value: int) -> None:
    """Refuses a setting in a file that the flag of the same name would not allow either."""
    (field,) = (field for field in flag_fields() if field.name == name)
    try:
        check(field, value)
    except UserError as error:
        raise UserError(f"{path} holds a setting that is not allowed: {error}") from error
