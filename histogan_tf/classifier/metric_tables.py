"""Metrics of classifiers as JSON and as tables of text."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping

from histogan_tf.metrics.measured import RATES_OF, Metric
from histogan_tf.reporting.text_tables import markdown_table


def to_json(metrics: Mapping[str, Metric]) -> dict[str, dict[str, float | int | None]]:
    """Returns metrics in a form for JSON: undefined numbers (NaN) become None."""
    return {
        name: {
            key: None if isinstance(number, float) and math.isnan(number) else number
            for key, number in dataclasses.asdict(metric).items()
        }
        for name, metric in metrics.items()
    }


def metrics_table(metrics_of_runs: Mapping[str, Mapping[str, Metric]], positive_class: str) -> str:
    """Returns a Markdown table: a row for each metric, a column for each run, values with their intervals.

    Args:
        metrics_of_runs: for each run, by name, its metrics, by name.
        positive_class: the name of the class that the metrics are about, for the header.
    """
    names = list(next(iter(metrics_of_runs.values())))
    rows = [[f"metric (positive class: {positive_class})", *metrics_of_runs]]
    rows += [[name, *(metric_text(name, metrics[name]) for metrics in metrics_of_runs.values())] for name in names]
    return markdown_table(rows)


def metric_text(name: str, metric: Metric) -> str:
    """Returns text such as "0.812 (0.770 to 0.851; n = 46)"; counts are whole numbers."""
    if math.isnan(metric.value):
        return "undefined"
    form = "{:.0f}" if name.endswith(("positives", "negatives")) else "{:.3f}"
    value = form.format(metric.value)
    rests_on = f"; n = {metric.num_images}" if name in RATES_OF and metric.num_images is not None else ""
    if math.isnan(metric.low):
        return f"{value} (no interval{rests_on})"
    exact = ", exact" if metric.is_exact else ""
    return f"{value} ({form.format(metric.low)} to {form.format(metric.high)}{exact}{rests_on})"
