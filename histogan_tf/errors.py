"""The exception for mistakes that the user can mend, names and counts in messages, and what an error interrupted."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator

_WHILE = "while "


class UserError(Exception):
    """A mistake of the user, such as a wrong flag or an unreadable file.

    Its message says what was given, what is allowed, and how to mend it. `main.py` prints the message on one line to
    stderr and exits with code 2, without a traceback.
    """

    def __str__(self) -> str:
        return escaped(" ".join(super().__str__().split()))


def escaped(text: str) -> str:
    """Returns a text on one line, with line breaks, control characters and the like as escape sequences.

    A name of a file can hold them, and would otherwise break a line of a log in two, or move the terminal's cursor.
    """
    return text if text.isprintable() else "".join(map(_escaped_character, text))


def _escaped_character(character: str) -> str:
    return character if character.isprintable() else character.encode("unicode_escape").decode("ascii")


def reason_of(error: Exception) -> str:
    """Returns what an exception says, without the number and the path that Python adds to an error of the system."""
    return error.strerror if isinstance(error, OSError) and error.strerror else str(error)


def listing(names: Iterable[object], most: int = 8) -> str:
    """Returns the first `most` names, escaped and separated by commas, and the number of the others."""
    names = [escaped(str(name)) for name in names]
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names) - most} more)"


def counted(number: int | str, noun: str) -> str:
    """Returns a number with what it counts, such as "1 image", "3 images", "1 class" or "2 patches".

    Args:
        number: the number, or its text where it is rounded.
        noun: what is counted, in the singular; its last word gets the plural's ending.
    """
    if str(number) == "1":
        return f"1 {noun}"
    if noun.endswith(("s", "x", "sh", "tch")):
        return f"{number} {noun}es"
    return f"{number} {noun[:-1]}ies" if noun.endswith("y") else f"{number} {noun}s"


@contextlib.contextmanager
def doing(activity: str) -> Iterator[None]:
    """Adds to every exception that leaves the block what the block was doing, as a note.

    Args:
        activity: words that go on after "while", such as "reading the images".
    """
    try:
        yield
    except Exception as error:
        error.add_note(_WHILE + activity)
        raise


def interrupted_activity(error: BaseException) -> str:
    """Returns what was being done when an exception was raised, as `doing` noted it: the smallest part comes first."""
    notes = [note.removeprefix(_WHILE) for note in getattr(error, "__notes__", ()) if note.startswith(_WHILE)]
    return ", in ".join(notes)
