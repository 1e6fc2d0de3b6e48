"""What `python main.py` and the console script `histogan` run."""

from __future__ import annotations

import contextlib
import errno
import logging
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence

import histogan_tf
from histogan_tf.cli import command_line
from histogan_tf.errors import UserError

_HELP_FLAGS = {"--help", "-help", "-h", "--helpfull", "-?"}
_USERS_OS_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR, errno.EISDIR}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command line and exits: 0 done, 2 a mistake of the user, 130 or 143 stopped by a signal."""
    argv = list(sys.argv if argv is None else argv)
    if _HELP_FLAGS.intersection(argv):
        print(command_line.help_text())
        sys.exit(0)
    try:
        config = command_line.parse(argv)
        _log_to_console()
        with _quiet_tensorflow():
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
    print(f"error: {message}", file=sys.stderr)
    sys.exit(2)


def _log_to_console() -> None:
    from histogan_tf.machine.progress import ConsoleHandler

    package_logger = logging.getLogger(histogan_tf.__name__)
    package_logger.setLevel(logging.INFO)
    package_logger.addHandler(ConsoleHandler())
    package_logger.propagate = False  # absl and TensorFlow hang handlers of their own on the root


@contextlib.contextmanager
def _quiet_tensorflow() -> Iterator[None]:
    """Holds back what TensorFlow's C++ prints on stderr while it is imported, and shows it should the import fail.

    TF_CPP_MIN_LOG_LEVEL silences it only once it has started; set it to 0 to see everything.
    """
    if os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3") == "0":
        yield
        return
    sys.stderr.flush()
    stderr = os.dup(2)
    with tempfile.TemporaryFile() as held_back:
        os.dup2(held_back.fileno(), 2)
        try:
            yield
        except BaseException:
            held_back.seek(0)
            os.write(stderr, held_back.read())
            raise
        finally:
            os.dup2(stderr, 2)
            os.close(stderr)
