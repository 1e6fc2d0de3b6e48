"""The forest plot and Figure 7 from a small table made by hand; and the tables of the report."""

from __future__ import annotations

import pytest

from histogan_tf.paper.report_tables import result_tables
from histogan_tf.paper.rows import PUBLISHED_ROWS
from histogan_tf.paper.table1 import AT_RECALL, TABLE1_COLUMNS
from histogan_tf.paper.table_plots import differences_plot, published_plot

MCNEMAR = [{"num_only_first": 3, "num_only_second": 1, "p_value": 0.625}]


def cell(value, low, high, **changes) -> dict:
    rest = {"spread": None, "repeats": [value], "num_undefined": 0, "num_images": 46, "num_patients": 12}
    return {"value": value, "low": low, "high": high, "is_exact": False, **rest, **changes}


def difference(value, low, high, effect="no clear effect", after=None, **changes) -> dict:
    effects = {"effect": effect, "effect_after_holm": after or effect, "p_value": 0.01, "holm_p_value": 0.03}
    return cell(value, low, high, **effects, **changes)


def row(name: str, title: str, metrics: dict | None, differences: dict | None = None, **changes) -> dict:
    names = (*TABLE1_COLUMNS, AT_RECALL)
    return {
        "name": name,
        "title": title,
        "published": {"precision": 0.642, "recall": 0.856, "accuracy": 0.682} if name in PUBLISHED_ROWS else None,
        "training_images": [{"real": 201, "synthetic": 5}],
        "num_repeats_without_images": 0,
        "metrics": metrics if metrics is None else {name: cell(0.8, 0.7, 0.9) for name in names} | metrics,
        "against_real": None
        if differences is None
        else {
            "differences": {name: difference(0.0, -0.01, 0.01) for name in TABLE1_COLUMNS} | differences,
            "mcnemar": MCNEMAR,
        },
        **changes,
    }


@pytest.fixture
def table() -> dict:
    few = difference(0.15, -0.8, 0.3, "cannot be told", num_images=1, num_patients=1, num_undefined=708, is_exact=True)
    rows = [
        row("real", "Real", {}),
        row("ccan", "CCAN", {}, {"precision": difference(0.12, 0.03, 0.2, "raises", "no clear effect")}),
        row("ccan-and-real", "CCAN and Real", {}, {"recall": difference(-0.0001, -0.07, 0.05)}),
        row("dcgan", "DCGAN", {"precision": cell(1.0, 0.025, 1.0, num_images=1, is_exact=True)}, {"precision": few}),
        row("dcgan-and-real", "DCGAN and Real", {}, {"precision": difference(0.1, 0.03, 0.16, "raises")}),
        row("dcgan-realism-and-real", "DCGAN selected", None, num_repeats_without_images=1),
    ]
    return {"rows": rows, "num_repeats": 1, "num_validation": 99, "num_validation_patients": 12, "intervals": "95 %"}


def test_the_forest_plot_shows_what_is_sure_and_what_cannot_be_told(table):
    plot = differences_plot(table)
    marks = {line.title: line.marks[0] for line in plot.rows if line.marks}
    assert (marks["DCGAN and Real"].emphasis, marks["DCGAN and Real"].is_hollow) == ("raises", False)
    assert (marks["CCAN"].emphasis, marks["CCAN"].is_hollow) == ("raises", True)
    assert (marks["DCGAN"].emphasis, marks["DCGAN"].is_dashed, marks["DCGAN"].text) == ("", True, "+0.150 n=1")
    assert "Real" not in marks
    (empty,) = (line for line in plot.rows if not line.marks)
    assert (empty.title, empty.note) == ("DCGAN selected", "no image passed")
    assert next(line for line in plot.rows if line.title == "CCAN and Real").marks[1].text == "0.000"


def test_one_long_interval_does_not_squeeze_the_others(table):
    precision, recall, area = differences_plot(table).panels
    assert (precision.low, precision.high) == (-0.2, 0.2)  # DCGAN's reaches to -0.8
    assert (recall.high, area.high, area.title) == (0.05, 0.05, "ROC AUC")


def test_figure_7_has_the_papers_rows_and_its_numbers(table):
    plot = published_plot(table)
    assert [line.title for line in plot.rows] == ["Real", "CCAN", "CCAN and Real", "DCGAN", "DCGAN and Real"]
    assert [mark.published for mark in plot.rows[0].marks] == [0.642, 0.856, 0.682]
    assert (plot.rows[3].marks[0].low, plot.rows[3].marks[0].text) == (0.025, "1.00")


def test_the_tables_have_few_columns_and_say_what_rates_rest_on(table):
    tables = {found.title: found for found in result_tables(table, ("non-idc", "idc"))}
    assert all(len(found.columns) <= 6 for found in tables.values())
    for found in tables.values():
        assert all(len(cells) == len(found.columns) - 1 for cells in found.rows.values()), found.title
        assert "positive class: idc" in found.text
    first = tables["Table 1"].rows
    assert first["DCGAN"][1].note.splitlines()[:2] == ["0.025 to 1.000 exact", "n = 1, 12 patients"]
    assert first["Real"][1].note.splitlines()[-1] == "paper: 0.642"
    assert [shown.text for shown in first["DCGAN selected"]] == ["201 real", "no image passed", "–", "–"]
    against = tables["Against Real"].rows
    assert (against["CCAN"][0].emphasis, against["DCGAN and Real"][0].emphasis) == ("", "raises")
    assert "undefined in 708 of 2000 resamples" in against["DCGAN"][0].note
    assert "p 0.01, Holm 0.03" in against["CCAN"][0].note
    assert against["CCAN"][-1].text == "0.625" and against["CCAN"][-1].note == "right alone 3 : 1"
