"""What people read while the program works: short lines on the console, all details in the log.txt of a run."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import tempfile
import textwrap
from collections.abc import Iterator
from typing import TextIO

import histogan_tf
from histogan_tf.errors import UserError, escaped

package_logger = logging.getLogger(histogan_tf.__name__)

# Lines for a run's log.txt alone: tables of layers, settings, and counts that a progress bar shows on the console. It
# is no child of the package's logger, so neither our console nor a notebook's own handlers print its lines.
details_logger = logging.getLogger(f"{histogan_tf.__name__}-details")
details_logger.propagate = False
details_logger.setLevel(logging.INFO)

_FALLBACK_COLUMNS = 80


def ready_streams() -> None:
    """Makes stdin, stdout and stderr usable: opens those that are closed, and lets them print any character.

    A file that is opened while stdout is closed would get its number, and TensorFlow's messages would go into it. A
    character that the terminal's encoding lacks, as ASCII and cp932 lack many, is printed as its escape sequence.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the system gives it the lowest free number, which is this one
            if getattr(sys, name) is None:
                mode = "r" if number == 0 else "w"
                setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - stays open
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):  # a notebook's streams and those of tests have their own ways
            stream.reconfigure(errors="backslashreplace")


def log_to_console() -> None:
    """Prints the package's log on stdout, wrapped to the terminal's width if stdout is one."""
    package_logger.setLevel(logging.INFO)
    handler = logging.StreamHandler(sys.stdout)
    handler.addFilter(escape_names)
    handler.setFormatter(_WrappingFormatter())
    package_logger.addHandler(handler)
    package_logger.propagate = False  # absl and TensorFlow hang handlers of their own on the root
    logging.raiseExceptions = False  # a closed pipe must neither end a training nor fill stderr with tracebacks


@contextlib.contextmanager
def copied_to(handler: logging.Handler) -> Iterator[None]:
    """Sends the package's log, from INFO on, and its details to a handler too, with names escaped.

    A Python program that has not set up the package's logger sees warnings only, and goes on to do so: what is beneath
    its level reaches the handler alone.
    """
    shown_level, has_handlers = package_logger.getEffectiveLevel(), bool(package_logger.handlers)
    level, propagate = package_logger.level, package_logger.propagate
    handler.addFilter(escape_names)
    copies = [handler]
    if shown_level > logging.INFO and propagate and not has_handlers:
        copies.append(_ToParent(shown_level))
        package_logger.setLevel(logging.INFO)
        package_logger.propagate = False
    for copy in copies:
        package_logger.addHandler(copy)
    details_logger.addHandler(handler)
    try:
        yield
    finally:
        details_logger.removeHandler(handler)
        for copy in copies:
            package_logger.removeHandler(copy)
        package_logger.setLevel(level)
        package_logger.propagate = propagate


class Lines(str):
    """A text that the log shows in several lines, as a table; what is in it must be escaped already."""


def escape_names(record: logging.LogRecord) -> bool:
    """Escapes line breaks and control characters in what fills in the message of a record; a filter of handlers.

    Names of files, classes and runs can hold them. The message itself and `Lines` keep their line breaks.
    """
    if isinstance(record.args, tuple):
        record.args = tuple(map(_with_escapes, record.args))
    return True


def _with_escapes(value: object) -> object:
    if isinstance(value, Lines) or not isinstance(value, str | os.PathLike | BaseException):
        return value
    return _Escaped(value)


class _Escaped(str):
    """The escaped text of a value for %s; its `repr`, for %r, is that of the value, which is escaped by Python."""

    def __new__(cls, value: object) -> _Escaped:
        shown = super().__new__(cls, escaped(str(value)))
        shown._repr = repr(value)
        return shown

    def __repr__(self) -> str:
        return self._repr


class _ToParent(logging.Handler):
    """Passes records on as `propagate` does, but only those of its own level and above."""

    def emit(self, record: logging.LogRecord) -> None:
        package_logger.parent.handle(record)


class _WrappingFormatter(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        return wrap(super().format(record), sys.stdout)


def terminal_columns(stream: TextIO) -> int:
    """Width of the terminal that `stream` writes to, in characters: COLUMNS if set, else what the terminal says."""
    with contextlib.suppress(ValueError):
        if (columns := int(os.environ.get("COLUMNS", ""))) > 0:
            return columns
    try:
        columns = os.get_terminal_size(stream.fileno()).columns
    except (OSError, ValueError, AttributeError):
        columns = 0
    return columns or _FALLBACK_COLUMNS  # a terminal whose size nobody has set says 0


def wrap(text: str, stream: TextIO) -> str:
    """Breaks long lines between words, to the width of the terminal that `stream` writes to.

    A word that is longer than a line, such as a path, stays whole, so that it can be copied. Text for a file or a pipe
    stays as it is.
    """
    if not stream.isatty():
        return text
    options = {
        "width": terminal_columns(stream),
        "subsequent_indent": "  ",
        "break_long_words": False,
        "break_on_hyphens": False,
    }
    return "\n".join(textwrap.fill(line, **options) for line in text.split("\n"))


@contextlib.contextmanager
def quiet_tensorflow() -> Iterator[None]:
    """Holds back what TensorFlow's C++ prints on stderr while it is imported, and shows it should the import fail.

    TF_CPP_MIN_LOG_LEVEL silences it only once it has started; set it to 0 to see everything.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    try:
        held_back = tempfile.TemporaryFile()  # noqa: SIM115 - closed below
    except OSError:  # there is no place for temporary files: better noisy than not at all
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except (UserError, KeyboardInterrupt):  # these say all themselves
            raise
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
