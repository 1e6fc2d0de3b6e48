"""Computes Table 1 from the predictions of all classifiers: values, spread, intervals, tests, and an answer."""

from __future__ import annotations

import csv
import dataclasses
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier.predictions_file import Predictions, read_predictions
from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.metrics.classification import choose_threshold, mcnemar_test, operating_point, point_estimates
from histogan_tf.metrics.differences import mean_differences
from histogan_tf.metrics.measured import Metric, interval_method
from histogan_tf.metrics.repeats import mean_metrics
from histogan_tf.paper.effects import add_corrected_effects, answer, effect
from histogan_tf.paper.rows import BASELINE, Row
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells

TABLE1_COLUMNS = (
    "precision",
    "recall",
    "accuracy",
    "specificity",
    "balanced_accuracy",
    "roc_auc",
    "recall_at_precision_90",
)
AT_RECALL = "specificity_at_real_recall"
PUBLISHED = ("precision", "recall", "accuracy")


def write_table(directory: Path, runs: Mapping[Row, Sequence[Path]], positive_class: str, *, seed: int) -> None:
    """Writes table1.json and table1.csv.

    Args:
        directory: the study's directory.
        runs: the run directories of the classifiers of each row, one for each repeat; the first row is the baseline. A
            row may have fewer repeats than the baseline: the first of them.
        positive_class: the name of label 1, which the metrics are about.
        seed: the seed of the bootstrap.

    Raises:
        UserError: if predictions are missing or damaged.
    """
    predictions = {
        row.name: [read_predictions(run / "predictions.csv") for run in of_row] for row, of_row in runs.items()
    }
    num_images = {row.name: [_num_training(run) for run in of_row] for row, of_row in runs.items()}
    table = make_table(list(runs), predictions, num_images, positive_class, seed=seed)
    files.write_json(directory / "table1.json", table)
    _write_csv(directory / "table1.csv", table)


def _num_training(run: Path) -> dict[str, int]:
    """Returns the numbers of `real` and `synthetic` images that a classifier was trained on."""
    training = json.loads((run / "training.json").read_text(encoding="utf-8"))
    return {name: sum(training[f"{name}_images"].values()) for name in ("real", "synthetic")}


def make_table(
    table_rows: Sequence[Row],
    predictions: Mapping[str, Sequence[Predictions]],
    num_images: Mapping[str, Sequence[Mapping[str, int]]],
    positive_class: str,
    *,
    seed: int,
) -> dict[str, Any]:
    """Computes the content of table1.json.

    Args:
        table_rows: the rows of the table; the first is the baseline.
        predictions: for each row, by name, the predictions of its repeats; all for the same images in the same order. A
            row may have fewer repeats than the baseline: the first of them.
        num_images: for each row, by name, the numbers of `real` and `synthetic` images that each repeat was trained on.
        positive_class: the name of label 1, which the metrics are about.
        seed: the seed of the bootstrap; that of Figure 7, so that the same metric has the same interval in both.
    """
    reference = predictions[BASELINE][0]
    groups = reference.groups
    for row in table_rows:
        for repeat in predictions[row.name]:
            assert np.array_equal(repeat.ids, reference.ids) and np.array_equal(repeat.labels, reference.labels)
    rows = []
    for row in table_rows:
        probabilities = [repeat.probabilities for repeat in predictions[row.name]]
        baselines = [repeat.probabilities for repeat in predictions[BASELINE]][: len(probabilities)]
        num_empty = _num_without_images(row, num_images[row.name])
        is_empty, is_compared = num_empty == len(probabilities), row.name != BASELINE
        rows.append(
            {
                "name": row.name,
                "title": row.title,
                "published": dict(zip(PUBLISHED, row.published, strict=True)) if row.published else None,
                "training_images": list(num_images[row.name]),
                "num_repeats_without_images": num_empty,
                # Without synthetic images, this would be the row Real again.
                "metrics": None if is_empty else _measure(reference, probabilities, baselines, seed),
                "against_real": _against_real(reference, probabilities, baselines, seed)
                if is_compared and not is_empty
                else None,
            }
        )
    for name in TABLE1_COLUMNS:
        add_corrected_effects(rows, name)
    return {
        "positive_class": positive_class,
        "num_validation": len(reference.ids),
        "num_validation_patients": None if groups is None else len(np.unique(groups)),
        "num_repeats": len(predictions[BASELINE]),
        "threshold": THRESHOLD,
        "intervals": interval_method(groups),
        "rows": rows,
        "answer": answer(rows),
    }


def _num_without_images(row: Row, num_images: Sequence[Mapping[str, int]]) -> int:
    """Counts the repeats in which the rule of a row kept no synthetic image, so that it was trained as Real was."""
    return sum(row.rule is not None and not counts["synthetic"] for counts in num_images)


