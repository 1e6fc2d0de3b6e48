from __future__ import annotations

import io
import logging
import re
import sys
from collections.abc import Iterator

import pytest

from histogan_tf.machine import progress
from histogan_tf.machine.console import details_logger, log_to_console, package_logger
from histogan_tf.machine.progress import Progress

LOSSES = {"d_loss": 1.5, "d_loss_real": 0.25, "d_loss_fake": 12.75, "g_loss": 3.125}


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


def open_terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Takes the place of stdout and stderr; called in a test's body, since pytest sets both anew after fixtures."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(sys, "stdout", screen)
    return screen


@pytest.fixture
def details(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    """What a run's log.txt holds beyond the console's lines."""
    details_logger.addHandler(caplog.handler)
    yield caplog
    details_logger.removeHandler(caplog.handler)


def last_drawn(screen: Terminal) -> str:
    return [line for line in re.split(r"[\r\n]", screen.getvalue()) if "|" in line][-1].rstrip()


def test_plain_lines_tell_count_rate_and_time_left(clock, caplog: pytest.LogCaptureFixture):
    with Progress(100, 10, "step", lambda count: f"epoch {count // 10}") as bar:
        for count, second in [(11, 105.0), (12, 107.0), (31, 145.0), (100, 283.0)]:
            clock[0] = second
            bar.update(count, {"loss": 0.5})
    assert [record.message for record in caplog.records] == [
        "step 11/100  epoch 1  loss 0.5000",  # the first one compiles: it tells no rate
        "step 31/100  epoch 3  0.5 steps/s, 02:18 left  loss 0.5000",
        "step 100/100  epoch 10  0.5 steps/s, 00:00 left  loss 0.5000",
    ]


def test_updates_that_come_together_tell_no_rate(clock, caplog):
    with Progress(2, 0, "step") as bar:
        bar.update(1)
        clock[0] += 0.0004
        bar.update(2)
    assert [record.message for record in caplog.records] == ["step 1/2", "step 2/2"]


def test_on_a_terminal_lines_go_to_the_log_file_only(clock, monkeypatch, details):
    for name, value in [("handlers", []), ("propagate", True)]:
        monkeypatch.setattr(package_logger, name, value)
    monkeypatch.setattr(logging, "raiseExceptions", True)
    screen = open_terminal(monkeypatch)
    log_to_console()
    with Progress(1, 0, "image") as bar:
        logging.getLogger("histogan_tf.data").info("a word")
        bar.update(1)
    assert details.messages == ["image 1/1"]
    assert "a word\n" in screen.getvalue() and "1/1 image" in screen.getvalue()
    assert "images" not in screen.getvalue()
    assert "image 1/1" not in screen.getvalue()
    assert [type(handler) for handler in package_logger.handlers] == [logging.StreamHandler]


def test_a_log_that_others_print_gets_no_second_printer(clock, monkeypatch, caplog):
    screen = open_terminal(monkeypatch)
    with Progress(2, 0, "image"):
        logging.getLogger("histogan_tf.data").info("a word")
    assert caplog.messages == ["a word"] and "a word" not in screen.getvalue()


@pytest.mark.parametrize(
    ("columns", "shown"),
    [
        (60, []),
        (80, ["d_loss 1.500"]),
        (110, ["d_loss 1.500", "g_loss 3.125", "d_loss_real 0.250"]),
        (130, ["d_loss 1.500", "g_loss 3.125", "d_loss_real 0.250", "d_loss_fake 12.750"]),
    ],
)
def test_the_bar_keeps_ten_characters_and_shows_the_losses_that_fit(clock, monkeypatch, columns, shown):
    screen = open_terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(columns))
    with Progress(600, 0, "step", lambda count: f"epoch {count // 12}/50") as bar:
        bar.update(1, LOSSES)
        clock[0] += 500.0
        bar.update(123, LOSSES)
        bar._bar.refresh()
    bar_text, text = re.fullmatch(r"epoch 10/50 \|(.*)\| 123/600, (.*)", last_drawn(screen)).groups()
    assert text.split("  ") == ["0.244 steps/s, 32:34 left", *shown]
    assert len(last_drawn(screen)) == columns and len(bar_text) >= 10
