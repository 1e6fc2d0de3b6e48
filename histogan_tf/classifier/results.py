"""Measures a classifier run's predictions: metrics.json and the plots beside it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier import plots
from histogan_tf.classifier.class_results import write_class_results
from histogan_tf.classifier.metric_tables import metrics_table, to_json
from histogan_tf.classifier.prediction import backbone_note, require_classifier
from histogan_tf.classifier.predictions_file import Predictions, read_predictions
from histogan_tf.config import Config
from histogan_tf.data.positive_class import positive_note
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.console import Lines
from histogan_tf.metrics.classification import choose_threshold, evaluate_classifier, operating_point
from histogan_tf.metrics.measured import interval_method
from histogan_tf.runs import files
from histogan_tf.runs.locking import sole_writer
from histogan_tf.runs.run_directory import is_exported_run, read_run

logger = logging.getLogger(__name__)

THRESHOLD = 0.5
_FEW_PATIENTS = 10


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
            "%s in the validation part: with fewer than about %d, intervals by patient are too narrow%s",
            counted(len(np.unique(groups)), "patient"),
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
