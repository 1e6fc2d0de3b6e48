from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image
from sklearn import metrics

from histogan_tf.classifier import plots
from histogan_tf.classifier.metric_tables import metrics_table, to_json
from histogan_tf.classifier.predictions_file import Predictions, read_predictions, write_predictions
from histogan_tf.classifier.results import evaluate_run
from histogan_tf.cli import commands
from histogan_tf.metrics.classification import Metric

NAMES = ("non-idc", "idc")


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
def test_few_patients_are_warned_of(tmp_path, train_config, caplog, num_patients, told, make_predictions):
    groups = np.array([f"p{number % num_patients}" for number in range(40)])
    write_predictions(tmp_path / "predictions.csv", make_predictions(groups), train_config(), NAMES)
    evaluate_run(tmp_path, train_config(), ("no", "yes"), None)
    assert told in caplog.text and bool(told) == ("too narrow" in caplog.text)
    low = json.loads((tmp_path / "metrics.json").read_text())["metrics"]["accuracy"]["low"]
    assert (low is None) == (num_patients == 1)


def test_undefined_metrics_are_null(tmp_path, train_config, make_predictions):
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


def test_the_positive_class_is_named(tmp_path, train_config, caplog, monkeypatch, make_predictions):
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
