"""Selected images are those that selection.csv says, and translations are held against their own sources."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np

from histogan_tf.data.class_file import read_class_file
from histogan_tf.data.image_set import ImageSet
from histogan_tf.paper import selecting
from histogan_tf.synthesis.selection import select_confident


def image_set(ids: list[str], labels: list[int]) -> ImageSet:
    images = np.arange(len(ids) * 12, dtype=np.uint8).reshape(-1, 2, 2, 3)
    return ImageSet(images, np.array(labels, np.int32), np.array(ids), None, "mine", ("non-idc", "idc"))


def test_each_translation_has_the_source_that_the_index_names(tmp_path: Path):
    (tmp_path / "index.csv").write_text("source,file\n'=b.png,1/b.png\na.png,1/a.png\nc.png,0/c.png\n")
    real = image_set(["a.png", "=b.png", "c.png"], [0, 0, 1])
    synthetic = image_set(["synthetic/0/c.png", "synthetic/1/a.png", "synthetic/1/b.png"], [0, 1, 1])
    assert selecting._sources(tmp_path / "index.csv", real, synthetic).tolist() == [2, 0, 1]
    assert selecting._sources(tmp_path / "none.csv", real, synthetic) is None


def test_what_is_kept_is_written_for_the_classifier_and_told(tmp_path: Path):
    images = image_set(["x", "y", "z"], [1, 1, 1])
    selecting._write(tmp_path / "kept", 1, images, select_confident(np.array([0.9, 0.2, 0.5]), images.labels))
    with np.load(tmp_path / "kept" / "1.npz", allow_pickle=False) as archive:
        np.testing.assert_array_equal(archive["images"], images.images[[0, 2]])
    with (tmp_path / "kept" / "label-1" / "selection.csv").open() as file:
        assert [row["kept"] for row in csv.DictReader(file)] == ["1", "0", "1"]
    assert selecting.has_images(tmp_path / "kept")
    assert read_class_file(tmp_path / "kept") == ("non-idc", "idc")


def test_nothing_kept_leaves_no_images(tmp_path: Path):
    images = image_set(["x"], [1])
    selecting._write(tmp_path / "none", 1, images, select_confident(np.array([0.1]), images.labels))
    assert not selecting.has_images(tmp_path / "none")
    assert (tmp_path / "none" / "label-1" / "rejected.png").exists()
