"""MedMNIST from npz files of its layout: grey and RGB, its own names and parts, and what cannot be used."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from histogan_tf.config import Config, resolve
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.sources.medmnist import load_medmnist
from histogan_tf.data.sources.medmnist_sets import MEDMNIST_SETS, UNUSABLE_SETS
from histogan_tf.errors import UserError

COUNTS = {"train": 9, "val": 4, "test": 5}


def arrays(shape=(28, 28), num_classes=9) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(0)
    made = {}
    for part, count in COUNTS.items():
        made[f"{part}_images"] = rng.integers(0, 256, (count, *shape), np.uint8)
        made[f"{part}_labels"] = (np.arange(count, dtype=np.uint8) % num_classes)[:, np.newaxis]
    return made


def load(root: Path, **settings):
    return load_medmnist(str(root), name="medmnist", prepare=lambda image: image, **settings)


def test_colour_comes_with_the_nine_tissues_and_three_parts(tmp_path):
    made = arrays((28, 28, 3))
    np.savez_compressed(tmp_path / "pathmnist.npz", **made)
    whole = load(tmp_path)
    assert whole.class_names == (
        "adipose",
        "background",
        "debris",
        "lymphocytes",
        "mucus",
        "smooth muscle",
        "normal colon mucosa",
        "cancer-associated stroma",
        "colorectal adenocarcinoma epithelium",
    )
    np.testing.assert_array_equal(whole.images, np.concatenate([made[f"{part}_images"] for part in COUNTS]))
    assert whole.labels.tolist() == [*range(9), *range(4), *range(5)]
    assert whole.parts.tolist() == ["train"] * 9 + ["validation"] * 4 + ["test"] * 5
    assert whole.ids[[0, 9, 17]].tolist() == ["train/0", "val/0", "test/4"]
    settings = {"dataset": "medmnist", "data_path": str(tmp_path)}
    counts = [len(load_dataset(resolve(Config(**settings, part=part)))) for part in (None, "validation", "test", "all")]
    assert counts == [9, 4, 5, 18]


def test_runs_are_named_after_the_set(tmp_path):
    def name(**settings) -> str:
        return Config(model="dcgan3", dataset="medmnist", data_path=str(tmp_path), **settings).run_name()

    assert name() == "dcgan3-medmnist"  # nothing is there yet
    (tmp_path / "pathmnist.npz").touch()
    (tmp_path / "notes.npz").touch()
    assert name() == "dcgan3-pathmnist"
    (tmp_path / "breastmnist_224.npz").touch()
    assert name() == "dcgan3-medmnist"  # one of them has to be chosen, as the loader says
    assert name(medmnist="BreastMNIST_224.npz", label="malignant") == "dcgan3-breastmnist_224-malignant"
    assert name(medmnist="../pathmnist") == "dcgan3-medmnist"  # which the loader refuses
    assert name(mode="paper", medmnist="pathmnist") == "paper-pathmnist"
    assert name(run="mine") == "mine"


def test_grey_stays_grey_and_one_of_several_files_is_chosen(tmp_path):
    np.savez(tmp_path / "breastmnist_224.npz", **arrays((224, 224), num_classes=2))
    np.savez(tmp_path / "pneumoniamnist.npz", **arrays(num_classes=2))
    with pytest.raises(
        UserError, match="holds breastmnist_224, pneumoniamnist: choose one with --medmnist=breastmnist_22"
    ):
        load(tmp_path)
    whole = load(tmp_path, medmnist="BreastMNIST_224")
    assert whole.image_shape == (224, 224, 1) and whole.class_names == ("malignant", "normal, benign")
    with pytest.raises(
        UserError, match=r"no pathmnist.npz in .*, which holds breastmnist_224, pneumoniamnist: fetch it"
    ):
        load(tmp_path, medmnist="pathmnist")


def test_grades_are_told_to_be_taken_as_classes(tmp_path, caplog):
    np.savez(tmp_path / "retinamnist.npz", **arrays((28, 28, 3), num_classes=5))
    assert load(tmp_path).class_names == ("0", "1", "2", "3", "4")
    assert (
        "the labels of retinamnist are grades, of which a higher one means more: they are taken as classes"
        in caplog.text
    )


def test_the_table_is_medmnists():
    assert {name: (len(known.classes), known.num_images) for name, known in MEDMNIST_SETS.items()} == {
        "pathmnist": (9, 107180),
        "dermamnist": (7, 10015),
        "octmnist": (4, 109309),
        "pneumoniamnist": (2, 5856),
        "retinamnist": (5, 1600),
        "breastmnist": (2, 780),
        "bloodmnist": (8, 17092),
        "tissuemnist": (8, 236386),
        "organamnist": (11, 58830),
        "organcmnist": (11, 23583),
        "organsmnist": (11, 25211),
    }
    assert len(UNUSABLE_SETS) == 7
    assert [name for name, known in MEDMNIST_SETS.items() if known.is_ordinal] == ["retinamnist"]
    digests = [digest for known in MEDMNIST_SETS.values() for digest in known.md5]
    assert len(set(digests)) == 44 and all(len(digest) == 32 for digest in digests)


def without(name: str) -> dict[str, np.ndarray]:
    return {key: array for key, array in arrays().items() if key != name}


@pytest.mark.parametrize(
    ("file_name", "made", "message"),
    [
        ("chestmnist", arrays(), "--medmnist=chestmnist cannot be used: each of its images has fourteen labels"),
        ("organmnist3d_64", arrays(), "--medmnist=organmnist3d_64 cannot be used: its images are three-dimensional"),
        (
            "catmnist",
            arrays(),
            "--medmnist=catmnist is none of MedMNIST's sets: choose one of pathmnist, .*organsmnist",
        ),
        ("pathmnist", without("val_labels"), "has no val_labels"),
        ("pathmnist", without("train_images"), "has no train_images"),
        ("pathmnist", {"data": np.zeros(3)}, "holds none of the arrays of MedMNIST"),
        (
            "pathmnist",
            arrays() | {"val_labels": np.zeros((3, 1), int)},
            r"has shape \(3, 1\), and it needs one for each of 4 images",
        ),
        ("pathmnist", arrays() | {"val_labels": np.zeros((4, 14), int)}, "has 14 labels for each image"),
        ("pathmnist", arrays() | {"val_labels": np.full((4, 1), 9)}, "holds other values than the numbers 0 to 8"),
        ("pathmnist", arrays() | {"val_labels": np.full((4, 1), 0.5)}, r"\(float64\) holds other values"),
        (
            "pathmnist",
            arrays() | {"val_images": np.zeros((4, 28, 28, 28), np.uint8)},
            r"uint8 \(4, 28, 28, 28\); it has",
        ),
        ("pathmnist", arrays() | {"val_images": np.zeros((4, 28, 28), np.float32)}, "val_images in .* is float32"),
        ("pathmnist", arrays() | {"val_images": np.zeros((4, 64, 64), np.uint8)}, "images of different shapes"),
        ("pathmnist", arrays() | {"val_labels": np.array([None] * 4)}, "cannot be read as npz: .*Python objects"),
    ],
)
def test_files_that_cannot_be_used(tmp_path, file_name, made, message):
    np.savez(tmp_path / f"{file_name}.npz", **made)
    with pytest.raises(UserError, match=message):
        load(tmp_path)


def test_no_file_and_a_damaged_one(tmp_path):
    with pytest.raises(UserError, match="no file of MedMNIST, such as pathmnist.npz, in .*--mode=download"):
        load(tmp_path)
    np.savez(tmp_path / "bloodmnist.npz", **arrays())
    (tmp_path / "bloodmnist.npz").write_bytes((tmp_path / "bloodmnist.npz").read_bytes()[:-500])
    with pytest.raises(UserError, match="bloodmnist.npz cannot be read as npz"):
        load(tmp_path)


def test_another_dataset_refuses_the_flag(tmp_path):
    with pytest.raises(UserError, match="--medmnist=pathmnist is for --dataset=medmnist, not for --dataset=phantom"):
        load_dataset(resolve(Config(medmnist="pathmnist")))
