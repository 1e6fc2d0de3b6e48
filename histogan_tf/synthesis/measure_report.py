"""Tells and writes what measure.py measured: a table to read, JSON, and sheets of images."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.metrics.memorization import FALSE_ALARM_RATE, Copies, NearestTraining
from histogan_tf.reporting import pictures
from histogan_tf.reporting.text_tables import plain_table
from histogan_tf.runs import files
from histogan_tf.runs.own_results import own_results
from histogan_tf.synthesis.measure import REPORT_COLUMNS, SynthesisReport
from histogan_tf.synthesis.realism import realism_summary, write_realism

REPORT_FILES = ("synthesis.json", "nearest_training.png", "realism.csv", "realism.png")
_SHEET_IMAGES, _SHEET_COLUMNS = 48, 4
_NEAREST_CAPTION = (
    "Of each three: a synthetic image, the nearest training image by features, the nearest by pixels. {} frame: "
    "suspected copy."
)
_RED = np.array([214, 39, 40], np.uint8)


def report_table(report: SynthesisReport) -> str:
    """Returns the metrics as a table to read, and what was found of realism and of copies."""
    rows = [("metric", "synthetic", "floor (real images)", "ceiling (noise; repeated pixels)", "images")]
    for name, columns in report.metrics.items():
        rows.append(
            (name, *(_cell(columns[column]) for column in REPORT_COLUMNS), _shown_counts(report.num_images[name]))
        )
    notes = [
        f"realism by {name}: {_realism_text(found['synthetic'])} (floor: {_realism_text(found['floor'])})"
        for name, found in _realism_summaries(report).items()
    ]
    notes += [f"mind: {warning}" for warning in report.warnings]
    num_synthetic, num_suspected = report.settings["num_synthetic"], int(report.copies.is_suspected.sum())
    copies = report.copies
    planted = [("kind of copy", f"found, of {copies.num_planted} planted")]
    planted += [(kind, f"{rate:.0%}") for kind, rate in copies.planted_rates.items()]
    return (
        f"{plain_table(rows)}\n"
        + "".join(f"{note}\n" for note in notes)
        + f"suspected copies of training images: {num_suspected} of {num_synthetic} "
        f"({2 * FALSE_ALARM_RATE * num_synthetic:.2g} expected by chance)\n"
        f"which copies the search by pixels finds among these training images:\n{plain_table(planted)}"
    )


def report_json(report: SynthesisReport, real_ids: np.ndarray, synthetic_ids: np.ndarray) -> dict[str, Any]:
    """Returns the report as JSON can hold it; NaN becomes None.

    Args:
        report: what was measured.
        real_ids: the names of the real images, str (num_real,).
        synthetic_ids: the names of the synthetic images, str (num_synthetic,).
    """
    metrics = {
        name: {
            column: {key: float(value) if np.isfinite(value) else None for key, value in values.items()}
            for column, values in columns.items()
        }
        for name, columns in report.metrics.items()
    }
    copies = report.copies
    spaces = {"features": copies.features, "pixels": copies.pixels}
    return {
        "settings": dict(report.settings),
        "metrics": metrics,
        "num_images": {name: dict(counts) for name, counts in report.num_images.items()},
        "realism": _realism_summaries(report),
        "warnings": list(report.warnings),
        "copies": {
            "num_suspected": int(copies.is_suspected.sum()),
            "num_expected_by_chance": 2 * FALSE_ALARM_RATE * len(synthetic_ids),
            "num_planted": copies.num_planted,
            "planted_rates": dict(copies.planted_rates),
            **{name: _space_json(space) for name, space in spaces.items()},
            "suspected": [
                {
                    "synthetic": str(synthetic_ids[index]),
                    **{name: _pair_json(space, index, real_ids) for name, space in spaces.items()},
                }
                for index in _nearest_first(copies)
                if copies.is_suspected[index]
            ],
        },
    }


def write_synthesis_report(
    report: SynthesisReport,
    directory: Path,
    real_images: np.ndarray,
    synthetic_images: np.ndarray,
    real_ids: np.ndarray,
    synthetic_ids: np.ndarray,
) -> None:
    """Writes synthesis.json, nearest_training.png, and realism.csv and realism.png, which realism.py describes.

    nearest_training.png shows the synthetic images that are nearest to training images, suspected copies first and in a
    red frame (black if images are grey): each with its nearest training image by features, then by pixels.

    Args:
        report: what was measured.
        directory: the folder to write to, which is made if it does not exist.
        real_images: uint8 (num_real, height, width, channels), as measured.
        synthetic_images: uint8 (num_synthetic, height, width, channels), as measured.
        real_ids: the names of the real images, str (num_real,).
        synthetic_ids: the names of the synthetic images, str (num_synthetic,).
    """
    with own_results(directory, REPORT_FILES):
        files.write_json(directory / "synthesis.json", report_json(report, real_ids, synthetic_ids))
        shown = _nearest_first(report.copies)[:_SHEET_IMAGES]
        cells = [_sheet_cell(report.copies, index, real_images, synthetic_images) for index in shown]
        write_realism(directory, report.realism, synthetic_ids, synthetic_images)
        sheet = pictures.tile(np.stack(cells), _SHEET_COLUMNS, gap_pixels=6)
        caption = _NEAREST_CAPTION.format("Red" if sheet.shape[-1] == 3 else "Black")
        pictures.save_png(directory / "nearest_training.png", pictures.with_caption(sheet, caption))


def _realism_summaries(report: SynthesisReport) -> dict[str, dict[str, dict[str, float]]]:
    """Returns the summaries of synthetic images and of other real ones (`floor`), by name of the features."""
    return {
        name: {"synthetic": realism_summary(scores), "floor": realism_summary(report.realism_of_real[name])}
        for name, scores in report.realism.items()
    }


def _realism_text(summary: Mapping[str, float]) -> str:
    return f"median {summary['median']:.3g}, at least 1 for {summary['share_at_least_1']:.0%}"


def _shown_counts(counts: Mapping[str, int]) -> str:
    shown = f"{counts['real']} real, {counts['synthetic']} synthetic"
    return shown if counts["draws"] == 1 else f"{counts['draws']} x {shown}"


def _cell(values: Mapping[str, float]) -> str:
    if "deviation" in values:
        return f"{values['value']:.4g} ± {values['deviation']:.2g}"
    return f"{values['value']:+.3f} ({values['low']:+.3f} … {values['high']:+.3f})"


def _nearest_first(copies: Copies) -> np.ndarray:
    """Returns the indices of synthetic images, suspected copies first, then by rising relative distance."""
    return np.lexsort((copies.relative_distances, ~copies.is_suspected))


def _space_json(space: NearestTraining) -> dict[str, float]:
    low, middle = space.real_quantiles
    return {
        "threshold": space.threshold,
        "real_quantile_0.01": low,
        "real_quantile_0.5": middle,
        "num_suspected": int(space.is_suspected.sum()),
        "num_left_out_real": space.num_left_out,
        "num_suspected_real": space.num_suspected_real,
    }


def _pair_json(space: NearestTraining, index: int, real_ids: np.ndarray) -> dict[str, Any]:
    relative_distance = float(space.relative_distances[index])
    return {
        "training": str(real_ids[space.indices[index]]),
        "distance": float(space.distances[index]),
        "relative_distance": relative_distance if np.isfinite(relative_distance) else None,
        "is_suspected": bool(space.is_suspected[index]),
    }


def _sheet_cell(copies: Copies, index: int, real: np.ndarray, synthetic: np.ndarray) -> np.ndarray:
    """uint8 (height + 6, 3 * width + 10, channels): a synthetic image and its neighbours, framed if it is suspected."""
    neighbours = [real[space.indices[index]] for space in (copies.features, copies.pixels)]
    row = pictures.tile(np.stack([synthetic[index], *neighbours]), num_columns=3)
    height, width, channels = row.shape
    colour = np.full(channels, 255, np.uint8)
    if copies.is_suspected[index]:
        colour = _RED if channels == 3 else np.zeros(1, np.uint8)
    cell = np.broadcast_to(colour, (height + 6, width + 6, channels)).copy()
    cell[3:-3, 3:-3] = row
    return cell
