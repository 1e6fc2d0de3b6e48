"""Reads and writes a classifier run's predictions, and measures them: metrics.json and the plots beside it."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier import plots
from histogan_tf.classifier.class_results import write_class_results
from histogan_tf.classifier.metric_tables import metrics_table, to_json
from histogan_tf.classifier.prediction import (
    OF_CLASS,
    backbone_note,
    probability_columns,
    require_classifier,
    shared_columns,
)
from histogan_tf.config import Config
from histogan_tf.data.positive_class import positive_note
from histogan_tf.errors import UserError
from histogan_tf.machine.console import Lines
from histogan_tf.metrics.classification import choose_threshold, evaluate_classifier, operating_point
from histogan_tf.metrics.measured import interval_method
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells, original_text
from histogan_tf.runs.locking import sole_writer
from histogan_tf.runs.run_directory import is_exported_run, read_run

logger = logging.getLogger(__name__)

THRESHOLD = 0.5
_FEW_PATIENTS = 10
_COLUMNS = ("id", "patient", "label")
_PROBABILITY = re.compile(r"0\.\d{6}|1\.0{6}")


@dataclasses.dataclass(frozen=True)
class Predictions:
    """A classifier's predictions for labelled images, as a CSV file holds them.

    Attributes:
        ids: str (num_images,), the id of each image.
        groups: str (num_images,), the patient of each image; None if unknown.
        labels: int32 (num_images,), the true labels.
        probabilities: float64 (num_images,), the predicted probabilities of label 1; of three classes or more, those of
            every label, float64 (num_images, num_classes).
    """

    ids: np.ndarray
    groups: np.ndarray | None
    labels: np.ndarray
    probabilities: np.ndarray


def write_predictions(path: Path, predictions: Predictions, run_config: Config, class_names: Sequence[str]) -> None:
    """Writes id, patient (empty if unknown), label and probability of each image, and what they are about.

    Of three classes or more, each has a column with its probability, named after it. Of two, a column of the last
    ones, which are the same in every row, names the positive class, which is label 1 and whose probability it is. The
    other one says, if the backbone was never trained, that it was not.

    Args:
        path: the file to write.
        predictions: what to write.
        run_config: the settings of the classifier's run.
        class_names: the names of the labels.
    """
    columns, extra = probability_columns(class_names), shared_columns(run_config, class_names)
    groups = [""] * len(predictions.ids) if predictions.groups is None else predictions.groups
    with files.written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow([*_COLUMNS, *columns, *extra])
        for row in zip(predictions.ids, groups, predictions.labels, predictions.probabilities, strict=True):
            probabilities = [f"{probability:.6f}" for probability in np.atleast_1d(row[3])]
            writer.writerow(neutral_cells([*row[:3], *probabilities, *extra.values()]))


def read_predictions(path: Path) -> Predictions:
    """Reads a file that `write_predictions` wrote.

    Raises:
        UserError: if the file is missing or damaged.
    """
    try:
        text = path.read_bytes().decode("utf-8")
        rows = list(csv.DictReader(io.StringIO(text, newline=""), strict=True))
        if not rows:
            raise ValueError("it holds no row")
        of_classes = [name for name in rows[0] if (name or "").startswith(OF_CLASS)]
        names = (*_COLUMNS, *(of_classes or ("probability",)))
        columns = {name: np.array([original_text(row[name] or "") for row in rows]) for name in names}
        if not text.endswith("\n") or any(None in (*row, *row.values()) for row in rows):
            raise ValueError("a line is cut off, or has cells too many")
        if "\0" in text:
            raise ValueError("it holds zero bytes")
        labels_known = {str(label) for label in range(len(of_classes) or 2)}
        texts = np.stack([columns[name] for name in names[len(_COLUMNS) :]], axis=1)
        if not set(columns["label"]) <= labels_known or not all(map(_PROBABILITY.fullmatch, texts.ravel())):
            allowed = "neither 0 nor 1" if not of_classes else f"not from 0 to {len(of_classes) - 1}"
            raise ValueError(f"a label is {allowed}, or a probability is no number from 0 to 1 with six decimals")
        labels, probabilities = columns["label"].astype(np.int32), texts.astype(np.float64)
        probabilities = probabilities if of_classes else probabilities[:, 0]
    except (OSError, KeyError, ValueError, csv.Error) as error:
        raise UserError(
            f"{path} cannot be read ({type(error).__name__}: {error}): finish its run, or begin it anew with --restart"
        ) from error
    groups = columns["patient"] if all(columns["patient"]) else None
    return Predictions(columns["id"], groups, labels, probabilities)


def measure_classifier(config: Config) -> None:
    """Measures a run's predictions for its validation part again; --recall_at_least adds an operating point.

    Raises:
        UserError: if there is no such run, or if its training is not finished.
    """
    directory, run_config, dataset = read_run(config)
    require_classifier(directory, run_config)
    if is_exported_run(directory):
        raise UserError(
            f"{directory} is an exported run: the predictions that it was measured by stayed in the run that it was "
            f"exported from, and its metrics.json has the result"
        )
    with sole_writer(directory):
        recall_at_least = config.recall_at_least or run_config.recall_at_least
        evaluate_run(directory, run_config, dataset["class_names"], recall_at_least)


def evaluate_run(
    directory: Path, run_config: Config, class_names: Sequence[str], recall_at_least: float | None
) -> None:
    """Writes metrics.json and its plots from the predictions in a run directory, and logs the table."""
    predictions = read_predictions(directory / "predictions.csv")
    labels, probabilities, groups = predictions.labels, predictions.probabilities, predictions.groups
    if groups is not None and len(np.unique(groups)) < _FEW_PATIENTS:
        logger.warning(
            "%d patients in the validation part: with fewer than about %d, intervals by patient are too narrow%s",
            len(np.unique(groups)),
            _FEW_PATIENTS,
            "; with one, there are none" if len(np.unique(groups)) == 1 else "",
        )
    if len(class_names) > 2:
        if recall_at_least is not None:
            raise UserError(
                f"--recall_at_least={recall_at_least} is about the positive class of two, and {directory} has "
                f"{len(class_names)} classes: leave it out"
            )
        write_class_results(directory, predictions, class_names, backbone_note(run_config), run_config.seed)
        return
    metrics = evaluate_classifier(labels, probabilities, threshold=THRESHOLD, groups=groups, seed=run_config.seed)
    note, positive = backbone_note(run_config), class_names[1]
    title = f"{directory.name}: {note}; {positive_note(class_names)}"
    logger.info("%s\n%s", title, Lines(metrics_table({directory.name: metrics}, positive)))
    point = None
    if recall_at_least is not None:
        point = _operating_point(directory, predictions, recall_at_least, run_config, positive)
    plots.plot_precision_recall(directory / "precision_recall.png", labels, probabilities, title, point)
    plots.plot_roc(directory / "roc.png", labels, probabilities, title, point)
    plots.plot_confusion_matrix(
        directory / "confusion_matrix.png", labels, probabilities >= THRESHOLD, class_names, title
    )
    plots.plot_reliability(directory / "reliability.png", labels, probabilities, title, positive)
    files.write_json(
        directory / "metrics.json",
        {
            "backbone": note,
            "positive_class": positive,
            "negative_class": class_names[0],
            "num_images": len(labels),
            "num_patients": None if groups is None else len(np.unique(groups)),
            "intervals": interval_method(groups),
            "threshold": THRESHOLD,
            "metrics": to_json(metrics),
            "operating_point": point,
        },
    )


def _operating_point(
    directory: Path, predictions: Predictions, recall_at_least: float, run_config: Config, positive_class: str
) -> dict[str, Any]:
    """Measures the validation part at the threshold that reaches `recall_at_least` on held-out training images."""
    folds = read_predictions(directory / "training_folds.csv")
    threshold = choose_threshold(folds.labels, folds.probabilities, recall_at_least)
    metrics = operating_point(
        predictions.labels, predictions.probabilities, threshold, groups=predictions.groups, seed=run_config.seed
    )
    logger.info("recall of at least %g on held-out training images: threshold %.4f", recall_at_least, threshold)
    logger.info("%s", Lines(metrics_table({"operating point": metrics}, positive_class)))
    return {
        "recall_at_least": recall_at_least,
        "threshold": threshold,
        "chosen_on": f"{len(folds.labels)} held-out training images",
        "metrics": to_json(metrics),
    }
