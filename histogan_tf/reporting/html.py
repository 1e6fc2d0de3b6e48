"""A report in one HTML file: pictures inside, nothing from the network, for a screen, a phone and paper."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from histogan_tf.runs import files

_TEMPLATE = "report.html.j2"


@dataclasses.dataclass(frozen=True)
class Picture:
    """One PNG.

    Attributes:
        path: of the file.
        caption: below it, and what is read out in its place.
        is_wide: whether it takes the whole width.
    """

    path: Path
    caption: str
    is_wide: bool = False

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return f"data:image/png;base64,{base64.b64encode(self.path.read_bytes()).decode('ascii')}"


@dataclasses.dataclass(frozen=True)
class Figure:
    """Pictures under one heading.

    Attributes:
        title: of the figure.
        text: what it shows.
        pictures: in order; none if there was nothing to show, which `text` then says.
    """

    title: str
    text: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: the number.
        note: smaller, below it.
        emphasis: "raises" or "lowers", which are coloured; empty for others.
    """

    text: str
    note: str = ""
    emphasis: str = ""


@dataclasses.dataclass(frozen=True)
class Table:
    """A table with a heading for each row and column.

    Attributes:
        title: above it.
        text: what its numbers are.
        columns: headings, the first of the rows' headings.
        rows: cells by the row's heading.
    """

    title: str
    text: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report shows, in this order.

    Attributes:
        title: of the page.
        summary: sentences below it.
        warnings: what makes the numbers mean less than they seem to.
        answer: what was found, in words.
        tables: at first.
        figures: next.
        details: tables that few will read.
        settings: name and value.
        command: that repeats it.
    """

    title: str
    summary: Sequence[str]
    warnings: Sequence[str]
    answer: str
    tables: Sequence[Table]
    figures: Sequence[Figure]
    details: Sequence[Table]
    settings: Mapping[str, str]
    command: str


def write_html_report(path: Path, report: Report) -> None:
    """Writes the page, whole or not at all; text is escaped, whatever it holds."""
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    files.write_text(path, environment.get_template(_TEMPLATE).render(report=report))
