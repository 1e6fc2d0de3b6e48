from __future__ import annotations

import json
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.synthetic import load_synthetic, refuse_copies
from histogan_tf.errors import UserError

NAMES = ("non-idc", "idc")


def random_images(num_images: int, seed: int = 0, size: int = 20) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (num_images, size, size, 3), np.uint8)


def image_set(images: np.ndarray) -> ImageSet:
    return ImageSet(images, np.zeros(len(images), np.int32), np.arange(len(images)).astype(str), None, "real", NAMES)


def load(folder: Path) -> ImageSet:
    return load_synthetic(str(folder), NAMES)


def test_sub_folders_are_labels(tmp_path, write_images):
    zeros = write_images(tmp_path / "0", 3, seed=1)
    ones = write_images(tmp_path / "1", 2, seed=2)
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.images, np.concatenate([zeros, ones]))
    assert loaded.labels.tolist() == [0, 0, 0, 1, 1] and loaded.labels.dtype == np.int32
    assert loaded.ids.tolist()[::4] == ["synthetic/0/000.png", "synthetic/1/001.png"]
    assert loaded.class_names == NAMES and loaded.groups is None


def test_an_archive_goes_before_a_folder_of_the_same_label(tmp_path, write_images):
    write_images(tmp_path / "0", 3)
    images = random_images(2)
    np.savez(tmp_path / "0.npz", images=images)
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels.tolist() == [0, 0] and loaded.ids.tolist() == ["synthetic/0.npz/0", "synthetic/0.npz/1"]


def test_images_npz_holds_both_labels(tmp_path):
    images = random_images(3)
    np.savez(tmp_path / "images.npz", images=images, labels=np.array([1, 0, 1]))
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels.tolist() == [1, 0, 1]


def write_classes(folder: Path, *names: str) -> None:
    (folder / "classes.json").write_text(json.dumps({"class_names": names}))


def test_classes_are_matched_by_name_where_another_dataset_numbers_them_otherwise(tmp_path, write_images):
    idc = write_images(tmp_path / "0", 3, seed=1)
    other = write_images(tmp_path / "1", 2, seed=2)
    write_classes(tmp_path, "IDC", "non-idc")
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.images, np.concatenate([other, idc]))
    assert loaded.labels.tolist() == [0, 0, 1, 1, 1] and loaded.class_names == NAMES
    assert loaded.ids.tolist()[::4] == ["synthetic/1/000.png", "synthetic/0/002.png"]


@pytest.mark.parametrize("form", ["archive of a label", "archive of all"])
def test_labels_in_archives_are_matched_too(tmp_path, form):
    images = random_images(3)
    if form == "archive of a label":
        np.savez(tmp_path / "2.npz", images=images)
    else:
        np.savez(tmp_path / "images.npz", images=images, labels=np.array([2, 2, 0]))
    write_classes(tmp_path, "idc", "stroma", "non-idc")
    expected = [0, 0, 0] if form == "archive of a label" else [0, 0, 1]
    loaded = load(tmp_path)
    np.testing.assert_array_equal(loaded.images, images)
    assert loaded.labels.tolist() == expected and loaded.labels.dtype == np.int32


def test_a_class_that_the_real_images_lack_is_refused(tmp_path, write_images):
    write_images(tmp_path / "1", 3)
    write_classes(tmp_path, "non-idc", "tumor")
    with pytest.raises(UserError, match="label 1 is 'tumor', and the real images have the classes non-idc, idc"):
        load(tmp_path)
    write_classes(tmp_path, "tumor", "idc")  # none of the images is of the class that does not match
    assert load(tmp_path).labels.tolist() == [1, 1, 1]


@pytest.mark.parametrize(("names", "told"), [(["idc"], "the classes.json names"), (None, "the real set names")])
def test_images_of_a_label_without_a_name_are_not_left_out_in_silence(tmp_path, write_images, names, told):
    for label in (0, 1, 2) if names is None else (0, 1):
        write_images(tmp_path / str(label), 2, seed=label)
    if names is not None:
        (tmp_path / "classes.json").write_text(json.dumps({"class_names": names}))
    with pytest.raises(UserError, match=f"holds images of the label {1 if names else 2} .*{told} the labels"):
        load_synthetic(str(tmp_path), ("non-idc", "idc"))


def test_a_folder_that_does_not_name_its_classes_is_warned_of(tmp_path, write_images, caplog):
    write_images(tmp_path / "1", 1)
    load(tmp_path)
    assert "has no classes.json that names its classes: taken as 1 = idc" in caplog.text
    caplog.clear()
    write_classes(tmp_path, *NAMES)
    load(tmp_path)
    assert not caplog.text


@pytest.mark.slow
def test_what_generate_writes_is_read(tmp_path, tiny_config):
    from histogan_tf.cli import commands

    flags = ("--model=dcgan1", "--dataset=phantom", "--conditional", "--max_steps=1")
    commands.run_command(tiny_config(*flags))
    make = (
        "--mode=generate",
        "--run=dcgan1-phantom",
        "--num_images=6",
        "--format=npz",
        f"--output_dir={tmp_path}/made",
    )
    commands.run_command(tiny_config(*make))
    loaded = load(tmp_path / "made")
    assert loaded.images.shape == (6, 16, 16, 3) and sorted(set(loaded.labels)) == [0, 1]


