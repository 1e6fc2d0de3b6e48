"""Estimates: the interval of a share against SciPy's, and how values without a number or an interval are told."""

from __future__ import annotations

import math

import pytest
from scipy.stats import binomtest

from histogan_tf.metrics.estimates import UNDEFINED, Estimate, proportion


@pytest.mark.parametrize(("num_hits", "num_all"), [(0, 5), (5, 5), (26, 40), (499, 500)])
def test_a_share_has_scipys_wilson_interval(num_hits, num_all):
    value, low, high = proportion(num_hits, num_all)
    expected = binomtest(num_hits, num_all).proportion_ci(method="wilson")
    assert value == num_hits / num_all
    assert (low, high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_a_share_of_nothing_is_undefined():
    assert all(map(math.isnan, proportion(0, 0)))


def test_text_and_json():
    assert Estimate(0.814, 0.758, 0.853).text() == "0.81 (0.76 to 0.85)"
    assert Estimate(1.0, math.nan, math.nan).text() == "1.00 (no interval)"
    assert Estimate(1.0, math.nan, math.nan).to_json() == {"value": 1.0, "low": None, "high": None}
    assert UNDEFINED.text() == "undefined"
