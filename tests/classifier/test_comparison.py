from __future__ import annotations

import json
import shutil

import numpy as np
import pytest
from PIL import Image

from histogan_tf.classifier import comparison, plots
from histogan_tf.classifier.comparison import choose_queries
from histogan_tf.classifier.predictions_file import Predictions, read_predictions, write_predictions
from histogan_tf.cli import commands
from histogan_tf.errors import UserError
from histogan_tf.metrics.classification import Metric, mcnemar_test


@pytest.fixture
def two_runs(real_run, both_run, tmp_path, train_config):
    """Copies of both runs, the second right on three images that the first has wrong, and wrong on one."""
    for run in (real_run, both_run):
        shutil.copytree(run, tmp_path / run.name)
    first = read_predictions(real_run / "predictions.csv")
    probabilities = np.where(first.labels == 1, 0.9, 0.1)
    probabilities[:3] = 1 - probabilities[:3]
    second = np.where(first.labels == 1, 0.8, 0.2)
    second[-1] = 1 - second[-1]
    for name, values in (("real", probabilities), ("both", second)):
        changed = Predictions(first.ids, first.groups, first.labels, values)
        write_predictions(tmp_path / name / "predictions.csv", changed, train_config(), ("non-idc", "idc"))
    return tmp_path


def test_runs_are_compared_on_the_images_that_they_share(two_runs, make_config, caplog, monkeypatch):
    drawn = []
    monkeypatch.setattr(
        plots, "plot_neighbours", lambda path, queries, found, title: drawn.append((path, queries, found))
    )
    commands.run_command(make_config("--mode=evaluate", "--compare=real,both", f"--checkpoint_dir={two_runs}"))
    folder = two_runs / "real" / "compared"
    result = json.loads((folder / "comparison.json").read_text())
    labels = read_predictions(two_runs / "real" / "predictions.csv").labels
    assert result["baseline"] == "real" and list(result["runs"]) == ["real", "both"]
    test = result["runs"]["both"]["mcnemar"]
    assert (test["num_only_first"], test["num_only_second"]) == (1, 3)
    assert test["p_value"] == mcnemar_test(np.array([1, 1, 1, 1]), [1, 0, 0, 0], [0, 1, 1, 1]).p_value == 0.625
    assert result["runs"]["real"]["metrics"]["accuracy"]["value"] == pytest.approx(1 - 3 / len(labels))
    assert "mcnemar" not in result["runs"]["real"]
    assert result["positive_class"] == "idc"
    text = (folder / "comparison.md").read_text()
    assert "| metric (positive class: idc) |" in text
    assert "| accuracy " in text and "trained on both" in text and "UNTRAINED" in text
    assert "right where the other is wrong on 3 images" in text and text.strip() in caplog.text
    with Image.open(folder / "comparison.png") as image:
        assert image.width > 500

    ((path, queries, found),) = drawn
    assert path == folder / "neighbours-both.png" and len(queries) == 4
    assert all(len(row) == 5 and row[0][0].shape == (20, 20, 3) for row in found)


def test_runs_with_other_positive_classes_are_not_compared(two_runs, make_config):
    path = two_runs / "both" / "config.json"
    record = json.loads(path.read_text())
    record["dataset"]["class_names"].reverse()
    record["settings"]["positive_class"] = "non-idc"
    path.write_text(json.dumps(record))
    with pytest.raises(UserError, match="real tells idc .* from non-idc, and both tells non-idc from idc"):
        commands.run_command(make_config("--mode=evaluate", "--compare=real,both", f"--checkpoint_dir={two_runs}"))


