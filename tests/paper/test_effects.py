"""What counts as an effect, with and without Holm's correction, and the answer in words."""

from __future__ import annotations

import pytest

from histogan_tf.paper.effects import EFFECTS, add_corrected_effects, answer, effect


@pytest.mark.parametrize(
    ("low", "high", "repeats", "num_images", "expected"),
    [
        (0.01, 0.2, [0.1, 0.05], 10, "raises"),
        (-0.2, -0.01, [-0.1, -0.05], 10, "lowers"),
        (-0.01, 0.2, [0.1, 0.05], 10, "no clear effect"),
        (0.01, 0.2, [0.3, -0.1], 10, "no clear effect"),
        (0.0, 0.0, [0.0, 0.0], 10, "no clear effect"),
        (None, None, [0.1, 0.1], 10, "cannot be told"),
        (0.01, 0.2, [0.1, 0.05], 9, "cannot be told"),
    ],
)
def test_an_effect_is_clear_if_interval_and_repeats_and_numbers_say_so(low, high, repeats, num_images, expected):
    cell = {"value": 0.1, "low": low, "high": high, "repeats": repeats, "num_images": num_images}
    assert effect(cell) == expected
    assert expected in EFFECTS


def row(title: str, precision: str, recall: str, corrected: str | None = None) -> dict:
    cells = {
        "precision": {"effect": precision, "effect_after_holm": corrected or precision},
        "recall": {"effect": recall, "effect_after_holm": recall},
    }
    return {"title": title, "against_real": {"differences": cells}}


REAL = {"title": "Real", "against_real": None}


def test_the_answer_names_what_raises_precision_and_what_it_costs():
    none = answer([REAL, row("CCAN", "no clear effect", "raises"), row("DCGAN", "raises", "lowers")])
    assert none.startswith("No row raises precision")
    assert none.endswith("but recall falls, with: DCGAN.")
    assert "with: A; B." in answer([REAL, row("A", "raises", "no clear effect"), row("B", "raises", "raises")])
    assert answer([REAL, row("A", "cannot be told", "cannot be told")]).startswith("It cannot be told")


def test_a_rise_that_holms_correction_leaves_out_is_told_apart():
    rows = [REAL, row("A", "raises", "no clear effect", "no clear effect"), row("B", "no clear effect", "raises")]
    assert answer(rows) == (
        "No row raises precision clearly without losing recall. "
        "With Holm's correction for the number of comparisons, the rise with A is not clear."
    )


def test_holms_correction_counts_the_rows_of_which_something_can_be_told():
    def compared(p_value: float, found: str) -> dict:
        return {"against_real": {"differences": {"recall": {"p_value": p_value, "effect": found}}}}

    rows = [REAL, compared(0.02, "raises"), compared(0.03, "lowers"), compared(0.001, "cannot be told")]
    add_corrected_effects(rows, "recall")
    first, second, untold = (row["against_real"]["differences"]["recall"] for row in rows[1:])
    assert (first["holm_p_value"], first["effect_after_holm"]) == (0.04, "raises")
    assert (second["holm_p_value"], second["effect_after_holm"]) == (0.04, "lowers")
    assert (untold["holm_p_value"], untold["effect_after_holm"]) == (None, "cannot be told")
    rows.append(compared(0.5, "no clear effect"))
    add_corrected_effects(rows, "recall")
    assert (second["holm_p_value"], second["effect_after_holm"]) == (0.06, "no clear effect")
