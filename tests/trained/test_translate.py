from __future__ import annotations

import csv
import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.cli import command_line
from histogan_tf.data.decoding import decode_image
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_directory import begin_run
from histogan_tf.trained.generate import generate_images
from histogan_tf.trained.translate import (
    _class_number,
    farthest,
    file_names,
    mean_squared_distances,
    translate_dataset,
)
from histogan_tf.training.cyclegan_step import CycleGANTrainer, Translator

SHAPE = (32, 33, 3)
NETWORK_FLAGS = ("--model=cyclegan", "--gf_dim=2", "--df_dim=2", "--num_blocks=1")


@dataclasses.dataclass(frozen=True)
class TinyRun:
    """A run of CycleGAN on cats (label 0) and horses (label 2), its checkpoint, and a folder of its images."""

    checkpoint_dir: str
    data_path: str
    trainer: CycleGANTrainer

    def config(self, *flags):
        """Returns the Config of a translate command."""
        flags = ["--mode=translate", "--run=tiny", f"--checkpoint_dir={self.checkpoint_dir}", *flags]
        return command_line.parse(["main.py", *flags])


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    """A trainer, which nobody changes, and a folder with a checkpoint of it."""
    config = command_line.parse(["main.py", *NETWORK_FLAGS])
    trainer, folder = CycleGANTrainer(config, SHAPE, 1, ()), tmp_path_factory.mktemp("trained")
    Checkpoints(folder, trainer.state()).save(7)
    return trainer, folder


@pytest.fixture
def run(tmp_path, write_images, trained):
    data_path = tmp_path / "animals"
    for number, name in enumerate(("cat", "dog", "horse")):
        write_images(data_path / name, 3 + number, *SHAPE, seed=number)
    flags = ["--run=tiny", f"--checkpoint_dir={tmp_path}/runs", "--dataset=animals", f"--data_path={data_path}"]
    config = command_line.parse(["main.py", *NETWORK_FLAGS, *flags, "--part=all", "--domain_b=2"])
    dataset = {
        "name": "animals",
        "image_shape": SHAPE,
        "class_names": ["cat", "dog", "horse"],
        "domains": [{"label": 0}, {"label": 2}],
    }
    trainer, checkpoints = trained
    shutil.copytree(checkpoints, begin_run(config, dataset) / "ckpt", dirs_exist_ok=True)
    return TinyRun(f"{tmp_path}/runs", str(data_path), trainer)


def read_index(folder):
    with (folder / "index.csv").open(newline="") as file:
        return list(csv.DictReader(file))


def files_below(folder):
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def test_the_runs_own_images_go_both_ways_under_their_names(run, tmp_path):
    output = tmp_path / "out"
    translate_dataset(run.config(f"--output_dir={output}"))
    cats, horses = ([f"{number:03d}.png" for number in range(count)] for count in (3, 5))
    expected = [
        "A2B.png",
        "B2A.png",
        "classes.json",
        "index.csv",
        *(f"2/{name}" for name in cats),
        *(f"0/{name}" for name in horses),
    ]
    assert files_below(output) == sorted(expected)

    rows = read_index(output)
    assert [row["source"] for row in rows] == [f"cat/{name}" for name in cats] + [f"horse/{name}" for name in horses]
    assert [(row["source_label"], row["target_label"]) for row in rows] == [("0", "2")] * 3 + [("2", "0")] * 5
    for row in rows:
        source = decode_image(f"{run.data_path}/{row['source']}")
        network = run.trainer.generator_A2B if row["target_label"] == "2" else run.trainer.generator_B2A
        translation = decode_image(output / row["file"])
        np.testing.assert_allclose(translation, Translator(network).images(source[None])[0], atol=1)
        by_hand = np.mean((source / 255 - translation / 255) ** 2)
        assert float(row["distance"]) == pytest.approx(by_hand, abs=1e-7)

    sheet = decode_image(output / "A2B.png")
    assert sheet.shape == (32, 6 * 33 + 5 * 2, 3)
    np.testing.assert_array_equal(sheet[:, 70:103], decode_image(f"{run.data_path}/cat/001.png"))
    np.testing.assert_array_equal(sheet[:, 105:138], decode_image(output / "2/001.png"))


def test_without_output_dir_translations_lie_in_the_run_and_serve_as_synthetic_images(run, tmp_path):
    translate_dataset(run.config("--direction=A2B"))
    synthetic = load_synthetic(str(tmp_path / "runs/tiny/translated"), ["cat", "dog", "horse"])
    assert synthetic.labels.tolist() == [2, 2, 2]
    renumbered = load_synthetic(str(tmp_path / "runs/tiny/translated"), ["Horse", "zebra", "dog"])
    assert renumbered.labels.tolist() == [0, 0, 0]
    with pytest.raises(UserError, match="label 2 is 'horse', and the real images have the classes cat, dog"):
        load_synthetic(str(tmp_path / "runs/tiny/translated"), ["cat", "dog"])
    assert synthetic.image_shape == SHAPE


