"""The forest plot: where dots and intervals stand, what lies beyond the axis, and that it is valid XML."""

from __future__ import annotations

import re
import xml.etree.ElementTree as ElementTree

import pytest

from histogan_tf.reporting.interval_plot import IntervalPlot, Mark, Panel, PlotRow, draw_interval_plot

PANEL = Panel("recall", -0.4, 0.4, (-0.4, -0.2, 0, 0.2, 0.4), zero=0)


def drawn(*rows: PlotRow, is_narrow: bool = False) -> ElementTree.Element:
    plot = IntervalPlot([PANEL], rows, has_signs=True)
    return ElementTree.fromstring(draw_interval_plot(plot, is_narrow=is_narrow))  # noqa: S314


def found(root: ElementTree.Element, tag: str) -> list[ElementTree.Element]:
    return [element for element in root.iter() if element.tag.endswith("}" + tag)]


def texts(root: ElementTree.Element) -> list[str]:
    return [element.text or "" for element in found(root, "text")]


@pytest.mark.parametrize("is_narrow", [False, True])
def test_dots_and_intervals_stand_at_their_values(is_narrow):
    root = drawn(
        PlotRow("A", [Mark(0.0, -0.4, 0.4, "0.00")]), PlotRow("B", [Mark(0.4, 0.2, 0.4, "+0.40")]), is_narrow=is_narrow
    )
    first, second = (float(dot.get("cx")) for dot in found(root, "circle"))
    zero = next(float(line.get("x1")) for line in found(root, "line") if line.get("class") == "zero")
    intervals = [line for line in found(root, "line") if line.get("stroke-width") == "2.5"]
    ends = [tuple(float(line.get(end)) for end in ("x1", "x2")) for line in intervals]
    assert first == zero == pytest.approx(sum(ends[0]) / 2)
    assert ends[0][1] == second == ends[1][1]
    assert ends[1][0] == pytest.approx((first + second) / 2, abs=0.1)
    assert "A" in texts(root) and "+0.40" in texts(root)


def test_what_lies_beyond_the_axis_is_an_arrow():
    inside = drawn(PlotRow("A", [Mark(0.1, -0.1, 0.2, "")]))
    assert (len(found(inside, "circle")), len(found(inside, "path"))) == (1, 0)
    long = drawn(PlotRow("A", [Mark(0.1, -0.9, 0.9, "")]))
    assert (len(found(long, "circle")), len(found(long, "path"))) == (1, 2)
    far = drawn(PlotRow("A", [Mark(-0.8, -0.9, -0.7, "")]))
    assert (len(found(far, "circle")), len(found(far, "path"))) == (0, 2)


def test_a_row_without_marks_shows_its_note_and_nothing_is_drawn():
    root = drawn(PlotRow("A <b>", note="no image passed"))
    assert "no image passed" in texts(root) and "A <b>" in texts(root)
    assert not found(root, "circle")


def test_kinds_of_marks_differ():
    root = drawn(
        PlotRow("sure", [Mark(0.1, 0.05, 0.2, "", "raises")]),
        PlotRow("ring", [Mark(0.1, 0.05, 0.2, "", "raises", is_hollow=True)]),
        PlotRow("dashed", [Mark(0.1, -0.3, 0.2, "", is_hollow=True, is_dashed=True, published=0.2)]),
    )
    sure, ring, dashed = found(root, "circle")
    assert sure.get("fill") == sure.get("stroke") == ring.get("stroke") != dashed.get("stroke")
    assert ring.get("fill") == dashed.get("fill") == "#fff"
    intervals = [line for line in found(root, "line") if line.get("stroke-width") == "2.5"]
    assert [line.get("stroke-dasharray") for line in intervals] == [None, None, "3 3"]
    assert len(found(root, "path")) == 1  # the diamond


def test_ticks_have_signs_and_fewer_numbers_on_a_phone():
    wide, narrow = (texts(drawn(PlotRow("A"), is_narrow=is_narrow)) for is_narrow in (False, True))
    assert [text for text in wide if re.fullmatch(r"[+−]?[\d.]+", text)] == ["−0.4", "−0.2", "0", "+0.2", "+0.4"]
    assert [text for text in narrow if re.fullmatch(r"[+−]?[\d.]+", text)] == ["−0.4", "0", "+0.4"]