def _measure(
    reference: Predictions, probabilities: Sequence[np.ndarray], baselines: Sequence[np.ndarray], seed: int
) -> dict[str, Any]:
    """Computes the columns of one row, as means over its repeats."""
    labels, groups = reference.labels, reference.groups
    means = mean_metrics(labels, probabilities, threshold=THRESHOLD, groups=groups, seed=seed)
    values = [point_estimates(labels, run, THRESHOLD) for run in probabilities]
    columns = {name: _column(means[name], [run[name] for run in values]) for name in TABLE1_COLUMNS}
    points = [
        _at_recall(reference, run, point_estimates(labels, baseline, THRESHOLD)["recall"], seed)
        for run, baseline in zip(probabilities, baselines, strict=True)
    ]
    # Each repeat has a threshold of its own. Value and bounds are averaged over the repeats, so the interval is about
    # as wide as that of a single repeat.
    mean = dataclasses.replace(
        points[0],
        **{end: float(np.mean([getattr(point, end) for point in points])) for end in ("value", "low", "high")},
        is_exact=any(point.is_exact for point in points),
    )
    columns[AT_RECALL] = _column(mean, [point.value for point in points])
    return columns


def _at_recall(reference: Predictions, probabilities: np.ndarray, recall: float, seed: int) -> Metric:
    """Computes the specificity at the point of a row's ROC curve, on the validation images, that reaches `recall`."""
    if not recall > 0:
        return Metric(1.0, 1.0, 1.0, 0)  # a recall of 0 needs no image to be called positive
    threshold = choose_threshold(reference.labels, probabilities, recall)
    metrics = operating_point(reference.labels, probabilities, threshold, groups=reference.groups, seed=seed)
    return metrics["specificity"]


def _column(mean: Metric, values: Sequence[float]) -> dict[str, Any]:
    """Returns a cell: the mean with its interval, the value of each repeat, and their standard deviation (`spread`)."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else math.nan
    cell = {**dataclasses.asdict(mean), "spread": spread, "repeats": [float(value) for value in values]}
    return {
        key: [_finite(item) for item in value] if isinstance(value, list) else _finite(value)
        for key, value in cell.items()
    }


def _finite(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def _against_real(
    reference: Predictions, probabilities: Sequence[np.ndarray], baselines: Sequence[np.ndarray], seed: int
) -> dict[str, Any]:
    """Computes a row's differences from the row Real, the effect of each, and McNemar's test for each repeat."""
    labels, groups = reference.labels, reference.groups
    differences = mean_differences(labels, probabilities, baselines, threshold=THRESHOLD, groups=groups, seed=seed)
    measured = [[point_estimates(labels, run, THRESHOLD) for run in runs] for runs in (probabilities, baselines)]
    found = {}
    for name in TABLE1_COLUMNS:
        values = [own[name] - real[name] for own, real in zip(*measured, strict=True)]
        cell = _column(differences[name], values)
        found[name] = {**cell, "effect": effect(cell)}
    tests = [
        mcnemar_test(labels, baseline >= THRESHOLD, run >= THRESHOLD)
        for run, baseline in zip(probabilities, baselines, strict=True)
    ]
    return {"differences": found, "mcnemar": [dataclasses.asdict(test) for test in tests]}


def _write_csv(path: Path, table: Mapping[str, Any]) -> None:
    """Writes a line for each row.

    It holds value, bounds, spread and number of images of each column, published values, effects with and without
    Holm's correction, p-values, and the positive class. Cells of a row without synthetic images are empty.
    """
    ends = ("value", "low", "high", "spread", "num_images")
    columns = (*TABLE1_COLUMNS, AT_RECALL)
    effects = ("effect", "effect_after_holm", "holm_p_value")
    header = ["row", *(name if end == "value" else f"{name}_{end}" for name in columns for end in ends)]
    header += [f"published_{name}" for name in PUBLISHED]
    header += [f"{name}_{key}" for name in TABLE1_COLUMNS for key in effects]
    header += ["mcnemar_p_of_repeats", "positive_class"]
    with files.written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in table["rows"]:
            metrics, against = row["metrics"], row["against_real"]
            cells = [row["title"], *(metrics and metrics[name][end] for name in columns for end in ends)]
            cells += [(row["published"] or {}).get(name) for name in PUBLISHED]
            cells += [against and against["differences"][name][key] for name in TABLE1_COLUMNS for key in effects]
            cells += [" ".join(f"{test['p_value']:.4g}" for test in against["mcnemar"]) if against else None]
            cells += [table["positive_class"]]
            writer.writerow(neutral_cells(cells))
