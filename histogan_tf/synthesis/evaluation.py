"""--mode=evaluate for synthetic images: those of a GAN's run, or a folder of them, against the real ones."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.config.families import GENERATOR, TRANSLATOR, family_of
from histogan_tf.data.class_file import labels_among
from histogan_tf.data.given_images import config_for
from histogan_tf.data.image_set import ImageSet, find_class, label_number
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.errors import UserError, listing
from histogan_tf.machine.console import Lines
from histogan_tf.machine.device import prepare
from histogan_tf.machine.memory import DECODING
from histogan_tf.machine.randomness import Purpose
from histogan_tf.models.feature_extractors import FeatureExtractor, feature_extractors, network_of_features
from histogan_tf.runs.own_results import require_own_results
from histogan_tf.runs.pretrained import is_pretrained
from histogan_tf.runs.provenance import seen_patients, warn_of_seen_patients
from histogan_tf.runs.run_directory import read_run
from histogan_tf.synthesis.class_truth_evaluation import (
    evaluate_class_truth,
    find_class_truth,
    write_class_truth_json,
)
from histogan_tf.synthesis.measure import MIN_REAL_IMAGES, SynthesisReport, measure_synthesis
from histogan_tf.synthesis.measure_report import REPORT_FILES, report_json, report_table, write_synthesis_report
from histogan_tf.trained.generate import chosen_label, sampler_of
from histogan_tf.trained.load import TrainedNetwork, load_networks

logger = logging.getLogger(__name__)

_MAX_GENERATED = 10_000
_BACKBONE_FLAGS = ("backbone", "feature_layer", "center_crop", "weights", "classifier_size", "cpu_kernels")
_EVALUATION_FLAGS = ("features", *_BACKBONE_FLAGS, "seed", "output_dir")


def evaluate_generator(config: Config) -> None:
    """Measures images of a generator's run against the images that it was trained on.

    It makes as many images as those, 10,000 at most, or --num_images; without --label, those of a conditional generator
    have the labels in the proportions of the real ones.

    A run that comes with the program is measured against the dataset that the command names, because its training
    images are not at hand.

    Raises:
        UserError: if those images are not to be found any more, or are too few, or --features cannot be had; if the
            command for a run that comes with the program names no dataset, or one with images of another size.
    """
    directory, run_config, _ = read_run(config)
    if family_of(run_config.model).kind == TRANSLATOR:
        raise UserError(f"{directory} translates: use --mode=translate, then evaluate with --synthetic_dir")
    (source,) = load_networks(config, kind=GENERATOR)
    label = chosen_label(config, source)
    trained_on = real_images_of(config, source, label)
    real = _sampled(trained_on, config)
    extractors = feature_extractors(config, real.image_shape)  # before images are made, which takes minutes
    num_images = config.num_images if "num_images" in config.given else min(len(real), _MAX_GENERATED)
    sampler = sampler_of(source)
    chosen = _labels_in_proportion(real, source, num_images) if label is None else label
    labels = sampler.numbered_labels(0, num_images, chosen)
    images = sampler.numbered(0, num_images, config.seed, Purpose.GENERATED_LATENTS, labels)
    ids = np.array([f"{number:05d}" for number in range(num_images)])
    directory, cache_folder = _output_directory(config, source.output_directory), source.output_directory / "features"
    warnings = _warnings(source, extractors)
    _measure(real, images, ids, extractors, config.seed, directory, cache_folder, warnings)
    if label is not None or source.config.conditional:
        evaluate_class_truth(
            _data_config(config, source),
            images,
            labels,
            source.class_names,
            _extractor_of_labels(extractors, source),
            directory,
            cache_folder,
            seed=config.seed,
            **_seen(config, source, trained_on, label),
        )


def real_images_of(config: Config, source: TrainedNetwork, label: int | None) -> ImageSet:
    """Returns the real images with which the images of a run are compared.

    Args:
        config: the flags of the command.
        source: the generator of the run that --run names.
        label: the label of the real images; None for all that the run was trained on.

    Returns:
        The images that the run was trained on or, for a run that comes with the program, those that the command names.

    Raises:
        UserError: if those images are not to be found any more, or if the command names none for a run that comes with
            the program, or images of another size.
    """
    if is_pretrained(config.run):
        return _other_images(config, source)
    real = _training_images(config, source)
    if source.config.conditional and label is not None:
        real = real.select(np.flatnonzero(real.labels == label))
    return real


def _training_images(config: Config, source: TrainedNetwork) -> ImageSet:
    """Returns the images that a run was trained on, from where they lay then or where the command says."""
    real = load_dataset(_data_config(config, source))
    if real.fingerprint() != source.dataset["fingerprint"]:
        raise UserError(
            f"the images of {real.name!r} are not those that {source.directory} was trained on: say with --data_path "
            f"where those lie"
        )
    return real


def _data_config(config: Config, source: TrainedNetwork) -> Config:
    """Returns the flags of the real images: the run's, from where they lay then or where the command says they are."""
    if is_pretrained(config.run):
        return config
    data_flags = {
        name: getattr(config, name) for name in ("data_dir", "data_path", "labels_csv") if name in config.given
    }
    return dataclasses.replace(source.config, **data_flags)


