"""Whether the study's synthetic images belong to their labels: measured, written, and shown in the report."""

from __future__ import annotations

import dataclasses
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.machine.console import Lines
from histogan_tf.paper.rows import SYNTHETIC
from histogan_tf.paper.study_features import study_features
from histogan_tf.reporting.html import Cell, ReportTable
from histogan_tf.runs import files
from histogan_tf.synthesis.class_truth import (
    LabelledFeatures,
    class_truth_json,
    class_truth_table,
    measure_class_truth,
)

logger = logging.getLogger(__name__)


def write_class_truth(config: Config, synthetic_dir: Path, path: Path, features_directory: Path) -> None:
    """Measures GAN-test and GAN-train of a folder of synthetic images, on the two parts of the study's dataset.

    The classifiers are linear ones on features of the pretrained backbone, even in a study that tunes it.

    Args:
        config: the settings of the classifier that is trained on real images.
        synthetic_dir: the folder, with images of both labels.
        path: the JSON file to write. It says so if there were too few images to measure anything.
        features_directory: the folder of cached features that the classifiers of the study share.

    Raises:
        UserError: if the images cannot be read.
    """
    data = load_data(dataclasses.replace(config, train_on="both", synthetic_dir=str(synthetic_dir)))
    cache = study_features(config, data.validation.image_shape, features_directory)
    training, test, synthetic = (
        LabelledFeatures(cache.views(images)[0], images.labels, groups)
        for images, groups in (
            (data.real, data.real.groups),
            (data.validation, data.validation.groups),
            (data.synthetic, None),
        )
    )
    try:
        truth = measure_class_truth(training, test, synthetic, seed=config.seed)
    except UserError as error:
        logger.warning("whether the images of %s belong to their labels is not measured: %s", synthetic_dir, error)
        files.write_json(path, {"not_measured": str(error)})
        return
    files.write_json(path, class_truth_json(truth))
    logger.info("%s:\n%s", synthetic_dir.name, Lines(class_truth_table(truth, data.validation.class_names)))


def class_truth_report(
    directory: Path, folder: Path, class_names: Sequence[str], synthetic: Sequence[str]
) -> ReportTable:
    """Returns the report's table of GAN-test and GAN-train of each set of images in `folder`, that of a repeat.

    Args:
        directory: the study's directory.
        folder: the folder of the repeat.
        class_names: the names of labels 0 and 1.
        synthetic: the sets of synthetic images that are shown, keys of SYNTHETIC.
    """
    paths = {SYNTHETIC[name]: folder / "class_truth" / f"{name}.json" for name in synthetic}
    paths = {title: path for title, path in paths.items() if path.exists()}
    found = {title: json.loads(path.read_text(encoding="utf-8")) for title, path in paths.items()}
    columns = {
        "Real on real": ("real", "accuracy"),
        "GAN-test": ("gan_test", "accuracy"),
        **{f"GAN-test, {name}": ("gan_test", f"label_{label}") for label, name in enumerate(class_names)},
        "GAN-train": ("gan_train", "accuracy"),
    }
    rows = {title: [_cell(truth, *keys) for keys in columns.values()] for title, truth in found.items()}
    text = (
        "Do synthetic images belong to the label that they were made for? GAN-test: the accuracy on synthetic images "
        "of a classifier that was trained on real ones alone. GAN-train: the accuracy on real validation images of "
        "one that was trained on synthetic ones alone. Real on real: that of the classifier of real images on real "
        "validation images, with which both are compared. Accuracies are means over labels. The classifiers are "
        "linear ones on the features of the backbone, all trained on the same number of images of each label. First "
        "repeat."
    )
    if "tissue" in synthetic:
        text += f" The {SYNTHETIC['tissue']} was trained against features of such a network, which may flatter it."
    made_from = [path.relative_to(directory).as_posix() for path in paths.values()]
    return ReportTable("Class-wise truth", text, ["images", *columns], rows, made_from)


def _cell(truth: Mapping[str, Any], row: str, name: str) -> Cell:
    if "not_measured" in truth:
        return Cell("–", "not measured")
    estimate = truth["accuracies"].get(row, {}).get(name)
    if estimate is None or estimate["value"] is None:
        return Cell("–")
    has_interval = estimate["low"] is not None
    note = f"{estimate['low']:.3f} to {estimate['high']:.3f}" if has_interval else "no interval"
    return Cell(f"{estimate['value']:.3f}", note)
