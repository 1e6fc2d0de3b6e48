"""Progress of long work: a bar with rate and ETA on a terminal, plain lines elsewhere and in log.txt."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Mapping

from tqdm import tqdm

logger = logging.getLogger(__name__)

_LINE_SECONDS = 30.0


class ConsoleHandler(logging.Handler):
    """Prints log records on stdout without tearing a progress bar, and leaves out what the bar shows anyway."""

    def emit(self, record: logging.LogRecord) -> None:
        if not getattr(record, "is_on_bar", False):
            tqdm.write(self.format(record), file=sys.stdout)
            sys.stdout.flush()


class Progress:
    """Counts towards a total.

    Args:
        total: where the work is finished.
        initial: what was done before.
        unit: singular, such as `step`.
        describe: words about a count, such as its epoch.
    """

    def __init__(self, total: int, initial: int, unit: str, describe: Callable[[int], str] = lambda count: "") -> None:
        self._total, self._initial, self._unit, self._describe = total, initial, unit, describe
        self._count = initial
        self._on_terminal = sys.stderr.isatty()
        self._last_line = float("-inf")
        self._first_update: tuple[float, int] | None = None

    def __enter__(self) -> Progress:
        self._bar = tqdm(
            total=self._total,
            initial=self._initial,
            unit=f" {self._unit}s",
            disable=not self._on_terminal,
            dynamic_ncols=True,
            smoothing=0.05,
        )
        return self

    def __exit__(self, *exception: object) -> None:
        self._bar.close()

    def update(self, count: int, values: Mapping[str, float] | None = None) -> None:
        """Tells that `count` of the total are done.

        Args:
            count: in all, with what was done before.
            values: to show beside it.
        """
        values = values or {}
        self._bar.set_description_str(self._describe(count), refresh=False)
        self._bar.set_postfix({name: f"{value:.3f}" for name, value in values.items()}, refresh=False)
        self._bar.update(count - self._count)
        self._count = count
        now = time.monotonic()
        self._first_update = self._first_update or (now, count)
        if now - self._last_line > _LINE_SECONDS or count == self._total:
            self._last_line = now
            logger.info(self._line(now, values), extra={"is_on_bar": self._on_terminal})

    def _line(self, now: float, values: Mapping[str, float]) -> str:
        words = [f"{self._unit} {self._count}/{self._total}", self._describe(self._count)]
        first_time, first_count = self._first_update
        if self._count > first_count and now > first_time:  # the first update includes compiling, so it tells no rate
            rate = (self._count - first_count) / (now - first_time)
            remaining = tqdm.format_interval((self._total - self._count) / rate)
            shown = f"{rate:,.0f}" if rate >= 100 else f"{rate:.3g}"
            words.append(f"{shown} {self._unit}s/s, {remaining} left")
        words += [f"{name} {value:.4f}" for name, value in values.items()]
        return "  ".join(filter(None, words))
