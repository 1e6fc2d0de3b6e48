"""Applies one function to many items on all cores, and yields the results in the order of the items."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from histogan_tf.machine.cores import num_usable_cores

Item = TypeVar("Item")
Result = TypeVar("Result")

_ITEMS_PER_TASK = 16  # so that starting a task costs little, even for items of 50 microseconds, such as small PNGs
_TASKS_PER_WORKER = 2


def map_in_order(
    function: Callable[[Item], Result], items: Sequence[Item], num_workers: int | None = None
) -> Generator[Result, None, None]:
    """Yields function(item) for every item, in order, computed by threads.

    NumPy, OpenCV, Pillow and reading from disk release the interpreter's lock, so threads are enough. At most two tasks
    of 16 items for each thread are computed in advance, so memory does not grow with the number of items. To stop
    early, close the generator.

    Args:
        function: the function to apply; it is called in several threads at once.
        items: the items; they are only read by slices.
        num_workers: the number of threads; if None, one for each core that this process may use.

    Raises:
        Any exception of `function`, when the result of that item is to be yielded.
    """
    num_workers = num_workers or num_usable_cores()

    def compute(start: int) -> list[Result]:
        return [function(item) for item in items[start : start + _ITEMS_PER_TASK]]

    starts = iter(range(0, len(items), _ITEMS_PER_TASK))
    with ThreadPoolExecutor(num_workers) as executor:
        ahead = itertools.islice(starts, _TASKS_PER_WORKER * num_workers)
        pending = collections.deque(executor.submit(compute, start) for start in ahead)
        try:
            while pending:
                results = pending.popleft().result()
                pending.extend(executor.submit(compute, start) for start in itertools.islice(starts, 1))
                yield from results
        finally:
            for future in pending:
                future.cancel()