def test_keep_labels_sorts_by_the_source(run, tmp_path):
    translate_dataset(run.config("--keep_labels", f"--output_dir={tmp_path}/out"))
    rows = read_index(tmp_path / "out")
    assert {(row["source_label"], row["target_label"], row["file"].split("/")[0]) for row in rows} == {
        ("0", "2", "0"),
        ("2", "0", "2"),
    }


def test_only_what_really_changed_is_kept_and_all_is_recorded(run, tmp_path):
    translate_dataset(run.config(f"--output_dir={tmp_path}/all"))
    distances = [float(row["distance"]) for row in read_index(tmp_path / "all")]
    translate_dataset(run.config(f"--output_dir={tmp_path}/top", "--top_fraction=0.4"))
    rows = read_index(tmp_path / "top")
    assert [float(row["distance"]) for row in rows] == distances
    kept = [bool(row["file"]) for row in rows]
    # 0.4 of 3 cats is 1, of 5 horses 2.
    assert kept == [distance == max(distances[:3]) for distance in distances[:3]] + [
        distance >= sorted(distances[3:])[-2] for distance in distances[3:]
    ]
    assert [file for file in files_below(tmp_path / "top") if "/" in file] == sorted(
        filter(None, (r["file"] for r in rows))
    )

    middle = (sorted(distances)[3] + sorted(distances)[4]) / 2
    translate_dataset(run.config(f"--output_dir={tmp_path}/far", f"--min_distance={middle}"))
    rows = read_index(tmp_path / "far")
    assert [bool(row["file"]) for row in rows] == [distance > middle for distance in distances]


def test_an_unsorted_folder_of_any_size_goes_one_way(run, tmp_path, write_images):
    pixels = write_images(tmp_path / "slides" / "patient-1", 2, 41, 50, seed=9)
    write_images(tmp_path / "slides" / "patient-2", 2, 41, 50, seed=10)
    flags = ["--dataset=slides", f"--data_path={tmp_path}/slides", "--part=all", f"--output_dir={tmp_path}/out"]
    with pytest.raises(UserError, match="slides does not tell which images are cat and which horse: .*--direction=A2B"):
        translate_dataset(run.config(*flags))
    translate_dataset(run.config(*flags, "--direction=B2A"))
    # Both patients have a 000.png and a 001.png.
    names = ["00000-000.png", "00001-001.png", "00002-000.png", "00003-001.png"]
    assert [row["file"] for row in read_index(tmp_path / "out")] == [f"0/{name}" for name in names]
    translation = decode_image(tmp_path / "out/0/00001-001.png")
    assert translation.shape == (41, 50, 3)
    assert np.abs(translation.astype(int) - pixels[1]).mean() > 1


def test_classes_are_known_by_name_or_by_number(run, tmp_path, write_images):
    for name, count in (("HORSE", 1), ("0", 2), ("other", 1)):
        write_images(tmp_path / "mixed" / name, count, *SHAPE)
    flags = ["--dataset=mixed", f"--data_path={tmp_path}/mixed", "--part=all", f"--output_dir={tmp_path}/out"]
    translate_dataset(run.config(*flags))
    rows = read_index(tmp_path / "out")
    assert [(row["source"], row["target_label"]) for row in rows] == [
        ("0/000.png", "2"),
        ("0/001.png", "2"),
        ("HORSE/000.png", "0"),
    ]


@pytest.mark.parametrize("budget", [4, 1e-9])
def test_a_damaged_image_is_left_out_in_memory_or_on_disk(run, tmp_path, budget):
    Path(run.data_path, "cat/001.png").write_bytes(b"damaged")
    Path(run.data_path, "horse/004.png").write_bytes(b"damaged")
    translate_dataset(run.config(f"--memory_budget_gb={budget}", f"--output_dir={tmp_path}/out"))
    rows = read_index(tmp_path / "out")
    assert [row["file"] for row in rows] == ["2/000.png", "2/002.png", *(f"0/{number:03d}.png" for number in range(4))]
    assert [file for file in files_below(tmp_path / "out") if "/" in file] == sorted(row["file"] for row in rows)
    translation = Translator(run.trainer.generator_A2B).images(decode_image(f"{run.data_path}/cat/002.png")[None])[0]
    np.testing.assert_allclose(decode_image(tmp_path / "out/2/002.png"), translation, atol=1)


def test_label_chooses_among_the_images(run, tmp_path):
    translate_dataset(run.config("--label=horse", f"--output_dir={tmp_path}/out"))
    assert {row["target_label"] for row in read_index(tmp_path / "out")} == {"0"}
    with pytest.raises(UserError, match="no image to translate among .*: the run knows cat and horse"):
        translate_dataset(run.config("--label=dog", f"--output_dir={tmp_path}/none"))


@pytest.mark.parametrize(
    ("height", "width", "channels", "words"),
    [(32, 32, 1, "are grey, but the run was trained on RGB"), (31, 40, 3, "31x40 pixels are too small")],
)
def test_unfit_images_are_told_and_nothing_is_written(run, tmp_path, write_images, height, width, channels, words):
    write_images(tmp_path / "unfit", 2, height, width, channels)
    flags = ["--dataset=unfit", f"--data_path={tmp_path}/unfit", "--direction=A2B", f"--output_dir={tmp_path}/out"]
    with pytest.raises(UserError, match=words):
        translate_dataset(run.config(*flags))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "runs", "unfit"]


