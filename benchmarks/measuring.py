"""Measures one workload: sets up and checks all contenders, then times them in turns."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.agreement import check_agreement
from benchmarks.blocks import alternate, calls_a_block
from benchmarks.children import Child, ContenderFailed
from benchmarks.machine import version_of
from benchmarks.results import ContenderResult, WorkloadResult
from benchmarks.workloads import Contender, Workload

_CONTENDERS = "benchmarks.contenders"


@dataclasses.dataclass(frozen=True)
class Measure:
    """The settings of a measurement.

    Attributes:
        block_seconds: about how long a block should last, in seconds.
        num_rounds: number of blocks of each contender.
        log: the file that the output of the contenders' processes is written to.
        tell: is called with each line of progress.
    """

    block_seconds: float
    num_rounds: int
    log: Path
    tell: Callable[[str], None]


@contextlib.contextmanager
def child_of(factory: str, arguments: dict[str, Any], log: Path) -> Iterator[Child]:
    """Starts a contender's process, and ends it when the `with` block ends.

    Raises:
        ContenderFailed: if the contender cannot be made.
    """
    child = Child(factory, arguments, log)
    try:
        yield child
    finally:
        child.close()


def measure(workload: Workload, how: Measure) -> WorkloadResult:
    """Sets up all contenders, one after the other, and times them in turns.

    A contender that fails before it is timed, or that does not do the same work as the leader, is left out; the result
    says why.

    Raises:
        ContenderFailed: if the leader fails, its precisions disagree, or another contender fails while it is timed.
    """
    how.tell(workload.title)
    with contextlib.ExitStack() as stack:
        seats = _set_up_all(workload, how, stack)
        ready = {seat.contender.title: seat for seat in seats if seat.child}
        blocks = alternate(
            {title: seat.child for title, seat in ready.items()},
            {title: seat.contender.amount for title, seat in ready.items()},
            {title: seat.num_calls for title, seat in ready.items()},
            how.num_rounds,
            how.tell,
        )
        results = []
        for seat in seats:
            result = seat.result
            if seat.child:
                measured = blocks[seat.contender.title]
                result = dataclasses.replace(result, blocks=measured, peak_megabytes=seat.child.peak_megabytes())
            results.append(result)
    return WorkloadResult(workload, results)


@dataclasses.dataclass(frozen=True)
class _Seat:
    """A contender that is ready to be timed, or has failed.

    Attributes:
        contender: the contender.
        result: its result so far, without times.
        child: its process; None if it failed.
        num_calls: calls in a block.
    """

    contender: Contender
    result: ContenderResult
    child: Child | None = None
    num_calls: int = 0


def _set_up_all(workload: Workload, how: Measure, stack: contextlib.ExitStack) -> Sequence[_Seat]:
    seats, material, expected = [], None, None
    for contender in workload.contenders:
        result = ContenderResult(contender.name, contender.precision)
        if contender.needs and not version_of(contender.needs):
            failure = f"{contender.needs} is not installed (pip install '.[bench]')"
            seats.append(_Seat(contender, dataclasses.replace(result, failure=failure)))
            continue
        how.tell(f"setting up {contender.title}")
        try:
            child = stack.enter_context(
                child_of(f"{_CONTENDERS}.{contender.factory}", dict(contender.arguments), how.log)
            )
            if workload.is_checked:
                material = child.ask("material") if material is None else material
                losses = child.ask("check", material)
                expected = expected or losses
                difference = check_agreement(contender.name, contender.precision, expected, losses)
                result = dataclasses.replace(result, difference=difference)
            result = dataclasses.replace(result, flops=child.ask("flops"))
            num_calls = 1 if contender.is_whole else calls_a_block(child, how.block_seconds)
            seats.append(_Seat(contender, result, child, num_calls))
        except ContenderFailed as failure:
            if contender.name == workload.leader:
                raise ContenderFailed(f"{contender.title}: {failure}; see {how.log}") from None
            how.tell(f"{contender.title} failed: {failure}")
            seats.append(_Seat(contender, dataclasses.replace(result, failure=str(failure))))
    return seats
