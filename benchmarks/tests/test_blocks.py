"""Rates, ratios and whose turn it is."""

from __future__ import annotations

import pytest

from benchmarks.blocks import Blocks, alternate, calls_a_block, ratio


class Recorded:
    """Takes a known time for each call, and notes its turns."""

    def __init__(self, name: str, seconds: float, turns: list[tuple[str, int]]) -> None:
        self._name, self._seconds, self._turns = name, seconds, turns

    def seconds_of(self, num_calls: int) -> float:
        self._turns.append((self._name, num_calls))
        return self._seconds * num_calls


def test_rates_are_work_over_time():
    blocks = Blocks(amount=64, num_calls=3, seconds=(2.0, 4.0, 1.0))
    assert blocks.rates == [96.0, 48.0, 192.0]
    assert blocks.rate == 96.0


def test_a_ratio_compares_within_rounds():
    ours, other = Blocks(1, 2, (1.0, 4.0, 2.0)), Blocks(1, 1, (2.0, 1.0, 3.0))
    # Rates 2, 1/2, 1 and 1/2, 1, 1/3: ratios 4, 1/2, 3.
    assert ratio(ours, other) == pytest.approx(3.0)


def test_a_block_has_the_calls_that_fill_it_and_at_least_two():
    turns = []
    assert calls_a_block(Recorded("a", 0.5, turns), 4.0) == 8
    assert calls_a_block(Recorded("b", 30.0, turns), 4.0) == 2
    assert turns == [("a", 1), ("a", 1), ("b", 1), ("b", 1)]


def test_contenders_take_turns():
    turns, lines = [], []
    contenders = {name: Recorded(name, seconds, turns) for name, seconds in (("a", 0.5), ("b", 2.0))}
    blocks = alternate(contenders, {"a": 1, "b": 10}, {"a": 4, "b": 3}, 2, lines.append)
    assert turns == [("a", 4), ("b", 3), ("a", 4), ("b", 3)]
    assert blocks == {"a": Blocks(1, 4, (2.0, 2.0)), "b": Blocks(10, 3, (6.0, 6.0))}
    assert lines[1] == "round 1/2  b: 5/s (6.0 s)"
