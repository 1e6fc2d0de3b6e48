"""Table 1 from predictions made by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from histogan_tf.classifier.results import Predictions
from histogan_tf.metrics.classification import evaluate_classifier, mcnemar_test
from histogan_tf.paper import table1 as table_module
from histogan_tf.paper.rows import BASELINE, PUBLISHED_ROWS, ROWS
from histogan_tf.paper.table1 import TABLE1_COLUMNS, answer, effect, make_table

NUM_IMAGES = 80
LABELS = (np.arange(NUM_IMAGES) % 2).astype(np.int32)
PATIENTS = np.array([f"p{number % 8}" for number in range(NUM_IMAGES)])


def predictions(row: int, repeat: int, groups=PATIENTS) -> Predictions:
    rng = np.random.default_rng([row, repeat])
    probabilities = np.round(np.clip(0.2 * LABELS + 0.8 * rng.random(NUM_IMAGES), 0, 1), 6)
    return Predictions(np.arange(NUM_IMAGES).astype(str), groups, LABELS, probabilities)


@pytest.fixture(scope="module")
def made():
    found = {row.name: [predictions(number, repeat) for repeat in range(2)] for number, row in enumerate(ROWS)}
    counts = {row.name: [{"real": 10, "synthetic": number}] * 2 for number, row in enumerate(ROWS)}
    return found, make_table(found, counts, "idc", seed=42)


def test_the_papers_numbers_are_those_of_its_table_1():
    published = {row.title: row.published for row in ROWS if row.published}
    assert published == {
        "Real": (0.642, 0.856, 0.682),
        "CCAN": (0.513, 1.000, 0.513),
        "CCAN and Real": (0.675, 0.783, 0.695),
        "DCGAN": (0.495, 0.051, 0.471),
        "DCGAN and Real": (0.760, 0.695, 0.731),
    }
    assert len(PUBLISHED_ROWS) == 5


def test_values_are_scikit_learns_means_over_the_repeats_with_their_spread(made):
    found, table = made
    for row in table["rows"]:
        for repeat, run in enumerate(found[row["name"]]):
            called = run.probabilities >= 0.5
            expected = {
                "precision": metrics.precision_score(LABELS, called),
                "recall": metrics.recall_score(LABELS, called),
                "accuracy": metrics.accuracy_score(LABELS, called),
                "specificity": metrics.recall_score(LABELS, called, pos_label=0),
                "balanced_accuracy": metrics.balanced_accuracy_score(LABELS, called),
                "roc_auc": metrics.roc_auc_score(LABELS, run.probabilities),
                "average_precision": metrics.average_precision_score(LABELS, run.probabilities),
            }
            assert set(expected) == set(TABLE1_COLUMNS)
            for name, value in expected.items():
                assert row["metrics"][name]["repeats"][repeat] == pytest.approx(value)
        for cell in row["metrics"].values():
            assert cell["value"] == pytest.approx(np.mean(cell["repeats"]))
            assert cell["spread"] == pytest.approx(np.std(cell["repeats"], ddof=1))
            assert cell["low"] <= cell["high"]


def test_specificity_at_reals_recall_is_on_the_rows_own_roc_curve(made):
    found, table = made
    real, row = found[BASELINE], table["rows"][3]
    for repeat, run in enumerate(found[row["name"]]):
        recall = metrics.recall_score(LABELS, real[repeat].probabilities >= 0.5)
        best = max(
            metrics.recall_score(LABELS, run.probabilities >= threshold, pos_label=0)
            for threshold in run.probabilities
            if metrics.recall_score(LABELS, run.probabilities >= threshold) >= recall
        )
        assert row["metrics"]["specificity_at_real_recall"]["repeats"][repeat] == pytest.approx(best)


def test_differences_and_mcnemars_test_are_of_the_same_repeat_of_real(made):
    found, table = made
    assert table["rows"][0]["against_real"] is None
    row = table["rows"][4]
    for name in TABLE1_COLUMNS:
        cells = [table["rows"][number]["metrics"][name]["repeats"] for number in (4, 0)]
        difference = row["against_real"]["differences"][name]
        assert difference["repeats"] == pytest.approx(np.subtract(*cells))
        assert difference["effect"] in table_module.EFFECTS
    test = mcnemar_test(LABELS, *(found[name][1].probabilities >= 0.5 for name in (BASELINE, row["name"])))
    assert row["against_real"]["mcnemar"][1]["p_value"] == test.p_value


@pytest.mark.parametrize(
    ("low", "high", "repeats", "expected"),
    [
        (0.01, 0.2, [0.1, 0.05], "raises"),
        (-0.2, -0.01, [-0.1, -0.05], "lowers"),
        (-0.01, 0.2, [0.1, 0.05], "no clear effect"),
        (0.01, 0.2, [0.3, -0.1], "no clear effect"),
        (0.0, 0.0, [0.0, 0.0], "no clear effect"),
        (None, None, [0.1, 0.1], "cannot be told"),
    ],
)
def test_an_effect_is_clear_if_interval_and_repeats_say_so(low, high, repeats, expected):
    assert effect({"value": 0.1, "low": low, "high": high, "repeats": repeats}) == expected
    assert expected in table_module.EFFECTS


def row(title: str, precision: str, recall: str) -> dict:
    return {
        "title": title,
        "against_real": {"differences": {"precision": {"effect": precision}, "recall": {"effect": recall}}},
    }


def test_the_answer_names_what_raises_precision_and_what_it_costs():
    real = {"title": "Real", "against_real": None}
    none = answer([real, row("CCAN", "no clear effect", "raises"), row("DCGAN", "raises", "lowers")])
    assert none.startswith("No row raises precision")
    assert none.endswith("but recall falls, with: DCGAN.")
    assert "with: A; B." in answer([real, row("A", "raises", "no clear effect"), row("B", "raises", "raises")])
    assert answer([real, row("A", "cannot be told", "cannot be told")]).startswith("It cannot be told")


def test_one_patient_leaves_every_interval_and_effect_untold():
    groups = np.full(NUM_IMAGES, "p0")
    found = {row.name: [predictions(number, 0, groups)] for number, row in enumerate(ROWS)}
    table = make_table(found, {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}, "idc", seed=42)
    assert table["num_validation_patients"] == 1
    cell = table["rows"][1]["metrics"]["recall"]
    assert (cell["low"], cell["high"], cell["spread"]) == (None, None, None)
    assert table["answer"].startswith("It cannot be told")
    json.dumps(table, allow_nan=False)


def test_intervals_are_drawn_from_the_seed_as_those_of_figure_7_are():
    found = {row.name: [predictions(number, 0)] for number, row in enumerate(ROWS)}
    counts = {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}
    table = make_table(found, counts, "idc", seed=7)
    cells = next(row for row in table["rows"] if row["name"] == "ccan")["metrics"]
    of_seed = {
        seed: evaluate_classifier(LABELS, found["ccan"][0].probabilities, groups=PATIENTS, seed=seed)
        for seed in (7, 42)
    }
    for name in TABLE1_COLUMNS:
        assert (cells[name]["low"], cells[name]["high"]) == (of_seed[7][name].low, of_seed[7][name].high), name
    assert of_seed[7]["roc_auc"].low != of_seed[42]["roc_auc"].low


def test_nothing_called_positive_is_undefined_and_not_zero():
    silent = Predictions(np.arange(NUM_IMAGES).astype(str), PATIENTS, LABELS, np.zeros(NUM_IMAGES))
    found = {row.name: [predictions(number, 0)] for number, row in enumerate(ROWS)} | {"dcgan": [silent]}
    table = make_table(found, {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}, "idc", seed=42)
    cells = next(row for row in table["rows"] if row["name"] == "dcgan")["metrics"]
    assert (cells["precision"]["value"], cells["recall"]["value"]) == (None, 0)
    json.dumps(table, allow_nan=False)


def test_the_csv_holds_the_numbers_of_the_json(made, tmp_path: Path):
    _, table = made
    table_module._write_csv(tmp_path / "table1.csv", table)
    with (tmp_path / "table1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line["row"] for line in rows] == [row.title for row in ROWS]
    for line, row in zip(rows, table["rows"], strict=True):
        assert line["positive_class"] == table["positive_class"] == "idc"
        assert float(line["recall"]) == row["metrics"]["recall"]["value"]
        assert float(line["roc_auc_high"]) == row["metrics"]["roc_auc"]["high"]
        assert line["published_recall"] == ("" if row["published"] is None else str(row["published"]["recall"]))
