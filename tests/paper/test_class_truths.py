"""The report's table of class-wise truth: its cells are those of the files, and it tells what was not measured."""

from __future__ import annotations

import json
import math

import pytest

from histogan_tf.metrics.estimates import Estimate
from histogan_tf.paper.class_truths import class_truth_report
from histogan_tf.paper.rows import SYNTHETIC
from histogan_tf.reporting.html import Cell
from histogan_tf.synthesis.class_truth import ClassTruth, class_truth_json


@pytest.fixture
def folder(tmp_path):
    """A repeat whose images all have one result, but for two sets."""
    of_labels = {
        "accuracy": Estimate(0.8, 0.7, 0.9),
        "label_0": Estimate(0.9, 0.8, 1.0),
        "label_1": Estimate(0.7, 0.5, 0.8),
    }
    one_patient = {name: Estimate(estimate.value, math.nan, math.nan) for name, estimate in of_labels.items()}
    measured = {"real": one_patient, "gan_test": of_labels, "gan_train": one_patient}
    found = dict.fromkeys(SYNTHETIC, class_truth_json(ClassTruth(measured, 9, 20, 1, 30)))
    of_label_1 = {"real": of_labels, "gan_test": {name: of_labels[name] for name in ("accuracy", "label_1")}}
    found["ccan"] = class_truth_json(ClassTruth(of_label_1, 9, 20, None, 30))
    found["tissue"] = {"not_measured": "too few"}
    (tmp_path / "seed-42" / "class_truth").mkdir(parents=True)
    for name, truth in found.items():
        (tmp_path / "seed-42" / "class_truth" / f"{name}.json").write_text(json.dumps(truth))
    return tmp_path / "seed-42"


def test_cells_are_those_of_the_files(folder):
    table = class_truth_report(folder.parent, folder, ("non-idc", "idc"), list(SYNTHETIC))
    assert table.columns == ["images", "Real on real", "GAN-test", "GAN-test, non-idc", "GAN-test, idc", "GAN-train"]
    assert list(table.rows) == list(SYNTHETIC.values())
    assert table.rows["DCGAN"] == [
        Cell("0.800", "no interval"),
        Cell("0.800", "0.700 to 0.900"),
        Cell("0.900", "0.800 to 1.000"),
        Cell("0.700", "0.500 to 0.800"),
        Cell("0.800", "no interval"),
    ]
    assert [cell.text for cell in table.rows["CCAN"]] == ["0.800", "0.800", "–", "0.700", "–"]
    assert set(table.rows["tissue GAN"]) == {Cell("–", "not measured")}
    assert table.made_from[0] == "seed-42/class_truth/dcgan.json"


def test_a_set_that_the_study_no_longer_makes_is_left_out(folder):
    table = class_truth_report(folder.parent, folder, ("non-idc", "idc"), ["dcgan", "ccan"])
    assert list(table.rows) == ["DCGAN", "CCAN"]
    assert table.made_from == ["seed-42/class_truth/dcgan.json", "seed-42/class_truth/ccan.json"]
    assert "tissue GAN" not in table.text
