"""Draws values with their intervals as SVG: a line for each row, a panel for each metric (a forest plot)."""

from __future__ import annotations

import dataclasses
import html
from collections.abc import Iterator, Sequence

EMPHASES = ("raises", "lowers", "")
_COLOURS = {"raises": "#0a6c74", "lowers": "#b4491a", "": "#55555f"}
_STYLE = """text{font-family:system-ui,-apple-system,"Segoe UI",Roboto,sans-serif;fill:#1c1c22}
.soft{fill:#5b5b66}.bold{font-weight:600}.line{stroke:#e4e4ea}.zero{stroke:#8a8a94}.grid{stroke:#f0f0f4}"""


@dataclasses.dataclass(frozen=True)
class Mark:
    """One value with its interval in one panel.

    Attributes:
        value: the value; None to draw nothing but `text`.
        low, high: the bounds of its interval; None if it has none.
        text: what is written beside it.
        emphasis: one of EMPHASES, which decides the colour.
        is_hollow: whether the dot is a ring: the value is less sure than a filled one.
        is_dashed: whether the interval is dashed: nothing can be told from it.
        published: a value to compare with, drawn as a diamond; None if there is none.
    """

    value: float | None
    low: float | None
    high: float | None
    text: str
    emphasis: str = ""
    is_hollow: bool = False
    is_dashed: bool = False
    published: float | None = None


@dataclasses.dataclass(frozen=True)
class Panel:
    """The axis of one metric.

    Attributes:
        title: the name of the metric.
        low, high: the ends of the axis. Intervals that reach beyond, and values beyond, are arrows.
        ticks: the values with a line and a number.
        zero: the value whose line is dark; None for no such line.
    """

    title: str
    low: float
    high: float
    ticks: Sequence[float]
    zero: float | None = None


@dataclasses.dataclass(frozen=True)
class PlotRow:
    """One line of the plot.

    Attributes:
        title: its title.
        marks: a mark for each panel; empty if there is nothing to draw.
        note: the text that is written in place of the marks.
    """

    title: str
    marks: Sequence[Mark] = ()
    note: str = ""


@dataclasses.dataclass(frozen=True)
class IntervalPlot:
    """What `draw_interval_plot` draws."""

    panels: Sequence[Panel]
    rows: Sequence[PlotRow]
    has_signs: bool = False  # whether the numbers at the ticks have a sign


@dataclasses.dataclass(frozen=True)
class _Layout:
    """Lengths in pixels. Where titles are above the marks, values stand below them."""

    width: int
    titles: int
    values: int
    row: int
    gap: int
    text: int
    is_narrow: bool = False

    def centre(self, row: int) -> float:
        """The height of the middle of a row's marks."""
        top = self.head + row * self.row
        return top + (self.row * 0.58 if self.is_narrow else self.row / 2)

    @property
    def head(self) -> int:
        """The height of the titles of the panels."""
        return 2 * self.text


_WIDE = _Layout(width=1080, titles=300, values=78, row=28, gap=18, text=14)
_NARROW = _Layout(width=336, titles=0, values=0, row=56, gap=14, text=13, is_narrow=True)


def draw_interval_plot(plot: IntervalPlot, *, is_narrow: bool = False) -> str:
    """Returns the plot as an SVG element, which is also a complete SVG file.

    Args:
        plot: what to draw; rows without marks show their note.
        is_narrow: whether it is for a phone: 336 pixels wide, with each row's title above its marks; else 1,080.
    """
    layout = _NARROW if is_narrow else _WIDE
    height = layout.head + len(plot.rows) * layout.row + 2 * layout.text
    per_panel = (layout.width - layout.titles) / len(plot.panels)
    body = [f"<style>{_STYLE}</style>"]
    for number, panel in enumerate(plot.panels):
        left = layout.titles + number * per_panel + layout.gap / 2
        body += _axis(panel, left, per_panel - layout.gap - layout.values, layout, len(plot.rows), plot.has_signs)
    for number, row in enumerate(plot.rows):
        top = layout.head + number * layout.row
        body.append(f'<line class="line" x1="0" x2="{layout.width}" y1="{top}" y2="{top}"/>')
        title_at = top + layout.text * 1.35 if is_narrow else layout.centre(number) + layout.text * 0.35
        body.append(_text(0, title_at, row.title, layout.text, "bold" if is_narrow else ""))
        if not row.marks:
            x = 0 if is_narrow else layout.titles + layout.gap / 2
            y = layout.centre(number) + layout.text * (0.6 if is_narrow else 0.35)
            body.append(_text(x, y, row.note, layout.text - 1, "soft"))
        for index, (panel, mark) in enumerate(zip(plot.panels, row.marks, strict=True) if row.marks else ()):
            left = layout.titles + index * per_panel + layout.gap / 2
            body += _mark(panel, mark, left, per_panel - layout.gap - layout.values, layout, layout.centre(number))
    label = html.escape("; ".join(panel.title for panel in plot.panels), quote=True)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {layout.width} {height}" width="{layout.width}" '
        f'height="{height}" role="img" aria-label="{label}">{"".join(body)}</svg>'
    )


