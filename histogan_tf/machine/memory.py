"""Keeps what is decoded at the same time within --memory_budget_gb, and refuses what alone would take more."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from histogan_tf.errors import UserError

_FEWEST_BYTES = 2**28  # may be taken however small the budget is, which may be 0 so that a set stays on disk
_DEFAULT_BYTES = 4 * 10**9


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
