"""The part of --mode=evaluate that measures whether synthetic images belong to their label."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.class_file import labels_among
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.splits import split_indices
from histogan_tf.errors import UserError
from histogan_tf.machine.console import Lines
from histogan_tf.models.feature_extractors import FeatureExtractor
from histogan_tf.runs import files
from histogan_tf.runs.own_results import own_results
from histogan_tf.synthesis.class_truth import (
    FEWEST_OF_A_LABEL,
    LabelledFeatures,
    class_truth_json,
    class_truth_table,
    measure_class_truth,
)
from histogan_tf.synthesis.measure import cached_features

logger = logging.getLogger(__name__)

_MOST_IMAGES = 2000  # in each set, drawn at random beyond it: more change an accuracy by less than its interval


def evaluate_class_truth(
    data_config: Config,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    extract: FeatureExtractor,
    directory: Path,
    cache_folder: Path,
    *,
    seed: int,
    seen_ids: Collection[str] = (),
    seen_patients: Collection[str] = (),
) -> None:
    """Measures GAN-test and GAN-train, and writes class_truth.json. Tells why, if they cannot be measured.

    Real images of both labels and of both parts of the dataset are split anew: by patient if patients are known, and
    else by image, as for training. Of the images to measure on, those that the generator may have seen are left out,
    unless too few are left.

    Args:
        data_config: the flags of the dataset; its part, label and the like are not heeded.
        images: uint8 (num_images, height, width, channels), synthetic.
        labels: int32 (num_images,), what each was made for.
        class_names: the names of these labels, by which they are matched to those of the real images.
        extract: the features on which the classifiers are trained.
        directory: for the file.
        cache_folder: where features of real images are kept for the next time.
        seed: the seed of all draws but the split.
        seen_ids: ids of real images that the generator may have been trained on.
        seen_patients: patients whose images it may have been trained on.
    """
    chosen = {"part": "all", "label": None, "clusters": None, "cluster": None, "train_size": None}
    whole = load_dataset(dataclasses.replace(data_config, **chosen))
    if whole.num_classes != 2 or whole.image_shape != images.shape[1:]:
        return
    try:
        labels = labels_among(labels, class_names, whole.class_names)
        training, test, by = _split(whole, data_config.split_seed)
        test, num_seen = _unseen(whole, test, seen_ids, seen_patients)
        rng = np.random.default_rng(seed)
        real = [_features(whole, indices, extract, cache_folder, rng) for indices in (training, test)]
        drawn = _at_most(np.arange(len(images)), rng)
        synthetic = LabelledFeatures(extract(images[drawn]), labels[drawn])
        truth = measure_class_truth(*real, synthetic, seed=seed)
    except UserError as error:
        logger.warning("whether images belong to their label is not measured: %s", error)
        return
    result = class_truth_json(truth) | {"features": extract.name, "split_by": by, "num_real_seen": num_seen}
    with own_results(directory, ("class_truth.json",)):
        files.write_json(directory / "class_truth.json", result)
    number = truth.num_patients
    patients = "" if number is None else f" of {number} {'patient' if number == 1 else 'patients'}"
    logger.info(
        "do images belong to their label? Linear classifiers on features %s, trained on %d images of each label, "
        "measured on %d real images%s (%s) and %d synthetic ones:\n%s",
        extract.name,
        truth.num_trained_on,
        truth.num_real,
        patients,
        f"split by {by}; the generator may have seen {num_seen}" if num_seen else f"split by {by}",
        truth.num_synthetic,
        Lines(class_truth_table(truth, whole.class_names)),
    )


def _split(whole: ImageSet, split_seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns the indices to train and to measure on, and "patient" or "image", which were kept apart."""
    has_patients = whole.groups is not None and len(np.unique(whole.groups)) > 1
    for by in ("patient", "image") if has_patients else ("image",):
        training, test = split_indices(whole, seed=split_seed, by=by)
        if _has_both_labels(whole, training) and _has_both_labels(whole, test):
            return training, test, by
    raise UserError(f"{whole.name!r} has too few images of a label: give at least {FEWEST_OF_A_LABEL} to each part")


def _has_both_labels(whole: ImageSet, indices: np.ndarray) -> bool:
    return bool(np.bincount(whole.labels[indices], minlength=2).min() >= FEWEST_OF_A_LABEL)


def _unseen(
    whole: ImageSet, test: np.ndarray, seen_ids: Collection[str], seen_patients: Collection[str]
) -> tuple[np.ndarray, int]:
    """Returns the images to measure on, without those that the generator may have seen unless too few are left.

    The second result is the number of the returned images that it may have seen.
    """
    is_seen = np.isin(whole.ids[test], list(seen_ids))
    if whole.groups is not None:
        is_seen |= np.isin(whole.groups[test], list(seen_patients))
    if _has_both_labels(whole, test[~is_seen]):
        return test[~is_seen], 0
    return test, int(is_seen.sum())


def _at_most(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return indices if len(indices) <= _MOST_IMAGES else rng.choice(indices, _MOST_IMAGES, replace=False)


def _features(
    whole: ImageSet, indices: np.ndarray, extract: FeatureExtractor, cache_folder: Path, rng: np.random.Generator
) -> LabelledFeatures:
    images, indices = whole.take(np.sort(_at_most(indices, rng)))
    groups = None if whole.groups is None else whole.groups[indices]
    return LabelledFeatures(cached_features(images, extract, cache_folder), whole.labels[indices], groups)
