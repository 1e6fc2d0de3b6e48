from __future__ import annotations

import contextlib
import io
import logging
import os
import pty
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.errors import UserError, listing
from histogan_tf.machine.console import (
    Lines,
    copied_to,
    log_to_console,
    package_logger,
    quiet_tensorflow,
    terminal_columns,
    wrap,
)


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_lines_break_between_words_and_paths_stay_whole(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = "a line of more than twenty characters\n  short\nin /a/path/longer/than/a/line it-is-here"
    assert wrap(text, Terminal()).split("\n") == [
        "a line of more than",
        "  twenty characters",
        "  short",
        "in",
        "  /a/path/longer/than/a/line",
        "  it-is-here",
    ]


def test_text_for_a_pipe_stays_as_it_is(monkeypatch):
    monkeypatch.setenv("COLUMNS", "20")
    text = "a line of more than twenty characters"
    assert wrap(text, io.StringIO()) == text


def test_the_width_is_that_of_the_terminal_or_eighty(monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    assert terminal_columns(io.StringIO()) == 80
    terminal, other_end = pty.openpty()
    with os.fdopen(terminal, "w") as stream:
        assert terminal_columns(stream) == 80  # nobody has set its size
        subprocess.run(["stty", "cols", "97"], stdin=other_end, check=True)
        assert terminal_columns(stream) == 97
        monkeypatch.setenv("COLUMNS", "60")
        assert terminal_columns(stream) == 60
    os.close(other_end)


@pytest.fixture
def lines():
    """Logs by a child of the package's logger, and returns what a handler of ours writes."""
    stream = io.StringIO()
    handler = logging.StreamHandler(stream)

    def log(message: str, *values: object) -> str:
        with copied_to(handler):
            logging.getLogger("histogan_tf.data.example").warning(message, *values)
        return stream.getvalue()

    return log


@pytest.mark.parametrize(
    ("message", "values", "shown"),
    [
        ("skipped %s", ("a\nb.png",), "skipped a\\nb.png\n"),
        ("%s: %d of %.1f", (Path("run\x1b[2J"), 3, 0.5), "run\\x1b[2J: 3 of 0.5\n"),
        ("skipped %r", ("a\n'b\\.png",), 'skipped "a\\n\'b\\\\.png"\n'),
        ("%s", (UserError("no 'a\x1b]0;x\x07'"),), "no 'a\\x1b]0;x\\x07'\n"),
        ("%s", (OSError("a\r\nb"),), "a\\r\\nb\n"),
        ("%s, %s", ("\u202egnp.exe", "\udcff"), "\\u202egnp.exe, \\udcff\n"),
        ("%s", (np.str_("a\n"),), "a\\n\n"),
        ("data: %s\nthen %s", ("Übung – 50 %", None), "data: Übung – 50 %\nthen None\n"),
        ("%s", (["a\n"],), "['a\\n']\n"),
        ("%s", (listing(["a\n", "b"]),), "a\\n, b\n"),
        ("%s\n%s", ("a\n", Lines("| x |\n| y |")), "a\\n\n| x |\n| y |\n"),
        ("100 %", (), "100 %\n"),
    ],
)
def test_a_name_never_breaks_a_line_of_the_log(lines, message, values, shown):
    assert lines(message, *values) == shown


def test_the_console_escapes_names_too(capsys, monkeypatch):
    monkeypatch.setattr(package_logger, "handlers", [])
    log_to_console()
    logging.getLogger("histogan_tf.example").info("read %s", "a\x1b[31m\nb")
    assert capsys.readouterr().out == "read a\\x1b[31m\\nb\n"


@pytest.mark.parametrize(
    ("error", "shown"), [(None, ""), (UserError("mistake"), ""), (ImportError("no such library"), "noise\n")]
)
def test_noise_is_shown_only_when_the_import_fails(monkeypatch, capfd, error, shown):
    monkeypatch.setenv("TF_CPP_MIN_LOG_LEVEL", "3")
    with contextlib.suppress(UserError, ImportError), quiet_tensorflow():
        os.write(2, b"noise\n")
        if error:
            raise error
    print("after", file=sys.stderr)
    assert capfd.readouterr().err == f"{shown}after\n"
