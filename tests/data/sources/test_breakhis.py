"""BreakHis: class, patient and magnification from the names, in any folders."""

from __future__ import annotations

from pathlib import Path

import pytest

from histogan_tf.config import Config, resolve
from histogan_tf.data.loading import find_dataset
from histogan_tf.data.sources.breakhis import load_breakhis
from histogan_tf.errors import UserError

TOP = "BreaKHis_v1/histology_slides/breast"
NAMES = {
    "benign/SOB/adenosis/SOB_B_A-14-22549AB-100-001.png": ("benign", "adenosis", "14-22549AB"),
    "benign/SOB/adenosis/SOB_B_A-14-22549AB-40-001.png": ("benign", "adenosis", "14-22549AB"),
    "benign/SOB/phyllodes_tumor/SOB_B_PT-14-29315EF-40-010.png": ("benign", "phyllodes_tumor", "14-29315EF"),
    "malignant/SOB/ductal_carcinoma/SOB_M_DC-14-2523-400-003.png": ("malignant", "ductal_carcinoma", "14-2523"),
    "malignant/SOB/lobular_carcinoma/SOB_M_LC-14-13412-200-003.png": ("malignant", "lobular_carcinoma", "14-13412"),
}


@pytest.fixture
def breakhis(write, root):
    for level, name in enumerate(NAMES):
        write(f"{TOP}/{name}", level)
    return root


def load(root: str, **settings):
    return load_breakhis(root, name="breakhis", prepare=lambda image: image, **settings)


def facts(image_set) -> dict[str, tuple[str, str]]:
    """The class and the patient of each image, by its path below the folder of the breast."""
    classes = [image_set.class_names[label] for label in image_set.labels]
    return {
        path.removeprefix(f"{TOP}/"): (of_image, patient)
        for path, of_image, patient in zip(image_set.ids.tolist(), classes, image_set.groups.tolist(), strict=True)
    }


def test_benign_and_malignant_with_patients(breakhis):
    image_set = load(breakhis)
    assert image_set.class_names == ("benign", "malignant") and image_set.labels.tolist() == [0, 0, 0, 1, 1]
    assert facts(image_set) == {path: (tumour, patient) for path, (tumour, _, patient) in NAMES.items()}
    assert image_set.images[:][:, 0, 0, 0].tolist() == [0, 1, 2, 3, 4] and image_set.parts is None


@pytest.mark.parametrize("classes", [("subtypes",), ("Subtypes",), ("adenosis", "ductal_carcinoma")])
def test_the_eight_subtypes(breakhis, classes):
    image_set = load(breakhis, classes=classes)
    assert len(image_set.class_names) == 8
    assert facts(image_set) == {path: (subtype, patient) for path, (_, subtype, patient) in NAMES.items()}


def find(root: str, **settings):
    return find_dataset(resolve(Config(dataset="breakhis", data_path=root, **settings)))


def test_classes_choose_among_tumours_or_subtypes(breakhis):
    assert find(breakhis, classes=("subtypes",)).num_classes == 8
    some = find(breakhis, classes=("ductal_carcinoma", "adenosis"))
    assert some.class_names == ("ductal_carcinoma", "adenosis") and sorted(some.labels.tolist()) == [0, 1, 1]
    assert find(breakhis, classes=("malignant", "benign")).labels.tolist() == [1, 1, 1, 0, 0]
    with pytest.raises(UserError, match=r"--classes=sarcoma: the labels are 0 \(benign\), 1 \(malignant\)"):
        find(breakhis, classes=("sarcoma", "benign"))


def test_magnifications(breakhis):
    image_set = find(breakhis, magnification=("40", "400"))
    assert [Path(path).stem.split("-")[3] for path in image_set.ids] == ["40", "40", "400"]
    assert image_set.left_out == {"images of other magnifications": 2}
    with pytest.raises(UserError, match="--magnification=50: choose among 40, 100, 200, 400"):
        find(breakhis, magnification=("50",))
    for name in ("SOB_M_LC-14-13412-200-003", "SOB_B_A-14-22549AB-100-001"):
        next(Path(breakhis).rglob(f"{name}.png")).unlink()
    with pytest.raises(UserError, match="--magnification=100,200: none of 3 images in .* has it"):
        find(breakhis, magnification=("100", "200"))


def test_other_names_are_counted_and_strict_stops(breakhis, write, caplog):
    for name in ("notes/mask.png", "SOB_B_DC-14-2523-400-003.png", "SOB_M_DC-14-2523-50-003.png"):
        write(name)
    write("copy/SOB_M_DC-14-2523-400-003.png", 9)
    image_set = load(breakhis)
    assert len(image_set) == 5
    assert image_set.left_out == {
        "images whose names are not those of BreakHis": 3,
        "copies of images under the same name": 1,
    }
    assert (
        "3 images in" in caplog.text
        and "without a name of BreakHis, such as SOB_B_A-14-22549AB-100-001.png" in caplog.text
    )
    with pytest.raises(UserError, match=r"3 images .* SOB_B_DC-14-2523-400-003.png, .* \(without --strict"):
        load(breakhis, strict=True)


def test_none_at_all(write, root):
    write("cat/1.png")
    with pytest.raises(UserError, match="no image in .* has a name of BreakHis, such as SOB_B_A"):
        load(root)
