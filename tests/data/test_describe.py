from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import commands
from histogan_tf.data.class_sheets import draw, thumbnail
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError


def save(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (50, 50)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((*size, 3), colour, np.uint8)).save(path)


@pytest.fixture
def patches(tmp_path):
    """Seven patches of two patients: one cut off, one broken, and three equal ones, of them one with another label."""
    root = tmp_path / "patches"
    for patient, label, x, colour, size in (
        (1, 0, 1, (10, 20, 30), (50, 50)),
        (1, 0, 2, (30, 40, 50), (50, 50)),
        (1, 1, 3, (10, 20, 30), (50, 50)),
        (2, 0, 4, (10, 20, 30), (50, 50)),
        (2, 1, 5, (200, 0, 0), (50, 31)),
        (2, 1, 6, (100, 0, 50), (50, 50)),
    ):
        save(root / f"{patient}/{label}/{patient}_idx5_x{x}_y1_class{label}.png", colour, size)
    (root / "2/1/2_idx5_x7_y1_class1.png").write_bytes(b"junk")
    return root


def describe(tiny_config, tmp_path, *flags: str) -> dict:
    commands.run_command(tiny_config("--mode=describe", *flags, f"--output_dir={tmp_path / 'out'}"))
    with Image.open(tmp_path / "out" / "dataset.png") as sheet:
        assert sheet.mode == "RGB"
    return json.loads((tmp_path / "out" / "description.json").read_text(encoding="utf-8"))


@pytest.fixture
def untouched_config(tiny_config):
    """Without the sample of images that the tiny configuration trains on."""
    return lambda *flags: dataclasses.replace(tiny_config(*flags), train_size=None)


class TestDescription:
    @pytest.fixture
    def description(self, untouched_config, tmp_path, patches):
        return describe(untouched_config, tmp_path, "--dataset=idc", f"--data_path={patches}", "--split_seed=1")

    @pytest.fixture
    def log(self, description, caplog) -> str:
        return "\n".join(record.getMessage() for record in caplog.get_records("setup"))

    def test_counts(self, description, log):
        assert description["dataset"] == "idc" and description["num_images"] == 7
        assert description["sizes"] == {"50x50 RGB": 5, "50x31 RGB": 1}
        assert description["unreadable"] == {"2/1/2_idx5_x7_y1_class1.png": "not a PNG, JPEG, TIFF, BMP or WebP image"}
        assert description["patients"] == {"1": {"non-idc": 2, "idc": 1}, "2": {"non-idc": 1, "idc": 3}}
        assert "unreadable: 1 image: 2/1/2_idx5_x7" in log and "sizes: 5 of 50x50 RGB, 1 of 50x31 RGB" in log
        assert "class idc: 4 images of 2 patients" in log and "patient 2: 1 non-idc, 3 idc" in log

    def test_mean_colours(self, description):
        classes = description["classes"]
        assert classes["non-idc"] == {"images": 3, "patients": 2, "mean_colour": [16.67, 26.67, 36.67]}
        assert classes["idc"] == {"images": 4, "patients": 2, "mean_colour": [103.33, 6.67, 26.67]}
        assert description["mean_colour"] == [60.0, 16.67, 31.67]

    def test_split(self, description):
        split = description["split"]
        assert split["seed"] == 1 and split["by"] == "image"
        assert sum(split["train"].values()) == 4 and sum(split["validation"].values()) == 3  # ceil(0.33 * 7)
        assert {name: split["train"][name] + split["validation"][name] for name in ("non-idc", "idc")} == {
            "non-idc": 3,
            "idc": 4,
        }

    def test_duplicates(self, description, log):
        duplicates = description["duplicates"]
        assert duplicates["groups"] == 1 and duplicates["superfluous_images"] == 2
        assert duplicates["groups_across_labels"] == duplicates["groups_across_patients"] == 1
        equal = ["1/0/1_idx5_x1_y1_class0.png", "2/0/2_idx5_x4_y1_class0.png", "1/1/1_idx5_x3_y1_class1.png"]
        assert duplicates["first_100"] == [equal]
        assert "1 across labels" in log


