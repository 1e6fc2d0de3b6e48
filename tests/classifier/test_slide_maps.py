"""Slide maps: places from names, colours at their places, what the page holds, and --mode=classify --map."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.classifier.slide_maps import (
    CELL_PIXELS,
    PAGE,
    SLIDES_ON_PAGE,
    PlacedPatch,
    SlideMaps,
    map_colour,
    map_files,
    placed_patch,
    write_slide_maps,
)
from histogan_tf.errors import UserError

CLASSES = ("non-idc", "idc")


def name(patient: str, column: int, row: int, label: int) -> str:
    return f"{patient}/{label}/{patient}_idx5_x{50 * column + 1}_y{50 * row + 1}_class{label}.png"


def test_a_name_says_patient_place_and_class():
    assert placed_patch("9290/0/9290_idx5_x1101_y601_class0.png") == PlacedPatch("9290", 1101, 601, "non-idc")
    assert placed_patch("a_b_idx7_x1_y2_class1.PNG") == PlacedPatch("a_b", 1, 2, "idc")
    assert placed_patch("phantom-00001") is None
    assert placed_patch("9290_idx5_x1101_class0.png") is None


def test_each_patch_is_at_its_place_in_the_colour_of_its_probability():
    maps = SlideMaps(CLASSES)
    images = np.stack([np.full((50, 50, 3), level, np.uint8) for level in (10, 20, 30)])
    maps.add([name("p", 4, 7, 1), name("p", 6, 7, 0), name("p", 4, 8, 0)], np.array([0.9, 0.2, 0.6]), images)
    drawn = maps.draw("p")
    assert set(drawn) == {"tissue", "truth", "probability"}
    centres = {
        kind: picture[CELL_PIXELS // 2 :: CELL_PIXELS, CELL_PIXELS // 2 :: CELL_PIXELS]
        for kind, picture in drawn.items()
    }
    white = [255, 255, 255]
    assert centres["tissue"].tolist() == [[[10] * 3, white, [20] * 3], [[30] * 3, white, white]]
    positive, negative = list(map_colour(1)), list(map_colour(0))
    assert centres["truth"].tolist() == [[positive, white, negative], [negative, white, white]]
    high, low, middle = (list(map_colour(value)) for value in (0.9, 0.2, 0.6))
    assert centres["probability"].tolist() == [[high, white, low], [middle, white, white]]
    assert maps.summary("p") == {"num_patches": 3, "num_positive": 1, "num_called_positive": 2, "accuracy": 2 / 3}


def test_lightness_falls_with_the_probability_so_that_grey_prints_can_be_read():
    lightness = [np.dot(map_colour(value), (0.299, 0.587, 0.114)) for value in np.linspace(0, 1, 21)]
    assert np.all(np.diff(lightness) < 0) and lightness[0] < 240


def test_the_true_class_goes_by_its_name_where_the_other_class_is_the_positive_one():
    maps = SlideMaps(("idc", "non-idc"))
    maps.add([name("p", 0, 0, 0), name("p", 1, 0, 1)], np.array([0.9, 0.1]))
    assert maps.summary("p")["num_positive"] == 1 and maps.summary("p")["accuracy"] == 1
    assert set(maps.draw("p")) == {"truth", "probability"}  # no images were added


def test_unknown_classes_are_not_counted_as_negative(tmp_path: Path):
    maps = SlideMaps(("benign", "malignant"))
    maps.add([name("p", column, 0, 1) for column in range(3)], np.array([0.9, 0.1, 0.7]))
    assert maps.summary("p") == {"num_patches": 3, "num_positive": None, "num_called_positive": 2, "accuracy": None}
    assert set(maps.draw("p")) == {"probability"}
    write_slide_maps(tmp_path, maps, ("benign", "malignant"), "a note")
    page = (tmp_path / PAGE).read_text()
    assert "3 patches; 2 called malignant." in page and "of them" not in page


def test_slides_with_both_classes_come_first_and_unplaced_patches_are_counted():
    maps = SlideMaps(CLASSES)
    for patient, labels in (("10", [0] * 9), ("9", [0, 1, 1]), ("11", [0, 0, 1, 1])):
        maps.add([name(patient, number, 0, label) for number, label in enumerate(labels)], np.zeros(len(labels)))
    maps.add(["IMG_1.jpg"], np.zeros(1))
    assert maps.patients == ("9", "10", "11")
    assert maps.largest(1) == ("11",) and maps.largest(2) == ("9", "11")
    assert maps.num_unplaced == 1


def test_the_page_holds_its_pictures_and_says_what_it_leaves_out(tmp_path: Path):
    maps = SlideMaps(CLASSES)
    for number in range(SLIDES_ON_PAGE + 2):
        names = [name(str(number), place, 0, place % 2) for place in range(3 if number else 1)]
        maps.add(names, np.full(len(names), 0.7))
    maps.add(["scan.png"], np.zeros(1))
    write_slide_maps(tmp_path, maps, CLASSES, "trained <here>", seen={"2", "no patient of these"})
    page = (tmp_path / PAGE).read_text(encoding="utf-8")
    assert page.count('src="data:image/png;base64,') == 2 * SLIDES_ON_PAGE
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert f"{SLIDES_ON_PAGE} of {SLIDES_ON_PAGE + 2} slides" in page and "Left out: 1 patch without a place" in page
    assert "trained &lt;here&gt;" in page and "3 patches, 1 of them idc; 3 called idc; 33 % right." in page
    assert page.count("trained on patches of this patient") == 1
    assert "trained on" in page.split("<h2>2</h2>")[1].split("<h2>")[0]
    assert "<h2>0</h2>" not in page and (tmp_path / "0-truth.png").exists()
    with Image.open(tmp_path / "1-probability.png") as picture:
        assert picture.size == (3 * CELL_PIXELS, CELL_PIXELS)


def test_files_are_known_before_and_names_without_a_place_are_refused():
    assert map_files([name("7", 0, 0, 1), "other.png"]) == [PAGE, "7-tissue.png", "7-truth.png", "7-probability.png"]
    with pytest.raises(UserError, match="none of 2 names does, the first 'a.png': leave --map out"):
        map_files(["a.png", "b.png"])
