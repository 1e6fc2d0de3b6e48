"""Decodes text that a user's editor, shell or spreadsheet wrote: UTF-8, or what the file's byte-order mark says."""

from __future__ import annotations

import codecs

_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)


def decode_text(content: bytes) -> str:
    """Returns the text of a file without its byte-order mark; its line ends stay as they are.

    Args:
        content: the file.

    Raises:
        ValueError: if it is not in UTF-8 and no mark says what it is in; the message, such as "is not in UTF-8 (line
            3)", goes on after the name of the file.
    """
    mark, encoding = next((pair for pair in _MARKS if content.startswith(pair[0])), (b"", "utf-8"))
    content = content.removeprefix(mark)
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise ValueError(f"is not in UTF-8 (line {line})") from error
