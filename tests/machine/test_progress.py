from __future__ import annotations

import logging

import pytest

from histogan_tf.machine import progress
from histogan_tf.machine.progress import Progress


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch):
    now = [100.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    return now


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


def test_on_a_terminal_lines_go_to_the_log_file_only(clock, monkeypatch, caplog, capsys):
    monkeypatch.setattr(progress.sys.stderr, "isatty", lambda: True, raising=False)
    handler = progress.ConsoleHandler()
    with Progress(1, 0, "image") as bar:
        bar.update(1)
    assert "image 1/1" in caplog.text
    for record in caplog.records:
        handler.emit(record)
    handler.emit(logging.LogRecord("histogan_tf", logging.INFO, "", 0, "a word", None, None))
    captured = capsys.readouterr()
    assert captured.out == "a word\n"
    assert "1/1" in captured.err
