from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.classifier import transfer
from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.classifier.prediction import Predictor
from histogan_tf.cli import commands
from histogan_tf.data.loading import load_parts
from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models import resnet
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.trained.load import load_networks


def restored(config):
    """The classifier of a run."""
    return load_networks(config)[0].network


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_changes_the_head_alone(real_run, make_config):
    seed = weight_seeds(42, Purpose.CLASSIFIER_WEIGHTS, 1)[0]
    before = resnet.build_classifier((20, 20, 3), size=32, weights="random", seed=seed)
    after = restored(make_config("--run=real"))
    assert len(before.features.variables) == 100  # 20 convolutions, and 20 times scale, offset, mean and variance
    assert weights_fingerprint(after.get_layer("features")) == weights_fingerprint(before.features)
    assert not before.head.kernel.numpy().any() and after.get_layer("head").kernel.numpy().any()


def test_predictions_are_those_of_the_checkpoint_for_the_validation_part(real_run, train_config, make_config):
    validation = load_parts(train_config())[1]
    rows = rows_of(real_run / "predictions.csv")
    assert [row["id"] for row in rows] == validation.ids.tolist()
    assert [row["patient"] for row in rows] == validation.groups.tolist()
    assert [int(row["label"]) for row in rows] == validation.labels.tolist()
    probabilities = Predictor(restored(make_config("--run=real")))(validation.images)
    np.testing.assert_allclose([float(row["probability"]) for row in rows], probabilities, atol=1e-4)


def test_thresholds_come_from_training_images_only(real_run, train_config):
    train, validation = load_parts(train_config())
    held_out = {row["id"] for row in rows_of(real_run / "training_folds.csv")}
    assert held_out == set(train.ids) and not held_out & set(validation.ids)


def test_every_output_says_that_the_backbone_is_untrained(real_run):
    for name in ("metrics.json", "training.json"):
        assert json.loads((real_run / name).read_text())["backbone"] == "random weights, UNTRAINED backbone"
    for name in ("predictions.csv", "training_folds.csv"):
        assert {row["backbone"] for row in rows_of(real_run / name)} == {"random weights, UNTRAINED backbone"}
    assert "UNTRAINED" in (real_run / "log.txt").read_text()


def test_a_finished_run_does_nothing(real_run, train_config, caplog):
    before = {path: path.stat().st_mtime_ns for path in real_run.rglob("*.*") if path.suffix != ".txt"}
    commands.run_command(
        train_config("--run=real", "--perturbations=rotation,noise", "--views=2", "--recall_at_least=0.9")
    )
    assert "is finished" in caplog.text
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_a_run_stopped_before_its_end_ends_the_same_without_the_backbone(real_run, tmp_path, train_config, monkeypatch):
    shutil.copytree(real_run, tmp_path / "real")
    for name in ("metrics.json", "predictions.csv", "training.json", "ckpt"):
        path = tmp_path / "real" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    monkeypatch.setattr(
        "histogan_tf.classifier.features.perturbed_view", lambda *_: pytest.fail("the backbone was run again")
    )
    flags = ("--run=real", "--perturbations=rotation,noise", "--views=2", "--recall_at_least=0.9")
    commands.run_command(train_config(*flags, f"--checkpoint_dir={tmp_path}"))
    for name in ("metrics.json", "predictions.csv", "training.json"):
        assert (tmp_path / "real" / name).read_bytes() == (real_run / name).read_bytes(), name
    data = "ckpt/step-00000001/state.data-00000-of-00001"
    assert (tmp_path / "real" / data).read_bytes() == (real_run / data).read_bytes()


def test_synthetic_images_are_trained_on_and_never_validated_on(both_run, real_run):
    summary = json.loads((both_run / "training.json").read_text())
    assert summary["synthetic_images"] == {"non-idc": 6, "idc": 6} and summary["train_on"] == "both"
    assert sum(summary["real_images"].values()) == 42  # 64 less a third
    for name in ("predictions.csv", "training_folds.csv"):
        ids = [row["id"] for row in rows_of(both_run / name)]
        assert ids == [row["id"] for row in rows_of(real_run / name)]


def test_training_on_synthetic_images_alone_holds_some_of_them_out(train_config, synthetic_dir, tmp_path):
    config = train_config("--train_on=synthetic", f"--synthetic_dir={synthetic_dir}", f"--checkpoint_dir={tmp_path}")
    commands.run_command(config)
    run = tmp_path / "resnet18-idc"
    assert json.loads((run / "training.json").read_text())["real_images"] == {"non-idc": 0, "idc": 0}
    assert {row["id"].split("/")[0] for row in rows_of(run / "training_folds.csv")} == {"synthetic"}
    assert json.loads((run / "training.json").read_text())["held_out_by"] == "image"


def test_copies_of_validation_images_are_refused(train_config, tmp_path):
    validation = load_parts(train_config())[1]
    np.savez(tmp_path / "1.npz", images=np.rot90(validation.images[:2], axes=(1, 2)))
    with pytest.raises(UserError, match="2 of 2 synthetic images copied from validation images"):
        load_data(train_config("--train_on=both", f"--synthetic_dir={tmp_path}"))


