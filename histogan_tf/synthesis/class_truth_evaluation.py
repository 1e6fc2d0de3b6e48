"""The part of --mode=evaluate that measures whether synthetic images belong to their label."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.class_file import labels_among
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.splits import OWN_PARTS, split_indices
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.console import Lines
from histogan_tf.models.feature_extractors import FeatureExtractor
from histogan_tf.runs import files
from histogan_tf.runs.own_results import own_results
from histogan_tf.synthesis.class_truth import (
    FEWEST_OF_A_LABEL,
    ClassTruth,
    LabelledFeatures,
    class_truth_json,
    class_truth_table,
    measure_class_truth,
)
from histogan_tf.synthesis.measure import cached_features

logger = logging.getLogger(__name__)

CLASS_TRUTH_FILE = "class_truth.json"
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
    """Measures GAN-test and GAN-train, and writes class_truth.json. Logs a warning if they cannot be measured.

    Real images of all labels and of both parts of the dataset are split anew: by patient if patients are known, and
    otherwise by image. A dataset that comes split keeps its parts. Images to measure on are left out if they are of
    patients that the generator may have seen. If too few are left, only images that it may have seen are left out, and
    if too few are left then, none. class_truth.json says how many of either kind were measured on.

    Args:
        data_config: the flags of the dataset. Those that choose images, such as --part and --label, have no effect.
        images: the synthetic images, uint8 (num_images, height, width, channels).
        labels: the label that each was made for, int32 (num_images,).
        class_names: the names of these labels, by which they are matched to those of the real images.
        extract: the extractor of the features on which the classifiers are trained.
        directory: the folder to write to.
        cache_folder: the folder that keeps features of real images for the next time.
        seed: the seed of all draws but the split.
        seen_ids: the ids of real images that the generator may have been trained on.
        seen_patients: the patients any of whose images it may have been trained on.
    """
    result = find_class_truth(
        data_config,
        None,
        images,
        labels,
        class_names,
        extract,
        cache_folder,
        seed=seed,
        seen_ids=seen_ids,
        seen_patients=seen_patients,
    )
    if result is not None:
        write_class_truth_json(directory, result)


def write_class_truth_json(directory: Path, result: Mapping[str, Any]) -> None:
    """Writes class_truth.json, what `find_class_truth` returned, to a folder."""
    with own_results(directory, (CLASS_TRUTH_FILE,)):
        files.write_json(directory / CLASS_TRUTH_FILE, result)


def find_class_truth(
    data_config: Config,
    given: ImageSet | None,
    images: np.ndarray,
    labels: np.ndarray,
    class_names: Sequence[str],
    extract: FeatureExtractor,
    cache_folder: Path | None,
    *,
    seed: int,
    seen_ids: Collection[str] = (),
    seen_patients: Collection[str] = (),
) -> dict[str, Any] | None:
    """Measures GAN-test and GAN-train, and returns the content of class_truth.json.

    It returns None if the real images have fewer than two labels or another shape, or if they cannot be measured, of
    which it logs a warning.

    Args:
        data_config: the flags of the dataset, as in `evaluate_class_truth`.
        given: the real images of all labels and parts; None to load the dataset.
        images: the synthetic images, as in `evaluate_class_truth`; so are all other arguments.
        labels: the label that each was made for.
        class_names: the names of these labels.
        extract: the extractor of the features.
        cache_folder: the folder that keeps features of real images for the next time; None to keep none.
        seed: the seed of all draws but the split.
        seen_ids: the ids of real images that the generator may have been trained on.
        seen_patients: the patients any of whose images it may have been trained on.
    """
    chosen = {"part": "all", "label": None, "clusters": None, "cluster": None, "train_size": None}
    data_config = dataclasses.replace(data_config, **chosen, given=data_config.given - chosen.keys())
    try:
        whole = load_dataset(data_config, given)
        if whole.num_classes < 2 or whole.image_shape != images.shape[1:]:
            return None
        labels = labels_among(labels, class_names, whole.class_names)
        training, test, by = _split(whole, data_config.split_seed)
        is_seen, is_of_seen_patient = _seen(whole, seen_ids, seen_patients)
        test = _unseen(whole, test, (is_of_seen_patient, is_seen))
        rng = np.random.default_rng(seed)
        training, test = (np.sort(_at_most(indices, rng)) for indices in (training, test))
        real = [_features(whole, indices, extract, cache_folder) for indices in (training, test)]
        drawn = _at_most(np.arange(len(images)), rng)
        synthetic = LabelledFeatures(extract(images[drawn]), labels[drawn])
        truth = measure_class_truth(*real, synthetic, seed=seed)
    except UserError as error:
        logger.warning("whether images belong to their label is not measured: %s", error)
        return None
    result = class_truth_json(truth) | {
        "features": extract.name,
        "split_by": by,
        "num_real_seen": int(is_seen[test].sum()),
        "num_real_of_seen_patients": int(is_of_seen_patient[test].sum()),
    }
    _tell(truth, result, whole.class_names)
    return result


def _split(whole: ImageSet, split_seed: int) -> tuple[np.ndarray, np.ndarray, str]:
    """Returns the indices to train and to measure on, and what was kept apart: "patient", "image", or "own parts".

    The last stands for the parts of a dataset that comes split, which may share patients.
    """
    has_patients = whole.groups is not None and len(np.unique(whole.groups)) > 1
    for by in ("patient", "image") if has_patients else ("image",):
        training, test = split_indices(whole, seed=split_seed, by=by)
        if _has_all_labels(whole, training) and _has_all_labels(whole, test):
            return training, test, by if whole.parts is None else OWN_PARTS
    raise UserError(f"{whole.name!r} has too few images of a label: give at least {FEWEST_OF_A_LABEL} for each part")


def _has_all_labels(whole: ImageSet, indices: np.ndarray) -> bool:
    return bool(np.bincount(whole.labels[indices], minlength=whole.num_classes).min() >= FEWEST_OF_A_LABEL)


def _seen(whole: ImageSet, seen_ids: Collection[str], seen_patients: Collection[str]) -> tuple[np.ndarray, np.ndarray]:
    """Returns whether the generator may have seen each image, and whether its patient, each bool (num_images,)."""
    is_seen = np.isin(whole.ids, list(seen_ids))
    if whole.groups is None:
        return is_seen, is_seen
    is_seen |= np.isin(whole.groups, list(seen_patients))
    return is_seen, np.isin(whole.groups, whole.groups[is_seen])


def _unseen(whole: ImageSet, test: np.ndarray, masks: Sequence[np.ndarray]) -> np.ndarray:
    """Returns the indices to measure on, without the images of the first mask that leaves enough, or all of them."""
    for is_left_out in masks:
        if _has_all_labels(whole, test[~is_left_out[test]]):
            return test[~is_left_out[test]]
    return test


def _at_most(indices: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return indices if len(indices) <= _MOST_IMAGES else rng.choice(indices, _MOST_IMAGES, replace=False)


def _features(
    whole: ImageSet, indices: np.ndarray, extract: FeatureExtractor, cache_folder: Path | None
) -> LabelledFeatures:
    images, indices = whole.take(indices)
    groups = None if whole.groups is None else whole.groups[indices]
    return LabelledFeatures(cached_features(images, extract, cache_folder), whole.labels[indices], groups)


def _tell(truth: ClassTruth, result: Mapping[str, Any], class_names: Sequence[str]) -> None:
    number = truth.num_patients
    patients = "" if number is None else f" of {counted(number, 'patient')}"
    facts = [f"split by {result['split_by']}"]
    if result["num_real_seen"]:
        facts.append(f"the generator may have seen {result['num_real_seen']} of them")
    if result["num_real_of_seen_patients"] > result["num_real_seen"]:
        facts.append(
            f"{result['num_real_of_seen_patients']} of them are of patients whose other images the generator may have "
            f"seen"
        )
    logger.info(
        "do images belong to their label? Linear classifiers on features %s, trained on %s of each label, "
        "measured on %s%s (%s) and %s:\n%s",
        result["features"],
        counted(truth.num_trained_on, "image"),
        counted(truth.num_real, "real image"),
        patients,
        "; ".join(facts),
        counted(truth.num_synthetic, "synthetic one"),
        Lines(class_truth_table(truth, class_names)),
    )
