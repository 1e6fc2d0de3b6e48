"""A metric with its interval and with what it rests on; it tells where a bootstrap interval would be a lie."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence

import numpy as np

from histogan_tf.metrics.intervals import Interval
from histogan_tf.metrics.rates import FEW_IMAGES, Rate, combined_interval, measured_rates, supporting_images

# The rates that a metric is the mean of; only these metrics have exact intervals.
RATES_OF = {
    "precision": ("precision",),
    "recall": ("recall",),
    "specificity": ("specificity",),
    "accuracy": ("accuracy",),
    "balanced_accuracy": ("recall", "specificity"),
}
INTERVALS = "exact at 0 and 1"  # how intervals are made, for records that say what results depend on


@dataclasses.dataclass(frozen=True)
class Metric:
    """A measured value with its 95 % interval and the number of images that it rests on.

    Attributes:
        value: the metric on the data, without resampling; nan if it is undefined.
        low, high: the bounds of the interval; nan if there is none: the metric is undefined, there is one image or
            group, or a metric without an exact interval is at its edge (0 or 1).
        num_undefined: the number of bootstrap resamples in which the metric is undefined, such as precision where
            no image is called positive.
        num_images: the number of images that the metric rests on: for precision those called positive; the fewest of
            all repeats. None if not told.
        num_patients: the number of patients that these images are of; None if unknown or not told.
        is_exact: whether the interval is an exact one; otherwise it is a bootstrap interval.
    """

    value: float
    low: float
    high: float
    num_undefined: int
    num_images: int | None = None
    num_patients: int | None = None
    is_exact: bool = False


@dataclasses.dataclass(frozen=True)
class MeasuredRun:
    """What one run's metrics are and rest on.

    Attributes:
        values: the metrics by name.
        rates: the rates by name.
        num_images: the number of images that each metric rests on, by name.
        num_patients: the number of patients of these images, by name; None if patients are unknown.
    """

    values: Mapping[str, float]
    rates: Mapping[str, Rate]
    num_images: Mapping[str, int]
    num_patients: Mapping[str, int | None]


def measured_run(
    labels: np.ndarray, called: np.ndarray, groups: np.ndarray | None, values: Mapping[str, float]
) -> MeasuredRun:
    """Counts what the metrics of a run rest on.

    Args:
        labels: (num_images,), 0 or 1.
        called: bool (num_images,), whether each image is called positive.
        groups: (num_images,), the patient of each image; None if unknown.
        values: the metrics by name, those of `point_estimates`.
    """
    images = supporting_images(labels, called)
    return MeasuredRun(
        values,
        measured_rates(labels, called, groups),
        {name: int(chosen.sum()) for name, chosen in images.items()},
        {name: None if groups is None else len(np.unique(groups[chosen])) for name, chosen in images.items()},
    )


def with_honest_interval(name: str, interval: Interval, runs: Sequence[MeasuredRun]) -> Metric:
    """Returns the mean of a metric over runs, with an exact interval where the bootstrap's cannot be trusted.

    Args:
        name: the metric's name.
        interval: its bootstrap interval; nan if there is one image or group, and then there is no interval.
        runs: the runs, one or more.
    """
    value = float(np.mean([run.values[name] for run in runs]))
    low, high, is_exact = interval.low, interval.high, False
    if not math.isnan(low):
        if name in RATES_OF:
            if interval.num_undefined or any(is_at_edge(name, run) for run in runs):
                terms = [(1 / len(RATES_OF[name]), [run.rates[rate] for run in runs]) for rate in RATES_OF[name]]
                low, high = combined_interval(terms)
                is_exact = not math.isnan(low)
        elif any(is_at_edge(name, run) for run in runs):
            low = high = math.nan
    return Metric(value, low, high, interval.num_undefined, *fewest(name, runs), is_exact)


def is_at_edge(name: str, run: MeasuredRun) -> bool:
    """Tells whether a bootstrap interval of a run's metric would be too narrow: all are hits, or none, or few."""
    if name in RATES_OF:
        return any(run.rates[rate].needs_exact_interval for rate in RATES_OF[name])
    if name.endswith(("positives", "negatives")):
        return run.values[name] == 0
    return run.values[name] in (0.0, 1.0)


def fewest(name: str, runs: Sequence[MeasuredRun]) -> tuple[int, int | None]:
    """Returns the smallest numbers of images and of patients (None if unknown) that a metric rests on in any run."""
    patients = [run.num_patients[name] for run in runs]
    return min(run.num_images[name] for run in runs), None if None in patients else min(patients)


def interval_method(groups: np.ndarray | None) -> str:
    """Says in words how intervals are made, for files that hold them."""
    units = "images" if groups is None else "patients"
    effective = "" if groups is None else " for the effective number of images"
    return (
        f"95 % percentile bootstrap, 2000 resamples of {units}; exact (Clopper-Pearson{effective}) for rates that are "
        f"0 or 1, rest on fewer than {FEW_IMAGES} images, or are undefined in some resamples"
    )
