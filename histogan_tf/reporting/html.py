"""A report in one HTML file: pictures inside, nothing from the network, each table with the file it was made from."""

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
        path: the file, below the page's folder; its relative path is named under the picture.
        caption: the text below it, and what is read out in its place.
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
class ReportTable:
    """A table with a heading for each row and column.

    Attributes:
        title: the heading above it.
        text: what its numbers are.
        columns: the columns' headings; the first one stands above the rows' headings.
        rows: cells by the row's heading.
        made_from: files that hold its numbers, relative to the page's folder; named under it.
    """

    title: str
    text: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]
    made_from: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Report:
    """All that a report shows, in this order.

    Attributes:
        title: the page's title.
        summary: sentences below it.
        summary_made_from: the file that holds their numbers, relative to the page's folder.
        warnings: what makes the numbers mean less than they seem to.
        answer: what was found, in words.
        answer_made_from: the file that holds the answer, relative to the page's folder.
        tables: the tables that everybody reads.
        figures: the figures, in order.
        details: tables that few will read.
        settings: values by name.
        settings_made_from: the file that holds them, relative to the page's folder.
        command: the command line that makes all of it again.
    """

    title: str
    summary: Sequence[str]
    summary_made_from: str
    warnings: Sequence[str]
    answer: str
    answer_made_from: str
    tables: Sequence[ReportTable]
    figures: Sequence[Figure]
    details: Sequence[ReportTable]
    settings: Mapping[str, str]
    settings_made_from: str
    command: str


def write_html_report(path: Path, report: Report) -> None:
    """Writes the page, whole or not at all; text is escaped, whatever it holds.

    Args:
        path: the page. All files that the report names are in its folder or below it.
        report: what the page shows.
    """
    import jinja2

    named = [report.summary_made_from, report.answer_made_from, report.settings_made_from]
    named += [name for table in (*report.tables, *report.details) for name in table.made_from]
    missing = [name for name in named if not (path.parent / name).is_file()]
    assert not missing, missing
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["below"] = lambda file: file.relative_to(path.parent).as_posix()
    files.write_text(path, environment.get_template(_TEMPLATE).render(report=report))
