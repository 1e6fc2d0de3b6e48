from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf import commands
from histogan_tf.classifier import prediction, training
from histogan_tf.classifier.prediction import Predictor, read_classifier
from histogan_tf.data.loading import load_parts
from histogan_tf.errors import UserError
from histogan_tf.models import resnet
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.randomness import Purpose, weight_seeds


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_training_changes_the_head_alone(real_run, make_config):
    seed = weight_seeds(42, Purpose.CLASSIFIER_WEIGHTS, 1)[0]
    before = resnet.build_classifier((20, 20, 3), size=32, weights="random", seed=seed)
    after = read_classifier(make_config("--run=real")).classifier
    assert len(before.features.variables) == 100  # 20 convolutions, and 20 times scale, offset, mean and variance
    assert weights_fingerprint(after.features) == weights_fingerprint(before.features)
    assert before.head.kernel.numpy().any() == np.False_ and after.head.kernel.numpy().any()


def test_predictions_are_those_of_the_checkpoint_for_the_validation_part(real_run, train_config, make_config):
    validation = load_parts(train_config())[1]
    rows = rows_of(real_run / "predictions.csv")
    assert [row["id"] for row in rows] == validation.ids.tolist()
    assert [row["patient"] for row in rows] == validation.groups.tolist()
    assert [int(row["label"]) for row in rows] == validation.labels.tolist()
    probabilities = Predictor(read_classifier(make_config("--run=real")).classifier.network)(validation.images)
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
    with pytest.raises(UserError, match="2 of 2 synthetic images are copies of validation images"):
        training.load_data(train_config("--train_on=both", f"--synthetic_dir={tmp_path}"))


def test_synthetic_images_of_another_size_are_told(train_config, tmp_path):
    np.savez(tmp_path / "1.npz", images=np.zeros((2, 16, 16, 3), np.uint8))
    with pytest.raises(UserError, match="its images are 16x16x3, but those of 'idc' are 20x20x3"):
        training.load_data(train_config("--train_on=both", f"--synthetic_dir={tmp_path}"))


def test_one_label_only_is_told(train_config, patients, tmp_path):
    for patient in ("p0", "p1"):
        shutil.copytree(patients / patient / "1", tmp_path / patient / "1")
    with pytest.raises(UserError, match="the training images hold none of the label 'non-idc'"):
        training.load_data(train_config(f"--data_path={tmp_path}"))
    shutil.copytree(patients / "p0" / "0", tmp_path / "p0" / "0")
    whole = {"p0": "training", "p1": "validation"}
    for seed in range(8):
        data = train_config(f"--data_path={tmp_path}", "--split_by=patient", f"--split_seed={seed}")
        lone = "validation" if set(load_parts(data)[1].groups) == {"p1"} else "training"
        with pytest.raises(UserError, match=f"the {lone} images hold none of the label 'non-idc'"):
            training.load_data(data)
    assert whole["p1"] == "validation"


@pytest.mark.parametrize(("classes", "told"), [(1, "has no labels"), (3, "tells two labels apart, and 'set' has 3")])
def test_a_set_without_two_labels_is_told(train_config, tmp_path, write_images, classes, told):
    for label in range(classes):
        write_images(tmp_path / str(label), 4, seed=label)
    with pytest.raises(UserError, match=told):
        training.load_data(train_config("--dataset=set", f"--data_path={tmp_path}"))


def test_features_that_are_not_finite_are_told(train_config, tmp_path, monkeypatch):
    monkeypatch.setattr(training.FeatureCache, "views", lambda *_: np.full((1, 1, 512), np.inf))
    with pytest.raises(UserError, match="--weights=random make features that are not finite"):
        commands.run_command(train_config(f"--checkpoint_dir={tmp_path}"))


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--label=idc",), "--label=idc: a classifier learns both labels"),
        (("--part=train",), "--part=train: a classifier learns both labels"),
        (("--train_on=both",), "--train_on=both needs --synthetic_dir"),
        (("--synthetic_dir=x",), "--synthetic_dir=x is used with --train_on=both"),
        (("--perturbations=flips,blur",), "--perturbations=blur: choose among rotation, flips, noise"),
        (("--recall_at_least=1.1",), "--recall_at_least=1.1: the largest allowed value is 1"),
        (("--classifier_size=16",), "--classifier_size=16: the smallest allowed value is 32"),
    ],
)
def test_flags_that_contradict_each_other_are_told(train_config, flags, told):
    with pytest.raises(UserError, match=told):
        train_config(*flags)


