from __future__ import annotations

import contextlib
import io
import os
import pty
import subprocess
import sys

import pytest

from histogan_tf.errors import UserError
from histogan_tf.machine.console import quiet_tensorflow, terminal_columns, wrap


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
