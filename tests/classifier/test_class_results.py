"""A classifier of three classes, from its training to its comparison with another."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from histogan_tf.classifier.class_results import plot_class_confusion, plot_one_against_rest
from histogan_tf.classifier.head import HeadFitter, TrainingFeatures, choose_penalty
from histogan_tf.classifier.predictions_file import Predictions, read_predictions, write_predictions
from histogan_tf.cli import commands
from histogan_tf.errors import UserError
from histogan_tf.runs.csv_cells import original_text
from histogan_tf.serving.onnx_model import outside_network
from histogan_tf.serving.signatures import signatures_of
from histogan_tf.serving.web import write_web_page
from histogan_tf.trained.load import load_networks

NAMES = ("adipose", "mucus", "=stroma")


@pytest.fixture(scope="module")
def tissue(tmp_path_factory) -> Path:
    """A folder of three classes, each of its own brightness."""
    root = tmp_path_factory.mktemp("tissue")
    for number, name in enumerate(NAMES):
        (root / name).mkdir()
        level = np.random.default_rng(number).normal(60 + 60 * number, 25, (12, 1, 1, 1))
        pixels = np.clip(np.random.default_rng(number).normal(level, 30, (12, 20, 20, 3)), 0, 255).astype(np.uint8)
        for index, image in enumerate(pixels):
            Image.fromarray(image).save(root / name / f"{index}.png")
    return root


@pytest.fixture(scope="module")
def tissue_config(tissue, tmp_path_factory, make_config):
    runs = tmp_path_factory.mktemp("tissue_runs")
    dataset = ("--dataset=tissue", f"--data_path={tissue}", f"--checkpoint_dir={runs}")
    network = ("--weights=random", "--classifier_size=32")

    def make(*flags: str, trains: bool = True):
        return make_config(*dataset, *(("--model=resnet18", *network) if trains else ()), *flags)

    return make


@pytest.fixture(scope="module")
def trained(tissue_config) -> Path:
    config = tissue_config("--run=three")
    commands.run_command(config)
    return Path(config.checkpoint_dir) / "three"


def test_a_run_of_three_classes_writes_metrics_by_class_and_a_confusion_matrix(trained):
    metrics = json.loads((trained / "metrics.json").read_text())
    names = sorted(NAMES)  # labels are in the order of the names
    assert metrics["class_names"] == names == list(metrics["classes"]) and "positive_class" not in metrics
    predictions = read_predictions(trained / "predictions.csv")
    assert predictions.probabilities.shape == (len(predictions.ids), 3)
    np.testing.assert_allclose(predictions.probabilities.sum(axis=1), 1, atol=2e-6)
    called = predictions.probabilities.argmax(axis=1)
    assert metrics["metrics"]["accuracy"]["value"] == pytest.approx(np.mean(called == predictions.labels))
    counts = np.array(metrics["confusion_matrix"])
    assert counts.sum() == len(called) and counts[1, 2] == np.sum((predictions.labels == 1) & (called == 2))
    text = (trained / "classes.md").read_text()
    assert "| macro_recall " in text and "| class against the rest " in text
    for name in ("confusion_matrix.png", "precision_recall.png", "roc.png"):
        with Image.open(trained / name) as image:
            assert image.width > 300
    assert not (trained / "reliability.png").exists()
    assert "positive_class" not in json.loads((trained / "training.json").read_text())


def test_classify_names_the_most_probable_class(trained, tissue_config, tmp_path):
    commands.run_command(tissue_config("--mode=classify", "--run=three", f"--output_dir={tmp_path}", trains=False))
    with (tmp_path / "predictions.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 36 and "positive_class" not in rows[0]
    evaluated = read_predictions(trained / "predictions.csv")
    of_id = {original_text(row["id"]): row for row in rows}
    columns = [f"probability of {name}" for name in sorted(NAMES)]
    for name, probabilities in zip(evaluated.ids, evaluated.probabilities, strict=True):
        found = [float(of_id[name][column]) for column in columns]
        np.testing.assert_allclose(found, probabilities, atol=1e-4)
        assert original_text(of_id[name]["prediction"]) == sorted(NAMES)[int(np.argmax(found))]


def test_runs_of_three_classes_are_measured_again_and_compared(trained, tissue_config, tmp_path):
    before = (trained / "metrics.json").read_bytes()
    commands.run_command(tissue_config("--mode=evaluate", "--run=three", trains=False))
    assert (trained / "metrics.json").read_bytes() == before
    with pytest.raises(UserError, match="--recall_at_least=0.9 is about the positive class of two"):
        commands.run_command(tissue_config("--mode=evaluate", "--run=three", "--recall_at_least=0.9", trains=False))
    commands.run_command(tissue_config("--run=tuned", "--fine_tune=last_stage", "--epoch=1", "--batch_size=8"))
    flags = ("--mode=evaluate", "--compare=three,tuned", f"--output_dir={tmp_path}")
    commands.run_command(tissue_config(*flags, trains=False))
    result = json.loads((tmp_path / "comparison.json").read_text())
    assert result["class_names"] == sorted(NAMES) and "macro_f1" in result["runs"]["three"]["metrics"]
    rights = [
        (found := read_predictions(trained.parent / run / "predictions.csv")).probabilities.argmax(1) == found.labels
        for run in ("three", "tuned")
    ]
    assert result["runs"]["tuned"]["mcnemar"]["num_only_second"] == np.sum(rights[1] & ~rights[0])


def test_a_recall_to_reach_is_refused_before_training(tissue_config):
    config = tissue_config("--run=refused", "--recall_at_least=0.9")
    with pytest.raises(UserError, match="is about the positive class of two, and these images have 3 classes"):
        commands.run_command(config)
    assert not (Path(config.checkpoint_dir) / "refused").exists()


def test_exports_give_the_probability_of_each_class(trained, tissue_config):
    (network,) = load_networks(tissue_config("--mode=classify", "--run=three", trains=False))
    images = np.random.default_rng(0).integers(0, 256, (2, 20, 20, 3), np.uint8)
    expected = tf.nn.softmax(network.network(images, training=False)).numpy()
    np.testing.assert_allclose(outside_network(network)(images), expected, atol=1e-5)
    served = signatures_of(network)["serving_default"].function(images=tf.constant(images))
    np.testing.assert_allclose(served["probability"], expected, atol=1e-5)
    assert served["label"].numpy().tolist() == expected.argmax(axis=1).tolist()
    with pytest.raises(UserError, match="--format=web shows the probability of the positive class of two"):
        write_web_page([network], trained)


def test_predictions_of_three_classes_are_read_as_written(tmp_path, train_config):
    probabilities = np.array([[0.5, 0.25, 0.25], [0.125, 0.75, 0.125]])
    written = Predictions(np.array(["a", "b"]), None, np.array([2, 0]), probabilities)
    write_predictions(tmp_path / "a.csv", written, train_config(), NAMES)
    read = read_predictions(tmp_path / "a.csv")
    np.testing.assert_array_equal(read.probabilities, probabilities)
    assert read.labels.tolist() == [2, 0] and read.groups is None
    text = (tmp_path / "a.csv").read_text()
    (tmp_path / "a.csv").write_text(text.replace("b,,0", "b,,3"))
    with pytest.raises(UserError, match="a label is not from 0 to 2"):
        read_predictions(tmp_path / "a.csv")


def test_a_head_of_three_labels_is_the_least_penalized_one():
    generator = np.random.default_rng(0)
    labels = np.arange(90) % 3
    features = generator.normal(size=(1, 90, 5)) + np.eye(3, 5)[labels] * 2
    training = TrainingFeatures(features.astype(np.float32), labels, None, np.ones(90, bool))
    fitter = HeadFitter(training)
    penalty, held_out = choose_penalty(training, fitter, seed=1)
    assert held_out.probabilities.shape == (90, 3) and held_out.by == "image"
    head = fitter.fits(np.ones(90, bool))(penalty)
    found = head.probabilities(training.features[0])
    assert np.mean(found.argmax(axis=1) == labels) > 0.8
    # At the minimum, the mean error of each class times each standardized feature equals the penalty's gradient.
    standardized = (features[0] - features[0].mean(axis=0)) / features[0].std(axis=0)
    gradient = (
        standardized.T @ (found - np.eye(3)[labels]) / 90 + penalty * head.kernel * features[0].std(axis=0)[:, None]
    )
    np.testing.assert_allclose(gradient, 0, atol=1e-5)


def test_plots_of_many_classes_are_drawn_without_those_that_are_absent(tmp_path):
    generator = np.random.default_rng(0)
    probabilities = generator.dirichlet(np.ones(14), 40)
    labels = generator.integers(0, 13, 40)  # none of the last class
    names = [f"class {number}" for number in range(14)]
    plot_one_against_rest(tmp_path / "roc.png", labels, probabilities, names, "many", is_roc=True)
    plot_class_confusion(tmp_path / "confusion.png", np.diag(np.arange(14)), names, "many")
    with Image.open(tmp_path / "confusion.png") as image, Image.open(tmp_path / "roc.png") as curves:
        assert image.width > 600 and curves.width > 600
