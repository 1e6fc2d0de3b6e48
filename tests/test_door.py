"""The door for Python does what the command line does: the same images, weights, samples and numbers."""

from __future__ import annotations

import csv
import dataclasses
import hashlib
import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

import histogan_tf as hg
from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.splits import split_indices
from histogan_tf.runs.checkpoints import checkpoint_folders
from histogan_tf.training.dcgan_step import DCGANTrainer

REPOSITORY = Path(__file__).parents[1]
DATA = {"phantom_images": 48, "output_height": 16}
LARGER = {"phantom_images": 48, "output_height": 32}
DCGAN = {
    "model": "dcgan1",
    "gf_dim": 4,
    "df_dim": 4,
    "gfc_dim": 8,
    "dfc_dim": 8,
    "z_dim": 5,
    "batch_size": 4,
    "generator_updates": 1,
}
CYCLEGAN = {"model": "cyclegan", "gf_dim": 2, "df_dim": 2, "num_blocks": 1, "sample_num": 2, "max_steps": 2}
CLASSIFIER = {"model": "resnet18", "weights": "random", "classifier_size": 32}


def parse(**flags) -> Config:
    return command_line.parse(["main.py", *(f"--{name}={value}" for name, value in flags.items())])


def command(**flags) -> None:
    """Runs a command line."""
    commands.run_command(parse(**flags))


