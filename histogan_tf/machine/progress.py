"""Shows the progress of long work: a bar on a terminal or in a notebook, plain lines of the log elsewhere."""

from __future__ import annotations

import contextlib
import logging
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any

from tqdm.auto import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm

from histogan_tf.errors import counted
from histogan_tf.machine.console import details_logger, package_logger, terminal_columns

logger = logging.getLogger(__name__)

_LINE_SECONDS = 30.0
_SHORTEST_SECONDS = 0.5  # a rate over less time would depend on when updates came, not on how long the work took
_SHORTEST_BAR = 10  # characters


class Progress:
    """Counts towards a total, and shows the count, the rate and the time left.

    They are shown as a bar on a terminal and in a Jupyter notebook, and elsewhere as a line of the log every 30
    seconds. A run's log.txt gets the lines in either case.

    Args:
        total: the count at which the work is finished.
        initial: the count at which the work starts.
        unit: the name of what is counted, in the singular, such as `step`.
        describe: a function from a count to words that are shown with it, such as its epoch.
    """

    def __init__(self, total: int, initial: int, unit: str, describe: Callable[[int], str] = lambda count: "") -> None:
        self._total, self._unit, self._describe = total, unit, describe
        self._units = counted(total, unit).partition(" ")[2]
        self._count = self._initial = initial
        self._on_terminal = sys.stderr.isatty()
        self._has_bar = self._on_terminal or _in_notebook()
        self._last_line = float("-inf")
        self._first_update: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        with contextlib.ExitStack() as stack:
            if self._on_terminal and any(_is_console(handler) for handler in package_logger.handlers):
                stack.enter_context(logging_redirect_tqdm([package_logger]))
            options = {"total": self._total, "initial": self._initial, "miniters": 1, "disable": not self._has_bar}
            self._bar = stack.enter_context(_Bar(self._describe(self._count), f" {self._units}", **options))
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exception: object) -> None:
        self._stack.close()

    def update(self, count: int, values: Mapping[str, float] | None = None) -> None:
        """Shows that `count` of the total are done.

        The rate is measured from the first update on, so that it leaves out the time in which the first step is
        compiled. Report work that was finished together in one call: calls in quick succession would distort the rate.

        Args:
            count: the number done, including what was done before the start.
            values: numbers to show beside it by name, such as losses.
        """
        values = values or {}
        now = time.monotonic()
        done, self._count = count - self._count, count
        self._first_update = self._first_update or (now, count)
        pace = self._pace(now)
        self._bar.show(self._describe(count), f", {pace}" if pace else f" {self._units}", values)
        self._bar.update(done)
        if now - self._last_line > _LINE_SECONDS or count == self._total:
            self._last_line = now
            words = [f"{self._unit} {count}/{self._total}", self._describe(count), pace]
            words += [f"{name} {value:.4f}" for name, value in values.items()]
            (details_logger if self._has_bar else logger).info("  ".join(filter(None, words)))

    def _pace(self, now: float) -> str:
        """Returns the rate and the time left in words; empty as long as there is no rate."""
        first_time, first_count = self._first_update
        if self._count <= first_count or now - first_time < _SHORTEST_SECONDS:
            return ""
        rate = (self._count - first_count) / (now - first_time)
        remaining = tqdm.format_interval((self._total - self._count) / rate)
        shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
        return f"{shown} {self._unit}s/s, {remaining} left"


class _Bar(tqdm):
    """A bar that always shows at least ten characters, the rate and the time left, and as many of the values as fit."""

    def __init__(self, before: str, pace: str, **options: Any) -> None:
        self.show(before, pace, {})
        super().__init__(bar_format="{before}|{bar}| {n_fmt}/{total_fmt}{pace}{values}", **options)

    def show(self, before: str, pace: str, values: Mapping[str, float]) -> None:
        """Sets the text before the bar and behind it, which is shown when the bar is next drawn."""
        self._before, self._pace, self._values = before and f"{before} ", pace, values

    @property
    def format_dict(self) -> dict[str, Any]:
        """The values that fill `bar_format`; tqdm reads them each time it draws the bar."""
        fields = super().format_dict
        fields |= {"before": self._before, "pace": self._pace}
        # The parts of a loss, such as d_loss_real of d_loss, come last, so that they are left out first.
        names = sorted(self._values, key=lambda name: any(name.startswith(f"{other}_") for other in self._values))
        values = [f"  {name} {self._values[name]:.3f}" for name in names]
        if not _in_notebook():  # a notebook makes room for the whole bar by itself
            fields["ncols"] = terminal_columns(self.fp)
            count = f"{self.n}/{self.total}"
            room = fields["ncols"] - len(f"{self._before}|| {count}{self._pace}") - _SHORTEST_BAR
            values = _fitting(values, room)
        fields["values"] = "".join(values)
        return fields


def _fitting(words: list[str], room: int) -> list[str]:
    """Returns the words that fit into `room` characters, whole; earlier words take precedence."""
    fitting = []
    for word in words:
        if len(word) <= room:
            fitting.append(word)
            room -= len(word)
    return fitting


def _in_notebook() -> bool:
    """Returns whether this process is a Jupyter kernel, by the same test as tqdm's."""
    ipython = sys.modules.get("IPython")
    shell = ipython.get_ipython() if ipython else None
    return "IPKernelApp" in getattr(shell, "config", {})


def _is_console(handler: logging.Handler) -> bool:
    return isinstance(handler, logging.StreamHandler) and handler.stream in (sys.stdout, sys.stderr)
