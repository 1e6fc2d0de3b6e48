"""Formats tables as text for the log and for Markdown files; the package `tabulate` lines up their columns."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tabulate import SEPARATING_LINE, DataRow, TableFormat, tabulate

from histogan_tf.errors import escaped


def _rule(widths: Sequence[int], alignments: Sequence[str]) -> str:
    """Returns the line below a Markdown header, which says which columns are aligned to the right."""
    cells = (
        "-" * width if side == "left" else f"{'-' * (width - 1)}:"
        for width, side in zip(widths, alignments, strict=True)
    )
    return f"| {' | '.join(cells)} |"


# tabulate's own "github" format pads headers by two characters more than cells.
_MARKDOWN = TableFormat(
    lineabove=None,
    linebelowheader=_rule,
    linebetweenrows=None,
    linebelow=None,
    headerrow=None,
    datarow=DataRow("| ", " | ", " |"),
    padding=0,
    with_header_hide=None,
)


def plain_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Returns rows as lines of text, with two spaces between columns.

    Args:
        rows: the cells of each row; all rows have the same number of cells. A header is a row like the others.
        right: the numbers of the columns that are aligned to the right; the others are aligned to the left.
    """
    return tabulate(_escaped(rows), tablefmt="plain", disable_numparse=True, colalign=_alignments(rows, right))


def markdown_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Returns rows as a Markdown table whose columns line up, so that it can also be read as plain text.

    Args:
        rows: the cells of each row; all rows have the same number of cells. The first row is the header.
        right: the numbers of the columns that are aligned to the right; the others are aligned to the left.
    """
    header, *body = _escaped(rows)
    lines = [header, SEPARATING_LINE, *body]
    return tabulate(lines, tablefmt=_MARKDOWN, disable_numparse=True, colalign=_alignments(rows, right))


def _escaped(rows: Sequence[Sequence[str]]) -> list[list[str]]:
    """Returns the rows with each cell on one line, whatever a class or a file in it is called."""
    return [[escaped(cell) for cell in row] for row in rows]


def _alignments(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    return ["right" if column in right else "left" for column in range(len(rows[0]))]