def digests(run: Path) -> dict[str, str]:
    """SHA-256 of every variable in the newest checkpoint, by name."""
    reader = tf.train.load_checkpoint(str(checkpoint_folders(run / "ckpt")[-1] / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
    return {name: hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest() for name in names}


def recorded(run: Path) -> dict:
    """What config.json says, but for when the run was begun and what it is called."""
    found = json.loads((run / "config.json").read_text(encoding="utf-8"))
    del found["begun"], found["settings"]["run"]
    return found


def assert_same_run(run: Path, other: Path) -> None:
    assert digests(run) == digests(other)
    assert recorded(run) == recorded(other)


@pytest.fixture(scope="module")
def runs(tmp_path_factory) -> Path:
    """The --checkpoint_dir of runs that several tests look at."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="module")
def images():
    return hg.load_images(**DATA)


@pytest.fixture(scope="module")
def idc_run(runs, images):
    """Trained in Python on the IDC half of the training part."""
    flags = {**DCGAN, "label": "idc", "max_steps": 3, "eval_freq": 2, "run": "idc"}
    return hg.train(images, **flags, checkpoint_dir=runs)


@pytest.fixture(scope="module")
def cyclegan_run(runs):
    flags = {**CYCLEGAN, "train_size": 20, "run": "cyclegan", "checkpoint_dir": runs}
    return hg.train(hg.load_images(**LARGER), **flags)


@pytest.fixture(scope="module")
def classifier(runs, images):
    """Trained in Python on real images and on synthetic ones of both labels."""
    return hg.train(images, **CLASSIFIER, synthetic=synthetic_images(), run="both", checkpoint_dir=runs)


def synthetic_images() -> dict[int, np.ndarray]:
    return {label: np.random.default_rng(label).integers(0, 256, (5, 16, 16, 3), np.uint8) for label in (1, 0)}


class TestLoading:
    def test_each_image_has_its_part_of_the_whole_set(self, images):
        assert images.images.shape == (48, 16, 16, 3) and images.images.dtype == np.uint8
        assert np.bincount(images.labels).tolist() == [24, 24] and len(set(images.groups)) == 12
        train, validation = split_indices(images, seed=42, by="image")
        assert np.flatnonzero(images.parts == "train").tolist() == sorted(train)
        assert np.flatnonzero(images.parts == "validation").tolist() == sorted(validation)
        idc = hg.load_images(label="idc", **DATA)
        np.testing.assert_array_equal(idc.parts, images.parts[images.labels == 1])
        np.testing.assert_array_equal(idc.images, images.images[images.labels == 1])

    def test_the_dataset_is_called_as_its_folder(self, tmp_path, write_images):
        pixels = write_images(tmp_path / "cells", 3)
        found = hg.load_images(tmp_path / "cells")
        assert found.name == "cells" and found.parts is None
        np.testing.assert_array_equal(found.images, pixels)
        assert hg.load_images(tmp_path / "cells", dataset="mine").name == "mine"

    def test_it_says_what_it_is(self, images):
        assert repr(images) == "<ImageSet phantom: 48 images (24 non-idc, 24 idc), 16x16x3>"

    @pytest.mark.parametrize(
        ("arguments", "words"),
        [
            ({"datset": "idc"}, "Did you mean: dataset"),
            ({"label": "benign", **DATA}, "--label=benign: the labels are 0"),
            ({"train_size": 5}, r"--train_size=5 is for train\(\)"),
            ({"model": "dcgan1"}, r"--model=dcgan1 does nothing in load_images\(\)"),
            ({"path": "a", "data_path": "b"}, "path='a' and data_path='b' are both given"),
            ({"path": 5}, "path=5 is of the type int: give the dataset's folder"),
            ({"path": "no/such/place"}, "no folder 'no/such/place' for --dataset=place"),
        ],
    )
    def test_mistakes(self, arguments, words):
        with pytest.raises(hg.UserError, match=words):
            hg.load_images(**arguments)


class TestTraining:
    """The trained weights and config.json are those of the command line."""

    def test_a_dcgan_on_one_label(self, runs, idc_run):
        command(**DATA, **DCGAN, label="idc", max_steps=3, eval_freq=2, run="idc-by-command", checkpoint_dir=runs)
        assert_same_run(runs / "idc", runs / "idc-by-command")

    def test_the_label_may_be_chosen_when_images_are_loaded(self, runs, idc_run):
        idc = hg.load_images(label="idc", **DATA)
        hg.train(idc, **DCGAN, max_steps=3, eval_freq=2, run="idc-loaded", checkpoint_dir=runs)
        assert_same_run(runs / "idc", runs / "idc-loaded")

    def test_a_cyclegan_on_some_of_the_images(self, runs, cyclegan_run):
        command(**LARGER, **CYCLEGAN, train_size=20, run="cyclegan-by-command", checkpoint_dir=runs)
        assert_same_run(runs / "cyclegan", runs / "cyclegan-by-command")

    def test_a_classifier_with_synthetic_images(self, runs, classifier, tmp_path):
        for label, pixels in synthetic_images().items():
            np.savez(tmp_path / f"{label}.npz", images=pixels)
        flags = {"train_on": "both", "synthetic_dir": tmp_path, "checkpoint_dir": runs}
        command(**DATA, **CLASSIFIER, **flags, run="both-by-command")
        assert digests(runs / "both") == digests(runs / "both-by-command")
        by_python, by_command = recorded(runs / "both"), recorded(runs / "both-by-command")
        assert by_python["settings"].pop("synthetic_dir") is None
        assert by_command["settings"].pop("synthetic_dir") == str(tmp_path)
        assert by_python == by_command
        for name in ("predictions.csv", "training_folds.csv"):
            columns = [
                [(row["label"], row["probability"]) for row in csv.DictReader((runs / run / name).open())]
                for run in ("both", "both-by-command")
            ]
            assert columns[0] == columns[1], name

    def test_synthetic_images_may_be_named_by_class_be_a_set_or_a_folder(self, runs, classifier, images, tmp_path):
        by_label = synthetic_images()
        for label, pixels in by_label.items():
            np.savez(tmp_path / f"{label}.npz", images=pixels)
        as_set = hg.load_images(phantom_images=24, output_height=16)
        as_set = as_set.select(np.arange(7, 17))
        as_set.images[:] = np.concatenate([by_label[0], by_label[1]])
        given = [{"idc": by_label[1], "non-idc": by_label[0]}, as_set, str(tmp_path), tmp_path]
        for number, synthetic in enumerate(given):
            run = hg.train(images, **CLASSIFIER, synthetic=synthetic, run=f"synthetic-{number}", checkpoint_dir=runs)
            assert digests(run.directory) == digests(classifier.directory)

    def test_a_classifier_reads_both_labels_where_one_was_loaded(self, runs, images, caplog):
        idc = hg.load_images(label="idc", **DATA)
        run = hg.train(idc, **CLASSIFIER, run="from-idc", checkpoint_dir=runs)
        assert "images were loaded with label=idc: the whole of phantom is loaded for it" in caplog.text
        caplog.clear()
        hg.train(images, **CLASSIFIER, run="from-both", checkpoint_dir=runs)
        assert "the whole of phantom" not in caplog.text
        assert_same_run(run.directory, runs / "from-both")
        with pytest.raises(hg.UserError, match="--label=idc: a classifier learns all labels"):
            hg.train(idc.select(np.arange(5)), **CLASSIFIER, run="some", checkpoint_dir=runs)

    def test_arrays(self, tmp_path, images):
        flags = {**DCGAN, "max_steps": 1, "checkpoint_dir": tmp_path}
        run = hg.train(images.images, **flags)
        assert (run.name, run.class_names) == ("dcgan1-images", ())
        assert recorded(run.directory)["dataset"]["num_images"] == 48
        labelled = hg.train(
            images.images, labels=images.labels, class_names=["healthy", "ill"], dataset="cells", label="ill", **flags
        )
        assert labelled.name == "dcgan1-cells-ill"
        num_ill = int(((images.parts == "train") & (images.labels == 1)).sum())
        assert recorded(labelled.directory)["dataset"]["images_per_class"] == {"healthy": 0, "ill": num_ill}
        assert digests(labelled.directory) == digests(hg.train(images, label="idc", **flags).directory)

    def test_the_command_line_finds_the_images_of_a_run_again(self, runs, idc_run, tmp_path):
        command(mode="evaluate", run="idc", checkpoint_dir=runs, output_dir=tmp_path)
        settings = json.loads((tmp_path / "synthesis.json").read_text())["settings"]
        assert (settings["num_real"], settings["num_synthetic"]) == (15, 15)

    def test_a_finished_run_is_returned_and_a_larger_epoch_continues_it(self, tmp_path, images, caplog):
        flags = {**DCGAN, "run": "run", "checkpoint_dir": tmp_path}
        hg.train(images, **flags, max_steps=2)
        caplog.clear()
        assert hg.train(images, **flags, max_steps=2).step == 2
        assert "is finished: 2 of 2 steps" in caplog.text
        assert hg.train(images, **flags, max_steps=3).step == 3
        with pytest.raises(hg.UserError, match="is a run with other settings .*z_dim was 5 and is now 6"):
            hg.train(images, **{**flags, "z_dim": 6}, max_steps=3)

    def test_in_a_thread(self, runs, images, idc_run):
        made = []
        flags = {**DCGAN, "label": "idc", "max_steps": 3, "eval_freq": 2, "run": "thread", "checkpoint_dir": runs}
        thread = threading.Thread(target=lambda: made.append(hg.train(images, **flags)))
        thread.start()
        thread.join()
        assert_same_run(made[0].directory, idc_run.directory)

    def test_an_interrupt_saves_and_the_same_call_continues(self, runs, images, idc_run, monkeypatch):
        step = DCGANTrainer.train_step

        def interrupted(self, number, *batch):
            if int(number) == 1:
                os.kill(os.getpid(), signal.SIGINT)
            return step.__get__(self, DCGANTrainer)(number, *batch)

        flags = {**DCGAN, "label": "idc", "max_steps": 3, "eval_freq": 2, "run": "stopped", "checkpoint_dir": runs}
        monkeypatch.setattr(DCGANTrainer, "train_step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            hg.train(images, **flags)
        assert hg.load_run(runs / "stopped").step == 2
        monkeypatch.undo()
        assert_same_run(hg.train(images, **flags).directory, idc_run.directory)

    def test_replicas_need_a_process_of_their_own(self, tmp_path, images):
        tf.zeros(1)  # TensorFlow has begun
        with pytest.raises(hg.UserError, match="--distribution=mirrored has to be set up before .* first operation"):
            hg.train(images, **DCGAN, distribution="mirrored", num_replicas=2, checkpoint_dir=tmp_path)

    @pytest.mark.parametrize(
        ("flags", "words"),
        [
            ({"modle": "dcgan1"}, "Unknown command line flag 'modle'. Did you mean: mode, model"),
            ({"model": "dcgan4"}, "--model=dcgan4: choose one of dcgan1"),
            ({"epoch": 0}, "--epoch=0: the smallest allowed value is 1"),
            ({"output_height": 32}, "--output_height=32 comes too late"),
            ({"num_images": 5}, r"--num_images=5 does nothing in train\(\)"),
            ({"mode": "generate"}, r"train\(\) does --mode=train"),
            ({"labels": [0]}, "leave them out"),
            ({"synthetic": {0: np.zeros((1, 16, 16, 3), np.uint8)}}, "synthetic is for a classifier"),
            ({"model": "cyclegan", "label": "idc"}, "CycleGAN learns two labels"),
            ({**CLASSIFIER, "synthetic": {2: np.zeros((1, 16, 16, 3), np.uint8)}}, "synthetic has images of label 2"),
            ({**CLASSIFIER, "synthetic": {}}, "synthetic holds no images"),
            ({**CLASSIFIER, "synthetic": [1]}, "synthetic is a list"),
            (
                {**CLASSIFIER, "synthetic": {0: np.zeros((1, 16, 16), np.uint8)}},
                r"synthetic\[0\] is uint8 \(1, 16, 16\)",
            ),
            ({**CLASSIFIER, "synthetic": {0: np.zeros((1, 8, 8, 3), np.uint8)}}, "synthetic: its images are 8x8x3"),
            ({**CLASSIFIER, "synthetic": "no/such/place"}, "--synthetic_dir=no/such/place: there is no such folder"),
            ({**CLASSIFIER, "synthetic": "a", "synthetic_dir": "b"}, "both given"),
            ({**CLASSIFIER, "synthetic": synthetic_images(), "train_on": "real"}, "--train_on=both"),
        ],
    )
    def test_mistakes_leave_nothing_behind(self, tmp_path, images, flags, words):
        with pytest.raises(hg.UserError, match=words):
            hg.train(images, **flags, checkpoint_dir=tmp_path / "runs")
        assert not (tmp_path / "runs").exists()


class TestRun:
    def test_what_it_knows(self, idc_run, runs):
        assert (idc_run.name, idc_run.directory, idc_run.model) == ("idc", runs / "idc", "dcgan1")
        assert (idc_run.kind, idc_run.step, idc_run.image_shape) == ("generator", 3, (16, 16, 3))
        assert idc_run.class_names == ("non-idc", "idc") and idc_run.config["z_dim"] == 5
        assert repr(idc_run) == (
            f"<TrainedRun {runs / 'idc'}: dcgan1 (generator), step 3, images 16x16x3, classes non-idc, idc>"
        )

    def test_losses_by_name_and_nan_where_nothing_was_measured(self, idc_run):
        metrics = idc_run.metrics
        lines = (idc_run.directory / "metrics.jsonl").read_text().splitlines()
        rows = [json.loads(line) for line in lines]
        assert metrics["step"].tolist() == [1, 2, 3] and metrics["step"].dtype == np.int64
        assert metrics["g_loss"].tolist() == [row["g_loss"] for row in rows]
        (kid,) = (values for name, values in metrics.items() if name.startswith("kid"))
        assert np.isnan(kid).tolist() == [True, False, True]

    def test_samples_are_those_that_generate_writes(self, idc_run, runs, tmp_path):
        flags = {"mode": "generate", "run": "idc", "checkpoint_dir": runs, "num_images": 300, "seed": 7}
        command(**flags, output_dir=tmp_path, format="npz")
        with np.load(tmp_path / "1.npz") as archive:
            np.testing.assert_array_equal(idc_run.sample(300, seed=7), archive["images"])
        assert idc_run.sample(2).shape == (2, 16, 16, 3)
        assert (idc_run.sample(2) != idc_run.sample(2, seed=7)).any()
        np.testing.assert_array_equal(idc_run.sample(2, label="idc"), idc_run.sample(2))

    def test_directions_have_names_and_are_at_right_angles(self, idc_run):
        vectors = np.stack([direction.vector for direction in idc_run.directions])
        np.testing.assert_allclose(vectors @ vectors.T, np.eye(len(vectors)), atol=1e-5)
        assert vectors.shape[1] == DCGAN["z_dim"]
        assert len({direction.name for direction in idc_run.directions}) == len(vectors)

    def test_the_best_checkpoint(self, idc_run, runs, tmp_path):
        best = hg.load_run(runs / "idc", checkpoint="best")
        assert best.step == 2
        command(mode="generate", run="idc", checkpoint_dir=runs, checkpoint="best", num_images=4, output_dir=tmp_path)
        written = np.stack([np.asarray(Image.open(path)) for path in sorted((tmp_path / "1").iterdir())])
        np.testing.assert_array_equal(best.sample(4), written)

    def test_labels_of_a_conditional_network(self, images, tmp_path):
        flags = {**DCGAN, "conditional": True, "max_steps": 1, "run": "conditional", "checkpoint_dir": tmp_path}
        run = hg.train(images, **flags)
        turns, idc = run.sample(6), run.sample(6, label=1)
        np.testing.assert_array_equal(turns[1::2], idc[1::2])
        assert (turns[::2] != idc[::2]).any()
        with pytest.raises(hg.UserError, match="--label=2: the labels are 0"):
            run.sample(6, label=2)

    def test_translations_are_those_that_translate_writes(self, cyclegan_run, runs, tmp_path):
        run, images = cyclegan_run, hg.load_images(**LARGER)
        assert (run.kind, run.step) == ("translator", 2)
        flags = {"run": "cyclegan", "checkpoint_dir": runs, "direction": "B2A", "output_dir": tmp_path / "translated"}
        command(mode="translate", **flags, dataset="phantom", **LARGER, part="validation")
        chosen = images.select(np.flatnonzero((images.parts == "validation") & (images.labels == 1)))
        written = [np.asarray(Image.open(tmp_path / "translated" / "0" / f"{name}.png")) for name in chosen.ids]
        np.testing.assert_array_equal(run.translate(chosen, "B2A"), np.stack(written))
        assert run.translate(np.zeros((2, 36, 40, 3), np.uint8)).shape == (2, 36, 40, 3)
        for wrong, words in [
            (lambda: run.translate(chosen, "both"), "one way at a time"),
            (lambda: run.translate(chosen.images[..., :1]), "are grey, but the run was trained on RGB"),
            (lambda: run.sample(2), r"a translator, which has translate\(\); sample\(\) needs a generator"),
        ]:
            with pytest.raises(hg.UserError, match=words):
                wrong()

    def test_predictions_are_those_of_the_run(self, classifier, images):
        validation = images.select(np.flatnonzero(images.parts == "validation"))
        rows = list(csv.DictReader((classifier.directory / "predictions.csv").open()))
        assert [row["id"] for row in rows] == validation.ids.tolist()
        probabilities = classifier.predict(validation)
        assert probabilities.dtype == np.float64
        np.testing.assert_allclose(probabilities, [float(row["probability"]) for row in rows], atol=2e-6)
        np.testing.assert_array_equal(classifier.predict(validation.images), probabilities)
        grey = np.repeat(validation.images[..., :1], 3, axis=-1)
        np.testing.assert_array_equal(classifier.predict(grey[..., :1]), classifier.predict(grey))

    def test_scores_are_those_of_metrics_json(self, classifier, idc_run):
        recall = classifier.scores["metrics"]["recall"]
        rows = list(csv.DictReader((classifier.directory / "predictions.csv").open()))
        found = [float(row["probability"]) >= 0.5 for row in rows if row["label"] == "1"]
        assert recall["value"] == pytest.approx(np.mean(found))
        with pytest.raises(hg.UserError, match="scores needs a classifier"):
            _ = idc_run.scores

    def test_mistakes(self, classifier, idc_run, runs):
        for wrong, words in [
            (lambda: idc_run.predict(np.zeros((1, 16, 16, 3), np.uint8)), r"predict\(\) needs a classifier"),
            (lambda: idc_run.sample(0), "--num_images=0: the smallest allowed value is 1"),
            (lambda: idc_run.sample(1, seed=-1), "--seed=-1: the smallest allowed value is 0"),
            (lambda: idc_run.sample(1, label="non-idc"), "--label=non-idc: .* was trained on label idc only"),
            (lambda: classifier.predict(np.zeros((1, 20, 16, 3), np.uint8)), "20x16x3 .* was trained on 16x16x3"),
            (lambda: classifier.predict([1]), "images is a list"),
            (lambda: hg.load_run(runs / "none"), r"there is no run none in .* \(it holds .*idc"),
            (lambda: hg.load_run(runs / "idc", checkpoint="first"), "--checkpoint=first: choose one of last, best"),
        ]:
            with pytest.raises(hg.UserError, match=words):
                wrong()

    def test_found_by_folder_or_by_name(self, idc_run, runs, monkeypatch):
        assert hg.load_run("idc", checkpoint_dir=runs).directory == runs / "idc"
        monkeypatch.chdir(runs.parent)
        assert hg.load_run(f"{runs.name}/idc/").sample(1).shape == (1, 16, 16, 3)
        monkeypatch.chdir(runs / "idc")
        assert hg.load_run(".").name == "idc"
        (runs.parent / "checkpoints").mkdir()
        (runs.parent / "checkpoints" / "moved").symlink_to(runs / "idc")
        monkeypatch.chdir(runs.parent)
        assert hg.load_run("moved").step == 3


class TestEvaluation:
    def test_numbers_are_those_of_evaluate(self, idc_run, runs, images, tmp_path):
        patches = idc_run.sample(9, seed=7)
        np.savez(tmp_path / "1.npz", images=patches)
        command(mode="evaluate", **DATA, synthetic_dir=tmp_path, seed=3, output_dir=tmp_path / "by-command")
        expected = json.loads((tmp_path / "by-command" / "synthesis.json").read_text())["metrics"]
        before = sorted(tmp_path.rglob("*"))
        assert hg.evaluate(images, patches, seed=3) == expected
        assert sorted(tmp_path.rglob("*")) == before
        assert hg.evaluate(images, patches, seed=3, output_dir=tmp_path / "by-python") == expected
        written = [json.loads((tmp_path / name / "synthesis.json").read_text()) for name in ("by-command", "by-python")]
        assert written[0]["metrics"] == written[1]["metrics"]
        kid = expected["kid-random-n9"]
        assert kid["floor"]["value"] < kid["synthetic"]["value"]

    def test_of_labelled_patches_it_tells_whether_they_belong_to_their_label(self, images, tmp_path):
        patches = np.random.default_rng(1).integers(0, 256, (14, 16, 16, 3), np.uint8)
        patches[7:] //= 2
        for label in (0, 1):
            np.savez(tmp_path / f"{label}.npz", images=patches[7 * label :][:7])
        command(mode="evaluate", **DATA, synthetic_dir=tmp_path, output_dir=tmp_path / "by-command")
        truth, metrics = (
            json.loads((tmp_path / "by-command" / f"{name}.json").read_text()) for name in ("class_truth", "synthesis")
        )
        labels = [0] * 7 + [1] * 7
        expected = {**metrics["metrics"], "class_truth": truth}
        assert "gan_train" in truth["accuracies"]
        trained_on = hg.load_images(part="train", **DATA)  # the classifiers are measured on others
        assert hg.evaluate(trained_on, patches, labels=labels, output_dir=tmp_path / "by-python") == expected
        assert json.loads((tmp_path / "by-python" / "class_truth.json").read_text()) == truth
        by_hand = hg.evaluate(dataclasses.replace(images, parts=None, settings=None), patches, labels=labels)
        assert by_hand == expected
        assert "class_truth" not in hg.evaluate(images, patches, labels=labels, label="idc")
        with pytest.raises(hg.UserError, match="labels are int64"):
            hg.evaluate(images, patches, labels=labels[:3])

    def test_features_of_a_layer_of_the_backbone(self, images):
        patches = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
        flags = {"features": "backbone", "feature_layer": "stage1", "weights": "random", "classifier_size": 32}
        names = hg.evaluate(images, patches, **flags)
        assert any("resnet18-untrained-stage1-" in name for name in names), list(names)

    def test_images_are_chosen_as_on_the_command_line(self, images):
        patches = np.random.default_rng(0).integers(0, 256, (8, 16, 16, 3), np.uint8)
        for flags in ({}, {"part": "all"}, {"label": "idc", "train_size": 13}):
            expected = load_dataset(parse(**DATA, **flags))
            assert hg.evaluate(images, patches, **flags) == hg.evaluate(expected.images, patches)

    def test_mistakes(self, images):
        patches = np.zeros((8, 16, 16, 3), np.uint8)
        for wrong, words in [
            (lambda: hg.evaluate(images, patches[:3]), "too few to measure"),
            (lambda: hg.evaluate(images, patches[:, :12]), "real images are 16x16 RGB and synthetic ones 12x16 RGB"),
            (lambda: hg.evaluate(images, patches, epoch=3), r"--epoch=3 does nothing in evaluate\(\)"),
            (lambda: hg.evaluate(images, patches, features="vgg"), "--features=vgg: choose one of random"),
            (lambda: hg.evaluate(images, [1]), "patches is a list"),
        ]:
            with pytest.raises(hg.UserError, match=words):
                wrong()


def test_the_log_is_left_to_the_program_and_kept_in_the_run(tmp_path):
    """In a program of its own: pytest sets up the log."""
    program = f"""
import logging, sys
import histogan_tf as hg
images = hg.load_images(phantom_images=48, output_height=16, split_by="patient")
run = hg.train(images, **{DCGAN}, max_steps=2, checkpoint_dir={str(tmp_path)!r}, run="run")
hg.evaluate(images, run.sample(8))
log = logging.getLogger("histogan_tf")
assert (log.handlers, log.level, log.propagate) == ([], logging.NOTSET, True), (log.handlers, log.level)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    log = (tmp_path / "run" / "log.txt").read_text(encoding="utf-8")
    for words in ("starting, up to step 2", "settings: ", "step 2/2", "trained 2 steps"):
        assert words in log
