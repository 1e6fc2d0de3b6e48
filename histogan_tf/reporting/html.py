"""Writes a report as one HTML file that includes its pictures and names the file from which each table was made."""

from __future__ import annotations

import base64
import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from histogan_tf.runs import files

_TEMPLATE = "report.html.j2"


@dataclasses.dataclass(frozen=True)
class Picture:
    """One PNG with its caption.

    Attributes:
        path: the PNG file, below the page's folder; its relative path is shown under the picture.
        caption: the text below the picture, also its alternative text for screen readers.
        is_wide: whether the picture takes the whole width of the page.
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
    """A group of pictures under one heading.

    Attributes:
        title: the heading.
        text: the sentences that say what the pictures show, or that there is nothing to show.
        pictures: the pictures in order; may be empty.
    """

    title: str
    text: str
    pictures: Sequence[Picture]


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: the text of the cell, usually a number.
        note: the smaller text below it.
        emphasis: "raises" or "lowers" to colour the cell; empty for no colour.
    """

    text: str
    note: str = ""
    emphasis: str = ""


@dataclasses.dataclass(frozen=True)
class ReportTable:
    """A table with a heading for each row and column.

    Attributes:
        title: the heading above the table.
        text: the sentences that say what its numbers are.
        columns: the columns' headings; the first one stands above the rows' headings.
        rows: the cells of each row, by the row's heading.
        made_from: the files that hold the numbers, relative to the page's folder; they are named under the table.
    """

    title: str
    text: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Cell]]
    made_from: Sequence[str]


@dataclasses.dataclass(frozen=True)
class Report:
    """The content of a report, in the order in which the page shows it.

    Attributes:
        title: the page's title.
        summary: the sentences below the title.
        summary_made_from: the file that holds the summary's numbers, relative to the page's folder.
        warnings: sentences on why the numbers may mislead.
        answer: the result of the study in words.
        answer_made_from: the file that holds the answer, relative to the page's folder.
        tables: the main tables.
        figures: the figures, in order.
        details: the tables for readers who want details.
        settings: the values of settings by name.
        settings_made_from: the file that holds the settings, relative to the page's folder.
        command: the command line that makes the whole report again.
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
    """Writes the page, completely or not at all. All text is escaped, so it may contain HTML characters.

    Args:
        path: the HTML file to write. All files that the report names are in its folder or below it.
        report: the content of the page.
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
