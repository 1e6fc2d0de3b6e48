"""Writes a report as one HTML file that includes its pictures and names the file from which each table was made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histogan_tf.errors import counted
from histogan_tf.reporting.embedded_pictures import data_uri
from histogan_tf.reporting.interval_plot import IntervalPlot, draw_interval_plot
from histogan_tf.runs import files

_TEMPLATE = "report.html.j2"


@dataclasses.dataclass(frozen=True)
class Picture:
    """One PNG or SVG with its caption.

    Attributes:
        path: the file, below the page's folder; its relative path is shown under the picture.
        caption: the text below the picture, also its alternative text for screen readers.
        is_wide: whether the picture takes the whole width of the page; on a phone it scrolls sideways.
        is_pixelated: whether it shows patches alone, whose pixels are to stay squares; letters would be jagged.
    """

    path: Path
    caption: str
    is_wide: bool = False
    is_pixelated: bool = False

    @property
    def source(self) -> str:
        """The picture as a data URI."""
        return data_uri(self.path)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A group of pictures under one heading.

    Attributes:
        title: the heading.
        text: the sentences that say what the pictures show, or that there is nothing to show.
        pictures: the pictures in order; may be empty.
        is_folded: whether the reader has to unfold it.
    """

    title: str
    text: str
    pictures: Sequence[Picture]
    is_folded: bool = False


@dataclasses.dataclass(frozen=True)
class Gallery:
    """Patches side by side: a row for each source, a column for each class.

    Attributes:
        title: the heading.
        text: the sentences that say what is shown.
        columns: the names of the classes.
        rows: for each source, by name, the PNG files of each class; all are below the page's folder.
        made_from: the folder of the files, relative to the page's folder.
    """

    title: str
    text: str
    columns: Sequence[str]
    rows: Mapping[str, Sequence[Sequence[Path]]]
    made_from: str


@dataclasses.dataclass(frozen=True)
class PlotSection:
    """A plot of intervals under a heading, in two shapes: for wide and for narrow windows.

    Attributes:
        title: the heading.
        text: the sentences that say what is shown.
        plot: the plot.
        legend: for each kind of mark, its name in the style sheet ("raises", "lowers", "unsure", "untold") and what it
            means.
        made_from: the file that holds the numbers, relative to the page's folder.
    """

    title: str
    text: str
    plot: IntervalPlot
    legend: Mapping[str, str]
    made_from: str


@dataclasses.dataclass(frozen=True)
class Cell:
    """One cell of a table.

    Attributes:
        text: the text of the cell, usually a number.
        note: the smaller text below it; each line of it is a line of the cell.
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
        question: the question that the study answers.
        answer: the result of the study in words.
        answer_made_from: the file that holds the answer, relative to the page's folder.
        warnings: sentences on why the numbers may mislead.
        summary: the sentences that say what was done on what.
        summary_made_from: the file that holds the summary's numbers, relative to the page's folder.
        gallery: the patches that the classifiers were trained on.
        plots: the plots of the results.
        tables: the main tables, folded.
        figures: the figures, in order.
        details: the tables for readers who want details, folded.
        settings: the values of settings by name.
        settings_made_from: the file that holds the settings, relative to the page's folder.
        command: the command line that makes the whole report again.
    """

    title: str
    question: str
    answer: str
    answer_made_from: str
    warnings: Sequence[str]
    summary: Sequence[str]
    summary_made_from: str
    gallery: Gallery
    plots: Sequence[PlotSection]
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
    named = [report.summary_made_from, report.answer_made_from, report.settings_made_from, report.gallery.made_from]
    named += [section.made_from for section in report.plots]
    named += [name for table in (*report.tables, *report.details) for name in table.made_from]
    missing = [name for name in named if not (path.parent / name).exists()]
    assert not missing, missing
    write_page(path, _TEMPLATE, report=report)


def write_page(path: Path, template: str, **content: Any) -> None:
    """Writes a page from a template of this folder, completely or not at all. All text is escaped.

    Args:
        path: the HTML file to write.
        template: the file name of the template.
        content: what the template shows, by name.
    """
    import jinja2
    from markupsafe import Markup

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["below"] = lambda file: file.relative_to(path.parent).as_posix()
    environment.filters["data_uri"] = data_uri
    environment.filters["counted"] = counted
    environment.filters["svg"] = lambda plot, narrow: Markup(draw_interval_plot(plot, is_narrow=narrow))  # noqa: S704
    files.write_text(path, environment.get_template(template).render(**content))
