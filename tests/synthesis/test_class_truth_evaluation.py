"""GAN-test and GAN-train in --mode=evaluate: of which images, and when they are not measured."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.splits import split_indices
from histogan_tf.models.feature_extractors import FeatureExtractor
from histogan_tf.synthesis import evaluation
from histogan_tf.synthesis.class_truth_evaluation import _split, evaluate_class_truth

SIZE = "--output_height=16"
COLOURS = FeatureExtractor("colours", "0", lambda images: images.mean(axis=(1, 2)) + images.std(axis=(1, 2)))


def parse(*flags: str) -> Config:
    return command_line.parse(["main.py", SIZE, *flags])


def read(directory: Path) -> dict:
    return json.loads((directory / "class_truth.json").read_text())


@pytest.fixture(scope="module")
def whole() -> ImageSet:
    return load_dataset(parse("--phantom_images=300", "--part=all"))


def measure(
    directory: Path, images: np.ndarray, labels: np.ndarray, *flags: str, names=("non-idc", "idc"), **seen
) -> dict:
    """What is measured against 300 phantom patches."""
    config = parse("--phantom_images=300", *flags)
    evaluate_class_truth(config, images, labels, names, COLOURS, directory, directory / "features", seed=42, **seen)
    return read(directory)


def test_real_images_are_split_by_patient_and_those_seen_are_left_out(tmp_path, whole):
    made = (whole.images[:60], whole.labels[:60])
    _, test = split_indices(whole, seed=42, by="patient")
    found = measure(tmp_path, *made)
    assert (found["split_by"], found["num_real"], found["num_real_seen"]) == ("patient", len(test), 0)
    assert found["num_patients"] == len(np.unique(whole.groups[test]))
    trained_on, _ = split_indices(whole, seed=42, by="image")
    found = measure(tmp_path, *made, seen_ids=whole.ids[trained_on])
    assert (found["num_real"], found["num_real_seen"]) == (len(np.setdiff1d(test, trained_on)), 0)
    patients = np.unique(whole.groups[test])[1:]
    found = measure(tmp_path, *made, seen_patients=patients)
    is_left = ~np.isin(whole.groups[test], patients)
    assert (found["num_real"], found["num_patients"], found["num_real_seen"]) == (is_left.sum(), 1, 0)


def test_patients_that_were_seen_are_left_out_as_far_as_others_are_left(tmp_path, whole, caplog):
    made = (whole.images[:60], whole.labels[:60])
    _, test = split_indices(whole, seed=42, by="patient")
    patients = np.unique(whole.groups[test])
    seen = [whole.ids[test][whole.groups[test] == patient][0] for patient in patients]  # one image of each
    found = measure(tmp_path, *made, seen_ids=seen[1:])
    is_left = whole.groups[test] == patients[0]
    assert (found["num_real"], found["num_real_of_seen_patients"]) == (is_left.sum(), 0)
    found = measure(tmp_path, *made, seen_ids=seen)
    num_left = len(test) - len(seen)
    assert (found["num_real"], found["num_real_seen"], found["num_real_of_seen_patients"]) == (num_left, 0, num_left)
    assert f"{num_left} of them are of patients whose other images the generator may have seen" in caplog.text


def test_folders_of_a_split_are_not_called_a_split_by_patient(whole):
    parts = np.where(np.arange(len(whole)) % 2, "train", "validation")
    training, test, by = _split(dataclasses.replace(whole, parts=parts), 42)
    assert by == "own parts"
    assert (set(parts[training]), set(parts[test])) == ({"train"}, {"validation"})


def test_where_all_were_seen_it_is_told(tmp_path, whole, caplog):
    found = measure(tmp_path, whole.images[:60], whole.labels[:60], seen_ids=whole.ids)
    assert found["num_real_seen"] == found["num_real"] > 0
    assert f"the generator may have seen {found['num_real']}" in caplog.text


def test_flags_that_choose_images_are_not_heeded(tmp_path, whole):
    made = (whole.images[:60], whole.labels[:60])
    chosen = ("--label=idc", "--part=validation", "--train_size=7")
    assert measure(tmp_path / "a", *made) == measure(tmp_path / "b", *made, *chosen)


def test_labels_are_matched_by_the_names_of_their_classes(tmp_path, whole, caplog):
    made = (whole.images[:60], whole.labels[:60])
    straight, crossed = measure(tmp_path / "a", *made), measure(tmp_path / "b", *made, names=("IDC", "non-idc"))
    found = [one["accuracies"]["gan_test"]["accuracy"]["value"] for one in (straight, crossed)]
    assert found[0] > 0.7
    assert found[1] == pytest.approx(1 - found[0])
    with pytest.raises(FileNotFoundError):
        measure(tmp_path / "c", *made, names=("stroma", "idc"))
    assert "images were made as 'stroma', and the real ones have the classes non-idc, idc" in caplog.text


def test_too_few_images_are_a_warning_and_not_the_end(tmp_path, whole, caplog):
    labels = np.int32([0, 0, 0, 0, 1, 1, 1, 1])
    with pytest.raises(FileNotFoundError):
        measure(tmp_path, whole.images[:8], labels)
    assert "whether images belong to their label is not measured: [4, 4] synthetic images" in caplog.text


def test_a_folder_of_both_labels_is_measured_unless_one_is_chosen(tmp_path, whole, caplog):
    for label in (0, 1):
        (tmp_path / "made").mkdir(exist_ok=True)
        np.savez(tmp_path / "made" / f"{label}.npz", images=whole.images[whole.labels == label][-30:])
    data = ("--mode=evaluate", "--phantom_images=100", f"--synthetic_dir={tmp_path / 'made'}")
    commands.run_command(parse(*data, "--label=idc"))
    assert not (tmp_path / "made" / "evaluation" / "class_truth.json").exists()
    commands.run_command(parse(*data))
    found = read(tmp_path / "made" / "evaluation")
    assert (found["features"], found["num_synthetic"]) == ("random", 60)
    for row in ("real", "gan_test", "gan_train"):
        assert found["accuracies"][row]["accuracy"]["value"] > 0.7, row  # the labels are true
    assert "trained on synthetic, measured on real (GAN-train)" in caplog.text


def test_images_beyond_those_of_a_sample_count_as_seen_too(tmp_path, write_images, monkeypatch):
    for name in ("a", "b"):
        write_images(tmp_path / "real" / name, 40, 16, 16)
        made = write_images(tmp_path / "images" / name, 8, 16, 16, seed=1)
        (tmp_path / "made").mkdir(exist_ok=True)
        np.savez(tmp_path / "made" / f"{'ab'.index(name)}.npz", images=made)
    monkeypatch.setattr(evaluation, "_MAX_GENERATED", 20)
    data = ("--dataset=mine", f"--data_path={tmp_path / 'real'}", "--memory_budget_gb=0", "--part=all")
    commands.run_command(parse("--mode=evaluate", *data, f"--synthetic_dir={tmp_path / 'made'}"))
    found = read(tmp_path / "made" / "evaluation")
    assert found["num_real_seen"] == found["num_real"] > 20


@pytest.mark.parametrize("label", [None, "idc"])
def test_a_conditional_run_is_measured_on_images_that_it_was_not_trained_on(tmp_path, label):
    where = ("--run=own", f"--checkpoint_dir={tmp_path}", "--phantom_images=100", "--split_by=patient")
    network = ("--gf_dim=2", "--df_dim=2", "--gfc_dim=2", "--dfc_dim=2", "--z_dim=2", "--batch_size=4", "--max_steps=1")
    commands.run_command(parse(*where, "--model=dcgan1", "--conditional", *network))
    chosen = [f"--label={label}"] if label else []
    commands.run_command(parse("--mode=evaluate", *where, "--num_images=24", *chosen))
    found = read(tmp_path / "own" / "evaluation")
    assert set(found["accuracies"]) == {"real", "gan_test"} | (set() if label else {"gan_train"})
    assert (found["num_synthetic"], found["num_real_seen"]) == (24, 0)
    labels = {"label_1"} if label else {"label_0", "label_1"}
    assert found["accuracies"]["gan_test"].keys() == {"accuracy"} | labels
