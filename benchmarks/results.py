"""What was measured, as the table, the plot and the JSON file take it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.blocks import Blocks, ratio
from benchmarks.workloads import Workload


@dataclasses.dataclass(frozen=True)
class ContenderResult:
    """One row.

    Attributes:
        name: of the contender.
        precision: it computes in.
        blocks: times; None if it failed.
        peak_megabytes: the most memory its process had resident.
        flops: floating-point operations of one of its calls; None if they cannot be counted.
        difference: largest relative difference of its first losses from ours in float32.
        failure: why it was not measured.
    """

    name: str
    precision: str
    blocks: Blocks | None = None
    peak_megabytes: float | None = None
    flops: int | None = None
    difference: float | None = None
    failure: str | None = None

    def share_of(self, peaks: Mapping[str, float]) -> float | None:
        """Of the machine's matrix products at this precision, in [0, 1] but for noise."""
        if not (self.flops and self.blocks and self.precision in peaks):
            return None
        return self.flops / self.blocks.amount * self.blocks.rate / peaks[self.precision]


@dataclasses.dataclass(frozen=True)
class WorkloadResult:
    """One table."""

    workload: Workload
    contenders: Sequence[ContenderResult]

    def leaders(self) -> dict[str, ContenderResult]:
        """Rows of the leader, by precision."""
        return {row.precision: row for row in self.contenders if row.name == self.workload.leader and row.blocks}

    def ratios(self, row: ContenderResult) -> dict[str, float]:
        """How many times as fast as this row the leader is, by its precision."""
        if not row.blocks:
            return {}
        return {precision: ratio(leader.blocks, row.blocks) for precision, leader in self.leaders().items()}

    def to_json(self, peaks: Mapping[str, float]) -> dict[str, Any]:
        """All of it."""
        rows = []
        for row in self.contenders:
            fields = dataclasses.asdict(row)
            if row.blocks:
                fields["blocks"] |= {"rates": row.blocks.rates, "rate": row.blocks.rate}
            rows.append(fields | {"ratios": self.ratios(row), "share_of_peak": row.share_of(peaks)})
        return {"title": self.workload.title, "unit": self.workload.unit, "contenders": rows}