@pytest.mark.parametrize("layout", ["nothing", "empty folders", "empty archive"])
def test_an_empty_folder_is_told(tmp_path, layout):
    if layout == "empty folders":
        (tmp_path / "0").mkdir()
        (tmp_path / "1").mkdir()
    if layout == "empty archive":
        np.savez(tmp_path / "images.npz", images=np.empty((0, 8, 8, 3), np.uint8), labels=np.empty(0, int))
    with pytest.raises(UserError, match="holds no images; give a folder with images.npz with images and labels"):
        load(tmp_path)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="there is no such folder"):
        load(tmp_path / "nowhere")


def test_nan_pixels_are_told(tmp_path):
    images = random_images(2).astype(np.float32)
    images[1, 0, 0, 0] = np.nan
    np.savez(tmp_path / "1.npz", images=images)
    with pytest.raises(UserError, match=r"images are float32 \(2, 20, 20, 3\), 1 of them NaN; they have to be uint8"):
        load(tmp_path)


@pytest.mark.parametrize("labels", [[0, 2], [0, -1], [0], [[0], [1]], [0.5, 1], ["0", "1"]])
def test_labels_that_are_none_are_told(tmp_path, labels):
    np.savez(tmp_path / "images.npz", images=random_images(2), labels=np.array(labels))
    with pytest.raises(UserError, match="labels have to be 2 whole numbers from 0 to 1"):
        load(tmp_path)


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut"])
def test_a_damaged_archive_is_told(tmp_path, content):
    (tmp_path / "1.npz").write_bytes(content)
    with pytest.raises(UserError, match="1.npz is truncated, damaged or no npz of images"):
        load(tmp_path)


def test_an_archive_with_a_pickle_is_not_opened(tmp_path):
    np.savez(tmp_path / "1.npz", images=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UserError, match="no npz of images"):
        load(tmp_path)


def test_parts_of_different_shapes_are_told(tmp_path):
    np.savez(tmp_path / "0.npz", images=random_images(1))
    np.savez(tmp_path / "1.npz", images=random_images(1, size=10))
    with pytest.raises(UserError, match=r"images differ in shape \(\(10, 10, 3\), \(20, 20, 3\)\)"):
        load(tmp_path)


def test_an_unreadable_image_is_skipped_unless_strict(tmp_path, write_images):
    write_images(tmp_path / "1", 2)
    (tmp_path / "1" / "000.png").write_bytes(b"no image")
    assert load(tmp_path).ids.tolist() == ["synthetic/1/001.png"]
    with pytest.raises(UserError, match="cannot use"):
        load_synthetic(str(tmp_path), NAMES, strict=True)


@pytest.mark.parametrize("turn", [lambda image: image, np.rot90, np.fliplr, lambda image: np.rot90(np.flipud(image))])
def test_a_copy_of_a_validation_image_is_refused_however_it_is_turned(turn):
    validation, synthetic = random_images(5), random_images(4, seed=1)
    synthetic[2] = turn(validation[3])
    with pytest.raises(UserError, match="1 of 4 synthetic images copied from validation images, the first '2' of '3'"):
        refuse_copies(image_set(synthetic), image_set(validation))


def test_images_that_differ_in_one_grey_level_are_no_copies():
    validation = random_images(5)
    synthetic = validation.copy()
    synthetic[:, 0, 0, 0] ^= 1
    assert refuse_copies(image_set(synthetic), image_set(validation)) is None
    synthetic[4, 0, 0, 0] ^= 1
    with pytest.raises(UserError, match="1 of 5 synthetic images copied"):
        refuse_copies(image_set(synthetic), image_set(validation))


def test_png_files_are_compared_as_pixels(tmp_path):
    validation = random_images(1)
    (tmp_path / "1").mkdir()
    Image.fromarray(validation[0]).save(tmp_path / "1" / "a.png", compress_level=1)
    with pytest.raises(UserError, match="the first 'synthetic/1/a.png' of '0'"):
        refuse_copies(load(tmp_path), image_set(validation))


def test_images_without_labels_are_read_where_none_are_needed(tmp_path, write_images):
    drawn = write_images(tmp_path / "folder" / "images", 3)
    archived = random_images(4)
    (tmp_path / "archive").mkdir()
    np.savez(tmp_path / "archive" / "images.npz", images=archived)
    for name, images in (("folder", drawn), ("archive", archived)):
        loaded = load_synthetic(str(tmp_path / name), NAMES, needs_labels=False)
        np.testing.assert_array_equal(loaded.images, images)
        assert loaded.labels is None
        with pytest.raises(UserError, match=name):
            load(tmp_path / name)


def test_labels_that_are_there_are_read_even_where_none_are_needed(tmp_path):
    np.savez(tmp_path / "images.npz", images=random_images(2), labels=np.array([1, 0]))
    assert load_synthetic(str(tmp_path), NAMES, needs_labels=False).labels.tolist() == [1, 0]


def test_a_folder_whose_name_is_too_long_or_a_link_to_itself_is_no_folder(tmp_path):
    os.symlink("loop", tmp_path / "loop")
    for folder in ("x" * 300, str(tmp_path / "loop")):
        with pytest.raises(UserError, match="there is no such folder"):
            load_synthetic(folder, ("a", "b"))
