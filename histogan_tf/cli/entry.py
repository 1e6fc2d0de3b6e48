"""Holds `main`, which `python main.py` and the console script `histogan` call, and which turns errors into exits."""

from __future__ import annotations

import contextlib
import os
import signal
import sys
from collections.abc import Iterator, Sequence

import histogan_tf
from histogan_tf.cli import command_line
from histogan_tf.cli.failures import exit_with
from histogan_tf.errors import doing
from histogan_tf.machine.console import log_to_console, quiet_tensorflow, ready_streams, terminal_columns
from histogan_tf.machine.keras_settings import start_keras

_HELP_FLAGS = {"--help", "-help", "-h", "--helpfull", "-?"}
_SHORT_HELP_FLAGS = {"--helpshort", "-helpshort"}
_VERSION_FLAGS = {"--version", "-version"}


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command line.

    Exits with 0 when done, 2 after a user's mistake, 70 after a fault of the program, and 130 or 143 when stopped by a
    signal. Every error is one line on stderr; that of a fault names a file with its traceback.
    """
    is_program = argv is None
    argv = list(sys.argv if argv is None else argv)
    ready_streams()
    with _lost_readers_ignored():
        try:
            _run(argv)
        except BrokenPipeError:
            raise
        except Exception as error:
            exit_with(error, argv)
        except KeyboardInterrupt:
            sys.exit(130)
        finally:
            if is_program:  # an interrupt while Python ends would print a traceback; from now on it ends at once
                signal.signal(signal.SIGINT, signal.SIG_DFL)


def _run(argv: Sequence[str]) -> None:
    if (text := _asked_text(argv)) is not None:
        print(text)
        return
    log_to_console()
    with quiet_tensorflow():
        with doing("reading the flags"):
            config = command_line.parse(argv)
        with doing("starting TensorFlow"):
            start_keras(all_of_it=False)
            from histogan_tf.cli import commands
            from histogan_tf.training.loop import Interrupted
    try:
        with doing(f"--mode={config.mode} with --model={config.model}, --run={config.run_name()}"):
            commands.run_command(config)
    except Interrupted as stop:
        sys.exit(stop.exit_code)


def _asked_text(argv: Sequence[str]) -> str | None:
    """Returns the help or the version if one of the arguments asks for it, and None otherwise."""
    if _VERSION_FLAGS.intersection(argv):
        return f"histogan_tf {histogan_tf.__version__}"
    columns = terminal_columns(sys.stdout)
    with quiet_tensorflow():  # a flag's choices may be read from a module that imports TensorFlow
        if _HELP_FLAGS.intersection(argv):
            return command_line.help_text(columns)
        if _SHORT_HELP_FLAGS.intersection(argv):
            return command_line.short_help_text(columns)
    return None


@contextlib.contextmanager
def _lost_readers_ignored() -> Iterator[None]:
    """Lets the exit code stand if nobody reads stdout or stderr any more, as after `python main.py --help | head -3`.

    Python flushes both streams once more at its end, and would print a traceback and change the exit code.
    """
    try:
        yield
    except BrokenPipeError:
        sys.exit(0)
    finally:
        for stream in (sys.stdout, sys.stderr):
            try:
                stream.flush()
            except (OSError, ValueError):  # a closed pipe or a full disk, or a stream that was closed
                with contextlib.suppress(OSError, ValueError):
                    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
