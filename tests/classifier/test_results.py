from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from sklearn import metrics

from histogan_tf.classifier import plots
from histogan_tf.classifier.results import (
    Predictions,
    evaluate_run,
    metrics_table,
    read_predictions,
    to_json,
    write_predictions,
)
from histogan_tf.cli import commands
from histogan_tf.errors import UserError
from histogan_tf.metrics.classification import Metric

NAMES = ("non-idc", "idc")


def make_predictions(groups: np.ndarray | None = None, num_images: int = 40) -> Predictions:
    generator = np.random.default_rng(0)
    labels = (np.arange(num_images) % 2).astype(np.int32)
    probabilities = np.clip(0.4 * labels + generator.uniform(0, 0.6, num_images), 0, 1).round(6)
    return Predictions(np.array([f"image, {n}.png" for n in range(num_images)]), groups, labels, probabilities)


@pytest.mark.parametrize("groups", [None, np.array(["p1", "p2"] * 20)])
def test_predictions_come_back_from_their_file(tmp_path, train_config, groups):
    written = make_predictions(groups)
    write_predictions(tmp_path / "predictions.csv", written, train_config(), NAMES)
    read = read_predictions(tmp_path / "predictions.csv")
    for name in ("ids", "labels", "probabilities"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.groups is None if groups is None else read.groups.tolist() == groups.tolist()


def test_names_that_are_formulas_are_text_in_the_file_and_come_back(tmp_path, train_config):
    made = make_predictions(num_images=4)
    ids, patients = np.array(["=1+1.png", "-2", "+a/b.png", "'=x"]), np.array(["@p", "=p", "-1", "p"])
    written = Predictions(ids, patients, made.labels, made.probabilities)
    write_predictions(tmp_path / "predictions.csv", written, train_config(), ("a", "=b"))
    lines = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [
        ["'=1+1.png", "'@p"],
        ["-2", "'=p"],
        ["'+a/b.png", "-1"],
        ["''=x", "p"],
    ]
    assert all(",'=b," in line for line in lines)
    read = read_predictions(tmp_path / "predictions.csv")
    assert read.ids.tolist() == ids.tolist() and read.groups.tolist() == patients.tolist()


def test_the_columns_are_those_promised(tmp_path, make_config, train_config):
    write_predictions(tmp_path / "a.csv", make_predictions(), make_config("--model=resnet18"), NAMES)
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == [
        "id,patient,label,probability,positive_class",
        '"image, 0.png",,0,0.382177,idc',
    ]
    write_predictions(tmp_path / "b.csv", make_predictions(), train_config(), NAMES)
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "id,patient,label,probability,positive_class,backbone"


@pytest.mark.parametrize("text", [None, "", "id,label\na,1\n", "id,patient,label,probability\na,b,c,d\n"])
def test_a_damaged_file_is_told(tmp_path, text):
    if text is not None:
        (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(UserError, match="predictions.csv cannot be read"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.382177", "0.38217"),
        ("0.382177", "nan"),
        ("0.382177", "1.382177"),
        (",0,0.382177", ",2,0.382177"),
        (",0,0.382177", ",0"),
        (",0,0.382177", ",0,0.382177,3"),
        (",0,0.382177", ',0,"0.382177'),
        ("image, 0", "image\0, 0"),
    ],
)
def test_damage_within_a_line_is_told(tmp_path, train_config, old, new):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(), train_config(), NAMES)
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(UserError, match="predictions.csv cannot be read"):
        read_predictions(path)


def test_a_file_that_is_cut_off_within_a_line_is_told(tmp_path, make_config):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(num_images=3), make_config("--model=resnet18"), NAMES)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if content[:length].endswith(b"\n") and content[:length].count(b"\n") > 1:
            assert len(read_predictions(path).ids) == content[:length].count(b"\n") - 1
        else:
            with pytest.raises(UserError, match="predictions.csv cannot be read"):
                read_predictions(path)


