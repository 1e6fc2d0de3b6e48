"""Keeps what is decoded at one time within --memory_budget_gb, and tells how much memory the machine has left."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

from histogan_tf.errors import UserError

_FEWEST_BYTES = 2**28  # may be taken however small the budget is, which may be 0 so that a set stays on disk
_DEFAULT_BYTES = 4 * 10**9
_MACHINE_MEMORY, _CONTAINER = Path("/proc/meminfo"), Path("/sys/fs/cgroup")


class TooLargeError(Exception):
    """Raised for something that alone would take more memory than is allowed."""


class MemoryGate:
    """A limit of memory that threads share: one that needs more than is left waits until others are done.

    Args:
        num_bytes: the limit.
    """

    def __init__(self, num_bytes: int) -> None:
        self.num_bytes = num_bytes
        self._taken = 0
        self._changed = threading.Condition()

    def check(self, num_bytes: int) -> None:
        """Refuses what would take more than the limit.

        Raises:
            TooLargeError: if it would.
        """
        if num_bytes > self.num_bytes:
            raise TooLargeError(
                f"it takes about {num_bytes / 1e9:.1f} GB of memory, and --memory_budget_gb allows "
                f"{self.num_bytes / 1e9:.2g}"
            )

    @contextlib.contextmanager
    def taking(self, num_bytes: int) -> Iterator[None]:
        """Waits until that many bytes may be taken, and gives them back at the end.

        Raises:
            TooLargeError: if they are more than the limit.
        """
        self.check(num_bytes)
        with self._changed:
            self._changed.wait_for(lambda: not self._taken or self._taken + num_bytes <= self.num_bytes)
            self._taken += num_bytes
        try:
            yield
        finally:
            with self._changed:
                self._taken -= num_bytes
                self._changed.notify_all()


DECODING = MemoryGate(_DEFAULT_BYTES)
"""The limit for all files that this process decodes."""


def limit_decoding(gigabytes: float) -> None:
    """Sets the limit to what --memory_budget_gb says, and to a quarter of a gigabyte at least."""
    DECODING.num_bytes = max(int(gigabytes * 1e9), _FEWEST_BYTES)


def check_decoded_size(num_bytes: int, what: str) -> None:
    """Refuses a file that would take too much memory once it is decompressed.

    Args:
        num_bytes: the number of bytes that the file says it holds.
        what: the file, for the message.

    Raises:
        UserError: if it would take more than the limit.
    """
    try:
        DECODING.check(num_bytes)
    except TooLargeError as error:
        raise UserError(
            f"{what} is too large: {error}; raise --memory_budget_gb if the file is what you expect"
        ) from error


def available_bytes() -> int | None:
    """Returns how much memory this process may still take, by the machine and by its container; None if unknown."""
    left = [_available_in_machine(), _available_in_container()]
    return min((num_bytes for num_bytes in left if num_bytes is not None), default=None)


def _available_in_machine() -> int | None:
    try:
        lines = _MACHINE_MEMORY.read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, ValueError, StopIteration):  # no Linux
        return None


def _available_in_container() -> int | None:
    """Returns what the container's limit leaves; files in the cache count as free, because they make way."""
    try:
        limit = int((_CONTAINER / "memory.max").read_text())
        used = int((_CONTAINER / "memory.current").read_text())
        statistics = dict(line.split() for line in (_CONTAINER / "memory.stat").read_text().splitlines())
        return limit - used + int(statistics["inactive_file"])
    except (OSError, ValueError, KeyError):  # no container, or one without a limit, which then says "max"
        return None
