from __future__ import annotations

import time

import pytest

from histogan_tf.machine import parallel
from histogan_tf.machine.parallel import map_in_order


@pytest.mark.parametrize("num_workers", [None, 1, 3])
@pytest.mark.parametrize("count", [0, 1, 15, 16, 17, 600])
def test_results_are_in_the_order_of_the_items(count, num_workers):
    def slow_at_first(item: int) -> int:
        time.sleep(0.02 if item == 0 else 0)
        return item**2

    assert list(map_in_order(slow_at_first, range(count), num_workers)) == [item**2 for item in range(count)]


def test_items_may_be_anything():
    assert list(map_in_order(str.upper, ["b", "a"])) == ["B", "A"]


def test_little_is_computed_ahead(monkeypatch):
    monkeypatch.setattr(parallel, "num_usable_cores", lambda: 2)
    computed = []
    results = map_in_order(computed.append, range(10_000))
    for _ in range(40):
        next(results)
    assert 40 <= len(computed) <= 48 + 4 * 16  # the third task is being taken, and each worker is two tasks ahead
    results.close()
    assert len(computed) <= 48 + 4 * 16


def test_errors_come_when_their_item_is_due():
    results = map_in_order(lambda number: 1 // number, [1, 1, 0] + 100 * [1])
    with pytest.raises(ZeroDivisionError):
        list(results)