def _seen(config: Config, source: TrainedNetwork, real: ImageSet, label: int | None) -> dict[str, Collection[str]]:
    """Returns the ids of the images that a run was trained on, and the patients of which it may have seen any image.

    The latter are those of the run that it started from, whose ids are unknown, and all of a run that comes with the
    program.

    Args:
        config: the flags of the command.
        source: the run.
        real: the images that `real_images_of` returned for `label`.
        label: the label of the images to make; None if they have several.
    """
    if is_pretrained(config.run):
        return {"seen_patients": seen_patients(source.record) or ()}
    has_all = label is None or not source.config.conditional
    earlier = source.record.get("initialized_from") or {}
    return {
        "seen_ids": real.ids if has_all else _training_images(config, source).ids,
        "seen_patients": earlier.get("patients") or (),
    }


def _other_images(config: Config, source: TrainedNetwork) -> ImageSet:
    """Returns the images that the command names, and warns if they are of patients that the run has seen."""
    if not {"dataset", "data_path"} & config.given:
        raise UserError(
            f"--run={config.run} comes without the images that it was trained on: say with --dataset and --data_path "
            f"which images to measure it against"
        )
    real = load_dataset(config)
    if real.image_shape != source.image_shape:
        height, width, channels = source.image_shape
        raise UserError(
            f"the images of {real.name!r} are {'x'.join(map(str, real.image_shape))}, and {config.run} makes images of "
            f"{height}x{width}x{channels}: give {'grey' if channels == 1 else 'coloured'} ones, and resize them with "
            f"--output_height={height} --output_width={width}"
        )
    warn_of_seen_patients(real.patients(), seen_patients(source.record), config.run)
    return real


def evaluate_folder(config: Config) -> None:
    """Measures the images in --synthetic_dir, or those of --label if they have labels, against the dataset's.

    Raises:
        UserError: if either set cannot be read, is too small, or they differ in size, or --features cannot be had.
    """
    trained_on = load_dataset(config)
    real = _sampled(trained_on, config)
    synthetic = load_synthetic(config.synthetic_dir, real.class_names, strict=config.strict, needs_labels=False)
    synthetic = _of_label(synthetic, config.label, real)
    extractors = feature_extractors(config, real.image_shape)
    directory = _output_directory(config, Path(config.synthetic_dir).expanduser())
    cache_folder = directory / "features"
    _measure(real, synthetic.images, synthetic.ids, extractors, config.seed, directory, cache_folder)
    if synthetic.labels is not None and config.label is None:
        evaluate_class_truth(
            config,
            synthetic.images,
            synthetic.labels,
            synthetic.class_names,
            _extractor_of_labels(extractors),
            directory,
            cache_folder,
            seed=config.seed,
            seen_ids=trained_on.ids,
        )


def evaluate_given_images(images: ImageSet, synthetic: ImageSet, flags: Mapping[str, Any]) -> dict[str, Any]:
    """Measures synthetic images against real ones that a Python program hands over.

    Args:
        images: real ones; of labelled ones the training part is taken, as on the command line.
        synthetic: images of the same shape; if they have labels, those of --label are taken. Without --label, it is
            measured whether they belong to their labels.
        flags: values by flag name. With --output_dir the report is written there, and else nowhere.

    Returns:
        The metrics as they stand in synthesis.json; and as `class_truth`, the content of class_truth.json, if it was
        measured.

    Raises:
        UserError: if flags are wrong, either set is too small, they differ in size, or --features cannot be had.
    """
    config = config_for(images, flags, mode="evaluate", function="evaluate()", own_flags=_EVALUATION_FLAGS)
    prepare(config)
    trained_on = load_dataset(config, images)
    real = _sampled(trained_on, config)
    synthetic = _of_label(synthetic, config.label, real)
    extractors = feature_extractors(config, real.image_shape)
    directory = Path(config.output_dir).expanduser() if config.output_dir else None
    cache_folder = directory and directory / "features"
    if directory:
        report = _measure(real, synthetic.images, synthetic.ids, extractors, config.seed, directory, cache_folder)
    else:
        report = measure_synthesis(real.images, synthetic.images, extractors, seed=config.seed)
        logger.info("%s", Lines(report_table(report)))
    metrics = report_json(report, real.ids, synthetic.ids)["metrics"]
    if synthetic.labels is None or config.label is not None:
        return metrics
    truth = find_class_truth(
        config,
        # Of images that were loaded, those of another part may be missing, and the parts are not split by patient.
        images if images.settings is None else None,
        synthetic.images,
        synthetic.labels,
        synthetic.class_names,
        _extractor_of_labels(extractors),
        cache_folder,
        seed=config.seed,
        seen_ids=trained_on.ids,
    )
    if truth is None:
        return metrics
    if directory:
        write_class_truth_json(directory, truth)
    return {**metrics, "class_truth": truth}


