"""The plot of the curves: bars of intervals, and a study without any point."""

from __future__ import annotations

import warnings

import pytest

from histogan_tf.paper.curve_plots import plot_curves


def difference(value: float, low: float | None, high: float | None) -> dict:
    return {"roc_auc": {"value": value, "low": low, "high": high}}


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.05), (None, None), (0.03, 0.05), (-0.05, 0.01)])
def test_an_interval_may_be_missing_or_leave_out_its_value(tmp_path, low, high):
    real = {"num_patients": 5, "way": "real", "metrics": difference(0.7, 0.6, 0.8)}
    stain = {"num_patients": 5, "way": "stain", "metrics": difference(0.72, 0.6, 0.8)}
    stain["against_real"] = difference(0.02, low, high)
    plot_curves(tmp_path / "curves.svg", {"over_patients": [real, stain], "over_ratio": []})
    assert "real with other stains" in (tmp_path / "curves.svg").read_text()


def test_without_known_patients_there_are_axes_and_no_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        plot_curves(tmp_path / "curves.svg", {"over_patients": [], "over_ratio": []})
    assert "Few real patients" in (tmp_path / "curves.svg").read_text()
