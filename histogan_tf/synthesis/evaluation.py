"""--mode=evaluate for synthetic images: those of a GAN's run, or a folder of them, against the real ones."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.config.families import GENERATOR, TRANSLATOR, family_of
from histogan_tf.data.image_set import ImageSet, label_number
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose
from histogan_tf.models.feature_extractors import FeatureExtractor, feature_extractor
from histogan_tf.runs.run_directory import read_run
from histogan_tf.synthesis.measure import measure_synthesis, report_table, write_synthesis_report
from histogan_tf.trained.generate import chosen_label, sampler_of
from histogan_tf.trained.load import load_networks

logger = logging.getLogger(__name__)

_MAX_GENERATED = 10_000


def evaluate_generator(config: Config) -> None:
    """Measures images of a generator's run against the images it was trained on: as many, or --num_images.

    Raises:
        UserError: if those images are not to be found any more, or are too few, or --features cannot be had.
    """
    directory, run_config, _ = read_run(config)
    if family_of(run_config.model).kind == TRANSLATOR:
        raise UserError(f"{directory} translates: use --mode=translate, then evaluate with --synthetic_dir")
    (source,) = load_networks(config, kind=GENERATOR)
    data_flags = {name: getattr(config, name) for name in ("data_dir", "data_path") if name in config.given}
    real = load_dataset(dataclasses.replace(source.config, **data_flags))
    if real.fingerprint() != source.dataset["fingerprint"]:
        raise UserError(
            f"the images of {real.name!r} are not those that {source.directory} was trained on: say with --data_path "
            f"where those lie"
        )
    label = chosen_label(config, source)
    if source.config.conditional and label is not None:
        real = real.select(np.flatnonzero(real.labels == label))
    extract = feature_extractor(config, real.image_shape)  # first, for making many images takes minutes
    num_images = config.num_images if "num_images" in config.given else min(len(real), _MAX_GENERATED)
    images = sampler_of(source).numbered(0, num_images, config.seed, Purpose.GENERATED_LATENTS, label)
    ids = np.array([f"{number:05d}" for number in range(num_images)])
    directory = _output_directory(config, source.directory)
    _measure(real, images, ids, extract, config.seed, directory, source.directory / "features")


def evaluate_folder(config: Config) -> None:
    """Measures the images in --synthetic_dir, or those of --label if they have labels, against the dataset's.

    Raises:
        UserError: if either set cannot be read, is too small, or they differ in size, or --features cannot be had.
    """
    real = load_dataset(config)
    synthetic = load_synthetic(config.synthetic_dir, real.class_names, strict=config.strict, needs_labels=False)
    if config.label is not None and synthetic.labels is not None:
        synthetic = synthetic.select(np.flatnonzero(synthetic.labels == label_number(config.label, real.class_names)))
    extract = feature_extractor(config, real.image_shape)
    directory = _output_directory(config, Path(config.synthetic_dir).expanduser())
    _measure(real, synthetic.images, synthetic.ids, extract, config.seed, directory, directory / "features")


def _output_directory(config: Config, beside: Path) -> Path:
    return Path(config.output_dir).expanduser() if config.output_dir else beside / "evaluation"


def _measure(
    real: ImageSet,
    images: np.ndarray,
    ids: np.ndarray,
    extract: FeatureExtractor,
    seed: int,
    directory: Path,
    cache_folder: Path,
) -> None:
    report = measure_synthesis(real.images, images, extract, seed=seed, cache_folder=cache_folder)
    write_synthesis_report(report, directory, real.images, images, real.ids, ids)
    logger.info("%s\nsee %s", report_table(report), directory)
