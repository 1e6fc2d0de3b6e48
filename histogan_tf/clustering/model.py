"""What a clustering leaves behind for other images: vocabulary, word weights, centres, in one npz without pickle."""

from __future__ import annotations

import dataclasses
import zipfile
import zlib
from pathlib import Path

import numpy as np

from histogan_tf.clustering.descriptors import DESCRIPTOR_LENGTH, DescriptorSettings
from histogan_tf.errors import UserError

_ARRAYS = ("words", "word_weights", "centres")
_SETTINGS = tuple(field.name for field in dataclasses.fields(DescriptorSettings))


@dataclasses.dataclass(frozen=True)
class ClusterModel:
    """All that is needed to put a new image into a known cluster.

    Attributes:
        words: float32 (num_words, 128), the vocabulary.
        word_weights: float32 (num_words,), inverse document frequencies, or ones without tf-idf.
        centres: float32 (num_clusters, num_words), of the largest cluster first.
        settings: how images are described.
    """

    words: np.ndarray
    word_weights: np.ndarray
    centres: np.ndarray
    settings: DescriptorSettings

    @property
    def num_clusters(self) -> int:
        return len(self.centres)


def save_model(path: Path, model: ClusterModel) -> None:
    """Write `model` to `path`, a name that ends in .npz; equal models give equal bytes."""
    arrays = {name: getattr(model, name) for name in _ARRAYS}
    np.savez(path, **arrays, **{name: np.int32(getattr(model.settings, name)) for name in _SETTINGS})


def load_model(path: Path) -> ClusterModel:
    """The model in `path`.

    Raises:
        UserError: the file is missing, is no npz, or does not hold the arrays of a model.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in _ARRAYS + _SETTINGS}
    except FileNotFoundError as error:
        raise UserError(f"no vocabulary at {path}; give the vocabulary.npz that --mode=cluster wrote") from error
    except (OSError, ValueError, KeyError, TypeError, EOFError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        raise UserError(f"{path} is not a vocabulary.npz of --mode=cluster: {error}") from error
    words, word_weights, centres = (arrays[name] for name in _ARRAYS)
    whole = all(array.dtype == np.float32 and np.isfinite(array).all() for array in (words, word_weights, centres))
    fits = words.ndim == 2 and words.shape[1] == DESCRIPTOR_LENGTH and word_weights.shape == (len(words),)
    fits = fits and centres.ndim == 2 and centres.shape[1] == len(words) and centres.size > 0
    settings_whole = all(arrays[name].shape == () and arrays[name].dtype == np.int32 for name in _SETTINGS)
    if not (whole and fits and settings_whole):
        shapes = ", ".join(f"{name} {array.dtype} {array.shape}" for name, array in arrays.items())
        raise UserError(f"{path} does not hold a vocabulary and centres that fit each other: {shapes}")
    settings = DescriptorSettings(int(arrays["upsample"]), bool(arrays["dense"]), bool(arrays["root_sift"]))
    return ClusterModel(words, word_weights, centres, settings)
