"""The results of measurements, from which the table, the plot and the JSON file are made."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from benchmarks.blocks import Blocks, ratio
from benchmarks.workloads import Workload


@dataclasses.dataclass(frozen=True)
class ContenderResult:
    """The result of one contender: a row of the table.

    Attributes:
        name: the contender's name.
        precision: the precision that it computes in.
        blocks: its times; None if it failed.
        peak_megabytes: the most memory that its process had resident, in MB; None if it failed.
        flops: floating-point operations of one of its calls; None if they cannot be counted.
        difference: largest relative difference of its first losses from ours in float32; None if it was not checked.
        failure: why it was not measured; None if it was.
    """

    name: str
    precision: str
    blocks: Blocks | None = None
    peak_megabytes: float | None = None
    flops: int | None = None
    difference: float | None = None
    failure: str | None = None

    def share_of(self, peaks: Mapping[str, float]) -> float | None:
        """Returns its share of the speed of matrix products at its precision, in [0, 1] but for noise, or None."""
        if not (self.flops and self.blocks and self.precision in peaks):
            return None
        return self.flops / self.blocks.amount * self.blocks.rate / peaks[self.precision]


@dataclasses.dataclass(frozen=True)
class WorkloadResult:
    """The results of one workload: a table."""

    workload: Workload
    contenders: Sequence[ContenderResult]

    def leaders(self) -> dict[str, ContenderResult]:
        """Returns the leader's results, by precision."""
        return {row.precision: row for row in self.contenders if row.name == self.workload.leader and row.blocks}

    def ratios(self, row: ContenderResult) -> dict[str, float]:
        """Returns how many times as fast as this row the leader is, by the leader's precision."""
        if not row.blocks:
            return {}
        return {precision: ratio(leader.blocks, row.blocks) for precision, leader in self.leaders().items()}

    def to_json(self, peaks: Mapping[str, float]) -> dict[str, Any]:
        """Returns all results in a form for JSON."""
        rows = []
        for row in self.contenders:
            fields = dataclasses.asdict(row)
            if row.blocks:
                fields["blocks"] |= {"rates": row.blocks.rates, "rate": row.blocks.rate}
            rows.append(fields | {"ratios": self.ratios(row), "share_of_peak": row.share_of(peaks)})
        return {"title": self.workload.title, "unit": self.workload.unit, "contenders": rows}