def _axis(panel: Panel, left: float, width: float, layout: _Layout, num_rows: int, has_signs: bool) -> Iterator[str]:
    """Yields a panel's title, the lines of its ticks, and their numbers below."""
    bottom = layout.head + num_rows * layout.row
    yield _text(left, layout.text * 1.2, panel.title, layout.text, "bold")
    for index, tick in enumerate(panel.ticks):
        x = _place(panel, tick, left, width)
        kind = "zero" if tick == panel.zero else "grid"
        yield f'<line class="{kind}" x1="{x:.1f}" x2="{x:.1f}" y1="{layout.head}" y2="{bottom}"/>'
        if layout.is_narrow and index % 2:
            continue  # all numbers would not fit
        number = f"{tick:+g}" if has_signs and tick else f"{tick:g}"
        anchor = {0: "start", len(panel.ticks) - 1: "end"}.get(index, "middle") if layout.is_narrow else "middle"
        yield _text(x, bottom + layout.text * 1.3, number.replace("-", "−"), layout.text - 2, "soft", anchor)


def _mark(panel: Panel, mark: Mark, left: float, width: float, layout: _Layout, y: float) -> Iterator[str]:
    """Yields the interval, the dot, the diamond and the text of a mark; arrows where the axis ends before it."""
    colour = _COLOURS[mark.emphasis]
    if mark.value is not None:
        if mark.low is not None and mark.high is not None:
            dashes = ' stroke-dasharray="3 3" opacity="0.6"' if mark.is_dashed else ""
            ends = [_place(panel, end, left, width) for end in (mark.low, mark.high)]
            yield (
                f'<line x1="{ends[0]:.1f}" x2="{ends[1]:.1f}" y1="{y:.1f}" y2="{y:.1f}" stroke="{colour}" '
                f'stroke-width="2.5"{dashes}/>'
            )
            for is_beyond, x, step in ((mark.low < panel.low, ends[0], 6), (mark.high > panel.high, ends[1], -6)):
                if is_beyond:
                    yield f'<path d="M{x:.1f} {y:.1f}l{step} -4v8z" fill="{colour}"/>'
        x = _place(panel, mark.value, left, width)
        if panel.low <= mark.value <= panel.high:
            fill = "#fff" if mark.is_hollow else colour
            yield f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4.5" fill="{fill}" stroke="{colour}" stroke-width="2"/>'
        else:
            step = 9 if mark.value < panel.low else -9
            yield f'<path d="M{x:.1f} {y:.1f}l{step} -6v12z" fill="{colour}"/>'
    if mark.published is not None:
        x = _place(panel, mark.published, left, width)
        yield f'<path d="M{x:.1f} {y - 6:.1f}l5 6l-5 6l-5 -6z" fill="none" stroke="#8a5fb5" stroke-width="1.8"/>'
    weight = "bold" if mark.emphasis and not mark.is_hollow else "soft"
    style = f'fill="{colour}" style="fill:{colour}"' if mark.emphasis else ""
    if layout.is_narrow:
        yield _text(left, y + layout.text * 1.35, mark.text, layout.text - 1, weight, extra=style)
    else:
        yield _text(left + width + 8, y + layout.text * 0.35, mark.text, layout.text - 1, weight, extra=style)


def _place(panel: Panel, value: float, left: float, width: float) -> float:
    """Returns the horizontal place of a value; that of the nearer end for values beyond the axis."""
    share = (min(max(value, panel.low), panel.high) - panel.low) / (panel.high - panel.low)
    return left + share * width


def _text(x: float, y: float, text: str, size: float, kind: str, anchor: str = "start", extra: str = "") -> str:
    words = html.escape(text, quote=False)
    return (
        f'<text class="{kind}" x="{x:.1f}" y="{y:.1f}" font-size="{size}" text-anchor="{anchor}" {extra}>{words}</text>'
    )
