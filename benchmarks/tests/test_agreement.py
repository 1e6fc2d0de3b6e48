"""Who computes something else is not timed."""

from __future__ import annotations

import pytest

from benchmarks.agreement import Disagreement, check_agreement

OURS = [{"d_loss_real": 0.5, "d_loss_fake": 4.0, "g_loss": 0.7}]


def test_the_largest_difference_is_told_relative_to_losses_above_one():
    theirs = [{"d_loss_real": 0.50005, "d_loss_fake": 4.0003}]
    assert check_agreement("other", "float32", OURS, theirs) == pytest.approx(7.5e-5)


@pytest.mark.parametrize(
    ("loss", "precision", "difference"),
    [("d_loss_real", "float32", 1.1e-4), ("g_loss", "float32", 6.3e-3), ("d_loss_real", "bfloat16", 0.051)],
)
def test_a_difference_above_the_tolerance_is_refused(loss, precision, difference):
    with pytest.raises(Disagreement, match=f"other, {precision}: {loss} of step 1 is"):
        check_agreement("other", precision, OURS, [{loss: OURS[0][loss] + difference}])
    check_agreement("other", precision, OURS, [{loss: OURS[0][loss] + 0.8 * difference}])


def test_what_is_not_a_number_is_refused():
    with pytest.raises(Disagreement, match="nan"):
        check_agreement("other", "bfloat16", OURS, [{"g_loss": float("nan")}])