@pytest.mark.fuzz
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_predictions_are_read_or_refused(data, tmp_path, make_config):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(num_images=3), make_config("--model=resnet18"), NAMES)
    content = bytearray(path.read_bytes())
    positions = st.integers(0, len(content) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        content[position] = value
    path.write_bytes(bytes(content))
    try:
        found = read_predictions(path)
    except UserError:
        return
    assert set(found.labels) <= {0, 1} and 0 <= found.probabilities.min() <= found.probabilities.max() <= 1


def test_metrics_json_holds_what_scikit_learn_says_of_the_predictions_file(real_run):
    predictions = read_predictions(real_run / "predictions.csv")
    result = json.loads((real_run / "metrics.json").read_text())
    called = predictions.probabilities >= 0.5
    values = {name: metric["value"] for name, metric in result["metrics"].items()}
    assert values["accuracy"] == pytest.approx(metrics.accuracy_score(predictions.labels, called))
    assert values["roc_auc"] == pytest.approx(metrics.roc_auc_score(predictions.labels, predictions.probabilities))
    assert values["recall"] == pytest.approx(metrics.recall_score(predictions.labels, called))
    assert result["num_images"] == 22 and result["num_patients"] == 4
    assert result["intervals"].startswith("95 % percentile bootstrap, 2000 resamples of patients; exact")


def test_the_operating_point_takes_its_threshold_from_held_out_training_images(real_run):
    folds = read_predictions(real_run / "training_folds.csv")
    point = json.loads((real_run / "metrics.json").read_text())["operating_point"]
    recall = np.mean(folds.probabilities[folds.labels == 1] >= point["threshold"])
    higher = np.mean(folds.probabilities[folds.labels == 1] > point["threshold"])
    assert point["recall_at_least"] == 0.9 and higher < 0.9 <= recall
    predictions = read_predictions(real_run / "predictions.csv")
    called = predictions.probabilities >= point["threshold"]
    assert point["metrics"]["precision"]["value"] == pytest.approx(np.mean(predictions.labels[called]))
    assert point["metrics"]["specificity"]["value"] == pytest.approx(np.mean(~called[predictions.labels == 0]))


def test_evaluate_measures_again_with_another_recall(real_run, make_config, tmp_path, caplog):
    shutil.copytree(real_run, tmp_path / "real")
    before = json.loads((real_run / "metrics.json").read_text())
    commands.run_command(
        make_config("--mode=evaluate", "--run=real", f"--checkpoint_dir={tmp_path}", "--recall_at_least=0.5")
    )
    after = json.loads((tmp_path / "real" / "metrics.json").read_text())
    assert after["metrics"] == before["metrics"] and after["operating_point"]["recall_at_least"] == 0.5
    assert after["operating_point"]["threshold"] > before["operating_point"]["threshold"]
    assert "UNTRAINED" in caplog.text and "| roc_auc " in caplog.text


@pytest.mark.parametrize(("num_patients", "told"), [(1, "with one, there are none"), (3, "too narrow"), (10, "")])
def test_few_patients_are_warned_of(tmp_path, train_config, caplog, num_patients, told):
    groups = np.array([f"p{number % num_patients}" for number in range(40)])
    write_predictions(tmp_path / "predictions.csv", make_predictions(groups), train_config(), NAMES)
    evaluate_run(tmp_path, train_config(), ("no", "yes"), None)
    assert told in caplog.text and bool(told) == ("too narrow" in caplog.text)
    low = json.loads((tmp_path / "metrics.json").read_text())["metrics"]["accuracy"]["low"]
    assert (low is None) == (num_patients == 1)


def test_undefined_metrics_are_null(tmp_path, train_config):
    predictions = make_predictions()
    never = Predictions(predictions.ids, None, predictions.labels, predictions.probabilities / 10)
    write_predictions(tmp_path / "predictions.csv", never, train_config(), NAMES)
    write_predictions(tmp_path / "training_folds.csv", predictions, train_config(), NAMES)
    evaluate_run(tmp_path, train_config(), ("no", "yes"), 0.1)  # a threshold that no prediction reaches
    text = (tmp_path / "metrics.json").read_text()
    result = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert result["metrics"]["precision"]["value"] is None and result["metrics"]["recall"]["value"] == 0
    assert result["operating_point"]["metrics"]["precision"] == {
        "value": None,
        "low": None,
        "high": None,
        "num_undefined": 2000,
        "num_images": 0,
        "num_patients": None,
        "is_exact": False,
    }


def test_the_positive_class_is_named(tmp_path, train_config, caplog, monkeypatch):
    titles = []
    monkeypatch.setattr(plots, "save_figure", lambda path, figure: titles.append(figure.axes[0].get_title()))
    write_predictions(tmp_path / "predictions.csv", make_predictions(), train_config(), ("healthy", "cancer"))
    evaluate_run(tmp_path, train_config(), ("healthy", "cancer"), None)
    result = json.loads((tmp_path / "metrics.json").read_text())
    assert (result["positive_class"], result["negative_class"]) == ("cancer", "healthy")
    assert "| metric (positive class: cancer) |" in caplog.text
    assert len(titles) == 4 and all(title.endswith("; positive class: cancer") for title in titles), titles


def test_the_plots_are_there(real_run):
    for name in ("precision_recall", "roc", "confusion_matrix", "reliability"):
        with Image.open(real_run / f"{name}.png") as image:
            assert min(image.size) > 300 and len(np.unique(np.asarray(image.convert("L")))) > 20, name


def test_a_table_shows_values_with_intervals_and_what_rates_rest_on():
    nan = float("nan")
    shown = metrics_table(
        {
            "a": {"recall": Metric(0.5, 0.25, 0.75, 0, 46, 12), "true_positives": Metric(1.0, 0.0, 12.0, 0, 99)},
            "b": {"recall": Metric(1.0, 0.025, 1.0, 9, 1, 1, True), "true_positives": Metric(3.0, nan, nan, 0)},
            "c": {"recall": Metric(nan, nan, nan, 9, 0), "true_positives": Metric(3.0, nan, nan, 0)},
        },
        "idc",
    )
    rows = [[cell.strip() for cell in line.strip("| ").split("|")] for line in shown.splitlines()]
    assert rows[0] == ["metric (positive class: idc)", "a", "b", "c"]
    assert rows[2] == [
        "recall",
        "0.500 (0.250 to 0.750; n = 46)",
        "1.000 (0.025 to 1.000, exact; n = 1)",
        "undefined",
    ]
    assert rows[3] == ["true_positives", "1 (0 to 12)", "3 (no interval)", "3 (no interval)"]
    assert to_json({"x": Metric(nan, 0.0, 1.0, 2)})["x"] == {
        "value": None,
        "low": 0.0,
        "high": 1.0,
        "num_undefined": 2,
        "num_images": None,
        "num_patients": None,
        "is_exact": False,
    }
