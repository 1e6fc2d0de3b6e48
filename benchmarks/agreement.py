"""Before anything is timed: do all contenders compute the same?"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from benchmarks.children import ContenderFailed

# Of losses that are around 1. bfloat16 keeps 8 significant bits, and every contender rounds at other places.
TOLERANCES = {"float32": 1e-4, "bfloat16": 0.05}
# Of losses after an update: Adam makes a whole step of the rounding of a gradient near zero. On DCGAN3 that puts two
# settings of PyTorch itself 3e-4 apart, and them 6e-4 from us; in bfloat16, Keras's loop is 0.06 from it in float32.
UPDATED_TOLERANCES = {"float32": 3e-3, "bfloat16": 0.15}
_UPDATED = "g_loss"  # DCGAN's generator loss is of a discriminator and a generator that this step has updated

Losses = Sequence[Mapping[str, float]]


class Disagreement(ContenderFailed):
    """A contender does other work than we do: it is not timed."""


def check_agreement(name: str, precision: str, ours: Losses, theirs: Losses) -> float:
    """The largest relative difference of losses from ours, in units of max(1, |ours|).

    Args:
        name: of the contender.
        precision: it computes in; ours are of float32.
        ours: losses by name, step by step; what another has no name for is left out.
        theirs: likewise.

    Raises:
        Disagreement: if it is above the tolerance.
    """
    largest = 0.0
    for step, (mine, its) in enumerate(zip(ours, theirs, strict=True), start=1):
        for loss, value in its.items():
            difference = abs(value - mine[loss]) / max(1.0, abs(mine[loss]))
            largest = max(largest, difference)
            tolerance = (UPDATED_TOLERANCES if step > 1 or loss == _UPDATED else TOLERANCES)[precision]
            if not math.isfinite(difference) or difference > tolerance:
                raise Disagreement(
                    f"{name}, {precision}: {loss} of step {step} is {value:.6f} where ours is {mine[loss]:.6f}; more "
                    f"than {tolerance:g} apart, so it is not the same network and step"
                )
    return largest
