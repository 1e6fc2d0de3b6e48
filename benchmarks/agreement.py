"""Checks that all contenders compute the same, before any of them is timed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.children import ContenderFailed

# Allowed differences between losses, which are around 1. bfloat16 keeps 8 significant bits, and each contender rounds
# at other places.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}
# Allowed differences between losses after an update. Adam makes a whole step even of a gradient that is only a rounding
# error. On DCGAN1 that puts PyTorch 1e-4 apart from Keras, and us 3e-3, whose losses before the update are 5e-6 apart,
# because Winograd's algorithm rounds differently. Keras's loop in bfloat16 is 0.06 apart from itself in float32.
UPDATED_TOLERANCES = {"float32": 6e-3, "bfloat16": 0.15}
_UPDATED = "g_loss"  # DCGAN's generator loss is computed after the same step has updated both networks

Losses = Sequence[Mapping[str, float]]


class Disagreement(ContenderFailed):
    """A contender does not do the same work as our program, so it is not timed."""


def check_agreement(name: str, precision: str, ours: Losses, theirs: Losses) -> float:
    """Returns the largest difference between a contender's losses and ours, in units of max(1, |ours|).

    Args:
        name: the contender's name.
        precision: the precision that the contender computes in; our losses are computed in float32.
        ours: our losses, by name, for each step; losses that the contender does not have are ignored.
        theirs: the contender's losses, by name, for each step.

    Raises:
        Disagreement: if a difference is above the tolerance.
    """
    largest = 0.0
    for step, (mine, its) in enumerate(zip(ours, theirs, strict=True), start=1):
        for loss, value in its.items():
            difference = abs(value - mine[loss]) / max(1.0, abs(mine[loss]))
            largest = max(largest, difference)
            tolerance = (UPDATED_TOLERANCES if step > 1 or loss == _UPDATED else TOLERANCES)[precision]
            if not math.isfinite(difference) or difference > tolerance:
                raise Disagreement(
                    f"{name}, {precision}: {loss} of step {step} is {value:.6f} and ours is {mine[loss]:.6f}, more "
                    f"than {tolerance:g} apart, so it does not do the same work: make it compute what ours does"
                )
    return largest
