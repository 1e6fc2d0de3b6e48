"""The table of readers: what it takes to add one, and that reading it costs no import of TensorFlow."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.classifier import prediction
from histogan_tf.cli import command_line
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.sources import FOLDER_READER, LISTED_READER, READERS, Reader, reader_of
from histogan_tf.trained.load import TrainedNetwork


def darker(image: np.ndarray) -> np.ndarray:
    return image // 2


def load_toy(root, *, name, prepare, phantom_images):
    """The first rows of toy.npy, uint8 (n, height, width, 3): those of even number have label 0."""
    pixels = np.load(Path(root) / "toy.npy")[:phantom_images]
    images = np.stack([prepare(darker(image)) for image in pixels])
    labels = np.arange(len(images), dtype=np.int32) % 2
    return ImageSet(images, labels, np.arange(len(images)).astype(str), None, name, ("even", "odd"))


@pytest.fixture
def toy_flags(tmp_path, monkeypatch):
    """Puts the reader `toy` into the table, and 30 images of 20x20 where it finds them; flags to read 24 of them."""
    monkeypatch.setitem(READERS, "toy", Reader("toys", load_toy, flags=("phantom_images",), before_sizing=darker))
    (tmp_path / "data" / "toy").mkdir(parents=True)
    pixels = np.random.default_rng(0).integers(0, 256, (30, 20, 20, 3), np.uint8)
    np.save(tmp_path / "data" / "toy" / "toy.npy", pixels)
    return ["--dataset=toy", f"--data_dir={tmp_path}/data", "--part=all", "--phantom_images=24"]


def test_a_new_reader_takes_the_flags_of_its_line_and_is_in_the_help(tmp_path, toy_flags, tiny_config):
    assert "toy: toys;" in " ".join(command_line.help_text(columns=80).split())
    image_set = load_dataset(tiny_config(*toy_flags, "--label=odd", "--output_height=20"))
    pixels = np.load(tmp_path / "data" / "toy" / "toy.npy")
    np.testing.assert_array_equal(image_set.images, pixels[1:24:2] // 2)
    assert image_set.class_names == ("even", "odd")


def prepared_for_prediction(image: np.ndarray, config) -> np.ndarray:
    trained = TrainedNetwork("", None, None, None, config, {"image_shape": (20, 20, 3)}, 1, {}, {})
    return prediction._preparation(trained)(image)


def test_prediction_does_to_an_image_what_its_reader_did(toy_flags, tiny_config):
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), np.uint8)
    of_toy, of_folder = (tiny_config(*flags, "--output_height=20") for flags in (toy_flags, ["--dataset=any"]))
    np.testing.assert_array_equal(prepared_for_prediction(image, of_toy), image // 2)
    np.testing.assert_array_equal(prepared_for_prediction(image, of_folder), image)


@pytest.mark.parametrize("dataset", ["idc", "idc-full"])
def test_a_patch_that_a_slides_edge_cut_off_is_padded_in_prediction(dataset, tiny_config):
    image = np.random.default_rng(0).integers(0, 256, (50, 31, 3), np.uint8)
    patch = prepared_for_prediction(image, tiny_config(f"--dataset={dataset}", "--output_height=50"))
    np.testing.assert_array_equal(patch, np.pad(image, ((0, 0), (0, 19), (0, 0)), mode="reflect"))


def test_other_names_are_folders():
    assert reader_of("cats") is FOLDER_READER and reader_of("lsun") is READERS["lsun"]
    assert reader_of("cats", "labels.csv") is LISTED_READER and reader_of("lsun", "labels.csv") is READERS["lsun"]


def test_every_reader_takes_flags_that_exist_and_is_described():
    names = vars(command_line.parse(["main.py"])).keys()
    for name, reader in {**READERS, "folder": FOLDER_READER, "listed": LISTED_READER}.items():
        assert set(reader.flags) <= names, name
        assert reader.help and not reader.help.endswith("."), name
        assert (reader.before_sizing is None) == (reader.tensor_before_sizing is None), name


def test_the_table_is_read_without_anything_heavy():
    heavy = ("tensorflow", "keras", "cv2", "sklearn", "scipy", "matplotlib", "lmdb", "h5py")
    script = f"import sys, histogan_tf.data.sources; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
