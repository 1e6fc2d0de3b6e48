"""Ends the program after an exception: with one line on stderr instead of a traceback, and with an exit code."""

from __future__ import annotations

import contextlib
import datetime
import errno
import os
import sys
import tempfile
import traceback
from collections.abc import Iterator, Sequence
from typing import NoReturn

from histogan_tf.errors import UserError, interrupted_activity
from histogan_tf.machine.console import wrap

_MISTAKE, _FAULT, _INTERRUPTED = 2, 70, 130
_FULL_DISK = {errno.ENOSPC, errno.EDQUOT}
# What the system refuses because of the place that was chosen or the state of the machine.
_REFUSED = {
    *(errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR, errno.EEXIST, errno.ENOTEMPTY),
    *(errno.ENAMETOOLONG, errno.ELOOP, errno.EMFILE, errno.ENFILE, errno.EIO, errno.ESTALE, errno.EFBIG, errno.EBUSY),
}
_AGAIN = "give the same command again"
_GO_ON = f"{_AGAIN}: a training goes on from its last checkpoint or, without one, from the start"
_SMALLER = (
    "take a smaller --batch_size, smaller images (--output_height) or fewer of them, or a machine with more memory"
)


def exit_with(error: Exception, argv: Sequence[str]) -> NoReturn:
    """Prints one line about an exception, and exits: with 2 if the user can mend it, and with 70 after a fault.

    Args:
        error: the exception that nothing has caught.
        argv: the command line, for the file that holds the traceback.
    """
    if any(isinstance(earlier, KeyboardInterrupt) for earlier in _chain(error)):  # as an import wraps it in another
        sys.exit(_INTERRUPTED)
    words = _mendable(error)
    if words is not None:
        _print(words)
        sys.exit(_MISTAKE)
    activity = interrupted_activity(error) or "starting"
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    _print(f"while {activity}: {reason}. This is a fault of the program; {_written_traceback(error, argv)}")
    sys.exit(_FAULT)


def _mendable(error: Exception) -> str | None:
    """Returns the line about an error that the user can mend; None for a fault of the program."""
    activity = interrupted_activity(error)
    again = _GO_ON if "--mode=train" in activity or "--mode=paper" in activity else _AGAIN
    if isinstance(error, UserError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"there is not enough memory (while {activity}): {_SMALLER}"
    if type(error).__name__ == "ResourceExhaustedError":  # TensorFlow's; it may not be imported yet
        message = " ".join(str(error).split())[:200]
        if os.strerror(errno.ENOSPC) in str(error):
            return f"the disk is full ({message}): make room, and {again}"
        return f"there is not enough memory (while {activity}; {message}): {_SMALLER}"
    if isinstance(error, OSError) and error.errno in _FULL_DISK | _REFUSED:
        remedy = "make room there" if error.errno in _FULL_DISK else "mend that, or choose another place"
        where = error.filename if error.filename is not None else f"a file, while {activity}"
        return f"{_shown(where)}: {error.strerror}; {remedy}, and {again}"
    return None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _written_traceback(error: Exception, argv: Sequence[str]) -> str:
    """Writes the traceback to a new file, and says where; if it cannot be written, to stderr."""
    now = datetime.datetime.now().astimezone()
    text = "".join(traceback.format_exception(error))
    text = f"{now.isoformat(timespec='seconds')}\ncommand line: {list(argv)!r}\n\n{text}"
    try:
        descriptor, path = tempfile.mkstemp(".txt", f"histogan-fault-{now:%Y%m%d-%H%M%S}-", text=True)
        with open(descriptor, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(text)
    except OSError:
        _write(text)
        return "its traceback stands above"
    return f"please report it with the traceback in {path}"


def _print(message: str) -> None:
    line = " ".join(message.split())
    _write(wrap(f"error: {line}", sys.stderr) + "\n")


def _write(text: str) -> None:
    with contextlib.suppress(OSError, ValueError):  # nobody reads stderr any more; the exit code still tells
        sys.stderr.write(text)
        sys.stderr.flush()


def _shown(path: object) -> str:
    """Returns a path as text that is one line and can be printed, whatever bytes its name has."""
    return (
        os.fsdecode(path).encode("utf-8", "backslashreplace").decode() if isinstance(path, (str, bytes)) else str(path)
    )
