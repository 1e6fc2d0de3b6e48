"""Writes results as Markdown, which is readable on a terminal and in a README."""

from __future__ import annotations

from collections.abc import Mapping

from benchmarks.results import ContenderResult, WorkloadResult
from histogan_tf.reporting.text_tables import markdown_table


def workload_table(result: WorkloadResult, peaks: Mapping[str, float]) -> str:
    """Returns the table of one workload, a row for each contender, and below it the contenders that failed.

    Args:
        result: the results of the workload.
        peaks: operations a second of this machine's matrix products, by precision.
    """
    unit, leader = result.workload.unit, result.workload.leader
    header = ["", f"{unit}s/s", "min", "max", *(f"{leader} {precision} is" for precision in result.leaders())]
    header += ["memory", f"GFLOP per {unit}", "of peak"]
    columns = zip(header, *(_row(result, row, peaks) for row in result.contenders if row.blocks), strict=True)
    told = [column for column in columns if any(column[1:])]
    rows = list(zip(*told, strict=True))
    lines = [f"**{result.workload.title}**", "", markdown_table(rows, right=range(1, len(told)))]
    failed = [f"- {row.name}, {row.precision}: not measured: {row.failure}" for row in result.contenders if row.failure]
    return "\n".join([*lines, *(["", *failed] if failed else [])])


def _row(result: WorkloadResult, row: ContenderResult, peaks: Mapping[str, float]) -> list[str]:
    rates, share = row.blocks.rates, row.share_of(peaks)
    ratios = result.ratios(row)
    return [
        f"{row.name}, {row.precision}",
        _number(row.blocks.rate),
        _number(min(rates)),
        _number(max(rates)),
        *(f"{ratios[precision]:.2f}x" for precision in ratios),
        f"{row.peak_megabytes / 1000:.1f} GB",
        "" if row.flops is None else _number(row.flops / row.blocks.amount / 1e9),
        "" if share is None else f"{100 * share:.0f} %",
    ]


def peaks_line(peaks: Mapping[str, float]) -> str:
    """Returns the speed of the machine's matrix products in words."""
    words = [f"{peak / 1e9:.0f} GFLOP/s in {precision}" for precision, peak in peaks.items()]
    return f"Matrix products of this machine, measured in this run: {', '.join(words)}."


def machine_line(machine: Mapping[str, object]) -> str:
    """Returns date, machine, versions and the processor's instructions in two sentences."""
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return (
        f"{machine['date'][:10]}, {machine['num_cores']} cores of {machine['processor']}, "
        f"{machine['memory_gigabytes']:.0f} GB; Python {machine['python']}, {versions}. Vector instructions: "
        f"{', '.join(machine['instructions']) or 'unknown'}."
    )


def _number(value: float) -> str:
    """Returns a number with three significant digits, without an exponent."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
