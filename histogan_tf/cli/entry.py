"""Holds `main`, which `python main.py` and the console script `histogan` call, and which turns errors into exits."""

from __future__ import annotations

import contextlib
import errno
import os
import sys
from collections.abc import Iterator, Sequence

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.machine.console import log_to_console, quiet_tensorflow, wrap

_HELP_FLAGS = {"--help", "-help", "-h", "--helpfull", "-?"}
_USERS_OS_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command line. Exits with 0 when done, 2 after a user's mistake, 130 or 143 when stopped by a signal."""
    argv = list(sys.argv if argv is None else argv)
    with _closed_pipe_ignored():
        if _HELP_FLAGS.intersection(argv):
            with quiet_tensorflow():  # a flag's choices may be read from a module that imports TensorFlow
                text = command_line.help_text()
            print(text)
            sys.exit(0)
        _run(argv)


def _run(argv: Sequence[str]) -> None:
    try:
        log_to_console()
        with quiet_tensorflow():
            config = command_line.parse(argv)
            from histogan_tf.cli import commands
        from histogan_tf.training.loop import Interrupted

        try:
            commands.run_command(config)
        except Interrupted as stop:
            sys.exit(stop.exit_code)
    except UserError as error:
        _fail(str(error))
    except OSError as error:
        if error.errno not in _USERS_OS_ERRORS:
            raise
        _fail(f"{error.filename or 'a file'}: {error.strerror}; the last checkpoint is good")
    except KeyboardInterrupt:
        sys.exit(130)


def _fail(message: str) -> None:
    print(wrap(f"error: {message}", sys.stderr), file=sys.stderr)
    sys.exit(2)


@contextlib.contextmanager
def _closed_pipe_ignored() -> Iterator[None]:
    """Exits silently if stdout's reader is gone, for instance after `python main.py --help | head -3`."""
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes stdout once more at its end
        sys.exit(0)
