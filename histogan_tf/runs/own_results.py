"""Lists the files that this program wrote into a folder of results, so that no other is ever overwritten or removed.

A hidden file in the folder lists what the program wrote there, with a digest of each file. A file that is not listed,
or was changed since, belongs to the user.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from histogan_tf.errors import UserError, listing
from histogan_tf.runs import files

_LIST = ".histogan-files.json"


@contextlib.contextmanager
def own_results(directory: Path, names: Iterable[str], *, stale: str | None = None) -> Iterator[None]:
    """Lets a block write files of these names into a folder, unless one of them is there and not of this program.

    While the block runs, the list names the files without digests. If it is killed, they are known as the program's
    own, and the same command goes on.

    Args:
        directory: the folder; it is made if it is missing.
        names: the names of all files that the block may write.
        stale: a regular expression; files that match it wholly, are the program's own and are not in `names` are
            removed when the block ends, as they show an earlier result. None to remove none.

    Raises:
        UserError: if a file of one of these names is not of this program, or the folder cannot be made. Nothing was
            changed then.
    """
    names, listed = list(names), _read(directory)
    require_own_results(directory, names)
    try:
        directory.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"{directory} cannot be made a directory: {error.strerror}; choose another --output_dir"
        ) from error
    files.write_json(directory / _LIST, {"files": listed | dict.fromkeys(names)})
    try:
        yield
    except Exception:
        _record(directory, names, listed)
        raise
    for name in [name for name in listed if stale and name not in names and re.fullmatch(stale, name)]:
        if _is_own(directory / name, listed):
            files.remove(directory / name)
    _record(directory, names, listed)


def require_own_results(directory: Path, names: Iterable[str]) -> None:
    """Checks that files of these names may be written into a folder, which need not be there yet.

    Raises:
        UserError: if there is a file of one of these names that this program did not write, or nothing can be written
            there.
    """
    place = directory.absolute()
    while not os.path.lexists(place):
        place = place.parent
    if not os.access(place, os.W_OK):
        raise UserError(f"nothing can be written to {place}: choose another --output_dir, or make it writable")
    if taken := [name for name in names if not is_own_or_free(directory / name)]:
        raise UserError(
            f"{directory} holds {listing(sorted(taken))}, which this program did not write, or which was changed "
            f"since: choose another --output_dir, or move it away"
        )


def is_own_or_free(path: Path) -> bool:
    """Returns whether there is no file at a path, or one that this program wrote and nobody has changed since."""
    return not os.path.lexists(path) or _is_own(path, _read(path.parent))


def _record(directory: Path, names: Iterable[str], listed: dict[str, str | None]) -> None:
    """Lists the digests of the files that are there, of those listed before and those just written."""
    written = listed | {name: _digest(directory / name) for name in names if (directory / name).is_file()}
    written = {name: digest for name, digest in written.items() if os.path.lexists(directory / name)}
    files.write_json(directory / _LIST, {"files": written})


def _is_own(path: Path, listed: dict[str, str | None]) -> bool:
    if path.name not in listed or path.is_symlink() or not path.is_file():
        return False
    return listed[path.name] is None or listed[path.name] == _digest(path)


def _digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _read(directory: Path) -> dict[str, str | None]:
    """Returns the digests of the files that the program wrote, by name; none if the list is missing or damaged."""
    try:
        listed = json.loads((directory / _LIST).read_bytes())["files"]
        return {str(name): digest for name, digest in listed.items() if digest is None or isinstance(digest, str)}
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return {}