def test_views_that_would_be_equal_are_told(train_config, tmp_path):
    with pytest.raises(UserError, match="--views=4: --perturbations=rotation makes only 3 views"):
        commands.run_command(train_config("--perturbations=rotation", "--views=4", f"--checkpoint_dir={tmp_path}"))


def test_classify_gives_any_folder_the_probabilities_of_evaluation(real_run, make_config, patients, tmp_path):
    commands.run_command(make_config("--mode=classify", "--run=real", f"--output_dir={tmp_path}"))
    classified = {row["id"]: float(row["probability"]) for row in rows_of(tmp_path / "predictions.csv")}
    assert len(classified) == 64
    for row in rows_of(real_run / "predictions.csv"):
        assert classified[row["id"]] == pytest.approx(float(row["probability"]), abs=1e-4)


def test_classify_reads_a_few_files_at_a_time(real_run, make_config, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_FILES_AT_ONCE", 5)
    seen = []
    call = Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", lambda self, images: seen.append(len(images)) or call(self, images))
    commands.run_command(make_config("--mode=classify", "--run=real", f"--output_dir={tmp_path}"))
    assert seen == [5] * 12 + [4] and len(rows_of(tmp_path / "predictions.csv")) == 64


def test_classify_skips_what_it_cannot_read_and_says_so(real_run, make_config, tmp_path, caplog, write_images):
    write_images(tmp_path / "in", 3)
    (tmp_path / "in" / "001.png").write_bytes(b"no image")
    flags = ("--mode=classify", "--run=real", f"--data_path={tmp_path}/in", f"--output_dir={tmp_path}/out")
    with pytest.raises(UserError, match="cannot use '001.png'"):
        commands.run_command(make_config(*flags, "--strict"))
    assert not (tmp_path / "out" / "predictions.csv").exists()
    commands.run_command(make_config(*flags))
    assert "2 images classified, 1 skipped" in caplog.text
    assert [row["id"] for row in rows_of(tmp_path / "out" / "predictions.csv")] == ["000.png", "002.png"]
    with pytest.raises(UserError, match="exists: choose another --output_dir"):
        commands.run_command(make_config(*flags))


def test_classify_names_what_it_was_not_given(real_run, make_config, tmp_path):
    cases = {
        ("--run=real", f"--data_path={tmp_path}/nowhere"): "there is no such folder",
        ("--run=none",): "there is no run none",
        ("--run=real", f"--data_path={tmp_path}"): "no image in",
    }
    for flags, told in cases.items():
        with pytest.raises(UserError, match=told):
            commands.run_command(make_config("--mode=classify", *flags))


def test_classify_refuses_images_of_another_size(make_config, train_config, patients, tmp_path, write_images):
    folder = tmp_path / "set"
    for label in range(2):
        write_images(folder / str(label), 6, seed=label)
    flags = ("--dataset=set", f"--checkpoint_dir={tmp_path}/runs")
    commands.run_command(
        train_config(*flags, f"--data_path={folder}", "--run=own").__class__(
            **{
                **train_config(*flags, f"--data_path={folder}", "--run=own").__dict__,
                "output_height": None,
                "output_width": None,
            }
        )
    )
    Image.new("RGB", (20, 24)).save(folder / "0" / "other.png")
    with pytest.raises(UserError, match=r"'0/other.png' is 24x20x3 .* was trained on 20x20x3"):
        commands.run_command(
            make_config("--mode=classify", "--run=own", *flags, f"--data_path={folder}", f"--output_dir={tmp_path}/out")
        )