def test_neighbours_are_the_nearest_of_all_training_images_and_say_which_are_real(two_runs, make_config, monkeypatch):
    real = np.random.default_rng(0).normal(size=(54, 512)).astype(np.float32)  # 42 real and 12 synthetic
    queries = np.random.default_rng(1).normal(size=(22, 512)).astype(np.float32)
    features = {42: real[:42], 12: real[42:], 22: queries}
    views = staticmethod(lambda image_set: features[len(image_set)][None])
    monkeypatch.setattr(comparison, "feature_cache", lambda *_: type("Cache", (), {"views": views}))
    drawn = []
    monkeypatch.setattr(plots, "plot_neighbours", lambda path, rows, found, title: drawn.extend(found))
    commands.run_command(make_config("--mode=evaluate", "--compare=real,both", f"--checkpoint_dir={two_runs}"))
    for row, query in zip(drawn, (0, 1, 2, 21), strict=True):
        distances = np.sort(np.linalg.norm(real - queries[query], axis=1))[:5]
        indices = np.argsort(np.linalg.norm(real - queries[query], axis=1))[:5]
        assert [caption.split("d = ")[1] for _, caption, _ in row] == [f"{distance:.2g}" for distance in distances]
        assert [is_real for *_, is_real in row] == [index < 42 for index in indices]


def test_output_goes_where_the_user_says(two_runs, make_config, tmp_path):
    commands.run_command(
        make_config(
            "--mode=evaluate", "--compare=both,real", f"--checkpoint_dir={two_runs}", f"--output_dir={tmp_path}/out"
        )
    )
    names = {path.name for path in (tmp_path / "out").iterdir() if not path.name.startswith(".")}
    assert names == {"comparison.json", "comparison.md", "comparison.png", "neighbours-real.png"}


def test_without_the_images_the_rest_is_made(two_runs, make_config, caplog, monkeypatch):
    def gone(config):
        raise UserError("no folder")

    monkeypatch.setattr(comparison, "load_data", gone)
    commands.run_command(make_config("--mode=evaluate", "--compare=real,both", f"--checkpoint_dir={two_runs}"))
    assert "no neighbours of both: its images are not where they were (no folder)" in caplog.text
    assert (two_runs / "real" / "compared" / "comparison.png").exists()


def test_runs_on_other_images_are_refused(two_runs, make_config, train_config):
    path = two_runs / "both" / "predictions.csv"
    kept = read_predictions(path)
    fewer = Predictions(kept.ids[1:], kept.groups[1:], kept.labels[1:], kept.probabilities[1:])
    write_predictions(path, fewer, train_config(), ("non-idc", "idc"))
    with pytest.raises(UserError, match=r"real and both were measured on other images \(22 and 21\)"):
        commands.run_command(make_config("--mode=evaluate", "--compare=real,both", f"--checkpoint_dir={two_runs}"))


@pytest.mark.parametrize("names", ["real", "real,real"])
def test_one_run_is_no_comparison(make_config, names):
    with pytest.raises(UserError, match=f"--compare={names}: name two runs or more"):
        commands.run_command(make_config("--mode=evaluate", f"--compare={names}"))


def test_queries_are_those_of_the_greatest_change_mended_first():
    first, second = np.linspace(0.1, 0.3, 12), np.full(12, 0.5)
    first_is_right = np.array([False] * 6 + [True] * 6)
    chosen = choose_queries(first_is_right, ~first_is_right, np.array(first), np.array(second))
    assert chosen.tolist() == [0, 1, 2, 3, 6, 7, 8, 9]
    assert not len(choose_queries(first_is_right, first_is_right, np.array(first), np.array(second)))


def test_bars_survive_undefined_metrics_and_values_outside_their_interval(tmp_path):
    nan = float("nan")
    rows = {"a": {"recall": Metric(nan, nan, nan, 5)}, "b": {"recall": Metric(0.2, 0.3, 0.4, 0)}}
    plots.plot_comparison(tmp_path / "bars.png", rows, ("recall",), "title")
    with Image.open(tmp_path / "bars.png") as image:
        assert image.width > 400


def test_a_run_that_is_not_there_is_looked_for_by_the_flag_that_names_it(make_config, tmp_path):
    with pytest.raises(UserError, match=r"there is no run a in .* \(it holds none\): train one first$"):
        commands.run_command(make_config("--mode=evaluate", "--compare=a,b", f"--checkpoint_dir={tmp_path}"))
