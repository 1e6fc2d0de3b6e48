import io
import os
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.data.sources.folder import load_folder, sort_class_names
from histogan_tf.errors import UserError


def load(root, pattern="*", strict=False):
    return load_folder(root, name="set", input_fname_pattern=pattern, prepare=lambda image: image).in_memory(
        strict=strict
    )


class TestSortClassNames:
    def test_numbers_by_number(self):
        assert sort_class_names({"10", "9", "1"}) == ["1", "9", "10"]

    def test_letters_by_letter(self):
        assert sort_class_names({"10", "9", "b", "a"}) == ["10", "9", "a", "b"]


class TestLoadFolder:
    def test_classes_are_the_direct_sub_folders(self, root, write):
        for value, name in enumerate(["10/a.png", "9/deep/er/b.png", "9/c.png"]):
            write(name, value)
        image_set = load(root)
        assert image_set.class_names == ("9", "10")
        assert image_set.ids.tolist() == ["9/c.png", "9/deep/er/b.png", "10/a.png"]
        assert image_set.labels.tolist() == [0, 0, 1] and image_set.labels.dtype == np.int32
        assert image_set.images[:, 0, 0, 0].tolist() == [2, 1, 0]
        assert image_set.groups is None and image_set.num_skipped == 0 and image_set.name == "set"

    def test_classes_json_names_the_numbers_of_synthetic_images(self, root, write):
        for value, name in enumerate(["0/a.png", "1/b.png"]):
            write(name, value)
        class_file = Path(root) / "classes.json"
        class_file.write_text('{"class_names": ["non-idc", "idc"]}')
        assert load(root).class_names == ("non-idc", "idc")
        class_file.write_text('{"class_names": ["non-idc"]}')
        assert load(root).class_names == ("0", "1")
        class_file.write_text("{")
        with pytest.raises(UserError, match="classes.json"):
            load(root)

    def test_images_stay_on_disk(self, root, write):
        write("a.png", 1)
        lazy = load_folder(root, name="set", prepare=lambda image: image[:1])
        write("a.png", 2)
        assert lazy.is_lazy and lazy.images[0].tolist() == [[[2]] * 3]

    def test_flat_folder_has_no_labels(self, root, write):
        write("b.png", 1)
        write("a.png", 2)
        image_set = load(root)
        assert image_set.labels is None and image_set.class_names == ()
        assert image_set.ids.tolist() == ["a.png", "b.png"]
        assert image_set.images[:, 0, 0, 0].tolist() == [2, 1]

    def test_one_sub_folder_is_no_class(self, root, write):
        write("only/a.png")
        assert load(root).labels is None

    def test_images_beside_sub_folders_have_no_labels(self, root, write, caplog):
        for name in ("a.png", "b/c.png", "d/e.png"):
            write(name)
        image_set = load(root)
        assert image_set.labels is None and image_set.ids.tolist() == ["a.png", "b/c.png", "d/e.png"]
        assert "taken as one set without labels" in caplog.text

    @pytest.mark.parametrize(
        ("files", "words"),
        [
            (
                ("patches/cancer/1.png", "patches/healthy/deep/2.png"),
                "all images are in patches/, so they have no labels: to take its sub-folders (cancer, healthy) as "
                "classes, give --data_path={root}/patches",
            ),
            (
                ("zip/patches/b/1.png", "zip/patches/a/2.png"),
                "to take its sub-folders (a, b) as classes, give --data_path={root}/zip/patches",
            ),
            (("set/train/1.png", "set/val/2.png"), "(train, val) as parts, give --data_path={root}/set"),
            (("only/1.png", "only/2.png"), None),
            (("only/deep/1.png", "only/2.png"), None),
            (("only/deep/1.png", "only/deep/2.png"), None),
            (
                ("P1/benign/1.png", "P1/malignant/2.png", "P10/benign/x/3.png", "P10/malignant/4.png", "P2/5.png"),
                "the folders P1, P10 are taken as the classes, though folders called benign, malignant repeat in them: "
                "if they are patients, give a table of the file, label and patient of each image by --labels_csv",
            ),
            (("P1/a/1.png", "P1/b/2.png", "P2/a/3.png", "P2/b/4.png", "5.png"), "taken as one set without labels"),
            (("a/P1/1.png", "a/P2/2.png", "a/P3/3.png", "b/P1/4.png", "b/P2/5.png"), None),
            (("a/x/1.png", "b/x/2.png"), None),
            (("a/x/1.png", "a/y/2.png", "b/z/3.png"), None),
        ],
    )
    def test_folders_further_down_that_look_like_classes_are_told(self, root, write, caplog, files, words):
        for name in files:
            write(name)
        image_set = load_folder(root, name="set", prepare=lambda image: image)
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert len(told) == (words is not None) and (words is None or words.format(root=root) in told[0])
        folders = {name.rpartition("/")[0].partition("/")[0] for name in files}
        assert set(image_set.class_names) == (folders if "" not in folders and len(folders) > 1 else set())

    def test_skipped_files_leave_labels_in_step(self, root, write):
        for value, name in enumerate(["a/1.png", "a/2.png", "b/3.png", "b/4.png"]):
            write(name, value)
        for name in ("a/1.png", "b/3.png"):
            with open(os.path.join(root, name), "wb") as file:
                file.write(b"junk")
        image_set = load(root)
        assert image_set.ids.tolist() == ["a/2.png", "b/4.png"]
        assert image_set.labels.tolist() == [0, 1] and image_set.num_skipped == 2
        assert image_set.images[:, 0, 0, 0].tolist() == [1, 3]
        with pytest.raises(UserError, match=r"'a/1\.png'"):
            load(root, strict=True)

    def test_patients_are_in_the_file_names_of_patches(self, root, write):
        for name in ("a/P1_idx5_x1_y2_class0.png", "b/P2_idx5_x1_y2_class1.png"):
            write(name)
        assert load(root).groups.tolist() == ["P1", "P2"]
        write("b/other.png")
        assert load(root).groups is None

    def test_names_that_are_not_utf8(self, root):
        content = io.BytesIO()
        Image.fromarray(np.full((2, 3), 7, np.uint8)).save(content, "PNG")
        for name in (b"b\xf6se/M\xfcller.png", b"gut/1.png"):
            path = os.path.join(os.fsencode(root), name)
            os.makedirs(os.path.dirname(path))
            with open(path, "wb") as file:
                file.write(content.getvalue())
        image_set = load(root)
        assert image_set.class_names == (r"b\xf6se", "gut")
        assert image_set.ids.tolist() == [r"b\xf6se/M\xfcller.png", "gut/1.png"]
        assert image_set.images.shape == (2, 2, 3, 1)


