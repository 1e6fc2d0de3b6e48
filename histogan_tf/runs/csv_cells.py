"""Cells of CSV files that a spreadsheet takes for text, whatever a file, a patient or a class is called.

A spreadsheet computes a cell that begins with = + - or @ as a formula, and a formula can send what stands in the table
elsewhere (https://owasp.org/www-community/attacks/CSV_Injection). An apostrophe before it makes it text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

_NUMBER = re.compile(r"[+-]?\d+(\.\d*)?([eE][+-]?\d+)?")
# Apostrophes are counted in, so that each written cell is that of one text only.
_FORMULA, _NEUTRALIZED = re.compile(r"'*[=+\-@\t\r\n]"), re.compile(r"'+[=+\-@\t\r\n]")


def neutral_cells(cells: Iterable[Any]) -> list[Any]:
    """Returns the cells of a row, with an apostrophe before each text that a spreadsheet would take for a formula.

    Numbers stay as they are, and so do texts that are numbers, such as "-0.5".
    """
    return [_neutral(cell) for cell in cells]


def original_text(cell: str) -> str:
    """Returns the text of a cell that was written through `neutral_cells`."""
    return cell[1:] if _NEUTRALIZED.match(cell) else cell


def _neutral(cell: Any) -> Any:
    is_formula = isinstance(cell, str) and _FORMULA.match(cell) and not _NUMBER.fullmatch(cell)
    return f"'{cell}" if is_formula else cell
