"""Tells the study's curves in words and as a table: from how few patients on do synthetic images help?"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from histogan_tf.errors import counted
from histogan_tf.paper.curve_plots import WAYS
from histogan_tf.paper.report_tables import NONE, number_text
from histogan_tf.paper.rows import BASELINE
from histogan_tf.reporting.html import Cell, ReportTable

CURVES = "curves/curves.json"
_OF_EARLIER_VERSIONS = "the validation patients alone"


def curves_text(curves: Mapping[str, Any]) -> str:
    """Returns the sentences that say what the plot of the curves shows.

    Args:
        curves: the content of curves.json.
    """
    return (
        "Left and middle: classifiers of few training patients, alone, with perturbed views, and with images of a "
        "tissue GAN that was trained on the same patients and saw no other; means over draws of patients. Right: "
        "classifiers of all training patients with more and more synthetic images. Each is measured on all validation "
        f"images. {_of_intervals(curves)}"
    )


def few_patients_table(curves: Mapping[str, Any]) -> ReportTable | None:
    """Returns the table of the area under the ROC curve over the number of training patients.

    Args:
        curves: the content of curves.json.

    Returns:
        The table, with a column for each way of enlarging the images; None if the study's patients are unknown.
    """
    points = {(point["num_patients"], point["way"]): point for point in curves["over_patients"]}
    ways = [way for way in WAYS if any(of_point == way for _, of_point in points)]
    if not points:
        return None
    rows = {}
    for number in sorted({number for number, _ in points}):
        real = points[number, BASELINE]
        cells = [Cell(f"{real['num_images']:,.0f}"), _cell(real, "metrics", "{:.3f}")]
        for way in ways:
            if way != BASELINE:
                point = points.get((number, way))
                cells.append(Cell(NONE) if point is None else _cell(point, "against_real", "{:+.3f}"))
        rows[str(number)] = cells
    others = [f"with {WAYS[way].removeprefix('real and ').removeprefix('real with ')}" for way in ways[1:]]
    text = (
        "Area under the ROC curve of classifiers of few patients, and what enlarging their real images adds to it: "
        f"means over random draws of the training patients. {_of_intervals(curves)}"
    )
    columns = ["training patients", "real images", "real alone", *others]
    return ReportTable("How few patients?", text, columns, rows, (CURVES,))


def _of_intervals(curves: Mapping[str, Any]) -> str:
    """Says what other studies the intervals hold for; earlier versions did not count the draws."""
    return f"95 % intervals take into account {curves.get('intervals_over', _OF_EARLIER_VERSIONS)}."


def _cell(point: Mapping[str, Any], columns: str, form: str) -> Cell:
    cell, draws = point[columns]["roc_auc"], point["num_draws"]
    ends = [number_text(cell[end], form) for end in ("low", "high")]
    interval = "no interval" if cell["low"] is None else " to ".join(ends)
    return Cell(number_text(cell["value"], form), f"{interval}\n{counted(draws, 'draw')}")
