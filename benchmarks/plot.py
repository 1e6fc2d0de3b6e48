"""Draws how many times as fast as each contender our program is."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from benchmarks.results import WorkloadResult
from benchmarks.workloads import OURS
from histogan_tf.reporting.pictures import save_figure

_COLOURS = {"float32": "#4878a8", "bfloat16": "#d98b3a"}


def plot_ratios(path: Path, results: Sequence[WorkloadResult]) -> None:
    """Draws, for each workload, our speed divided by each other contender's, both at the contender's precision.

    Args:
        path: the PNG to write.
        results: results of the workloads; those without another contender are left out, and those that compare us with
            ourselves.
    """
    from matplotlib.figure import Figure

    compared = [result for result in results if result.workload.leader == OURS]
    drawn = [(result, bars) for result in compared if (bars := ratio_bars(result))]
    if not drawn:
        return
    heights = [len(bars) + 1.5 for _, bars in drawn]
    figure = Figure(figsize=(9, 0.6 + 0.32 * sum(heights)), layout="constrained")
    panels = figure.subplots(len(drawn), 1, squeeze=False, gridspec_kw={"height_ratios": heights})[:, 0]
    for axes, (result, bars) in zip(panels, drawn, strict=True):
        titles = [f"{name}, {precision}" for name, precision, _ in bars]
        values = [value for *_, value in bars]
        drawn_bars = axes.barh(titles, values, color=[_COLOURS[precision] for _, precision, _ in bars])
        axes.bar_label(drawn_bars, [f"{value:.2f}" for value in values], padding=3)
        axes.axvline(1.0, color="black", linewidth=0.8)
        axes.set_xlim(0, 1.12 * max(1.0, *values))
        axes.invert_yaxis()
        axes.set_title(result.workload.title, loc="left", fontsize=10)
        axes.spines[["top", "right"]].set_visible(False)
    panels[-1].set_xlabel("our speed divided by its, at the same precision (1: equally fast)")
    save_figure(path, figure)


def ratio_bars(result: WorkloadResult) -> list[tuple[str, str, float]]:
    """Returns name, precision and ratio of each other contender at whose precision we were measured too."""
    return [
        (row.name, row.precision, result.ratios(row)[row.precision])
        for row in result.contenders
        if row.name != result.workload.leader and row.precision in result.ratios(row)
    ]