def _labels_in_proportion(real: ImageSet, source: TrainedNetwork, num_images: int) -> np.ndarray | None:
    """Returns labels of a conditional generator, int32 (num_images,), in the proportions of the real images.

    A generator that makes each label equally often would be told apart from real images by its labels alone.

    Returns:
        None if the real images have no labels, or other ones than the generator, which a run that comes with the
        program may meet.
    """
    if real.labels is None or not source.num_classes:
        return None
    spread = real.labels[np.arange(num_images) * len(real) // num_images]
    try:
        return labels_among(spread, real.class_names, source.class_names)
    except UserError:
        return None


def _sampled(real: ImageSet, config: Config) -> ImageSet:
    """Returns real images in memory: all of them, or 10,000 at most of a set that stays on disk for its size."""
    if not real.is_lazy:
        return real
    fitting = DECODING.num_bytes // math.prod(real.image_shape)
    sample = real.sample_in_memory(max(MIN_REAL_IMAGES, min(_MAX_GENERATED, fitting)), config.seed)
    logger.warning(
        "%s is larger than --memory_budget_gb: measured against %d of its %d images, drawn by --seed=%d; copies of the "
        "others are not found",
        real.name,
        len(sample),
        len(real),
        config.seed,
    )
    return sample


def _of_label(synthetic: ImageSet, label: str | None, real: ImageSet) -> ImageSet:
    """Returns the synthetic images of a label, named as in the real set; all, if none is given or they have none."""
    if label is None or synthetic.labels is None:
        return synthetic
    name = real.class_names[label_number(label, real.class_names)]
    number = find_class(name, synthetic.class_names)
    if number is None:
        classes = listing(synthetic.class_names) or "none"
        raise UserError(f"--label={label}: the synthetic images have the classes {classes}, and none is {name!r}")
    return synthetic.select(np.flatnonzero(synthetic.labels == number))


def _output_directory(config: Config, beside: Path) -> Path:
    return Path(config.output_dir).expanduser() if config.output_dir else beside / "evaluation"


def _is_trained_against(source: TrainedNetwork, extractor: FeatureExtractor) -> bool:
    """Returns whether a generator was trained against the network whose features an extractor extracts."""
    if "backbone" not in family_of(source.config.model).card_sections:
        return False
    if network_of_features(extractor.name) != source.config.backbone:
        return False
    return (source.config.weights != "random") == ("untrained" not in extractor.name)


def _warnings(source: TrainedNetwork, extractors: list[FeatureExtractor]) -> tuple[str, ...]:
    """Returns a warning if a generator was trained against the network that its images are measured with."""
    return tuple(
        f"{source.config.run} was trained against the features of {source.config.backbone}, so distances of "
        f"{extractor.name} flatter it: trust those of other features"
        for extractor in extractors
        if _is_trained_against(source, extractor)
    )


def _extractor_of_labels(extractors: list[FeatureExtractor], source: TrainedNetwork | None = None) -> FeatureExtractor:
    """Returns the extractor with which to tell labels apart: the pretrained one where there are two.

    If the generator was trained against that network, it is the other one.
    """
    independent = [one for one in extractors if source is None or not _is_trained_against(source, one)]
    return (independent or extractors)[-1]


def _measure(
    real: ImageSet,
    images: np.ndarray,
    ids: np.ndarray,
    extractors: list[FeatureExtractor],
    seed: int,
    directory: Path,
    cache_folder: Path,
    warnings: tuple[str, ...] = (),
) -> SynthesisReport:
    require_own_results(directory, REPORT_FILES)  # before the work, which may take minutes
    report = measure_synthesis(real.images, images, extractors, seed=seed, cache_folder=cache_folder, warnings=warnings)
    write_synthesis_report(report, directory, real.images, images, real.ids, ids)
    logger.info("%s\nsee %s", Lines(report_table(report)), directory)
    for warning in warnings:
        logger.warning("%s", warning)
    return report
