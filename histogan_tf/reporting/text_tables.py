"""Tables of text, for the log and for Markdown files; `tabulate` lines their columns up."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from tabulate import SEPARATING_LINE, DataRow, TableFormat, tabulate


def _rule(widths: Sequence[int], alignments: Sequence[str]) -> str:
    """The line below a Markdown header, which says where columns are aligned to the right."""
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
    """Rows as lines, their columns two spaces apart.

    Args:
        rows: cells, as many in each; a header is a row like the others.
        right: numbers of the columns that are aligned to the right; the others are aligned to the left.
    """
    return tabulate(rows, tablefmt="plain", disable_numparse=True, colalign=_alignments(rows, right))


def markdown_table(rows: Sequence[Sequence[str]], right: Collection[int] = ()) -> str:
    """Rows as a Markdown table whose columns line up, so that it can be read as text too.

    Args:
        rows: cells, as many in each; the first row is the header.
        right: as in `plain_table`.
    """
    header, *body = rows
    lines = [header, SEPARATING_LINE, *body]
    return tabulate(lines, tablefmt=_MARKDOWN, disable_numparse=True, colalign=_alignments(rows, right))


def _alignments(rows: Sequence[Sequence[str]], right: Collection[int]) -> list[str]:
    return ["right" if column in right else "left" for column in range(len(rows[0]))]
