"""The one exception for mistakes of the person at the keyboard."""

from __future__ import annotations

from collections.abc import Iterable


class UserError(Exception):
    """A mistake the user can mend.

    Its message says what was given, what is allowed, and how to mend it. `main.py` prints it on one line to stderr
    and exits with code 2, without a traceback.
    """

    def __str__(self) -> str:
        return " ".join(super().__str__().split())


def listing(names: Iterable[object], most: int = 8) -> str:
    """The first `most` names joined by commas, and how many more there are."""
    names = [str(name) for name in names]
    shown = ", ".join(names[:most])
    return shown if len(names) <= most else f"{shown}, … ({len(names) - most} more)"