def test_default_directory_and_phantom(untouched_config, tmp_path):
    commands.run_command(untouched_config("--mode=describe"))
    description = json.loads((tmp_path / "phantom-description" / "description.json").read_text())
    assert description["num_images"] == 1212 and description["sizes"] == {"16x16 RGB": 1212}
    assert description["patients"]["patient-03"] == {"non-idc": 51, "idc": 50}
    assert description["split"]["patients_on_both_sides"] == 12
    assert description["duplicates"]["groups"] == 0


def test_unlabelled_images_of_many_sizes(untouched_config, tmp_path):
    for number in range(3):
        save(tmp_path / "set" / f"{number}.png", (0, 0, 255), (20 + number, 30))
    description = describe(untouched_config, tmp_path, "--dataset=set", f"--data_path={tmp_path / 'set'}")
    assert description["classes"] == {} and description["patients"] is None and description["split"] is None
    assert description["sizes"] == {"20x30 RGB": 1, "21x30 RGB": 1, "22x30 RGB": 1}
    assert description["mean_colour"] == [0, 0, 255]


def test_a_split_that_cannot_be_made_is_told(untouched_config, tmp_path, caplog):
    for label in (0, 1):
        save(tmp_path / f"set/5/{label}/5_idx5_x{label}_y1_class{label}.png", (label, 0, 0))
    flags = ("--dataset=idc", f"--data_path={tmp_path / 'set'}", "--split_by=patient")
    description = describe(untouched_config, tmp_path, *flags)
    assert "at least two patients" in description["split"]["impossible"] and "no split: " in caplog.text
    assert description["duplicates"]["groups_across_parts"] is None


@pytest.mark.parametrize("flag", ["--label=0", "--part=train", "--train_size=3"])
def test_flags_that_choose_images(tiny_config, untouched_config, flag):
    config = tiny_config if "train_size" in flag else untouched_config
    with pytest.raises(UserError, match=rf"whole dataset: leave {flag.partition('=')[0]} out"):
        commands.run_command(config("--mode=describe", flag))


def test_nothing_readable(untouched_config, tmp_path):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.png").write_bytes(b"junk")
    with pytest.raises(UserError, match="none of 1 image can be read: not a PNG"):
        commands.run_command(untouched_config("--mode=describe", "--dataset=set", f"--data_path={tmp_path / 'set'}"))
    assert not (tmp_path / "set-description").exists()


def num_pixels(sheet: np.ndarray, level: int) -> int:
    return int((sheet == level).all(axis=2).sum())


