"""Times contenders in alternating blocks, A B C A B C …, so that a slow phase of the machine slows all of them."""

from __future__ import annotations

import dataclasses
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

_LEAST_CALLS = 2


class Timed(Protocol):
    """Something that can be timed."""

    def seconds_of(self, num_calls: int) -> float:
        """Returns the seconds that `num_calls` calls take."""


@dataclasses.dataclass(frozen=True)
class Blocks:
    """The times of one contender.

    Attributes:
        amount: units of work in one call, such as 1 step.
        num_calls: calls in a block.
        seconds: seconds that each block took, by round.
    """

    amount: float
    num_calls: int
    seconds: Sequence[float]

    @property
    def rates(self) -> list[float]:
        """The units of work a second, by round."""
        return [self.amount * self.num_calls / seconds for seconds in self.seconds]

    @property
    def rate(self) -> float:
        """The median of `rates`."""
        return statistics.median(self.rates)


def ratio(ours: Blocks, other: Blocks) -> float:
    """Returns how many times as fast we are: the median over the rounds of the ratio of blocks timed close together."""
    return statistics.median(mine / its for mine, its in zip(ours.rates, other.rates, strict=True))


def calls_a_block(contender: Timed, block_seconds: float) -> int:
    """Returns how many calls take about `block_seconds`, at least two; warms the contender up."""
    contender.seconds_of(1)
    return max(_LEAST_CALLS, round(block_seconds / contender.seconds_of(1)))


def alternate(
    contenders: Mapping[str, Timed],
    amounts: Mapping[str, float],
    num_calls: Mapping[str, int],
    num_rounds: int,
    tell: Callable[[str], None],
) -> dict[str, Blocks]:
    """Times the contenders in turns.

    Args:
        contenders: the contenders, by name, in their order within a round; each is already warm.
        amounts: units of work in one call, by name.
        num_calls: calls in a block, by name.
        num_rounds: number of blocks of each contender.
        tell: is called with each line of progress.

    Returns:
        The blocks of each contender, by name.
    """
    seconds = {name: [] for name in contenders}
    for number in range(num_rounds):
        for name, contender in contenders.items():
            seconds[name].append(contender.seconds_of(num_calls[name]))
            rate = amounts[name] * num_calls[name] / seconds[name][-1]
            tell(f"round {number + 1}/{num_rounds}  {name}: {rate:.4g}/s ({seconds[name][-1]:.1f} s)")
    return {name: Blocks(amounts[name], num_calls[name], tuple(seconds[name])) for name in contenders}
