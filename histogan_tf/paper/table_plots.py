"""Turns Table 1 into plots of intervals: the differences to Real (a forest plot), and the paper's Figure 7."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from histogan_tf.metrics.rates import FEW_IMAGES
from histogan_tf.paper.rows import PUBLISHED_ROWS
from histogan_tf.reporting.interval_plot import IntervalPlot, Mark, Panel, PlotRow

DIFFERENCES_SHOWN = ("precision", "recall", "roc_auc")
_FIGURE7 = ("precision", "recall", "accuracy")
_TITLES = {"roc_auc": "ROC AUC"}
_LIMITS = (0.05, 0.1, 0.2, 0.4, 1.0)  # the ends of a panel of differences
_SHARE_WITHIN = 0.75  # of the intervals, which must end within the panel


def column_title(name: str) -> str:
    """Returns a metric's name as it stands above a column or a panel."""
    return _TITLES.get(name, name.replace("_", " "))


def differences_plot(table: Mapping[str, Any]) -> IntervalPlot:
    """Returns the forest plot of each row's differences to Real in precision, recall and area under the ROC curve.

    Args:
        table: the content of table1.json.
    """
    rows = []
    for row in table["rows"]:
        against = row["against_real"]
        if against is not None:
            cells = [against["differences"][name] for name in DIFFERENCES_SHOWN]
            rows.append(PlotRow(row["title"], [_difference_mark(cell) for cell in cells]))
        elif row["metrics"] is None:
            rows.append(PlotRow(row["title"], note="no image passed"))
    return IntervalPlot([_difference_panel(table, name) for name in DIFFERENCES_SHOWN], rows, has_signs=True)


def _difference_mark(cell: Mapping[str, Any]) -> Mark:
    is_untold = cell["effect"] == "cannot be told"
    emphasis = cell["effect"] if cell["effect"] in ("raises", "lowers") else ""
    text = "undefined" if cell["value"] is None else _signed(cell["value"])
    if cell["num_images"] < FEW_IMAGES and cell["value"] is not None:
        text += f" n={cell['num_images']}"
    is_sure = bool(emphasis) and cell["effect_after_holm"] == emphasis
    return Mark(cell["value"], cell["low"], cell["high"], text, emphasis, not is_sure, is_untold)


def _signed(value: float) -> str:
    """Returns a number with its sign and three decimals; without a sign if they are zeros."""
    text = f"{value:+.3f}"
    return "0.000" if float(text) == 0 else text.replace("-", "−")


def _difference_panel(table: Mapping[str, Any], name: str) -> Panel:
    """Returns an axis on which most intervals end; a few long ones do not make all others too short to see."""
    reaches = sorted(_reaches(table, name))
    wanted = reaches[int(_SHARE_WITHIN * (len(reaches) - 1))] if reaches else 0.0
    limit = next(limit for limit in _LIMITS if limit >= min(wanted, 1.0))
    return Panel(column_title(name), -limit, limit, (-limit, 0, limit), zero=0)


def _reaches(table: Mapping[str, Any], name: str) -> Iterator[float]:
    """Yields how far from 0 the interval of each row's difference reaches."""
    for row in table["rows"]:
        cell = row["against_real"] and row["against_real"]["differences"][name]
        if cell and cell["value"] is not None:
            yield max(abs(cell[end]) for end in ("value", "low", "high") if cell[end] is not None)


def published_plot(table: Mapping[str, Any]) -> IntervalPlot:
    """Returns the paper's Figure 7: precision, recall and accuracy of its five rows, and its own numbers beside.

    Args:
        table: the content of table1.json.
    """
    rows = []
    for row in table["rows"]:
        if row["name"] not in PUBLISHED_ROWS:
            continue
        marks = []
        for name in _FIGURE7:
            cell = row["metrics"][name]
            text = "undefined" if cell["value"] is None else f"{cell['value']:.2f}"
            marks.append(Mark(cell["value"], cell["low"], cell["high"], text, published=row["published"][name]))
        rows.append(PlotRow(row["title"], marks))
    return IntervalPlot([Panel(column_title(name), 0, 1, (0, 0.25, 0.5, 0.75, 1)) for name in _FIGURE7], rows)
