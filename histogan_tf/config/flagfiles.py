"""Reading of flagfiles, one flag a line, in any encoding that says what it is, as editors and shells write them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence

from histogan_tf.config.text_encoding import decode_text
from histogan_tf.errors import UserError

_MOST_BYTES = 1_000_000
_MOST_NESTED = 20


def expand_flagfiles(arguments: Sequence[str], outer: tuple[str, ...] = ()) -> list[str]:
    """Returns the arguments with each --flagfile=NAME replaced by the lines of that file, as absl does.

    Empty lines and those that begin with # or // are left out; a flagfile may name another.

    Args:
        arguments: the arguments of a command line, or the lines of a flagfile.
        outer: the flagfiles that the arguments are from, from the outside to the inside.

    Raises:
        UserError: if a flagfile cannot be read, is no text, or names itself.
    """
    expanded: list[str] = []
    remaining = iter(arguments)
    for argument in remaining:
        if argument == "--":
            return [*expanded, argument, *remaining]
        path = _flagfile_of(argument, remaining)
        if path is None:
            expanded.append(argument)
        elif path:
            if path in outer or len(outer) >= _MOST_NESTED:
                raise UserError(f"the flagfile {path!r} names itself: {' names '.join([*outer, path])}; leave that out")
            expanded += expand_flagfiles(_lines(path), (*outer, path))
    return expanded


def _flagfile_of(argument: str, following: Iterable[str]) -> str | None:
    """Returns the path that an argument gives for --flagfile, in this or the following one; None for another flag."""
    name, has_value, value = argument.lstrip("-").partition("=")
    if name != "flagfile" or not argument.startswith("-"):
        return None
    if not has_value:
        value = next(iter(following), None)
        if value is None:
            raise UserError("--flagfile: give the path of a file with a flag in each line, --flagfile=PATH")
    return os.path.expanduser(value.strip())


def _lines(path: str) -> list[str]:
    try:
        with open(path, "rb") as file:
            content = file.read(_MOST_BYTES + 1)
    except (OSError, ValueError) as error:  # a ValueError for a path with a null character
        reason = getattr(error, "strerror", None) or error
        raise UserError(f"cannot read the flagfile {path!r}: {reason}") from error
    if len(content) > _MOST_BYTES:
        raise UserError(f"the flagfile {path!r} is larger than 1 MB: give a text file with a flag in each line")
    try:
        text = decode_text(content)
    except ValueError as error:
        raise UserError(f"the flagfile {path!r} {error}: save it as UTF-8") from error
    if "\0" in text:
        raise UserError(f"the flagfile {path!r} is no text, or is in UTF-16 without its mark: save it as UTF-8")
    lines = (line.strip() for line in text.splitlines())
    return [line for line in lines if line and not line.startswith(("#", "//"))]