class TestSheets:
    def image_set(self, num_classes: int, images_each: int = 60) -> tuple[ImageSet, np.ndarray]:
        """All images of a class are of one level, 50 times its number and 5."""
        labels = np.repeat(np.arange(num_classes, dtype=np.int32), images_each)
        levels = (5 + 50 * labels).astype(np.uint8)
        images = np.broadcast_to(levels[:, None, None, None], (len(labels), 50, 40, 1)).copy()
        names = tuple(f"c{number}" for number in range(num_classes))
        ids = np.arange(len(labels)).astype(str)
        return ImageSet(images, labels, ids, None, "set", names), np.repeat(levels[:, None], 3, axis=1).astype(float)

    def test_each_class_has_its_panel(self):
        # Enlarged twice to 100x80: seven across with gaps of 2 are 572 wide and 712 high, below a title of 30.
        sheet = draw(*self.image_set(2), seed=0)
        assert sheet.shape == (16 + 30 + 712 + 16, 16 + 2 * (572 + 16), 3)
        for number, left in enumerate((16, 16 + 572 + 16)):
            panel = sheet[46 : 46 + 712, left : left + 572]
            assert num_pixels(panel, 5 + 50 * number) == 49 * 100 * 80
            title = sheet[18:36, left : left + 572]
            swatch = np.flatnonzero((title == 5 + 50 * number).all(axis=(0, 2)))
            assert len(swatch) == swatch[-1] - swatch[0] + 1 >= 18 and swatch[0] > 150  # at the end of the title

    def test_unreadable_images_are_not_drawn(self):
        image_set, colours = self.image_set(1)
        image_set.images[10:] = 200
        colours[10:] = np.nan
        sheet = draw(image_set, colours, seed=0)
        assert num_pixels(sheet, 5) == pytest.approx(10 * 100 * 80, rel=0.01)  # and the swatch
        assert num_pixels(sheet, 200) < 100  # some at the edges of letters

    def test_a_class_without_images(self):
        image_set, colours = self.image_set(3)
        chosen = np.flatnonzero(image_set.labels != 1)
        sheet = draw(image_set.select(chosen), colours[chosen], seed=0)
        assert num_pixels(sheet, 55) < 100 and num_pixels(sheet, 105) >= 36 * 100 * 80

    def test_choice_depends_on_the_seed(self):
        image_set, colours = self.image_set(1, images_each=200)
        image_set.images[:] = np.arange(200, dtype=np.uint8)[:, None, None, None]
        sheets = [draw(image_set, colours, seed=seed) for seed in (1, 1, 2)]
        assert np.array_equal(sheets[0], sheets[1]) and not np.array_equal(sheets[0], sheets[2])

    @pytest.mark.parametrize(
        ("shape", "expected"),
        [((50, 50, 3), (100, 100)), ((28, 28, 1), (112, 112)), ((224, 112, 3), (112, 56)), ((3000, 1, 1), (112, 1))],
    )
    def test_thumbnails_keep_their_proportions(self, shape, expected):
        image = np.full(shape, 9, np.uint8)
        found = thumbnail(image)
        assert found.shape == (*expected, 3) and (found == 9).all()


def test_a_set_that_comes_split_with_files_left_out(untouched_config, tmp_path, write_images, caplog):
    root = tmp_path / "mine"
    for number, folder in enumerate(("train/a", "train/b", "val/a", "val/b", "test/a", "test/@eaDir")):
        write_images(root / folder, number + 1, seed=number)
    (root / "train" / "a" / "notes.txt").touch()
    (root / "test" / "a" / "000.png").write_bytes((root / "train" / "a" / "000.png").read_bytes())
    for name in ("001.png", "002.png"):
        (root / "test" / "a" / name).write_bytes(b"junk")
    found = describe(untouched_config, tmp_path, "--dataset=mine", f"--data_path={root}")
    assert found["split"] == {
        "seed": None,
        "by": "own parts",
        "train": {"a": 1, "b": 2},
        "validation": {"a": 3, "b": 4},
        "test": {"a": 5, "b": 0},
        "patients_on_both_sides": None,
    }
    assert found["left_out"] == {"files .txt": 1, "folders of a storage system or desktop": 1}
    assert found["duplicates"]["groups_across_parts"] == 1
    assert "split by own parts: train 1 a, 2 b; validation 3 a, 4 b; test 5 a, 0 b" in caplog.text
    assert "left out: files .txt (1)" in caplog.text
    assert "unreadable, by reason: 2 not a PNG, JPEG, TIFF, BMP or WebP image" in caplog.text


def test_patients_of_a_set_without_labels(untouched_config, tmp_path):
    for patient, x in ((1, 1), (1, 2), (2, 3)):
        save(tmp_path / "patches" / f"{patient}_idx5_x{x}_y1_class0.png", (x, 0, 0))
    found = describe(untouched_config, tmp_path, "--dataset=mine", f"--data_path={tmp_path / 'patches'}")
    assert found["patients"] == {"1": {"images": 2}, "2": {"images": 1}} and found["split"] is None
