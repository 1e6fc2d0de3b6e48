"""Reads and writes a classifier's predictions as CSV files."""

from __future__ import annotations

import csv
import dataclasses
import io
import re
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histogan_tf.classifier.prediction import OF_CLASS, probability_columns, shared_columns
from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells, original_text

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
