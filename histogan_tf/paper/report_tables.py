"""The report's tables: Table 1, its other metrics, and the differences to Real; few columns each, for phones too."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.data.positive_class import positive_note
from histogan_tf.errors import counted
from histogan_tf.metrics.rates import FEW_IMAGES
from histogan_tf.paper.table1 import AT_RECALL, PUBLISHED, TABLE1_COLUMNS
from histogan_tf.paper.table_plots import column_title
from histogan_tf.reporting.html import Cell, ReportTable

NONE = "–"
TABLE1 = "table1.json"
_RATES = ("precision", "recall", "accuracy", "specificity")
_MORE = (*(name for name in TABLE1_COLUMNS if name not in PUBLISHED), AT_RECALL)
_COMPARED = ("precision", "recall", "accuracy", "roc_auc")
_MORE_COMPARED = tuple(name for name in TABLE1_COLUMNS if name not in _COMPARED)


def number_text(value: float | None, form: str = "{:.3f}") -> str:
    """Returns a number as text, with a real minus sign; "undefined" if there is none."""
    return "undefined" if value is None else form.format(value).replace("-", "−")


def result_tables(table: Mapping[str, Any], names: Sequence[str]) -> tuple[ReportTable, ...]:
    """Returns the tables of Table 1 and of the differences to Real, each in two parts.

    Args:
        table: the content of table1.json.
        names: the names of labels 0 and 1.
    """
    return (
        _table1(table, names),
        _more_metrics(table, names),
        _differences(table, "Against Real", _COMPARED, names),
        _differences(table, "Against Real: other metrics", _MORE_COMPARED, names),
    )


def _interval(cell: Mapping[str, Any], form: str) -> str:
    if cell["value"] is None:
        return ""
    if cell["low"] is None:
        return "no interval"
    exact = " exact" if cell["is_exact"] else ""
    return f"{number_text(cell['low'], form)} to {number_text(cell['high'], form)}{exact}"


def _notes(name: str, cell: Mapping[str, Any], form: str = "{:.3f}") -> Iterator[str]:
    """Yields the lines below a value: its interval, spread, what it rests on, and resamples without it."""
    yield _interval(cell, form)
    if cell["spread"] is not None:
        yield f"spread {cell['spread']:.3f}"
    if name in _RATES:
        patients = "" if cell["num_patients"] is None else f", {counted(cell['num_patients'], 'patient')}"
        yield f"n = {cell['num_images']}{patients}"
    if cell["num_undefined"]:
        yield f"undefined in {cell['num_undefined']} of 2000 resamples"


def _values(row: Mapping[str, Any], names: Sequence[str]) -> list[Cell]:
    """Returns the cells of some metrics of a row; the paper's value is the last line of those that it has."""
    if row["metrics"] is None:
        return [Cell("no image passed"), *[Cell(NONE)] * (len(names) - 1)]
    cells = []
    for name in names:
        lines = [*_notes(name, row["metrics"][name])]
        lines += [f"paper: {row['published'][name]:.3f}"] if row["published"] and name in PUBLISHED else []
        cells.append(Cell(number_text(row["metrics"][name]["value"]), "\n".join(filter(None, lines))))
    return cells


def _over_repeats(table: Mapping[str, Any]) -> str:
    repeats = table["num_repeats"]
    if repeats == 1:
        return "Below each value"
    return f"Means over {repeats} repeats, which differ by the spread (standard deviation); below them"


def _table1(table: Mapping[str, Any], names: Sequence[str]) -> ReportTable:
    rows = {}
    for row in table["rows"]:
        images = row["training_images"][0]
        empty = row["num_repeats_without_images"]
        of = (
            f"\nno image passed in {empty} of {counted(table['num_repeats'], 'repeat')}"
            if empty and row["metrics"]
            else ""
        )
        trained_on = Cell(f"{images['real']} real", f"{images['synthetic']} synthetic{of}")
        rows[row["title"]] = [trained_on, *_values(row, PUBLISHED)]
    text = (
        f"{_over_repeats(table)}: the interval ({table['intervals']}); the number n of images that the rate rests on, "
        f"for precision those called {names[1]}; and the paper's value. Measured on "
        f"{counted(table['num_validation'], 'validation image')}; {positive_note(names)}. An image is called "
        f"positive from a probability of {THRESHOLD} on."
    )
    return ReportTable("Table 1", text, ["row", "trained on", *map(column_title, PUBLISHED)], rows, (TABLE1,))


def _more_metrics(table: Mapping[str, Any], names: Sequence[str]) -> ReportTable:
    rows = {row["title"]: _values(row, _MORE) for row in table["rows"]}
    text = (
        f"As in Table 1; {positive_note(names)}. The last column is the specificity at which the row's ROC curve, of "
        f"the same images, reaches Real's recall. The area under the ROC curve has no interval where it is 0 or 1."
    )
    columns = ["row", *map(column_title, _MORE[:-1]), "specificity at Real's recall"]
    return ReportTable("Table 1: other metrics", text, columns, rows, (TABLE1,))


def _differences(table: Mapping[str, Any], title: str, columns: Sequence[str], names: Sequence[str]) -> ReportTable:
    """Returns a table of each row's differences from Real, with the effects; the first has McNemar's test too."""
    has_test = columns is _COMPARED
    rows = {}
    for row in table["rows"]:
        against = row["against_real"]
        if row["metrics"] is None:
            rows[row["title"]] = [Cell("no image passed"), *[Cell(NONE)] * (len(columns) - 1 + has_test)]
        if against is None:
            continue
        rows[row["title"]] = [_difference(name, against["differences"][name]) for name in columns]
        if has_test:
            tests = against["mcnemar"]
            discordant = ", ".join(f"{test['num_only_first']} : {test['num_only_second']}" for test in tests)
            p_values = ", ".join(f"{test['p_value']:.3g}" for test in tests)
            rows[row["title"]].append(Cell(p_values, f"right alone {discordant}"))
    text = (
        f"Each row's metrics minus those of Real; {positive_note(names)}. Both are measured on the same resamples of "
        f"the images. An effect is clear if its 95 % interval leaves out 0 and every repeat has the same sign. Nothing "
        f"that rests on fewer than {FEW_IMAGES} images is called an effect. Only effects in colour are left after "
        f"Holm's correction for the number of rows, whose p-value is below."
    )
    if has_test:
        text += (
            " McNemar's exact test compares the predictions of each repeat; below its p-value stand the numbers of "
            "images that only Real and only the row gets right. It takes images as independent, which those of one "
            "patient are not."
        )
    headings = ["row", *map(column_title, columns), *(["McNemar's p"] if has_test else [])]
    return ReportTable(title, text, headings, rows, (TABLE1,))


def _difference(name: str, cell: Mapping[str, Any]) -> Cell:
    is_clear = cell["effect"] in ("raises", "lowers")
    emphasis = cell["effect"] if is_clear and cell["effect_after_holm"] == cell["effect"] else ""
    lines = [cell["effect"], *_notes(name, cell, "{:+.3f}")]
    if cell["holm_p_value"] is not None:
        lines.append(f"p {cell['p_value']:.2g}, Holm {cell['holm_p_value']:.2g}")
    return Cell(number_text(cell["value"], "{:+.3f}"), "\n".join(filter(None, lines)), emphasis)
