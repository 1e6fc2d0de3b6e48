"""Files and folders that appear together in a folder of the user: all of them or none, even if the program is killed.

They are written into one folder aside, which is renamed when it is complete; then each is moved to its place. A kill
between two moves leaves that folder, and the next command that writes there finishes the moves.
"""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from histogan_tf.errors import UserError
from histogan_tf.runs import files

_COMPLETE = ".histogan-complete"
_RECORD = "made_by.json"


@contextlib.contextmanager
def written_together(directory: Path, made_by: Mapping[str, Any]) -> Iterator[Path]:
    """Yields an empty folder, and moves all that was written there to `directory` if nothing was raised.

    Args:
        directory: the folder of the results; it is made if it is missing.
        made_by: what the results follow from, as values that JSON can hold; `finish_earlier` returns it after a kill.

    Raises:
        UserError: if one of the names is taken in `directory`; nothing is overwritten.
        OSError: if something cannot be written.
    """
    with files.written_aside(directory / _COMPLETE) as aside:
        aside.mkdir()
        yield aside
        files.write_json(aside / _RECORD, made_by)
    finish_earlier(directory)


def finish_earlier(directory: Path) -> dict[str, Any] | None:
    """Moves to their places the results that a command had completed in `directory` when it was killed.

    Returns:
        What the results follow from, the `made_by` of `written_together`; None if there are no such results.

    Raises:
        UserError: if one of their names is taken; nothing is overwritten.
    """
    complete = directory / _COMPLETE
    if not complete.is_dir():
        return None
    try:
        made_by = json.loads((complete / _RECORD).read_bytes())
    except (OSError, ValueError) as error:
        raise UserError(
            f"{complete} was left by a command that was stopped, and is damaged ({error}): move it away"
        ) from error
    for path in sorted(complete.iterdir()):
        if path.name != _RECORD:
            place = directory / path.name
            require_free(place)
            os.replace(path, place)
    files.discard(complete)
    return made_by


def require_free(path: Path) -> None:
    """Checks that a file or folder of this name can be made without touching another.

    Raises:
        UserError: if there is a file of this name, or a folder that is not empty.
    """
    if os.path.lexists(path) and (path.is_symlink() or not path.is_dir() or any(path.iterdir())):
        kind = "exists and is not empty" if path.is_dir() else "exists"
        raise UserError(f"{path} {kind}: choose another --output_dir, or remove it")
