from __future__ import annotations

import csv
import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.classifier import prediction
from histogan_tf.classifier.prediction import Predictor, backbone_note, is_untrained
from histogan_tf.classifier.slide_maps import CELL_PIXELS, map_colour
from histogan_tf.cli import command_line, commands
from histogan_tf.config.families import CLASSIFIER
from histogan_tf.errors import UserError
from histogan_tf.models.backbones import BACKBONES
from histogan_tf.trained.load import load_networks


def rows_of(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def test_classify_gives_any_folder_the_probabilities_of_evaluation(real_run, make_config, patients, tmp_path):
    commands.run_command(make_config("--mode=classify", "--run=real", f"--output_dir={tmp_path}"))
    classified = {row["id"]: float(row["probability"]) for row in rows_of(tmp_path / "predictions.csv")}
    assert len(classified) == 64
    for row in rows_of(real_run / "predictions.csv"):
        assert classified[row["id"]] == pytest.approx(float(row["probability"]), abs=1e-4)


@pytest.mark.parametrize(
    ("network", "note", "num_features", "preparation"),
    [
        (("--feature_layer=stage1+stage2",), ", features of stage1+stage2", 64 + 128, None),
        (
            ("--backbone=efficientnet_lite0", "--feature_layer=stage4", "--center_crop"),
            ", efficientnet_lite0, features of stage4, centre of the images",
            112,
            BACKBONES["efficientnet_lite0"].preparation.to_json(),
        ),
    ],
)
def test_a_classifier_is_restored_with_its_own_network_and_preparation(
    train_config, make_config, tmp_path, network, note, num_features, preparation
):
    flags = ("--run=earlier", f"--checkpoint_dir={tmp_path}")
    commands.run_command(train_config(*network, *flags))
    metrics = json.loads((tmp_path / "earlier" / "metrics.json").read_text())
    assert metrics["backbone"] == f"random weights, UNTRAINED backbone{note}"
    dataset = json.loads((tmp_path / "earlier" / "config.json").read_text())["dataset"]
    assert dataset.get("preparation") == (preparation and json.loads(json.dumps(preparation)))
    assert [np.load(path).shape[1] for path in (tmp_path / "earlier" / "features").glob("*.npy")] == [num_features] * 2
    commands.run_command(make_config("--mode=classify", *flags, f"--output_dir={tmp_path / 'classified'}"))
    evaluated = {row["id"]: float(row["probability"]) for row in rows_of(tmp_path / "earlier" / "predictions.csv")}
    classified = {row["id"]: float(row["probability"]) for row in rows_of(tmp_path / "classified" / "predictions.csv")}
    assert evaluated and all(abs(classified[name] - probability) < 1e-4 for name, probability in evaluated.items())


def test_classify_reads_a_few_files_at_a_time(real_run, make_config, tmp_path, monkeypatch):
    monkeypatch.setattr(prediction, "_FILES_AT_ONCE", 5)
    seen = []
    call = Predictor.__call__
    monkeypatch.setattr(Predictor, "__call__", lambda self, images: seen.append(len(images)) or call(self, images))
    commands.run_command(make_config("--mode=classify", "--run=real", f"--output_dir={tmp_path}"))
    assert seen == [5] * 12 + [4] and len(rows_of(tmp_path / "predictions.csv")) == 64


def test_map_draws_the_probabilities_of_the_file_at_the_places_of_the_names(real_run, make_config, tmp_path):
    (tmp_path / "in").mkdir()
    for place in range(3):
        image = Image.fromarray(np.full((20, 20, 3), 80 * place, np.uint8))
        image.save(tmp_path / "in" / f"77_idx5_x{50 * place + 1}_y1_class{place % 2}.png")
    flags = ("--mode=classify", "--map", "--run=real", f"--output_dir={tmp_path}/out")
    commands.run_command(make_config(*flags, f"--data_path={tmp_path}/in"))
    rows = {row["id"]: float(row["probability"]) for row in rows_of(tmp_path / "out" / "predictions.csv")}
    probabilities = [rows[f"77_idx5_x{50 * place + 1}_y1_class{place % 2}.png"] for place in range(3)]
    with Image.open(tmp_path / "out" / "maps" / "77-probability.png") as picture:
        colours = [picture.getpixel((CELL_PIXELS * place + 1, 1)) for place in range(3)]
    np.testing.assert_allclose(colours, [map_colour(probability) for probability in probabilities], atol=1)
    assert colours[0] != colours[2]
    assert "77: tissue" in (tmp_path / "out" / "maps" / "maps.html").read_text()


def test_a_map_of_a_patient_that_the_classifier_was_trained_on_says_so(real_run, make_config, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    (seen, *_) = json.loads((real_run / "config.json").read_text())["patients"]
    for patient in (seen, "77"):
        image = Image.fromarray(np.full((20, 20, 3), 80, np.uint8))
        image.save(tmp_path / "in" / f"{patient}_idx5_x1_y1_class1.png")
    flags = ("--mode=classify", "--map", "--run=real", f"--output_dir={tmp_path}/out")
    commands.run_command(make_config(*flags, f"--data_path={tmp_path}/in"))
    assert "real has seen 1 of the 2 patients of these images" in caplog.text
    page = (tmp_path / "out" / "maps" / "maps.html").read_text()
    assert page.count("the classifier was trained on patches of this patient") == 1


def test_map_refuses_names_without_a_place_before_it_classifies(real_run, make_config, tmp_path):
    with pytest.raises(UserError, match="--map needs patches whose names say their place"):
        commands.run_command(make_config("--mode=classify", "--map", "--run=real", f"--output_dir={tmp_path}"))
    assert not (tmp_path / "predictions.csv").exists()


def test_classify_takes_a_part_of_a_set_whose_images_are_not_files(real_run, make_config, tmp_path, monkeypatch):
    arrays = {}
    for number, part in enumerate(("train", "val", "test")):
        arrays[f"{part}_images"] = np.random.default_rng(number).integers(0, 256, (4, 20, 20), np.uint8)
        arrays[f"{part}_labels"] = np.array([[0], [1], [1], [0]])
    np.savez(tmp_path / "breastmnist.npz", **arrays)
    monkeypatch.setattr(prediction, "_FILES_AT_ONCE", 3)
    flags = ("--mode=classify", "--run=real", "--dataset=medmnist", f"--data_path={tmp_path}")
    commands.run_command(make_config(*flags, "--part=test", f"--output_dir={tmp_path}/out"))
    classified = {row["id"]: float(row["probability"]) for row in rows_of(tmp_path / "out" / "predictions.csv")}
    assert list(classified) == ["test/0", "test/1", "test/2", "test/3"]
    (trained,) = load_networks(make_config(*flags), kind=CLASSIFIER)
    expected = Predictor(trained.network)(np.repeat(arrays["test_images"][..., np.newaxis], 3, axis=-1))
    np.testing.assert_allclose(list(classified.values()), expected, atol=1e-4)
    assert len(prediction._load_stored(make_config(*flags), trained)) == 12


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


def test_classify_warns_of_16_bit_images_whose_upper_bits_are_unused(real_run, make_config, tmp_path, caplog):
    (tmp_path / "in").mkdir()
    for number in range(2):
        Image.fromarray(np.full((20, 20), 4000 + number, np.uint16)).save(tmp_path / "in" / f"{number}.png")
    flags = ("--mode=classify", "--run=real", f"--output_dir={tmp_path}/out", "--dataset=mine")
    commands.run_command(make_config(*flags, f"--data_path={tmp_path}/in"))
    assert "use only 12 of their 16 bits" in caplog.text and "multiply their pixels by 16 and" in caplog.text


def test_classify_writes_names_that_are_not_utf8_with_escapes(real_run, make_config, tmp_path, write_images):
    write_images(tmp_path / "in" / "a", 2)
    os.rename(tmp_path / "in" / "a" / "001.png", os.fsencode(tmp_path) + b"/in/a/M\xfcller.png")
    os.rename(tmp_path / "in" / "a", os.fsencode(tmp_path) + b"/in/b\xf6se")
    flags = ("--mode=classify", "--run=real", f"--data_path={tmp_path}/in", f"--output_dir={tmp_path}/out")
    commands.run_command(make_config(*flags))
    ids = [row["id"] for row in rows_of(tmp_path / "out" / "predictions.csv")]
    assert ids == [r"b\xf6se/000.png", r"b\xf6se/M\xfcller.png"]


def test_classify_names_what_it_was_not_given(real_run, make_config, tmp_path):
    cases = {
        ("--run=real", f"--data_path={tmp_path}/nowhere"): "there is no such folder",
        ("--run=none",): "there is no run none",
        ("--run=real", f"--data_path={tmp_path}"): "no image in",
        ("--run=real", "--dataset=nct-crc", "--part=test"): "--part has no effect here: --mode=classify takes every",
        ("--run=real", "--max_groups=3"): "--max_groups has no effect here",
    }
    for flags, told in cases.items():
        with pytest.raises(UserError, match=told):
            commands.run_command(make_config("--mode=classify", *flags))


def test_classify_refuses_images_of_another_size(make_config, tmp_path, write_images):
    for label in range(2):
        write_images(tmp_path / "set" / str(label), 6, seed=label)
    flags = ("--dataset=set", f"--data_path={tmp_path}/set", f"--checkpoint_dir={tmp_path}", "--run=own")
    commands.run_command(make_config("--model=resnet18", "--weights=random", "--classifier_size=32", *flags))
    Image.new("RGB", (20, 24)).save(tmp_path / "set" / "0" / "other.png")
    with pytest.raises(UserError, match=r"'0/other.png' is 24x20x3 .* was trained on 20x20x3"):
        commands.run_command(make_config("--mode=classify", *flags))
    assert not (tmp_path / "own" / "classified" / "predictions.csv").exists()


@pytest.mark.slow
def test_a_run_of_another_model_is_refused(make_config, tiny_config, tmp_path):
    commands.run_command(tiny_config("--model=dcgan1", "--max_steps=1", "--run=gan"))
    with pytest.raises(UserError, match=r"gan is a run of dcgan1; .* needs a classifier \(resnet18\)"):
        commands.run_command(make_config("--mode=classify", f"--checkpoint_dir={tmp_path}", "--run=gan"))
    with pytest.raises(UserError, match="gan is a run of dcgan1: choose a classifier's .resnet18. with --run"):
        commands.run_command(make_config("--mode=evaluate", f"--checkpoint_dir={tmp_path}", "--compare=gan,real"))


@pytest.mark.parametrize(
    ("weights", "fine_tune", "note", "untrained"),
    [
        ("random", "none", "random weights, UNTRAINED backbone", True),
        ("random", "all", "random weights, fine-tuned (all)", False),
        ("imagenet", "none", "ImageNet weights", False),
        ("imagenet", "last_stage", "ImageNet weights, fine-tuned (last_stage)", False),
        ("folder", "none", "weights of folder", False),
    ],
)
def test_notes_say_where_weights_come_from(weights, fine_tune, note, untrained):
    config = command_line.parse(["main.py", "--model=resnet18", f"--weights={weights}", f"--fine_tune={fine_tune}"])
    assert backbone_note(config) == note and is_untrained(config) == untrained
