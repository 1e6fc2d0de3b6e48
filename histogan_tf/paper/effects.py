"""Decides which differences from the row Real are effects, and says so in words: the study's answer."""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

from histogan_tf.metrics.differences import holm_correction
from histogan_tf.metrics.rates import FEW_IMAGES

EFFECTS = ("raises", "lowers", "no clear effect", "cannot be told")
_ALPHA = 0.05


def effect(difference: Mapping[str, Any]) -> str:
    """Returns one of EFFECTS: a difference is clear if its interval excludes 0 and all repeats share its sign.

    Nothing can be told without an interval, or of what rests on fewer than FEW_IMAGES images.
    """
    if difference["value"] is None or difference["low"] is None or difference["num_images"] < FEW_IMAGES:
        return "cannot be told"
    for sign, word in ((1, "raises"), (-1, "lowers")):
        nearest = min(sign * difference["low"], sign * difference["high"])
        if nearest > 0 and all(value is not None and sign * value > 0 for value in difference["repeats"]):
            return word
    return "no clear effect"


def add_corrected_effects(rows: Sequence[Mapping[str, Any]], name: str) -> None:
    """Adds Holm's p-value over the rows, and the effect that is left after it, to each row's difference of a metric.

    Args:
        rows: the rows of table1.json; those without differences do not count.
        name: the name of the metric. Its differences get `holm_p_value`, None where nothing can be told, and
            `effect_after_holm`, one of EFFECTS.
    """
    cells: list[MutableMapping[str, Any]] = [
        row["against_real"]["differences"][name] for row in rows if row["against_real"]
    ]
    told = [math.nan if cell["effect"] == "cannot be told" else cell["p_value"] for cell in cells]
    for cell, corrected in zip(cells, holm_correction(told), strict=True):
        cell["holm_p_value"] = None if math.isnan(corrected) else corrected
        is_left = cell["effect"] == "cannot be told" or corrected <= _ALPHA
        cell["effect_after_holm"] = cell["effect"] if is_left else "no clear effect"


def answer(rows: Sequence[Mapping[str, Any]]) -> str:
    """Says in words which rows, if any, raise precision without a clear loss of recall, after Holm's correction."""
    cells = {row["title"]: row["against_real"]["differences"] for row in rows if row["against_real"]}
    if all(of["precision"]["effect"] == "cannot be told" for of in cells.values()):
        few = "the validation images come from too few patients, or too few are called positive, for an interval"
        return f"It cannot be told: {few}."
    raises = [title for title, of in cells.items() if of["precision"]["effect_after_holm"] == "raises"]
    winners = [title for title in raises if cells[title]["recall"]["effect"] != "lowers"]
    traders = [title for title in raises if cells[title]["recall"]["effect"] == "lowers"]
    sentences = ["No row raises precision clearly without losing recall."]
    if winners:
        sentences = [f"Precision rises without a clear loss of recall with: {'; '.join(winners)}."]
    if traders:
        sentences.append(f"Precision rises, but recall falls, with: {'; '.join(traders)}.")
    uncorrected = [
        title for title, of in cells.items() if of["precision"]["effect"] == "raises" and title not in raises
    ]
    if uncorrected:
        sentences.append(
            f"With Holm's correction for the number of comparisons, the rise with {'; '.join(uncorrected)} "
            f"is not clear."
        )
    untold = [title for title, of in cells.items() if of["precision"]["effect"] == "cannot be told"]
    if untold:
        sentences.append(
            f"The precision of {'; '.join(untold)} cannot be told: fewer than {FEW_IMAGES} images decide it."
        )
    return " ".join(sentences)
