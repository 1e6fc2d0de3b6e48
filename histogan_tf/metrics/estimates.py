"""A measured value with its 95 % interval, and the interval of a share."""

from __future__ import annotations

import math
from typing import NamedTuple

Z = 1.959963984540054  # the 97.5th percentile of the normal distribution


class Estimate(NamedTuple):
    """A measured value with its 95 % interval.

    Attributes:
        value: the value; nan if it is undefined.
        low, high: the bounds of the interval; nan if there is none.
    """

    value: float
    low: float
    high: float

    def text(self) -> str:
        """Returns the value with its interval, such as "0.81 (0.76 to 0.85)"."""
        if math.isnan(self.value):
            return "undefined"
        interval = "no interval" if math.isnan(self.low) else f"{self.low:.2f} to {self.high:.2f}"
        return f"{self.value:.2f} ({interval})"

    def to_json(self) -> dict[str, float | None]:
        """Returns value and bounds by name as JSON can hold them; nan becomes None."""
        return {name: None if math.isnan(number) else number for name, number in self._asdict().items()}


UNDEFINED = Estimate(math.nan, math.nan, math.nan)


def proportion(num_hits: int, num_all: int) -> Estimate:
    """Returns a share with its Wilson score interval (Wilson, J. Am. Stat. Assoc. 22, 1927).

    Unlike a bootstrap interval, it does not shrink to a point if all or none of a few are hits.

    Args:
        num_hits: the number of hits, from 0 to `num_all`.
        num_all: the number of trials; 0 makes the share undefined.
    """
    if not num_all:
        return UNDEFINED
    share, square = num_hits / num_all, Z**2
    centre = (share + square / (2 * num_all)) / (1 + square / num_all)
    half = Z / (1 + square / num_all) * math.sqrt(share * (1 - share) / num_all + square / (4 * num_all**2))
    return Estimate(share, max(0.0, centre - half), min(1.0, centre + half))
