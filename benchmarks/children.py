"""Runs each contender in a process of its own, which idles between requests and has its own threads and memory."""

from __future__ import annotations

import importlib
import multiprocessing
import os
import re
import resource
import signal
import sys
import time
import traceback
from collections.abc import Mapping
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

_SECONDS_TO_END = 3.0
_MAXRSS_BYTES = 1 if sys.platform == "darwin" else 1024  # bytes in the unit of getrusage


class ContenderFailed(Exception):  # noqa: N818 - the run goes on without it
    """A contender could not be built, or failed; the message is one line."""


class Child:
    """A contender in a process of its own.

    Args:
        factory: `module:name` of the class or function in this package that makes the contender.
        arguments: the arguments that it is called with.
        log: the file that the process's output is written to.

    Raises:
        ContenderFailed: if the contender cannot be made.
    """

    def __init__(self, factory: str, arguments: Mapping[str, Any], log: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._connection, of_child = context.Pipe()
        self._process = context.Process(target=_serve, args=(of_child, factory, dict(arguments), log))
        self._process.start()
        of_child.close()
        try:
            self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, method: str, *arguments: Any) -> Any:
        """Calls a method of the contender and returns its result.

        Raises:
            ContenderFailed: if the method raises, or the process dies.
        """
        self._connection.send((method, arguments))
        return self._answer()

    def seconds_of(self, num_calls: int) -> float:
        """Returns the wall time, in seconds, of `contender.run(num_calls)`, measured in the contender's process."""
        return self.ask("_seconds_of", num_calls)

    def peak_megabytes(self) -> float:
        """Returns the most memory, in MB, that the process has had resident so far, libraries included."""
        return self.ask("_peak_megabytes")

    def close(self) -> None:
        """Ends the process: by closing the connection if it is idle, else by a signal."""
        self._connection.close()
        for insist in (self._process.terminate, self._process.kill):
            self._process.join(_SECONDS_TO_END)
            if self._process.is_alive():
                insist()
        self._process.join()

    def _answer(self) -> Any:
        try:
            is_done, answer = self._connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join(_SECONDS_TO_END)
            raise ContenderFailed(f"its process ended with code {self._process.exitcode}") from None
        if not is_done:
            raise ContenderFailed(answer)
        return answer


def _serve(connection: Connection, factory: str, arguments: dict[str, Any], log: Path) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all processes; the parent ends this one
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    with open(log, "a") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    module, name = factory.split(":")
    contender = None

    def build() -> None:
        nonlocal contender
        contender = getattr(importlib.import_module(module), name)(**arguments)

    def seconds_of(num_calls: int) -> float:
        started = time.perf_counter()
        contender.run(num_calls)
        return time.perf_counter() - started

    own = {"_seconds_of": seconds_of, "_peak_megabytes": _peak_megabytes}
    request = build, ()
    while True:
        method, values = request
        try:
            connection.send((True, method(*values)))
        except Exception as error:  # noqa: BLE001 - the parent reports every error
            traceback.print_exc()
            message = str(error).strip().partition("\n")[0]
            connection.send((False, f"{type(error).__name__}: {message}"[:300]))
        try:
            wanted, values = connection.recv()
        except EOFError:
            return
        request = own[wanted] if wanted in own else getattr(contender, wanted), values


def _peak_megabytes() -> float:
    # Linux's ru_maxrss also counts the parent's memory, of which the process was a copy before it ran this program.
    status = Path("/proc/self/status")
    if status.exists():
        return int(re.search(r"VmHWM:\s+(\d+) kB", status.read_text())[1]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _MAXRSS_BYTES / 1e6
