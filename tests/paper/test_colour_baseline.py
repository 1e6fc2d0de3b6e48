from __future__ import annotations

import json

import numpy as np
from sklearn.metrics import roc_auc_score

from histogan_tf.classifier.predictions_file import read_predictions
from histogan_tf.cli import command_line
from histogan_tf.paper.colour_baseline import colour_features, train_colour_classifier


def test_features_are_mean_and_deviation_of_each_channel():
    images = np.random.default_rng(0).integers(0, 256, (5, 4, 6, 3), np.uint8)
    found = colour_features(images)
    assert found.shape == (5, 6) and found.dtype == np.float32
    np.testing.assert_allclose(found[2, :3], images[2].reshape(-1, 3).mean(axis=0), rtol=1e-6)
    np.testing.assert_allclose(found[2, 3:], images[2].reshape(-1, 3).std(axis=0), rtol=1e-6)


def test_it_writes_what_the_table_reads_and_tells_phantoms_apart(tmp_path):
    flags = ["--model=resnet18", "--phantom_images=90", "--split_by=patient", "--weights=random"]
    config = command_line.parse(["main.py", *flags, f"--checkpoint_dir={tmp_path}"])
    train_colour_classifier(config, tmp_path / "colour")
    found = read_predictions(tmp_path / "colour" / "predictions.csv")
    assert roc_auc_score(found.labels, found.probabilities) > 0.7
    training = json.loads((tmp_path / "colour" / "training.json").read_text())
    assert sum(training["real_images"].values()) == 90 - len(found.labels) and training["held_out_by"] == "patient"
    folds = read_predictions(tmp_path / "colour" / "training_folds.csv")
    assert not set(folds.groups) & set(found.groups)
    assert "untrained" not in (tmp_path / "colour" / "predictions.csv").read_text().lower()
    assert 1e-4 <= training["penalty"] <= 10