def test_nothing_is_written_if_nothing_is_kept_or_the_folder_is_in_use(run, tmp_path):
    with pytest.raises(UserError, match="--min_distance=1 keeps no translation: distances from 0"):
        translate_dataset(run.config(f"--output_dir={tmp_path}/out", "--min_distance=1"))
    (tmp_path / "used").mkdir()
    (tmp_path / "used/mine.txt").write_text("mine")
    with pytest.raises(UserError, match="used exists and is not empty: choose another --output_dir"):
        translate_dataset(run.config(f"--output_dir={tmp_path}/used"))
    assert sorted(path.name for path in tmp_path.iterdir()) == ["animals", "runs", "used"]
    assert files_below(tmp_path / "used") == ["mine.txt"]


def test_runs_of_other_models_and_runs_without_a_checkpoint_are_told(run, tiny_config):
    for model, words in (
        ("dcgan1", "is a run of dcgan1; --mode=translate needs a translator .cyclegan."),
        ("cyclegan", "no checkpoint"),
    ):
        config = dataclasses.replace(
            tiny_config(f"--model={model}", f"--run={model}"), checkpoint_dir=run.checkpoint_dir
        )
        dataset = {
            "name": "animals",
            "image_shape": SHAPE,
            "class_names": ["cat", "dog", "horse"],
            "domains": [{"label": 0}, {"label": 2}],
        }
        begin_run(config, dataset)
        flags = [f"--run={model}", "--dataset=animals", f"--data_path={run.data_path}", "--part=all"]
        with pytest.raises(UserError, match=words):
            translate_dataset(run.config(*flags))


def test_a_cyclegan_does_not_generate(run):
    with pytest.raises(
        UserError,
        match="is a run of cyclegan; --mode=generate needs a generator \\(dcgan1, dcgan2, dcgan3, projected\\)",
    ):
        generate_images(run.config("--mode=generate"))


@pytest.mark.parametrize("flag", ["--num_images=3", "--format=npz"])
def test_flags_of_generate_are_refused(run, flag):
    with pytest.raises(UserError, match="one PNG for each image: leave --num_images and --format out"):
        translate_dataset(run.config(flag))


def test_distances_by_hand():
    images = np.zeros((2, 1, 2, 3), np.uint8)
    others = images.copy()
    others[1, 0, 0] = (255, 51, 0)
    np.testing.assert_allclose(mean_squared_distances(images, others), [0, (1 + 0.04) / 6], rtol=1e-6)
    np.testing.assert_array_equal(mean_squared_distances(others, images), mean_squared_distances(images, others))


@pytest.mark.parametrize(
    ("min_distance", "top_fraction", "kept"),
    [
        (0, 1, [1, 1, 1, 1]),
        (0.2, 1, [1, 0, 1, 1]),
        (0, 0.5, [1, 0, 1, 0]),
        (0.35, 0.5, [0, 0, 1, 0]),
        (0, 0.01, [0, 0, 1, 0]),
    ],
)
def test_the_farthest_are_kept(min_distance, top_fraction, kept):
    assert farthest(np.array([0.3, 0.1, 0.4, 0.2]), min_distance, top_fraction).tolist() == list(map(bool, kept))


def test_file_names():
    assert file_names(["a/x.JPG", "b/y.v2.png", "7"]) == ["x.png", "y.v2.png", "7.png"]
    assert file_names(["a/x.jpg", "b/X.png"]) == ["00000-x.png", "00001-X.png"]


def test_a_domain_is_found_by_its_exact_name_before_any_case():
    images = ImageSet(
        np.zeros((3, 4, 4, 3), np.uint8), np.arange(3, dtype=np.int32), np.arange(3).astype(str), None, "cells"
    )
    cells = dataclasses.replace(images, class_names=("Tumor", "stroma", "tumor"))
    found = [_class_number(cells, name, 9) for name in ("tumor", "Tumor", "STROMA", "TUMOR")]
    assert found == [2, 0, 1, -1]
    assert _class_number(dataclasses.replace(images, class_names=("0", "1", "2")), "tumor", 1) == 1


def test_unlabelled_images_elsewhere_need_no_positive_class(run, tmp_path, write_images):
    path = Path(run.checkpoint_dir) / "tiny" / "config.json"
    record = json.loads(path.read_text())
    record["dataset"] |= {"class_names": ["non-idc", "idc"], "domains": [{"label": 0}, {"label": 1}]}
    path.write_text(json.dumps(record))
    write_images(tmp_path / "plain", 2, *SHAPE)
    flags = (f"--data_path={tmp_path}/plain", "--direction=A2B", f"--output_dir={tmp_path}/out")
    translate_dataset(run.config(*flags))
    assert [row["target_label"] for row in read_index(tmp_path / "out")] == ["1", "1"]
