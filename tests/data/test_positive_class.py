from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import command_line
from histogan_tf.data.given_images import as_image_set
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import find_dataset, load_parts
from histogan_tf.data.positive_class import positive_note, with_positive_class
from histogan_tf.errors import UserError


def image_set(*class_names: str) -> ImageSet:
    """Three images of the first class, then two of the second."""
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] + np.zeros((1, 4, 4, 3), np.uint8)
    return ImageSet(images, np.array([0, 0, 0, 1, 1], np.int32), np.arange(5).astype(str), None, "cells", class_names)


@pytest.mark.parametrize(
    ("names", "given", "expected"),
    [
        (("idc", "non-idc"), None, ("non-idc", "idc")),
        (("IDC", "non-IDC"), None, ("non-IDC", "IDC")),
        (("non-idc", "idc"), None, ("non-idc", "idc")),
        (("cancer", "healthy"), None, ("cancer", "healthy")),
        (("cancer", "healthy"), "cancer", ("healthy", "cancer")),
        (("cancer", "healthy"), "CANCER", ("healthy", "cancer")),
        (("Tumor", "tumor"), "Tumor", ("tumor", "Tumor")),
        (("idc", "non-idc"), "non-idc", ("idc", "non-idc")),
        (("0", "1"), "0", ("1", "0")),
    ],
)
def test_the_positive_class_is_label_1(names, given, expected):
    before = image_set(*names)
    after = with_positive_class(before, given)
    assert after.class_names == expected and positive_note(after.class_names) == f"positive class: {expected[1]}"
    # each image keeps its class and its place
    assert [after.class_names[label] for label in after.labels] == [names[0]] * 3 + [names[1]] * 2
    assert after.labels.dtype == np.int32 and after.images is before.images
    assert (after is before) == (names == expected)


@pytest.mark.parametrize(
    ("names", "given", "told"),
    [
        (("cancer", "healthy"), "tumor", "the classes are cancer, healthy; give one of these names"),
        (("cancer", "healthy"), "1", "give one of these names"),
        (("Tumor", "tumor"), "TUMOR", "the classes are Tumor, tumor"),
    ],
)
def test_a_name_that_no_class_has_is_told(names, given, told):
    with pytest.raises(UserError, match=f"--positive_class={given}.*{told}"):
        with_positive_class(image_set(*names), given)


def test_only_two_classes_have_a_positive_one():
    three = image_set("a", "b", "idc")
    assert with_positive_class(three, None) is three
    with pytest.raises(UserError, match="needs a dataset with two classes, and 'cells' has 3"):
        with_positive_class(three, "idc")
    unlabelled = as_image_set(np.zeros((2, 4, 4, 3), np.uint8))
    assert with_positive_class(unlabelled, None) is unlabelled
    with pytest.raises(UserError, match="has 0"):
        with_positive_class(unlabelled, "idc")


@pytest.fixture
def folder(tmp_path):
    """Sub-folders idc/ and non-idc/, of which letters put idc first."""
    for name, level in (("idc", 200), ("non-idc", 50)):
        (tmp_path / "cells" / name).mkdir(parents=True)
        for number in range(6):
            Image.fromarray(np.full((16, 16, 3), level + number, np.uint8)).save(
                tmp_path / "cells" / name / f"{number}.png"
            )
    return tmp_path


def load(folder, *flags):
    return find_dataset(command_line.parse(["main.py", "--dataset=cells", f"--data_dir={folder}", *flags]))


def test_idc_is_positive_in_a_folder_whatever_letters_say(folder):
    found = load(folder)
    assert found.class_names == ("non-idc", "idc")
    assert [bool(label) for label in found.labels] == [name.startswith("idc/") for name in found.ids]
    assert load(folder, "--positive_class=non-idc").class_names == ("idc", "non-idc")


def test_the_split_does_not_depend_on_the_positive_class(folder):
    parts = []
    for name in ("idc", "non-idc"):
        flags = ("--dataset=cells", f"--data_dir={folder}", f"--positive_class={name}")
        parts.append(load_parts(command_line.parse(["main.py", "--model=resnet18", *flags])))
    for one, other in zip(*parts, strict=True):
        assert one.ids.tolist() == other.ids.tolist() and one.labels.tolist() == (1 - other.labels).tolist()


def test_given_arrays_keep_their_numbers_unless_a_class_is_named():
    images = np.random.default_rng(0).integers(0, 256, (12, 16, 16, 3), np.uint8)
    given = as_image_set(images, np.arange(12) % 2, ("idc", "other"))
    config = command_line.parse(["main.py", "--model=resnet18"])
    assert load_parts(config, given)[1].class_names == ("idc", "other")
    config = command_line.parse(["main.py", "--model=resnet18", "--positive_class=idc"])
    assert load_parts(config, given)[1].class_names == ("other", "idc")
