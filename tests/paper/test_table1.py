"""Table 1 from predictions made by hand."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
from sklearn import metrics

from histogan_tf.classifier.predictions_file import Predictions
from histogan_tf.metrics.classification import evaluate_classifier, mcnemar_test
from histogan_tf.paper import table1 as table_module
from histogan_tf.paper.effects import EFFECTS
from histogan_tf.paper.rows import BASELINE, PUBLISHED_ROWS, ROWS
from histogan_tf.paper.table1 import TABLE1_COLUMNS, make_table

NUM_IMAGES = 80
LABELS = (np.arange(NUM_IMAGES) % 2).astype(np.int32)
PATIENTS = np.array([f"p{number % 8}" for number in range(NUM_IMAGES)])


def predictions(row: int, repeat: int, groups=PATIENTS) -> Predictions:
    rng = np.random.default_rng([row, repeat])
    probabilities = np.round(np.clip(0.2 * LABELS + 0.8 * rng.random(NUM_IMAGES), 0, 1), 6)
    return Predictions(np.arange(NUM_IMAGES).astype(str), groups, LABELS, probabilities)


def recall_at_precision(probabilities: np.ndarray) -> float:
    precision, recall, _ = metrics.precision_recall_curve(LABELS, probabilities)
    return max(recall[precision >= 0.9])


@pytest.fixture(scope="module")
def made():
    found = {row.name: [predictions(number, repeat) for repeat in range(2)] for number, row in enumerate(ROWS)}
    counts = {row.name: [{"real": 10, "synthetic": number + 1}] * 2 for number, row in enumerate(ROWS)}
    return found, make_table(ROWS, found, counts, "idc", seed=42)


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
                "recall_at_precision_90": recall_at_precision(run.probabilities),
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
        assert difference["effect"] in EFFECTS
    test = mcnemar_test(LABELS, *(found[name][1].probabilities >= 0.5 for name in (BASELINE, row["name"])))
    assert row["against_real"]["mcnemar"][1]["p_value"] == test.p_value


def test_a_row_with_fewer_repeats_is_compared_with_the_same_repeats_of_real(made):
    found, whole = made
    tuned = "fine-tuned"
    fewer = {name: runs[:1] if name == tuned else runs for name, runs in found.items()}
    counts = {name: [{"real": 10, "synthetic": 1}] * len(runs) for name, runs in fewer.items()}
    table = make_table(ROWS, fewer, counts, "idc", seed=42)
    assert table["num_repeats"] == 2
    row, of_two = (next(row for row in made["rows"] if row["name"] == tuned) for made in (table, whole))
    assert row["metrics"]["recall"]["repeats"] == of_two["metrics"]["recall"]["repeats"][:1]
    difference, difference_of_two = (made["against_real"]["differences"]["recall"] for made in (row, of_two))
    assert difference["repeats"] == difference_of_two["repeats"][:1] and difference["value"] is not None
    assert len(row["against_real"]["mcnemar"]) == 1


def test_one_patient_leaves_every_interval_and_effect_untold():
    groups = np.full(NUM_IMAGES, "p0")
    found = {row.name: [predictions(number, 0, groups)] for number, row in enumerate(ROWS)}
    table = make_table(ROWS, found, {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}, "idc", seed=42)
    assert table["num_validation_patients"] == 1
    cell = table["rows"][1]["metrics"]["recall"]
    assert (cell["low"], cell["high"], cell["spread"]) == (None, None, None)
    assert table["answer"].startswith("It cannot be told")
    json.dumps(table, allow_nan=False)


def test_intervals_are_drawn_from_the_seed_as_those_of_figure_7_are():
    found = {row.name: [predictions(number, 0)] for number, row in enumerate(ROWS)}
    counts = {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}
    table = make_table(ROWS, found, counts, "idc", seed=7)
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
    table = make_table(ROWS, found, {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}, "idc", seed=42)
    cells = next(row for row in table["rows"] if row["name"] == "dcgan")["metrics"]
    assert (cells["precision"]["value"], cells["recall"]["value"]) == (None, 0)
    json.dumps(table, allow_nan=False)


def test_the_csv_holds_the_numbers_of_the_json(made, tmp_path: Path):
    _, table = made
    table_module._write_csv(tmp_path / "table1.csv", table)
    with (tmp_path / "table1.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [line["row"] for line in rows] == [row.title for row in ROWS]
    assert rows[1]["precision_effect"] == table["rows"][1]["against_real"]["differences"]["precision"]["effect"]
    assert int(rows[1]["recall_num_images"]) == NUM_IMAGES / 2
    for line, row in zip(rows, table["rows"], strict=True):
        assert line["positive_class"] == table["positive_class"] == "idc"
        assert float(line["recall"]) == row["metrics"]["recall"]["value"]
        assert float(line["roc_auc_high"]) == row["metrics"]["roc_auc"]["high"]
        assert line["published_recall"] == ("" if row["published"] is None else str(row["published"]["recall"]))


def test_a_row_whose_rule_let_no_image_pass_is_empty_and_not_real_again(tmp_path: Path):
    ruled = next(row for row in ROWS if row.rule)
    found = {row.name: [predictions(number, repeat) for repeat in range(2)] for number, row in enumerate(ROWS)}
    counts = {row.name: [{"real": 10, "synthetic": 1}] * 2 for row in ROWS} | {
        ruled.name: [{"real": 10, "synthetic": 0}] * 2
    }
    table = make_table(ROWS, found, counts, "idc", seed=42)
    line = next(row for row in table["rows"] if row["name"] == ruled.name)
    assert (line["metrics"], line["against_real"], line["num_repeats_without_images"]) == (None, None, 2)
    assert table["rows"][0]["metrics"] and table["rows"][0]["num_repeats_without_images"] == 0
    table_module._write_csv(tmp_path / "table1.csv", table)
    with (tmp_path / "table1.csv").open(newline="") as file:
        written = next(row for row in csv.DictReader(file) if row["row"] == ruled.title)
    assert written["precision"] == written["precision_effect"] == ""


def test_one_image_rightly_called_positive_is_no_effect_and_the_answer_says_so():
    probabilities = np.zeros(NUM_IMAGES)
    probabilities[1] = 0.9
    lucky = Predictions(np.arange(NUM_IMAGES).astype(str), PATIENTS, LABELS, probabilities)
    found = {row.name: [predictions(number, 0)] for number, row in enumerate(ROWS)} | {"dcgan": [lucky]}
    table = make_table(ROWS, found, {row.name: [{"real": 1, "synthetic": 1}] for row in ROWS}, "idc", seed=42)
    row = next(row for row in table["rows"] if row["name"] == "dcgan")
    cell = row["metrics"]["precision"]
    assert (cell["value"], cell["num_images"], cell["num_patients"], cell["is_exact"]) == (1, 1, 1, True)
    assert cell["low"] < 0.03 and cell["num_undefined"] > 0
    difference = row["against_real"]["differences"]["precision"]
    assert difference["value"] > 0 and difference["effect"] == difference["effect_after_holm"] == "cannot be told"
    assert "The precision of DCGAN cannot be told: fewer than 10 images decide it." in table["answer"]
    json.dumps(table, allow_nan=False)