class TestSetsThatComeSplit:
    def test_parts_hold_classes(self, root, write):
        for value, name in enumerate(
            ["Train/b/1.png", "Train/a/2.png", "val/b/3.png", "val/a/x/4.png", "test/a/5.png"]
        ):
            write(name, value)
        image_set = load(root)
        assert image_set.class_names == ("a", "b")
        assert image_set.ids.tolist() == [
            "Train/a/2.png",
            "test/a/5.png",
            "val/a/x/4.png",
            "Train/b/1.png",
            "val/b/3.png",
        ]
        assert image_set.labels.tolist() == [0, 0, 0, 1, 1]
        assert image_set.parts.tolist() == ["train", "test", "validation", "train", "validation"]
        assert image_set.images[:, 0, 0, 0].tolist() == [1, 4, 3, 0, 2]

    def test_test_images_validate_where_there_are_no_others(self, root, write, caplog):
        for name in ("training/a/1.png", "training/b/2.png", "testing/a/3.png", "testing/b/4.png"):
            write(name)
        assert load(root).parts.tolist() == ["validation", "train", "validation", "train"]
        assert "testing = validation, training = train" in caplog.text

    def test_domains_of_a_cyclegan(self, root, write):
        for name in ("trainA/1.png", "trainB/2.png", "testA/3.png", "testB/4.png"):
            write(name)
        image_set = load(root)
        assert image_set.class_names == ("A", "B") and image_set.labels.tolist() == [0, 0, 1, 1]
        assert image_set.ids.tolist() == ["testA/3.png", "trainA/1.png", "testB/4.png", "trainB/2.png"]
        assert image_set.parts.tolist() == ["validation", "train"] * 2

    def test_parts_without_classes_are_a_split_without_labels(self, root, write):
        for name in ("train/1.png", "val/2.png"):
            write(name)
        image_set = load(root)
        assert image_set.labels is None and image_set.parts.tolist() == ["train", "validation"]

    def test_a_part_without_classes_is_left_out_of_a_set_that_has_them(self, root, write, caplog):
        for name in ("train/a/1.png", "train/b/2.png", "test/3.png", "test/4.png", "stray.png"):
            write(name)
        image_set = load(root)
        assert image_set.ids.tolist() == ["train/a/1.png", "train/b/2.png"] and image_set.parts is None
        assert image_set.left_out == {
            "images beside the folders of the split": 1,
            "images of test/, which are not in folders of classes": 2,
        }

    def test_images_beside_the_classes_of_a_part_make_a_set_without_labels_and_this_is_told(self, root, write, caplog):
        for name in ("train/a/1.png", "train/b/2.png", "train/3.png", "val/a/4.png"):
            write(name)
        image_set = load(root)
        assert image_set.labels is None and image_set.parts.tolist() == ["train"] * 3 + ["validation"]
        assert "images are in a part's folder itself and in its sub-folders" in caplog.text

    @pytest.mark.parametrize(
        "folders", [("train", "car"), ("test", "val"), ("trainA", "testA"), ("trainA", "trainB", "val")]
    )
    def test_other_folders_are_classes(self, root, write, folders):
        for folder in folders:
            write(f"{folder}/1.png")
        image_set = load(root)
        assert image_set.class_names == tuple(sorted(folders)) and image_set.parts is None