def test_synthetic_images_of_another_size_are_told(train_config, tmp_path):
    np.savez(tmp_path / "1.npz", images=np.zeros((2, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="its images are 16x16x3, but those of 'idc' are 20x20x3"):
        load_data(train_config("--train_on=both", f"--synthetic_dir={tmp_path}"))


def test_one_label_only_is_told_of_training_and_of_validation(train_config, patients, tmp_path):
    """Patient p1 has one label only; the split of some seeds trains on it, that of others validates on it."""
    shutil.copytree(patients / "p0", tmp_path / "p0")
    shutil.copytree(patients / "p1" / "1", tmp_path / "p1" / "1")
    told = set()
    for seed in range(8):
        config = train_config(f"--data_path={tmp_path}", "--split_by=patient", f"--split_seed={seed}")
        lone = "validation" if "p1" in load_parts(config)[1].groups else "training"
        with pytest.raises(UserError, match=f"the {lone} images hold none of the label 'non-idc'"):
            load_data(config)
        told.add(lone)
    assert told == {"training", "validation"}


def test_a_set_without_labels_is_told(train_config, tmp_path, write_images):
    write_images(tmp_path / "0", 4)
    with pytest.raises(UserError, match="has no labels"):
        load_data(train_config("--dataset=set", f"--data_path={tmp_path}"))


def test_features_that_are_not_finite_are_told(train_config, tmp_path, monkeypatch):
    monkeypatch.setattr(transfer.FeatureCache, "views", lambda *_: np.full((1, 1, 512), np.inf))
    with pytest.raises(UserError, match="--weights=random make features that are not finite"):
        commands.run_command(train_config(f"--checkpoint_dir={tmp_path}"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--label=idc",), "--label=idc: a classifier learns all labels"),
        (("--part=train",), "--part=train: a classifier learns all labels"),
        (("--train_on=both",), "--train_on=both needs --synthetic_dir"),
        (("--synthetic_dir=x",), "--synthetic_dir=x needs --train_on=both"),
        (("--perturbations=flips,blur",), "--perturbations=blur: choose among rotation, flips, stain, noise"),
        (("--recall_at_least=1.1",), "--recall_at_least=1.1: the largest allowed value is 1"),
        (("--classifier_size=16",), "--classifier_size=16: the smallest allowed value is 32"),
    ],
)
def test_flags_that_contradict_each_other_are_told(train_config, flags, told):
    with pytest.raises(UserError, match=told):
        train_config(*flags)


def test_views_that_would_be_equal_are_told(train_config, tmp_path):
    with pytest.raises(UserError, match="--views=4: --perturbations=rotation makes only 3 different views"):
        commands.run_command(train_config("--perturbations=rotation", "--views=4", f"--checkpoint_dir={tmp_path}"))


def test_images_that_stay_on_disk_give_the_same_predictions(both_run, train_config, synthetic_dir, tmp_path, caplog):
    flags = ("--run=both", "--train_on=both", f"--synthetic_dir={synthetic_dir}", f"--checkpoint_dir={tmp_path}")
    commands.run_command(train_config(*flags, "--memory_budget_gb=0"))
    assert "they stay on disk" in caplog.text
    for name in ("predictions.csv", "training_folds.csv"):
        assert (tmp_path / "both" / name).read_bytes() == (both_run / name).read_bytes()


def test_an_image_on_disk_that_cannot_be_used_is_told(train_config, patients, tmp_path):
    shutil.copytree(patients, tmp_path / "patients")
    broken = load_parts(train_config())[0].ids[5]
    (tmp_path / "patients" / broken).write_bytes(b"no image")
    flags = (f"--data_path={tmp_path}/patients", f"--checkpoint_dir={tmp_path}", "--memory_budget_gb=0")
    with pytest.raises(UserError, match=f"'{broken}' cannot be used, and the set is too large"):
        commands.run_command(train_config(*flags))


def test_training_images_are_found_by_their_number(train_config, synthetic_dir):
    data = load_data(train_config("--train_on=both", f"--synthetic_dir={synthetic_dir}"))
    indices = np.array([50, 3, 42, 41])
    merged = data.training_set()
    np.testing.assert_array_equal(data.images_at(indices), merged.images[indices])
    assert data.is_real[indices].tolist() == [False, True, False, True]
    assert [data.ids[index].startswith("synthetic/") for index in indices] == [True, False, True, False]
    assert data.groups[50] == data.ids[50] and data.groups[3] in {"p0", "p1", "p2", "p3"}
    np.testing.assert_array_equal(merged.labels, data.labels)


def test_the_run_records_its_positive_class(real_run, train_config, make_config, caplog):
    record = json.loads((real_run / "config.json").read_text())
    assert record["settings"]["positive_class"] == "idc" and record["dataset"]["class_names"] == ["non-idc", "idc"]
    assert json.loads((real_run / "training.json").read_text())["positive_class"] == "idc"
    flags = ("--run=real", "--perturbations=rotation,noise", "--views=2")
    with pytest.raises(UserError, match="positive_class was idc and is now non-idc"):
        commands.run_command(train_config(*flags, "--positive_class=non-idc"))
    assert "positive class: non-idc (label 1)" in caplog.text
    with pytest.raises(UserError, match="--positive_class=non-idc contradicts the run .* which has idc"):
        commands.run_command(make_config("--mode=evaluate", "--run=real", "--positive_class=non-idc"))
