"""The study's slide maps: which slides are drawn, from which predictions, and what the report shows of them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from histogan_tf.classifier.predictions_file import Predictions, write_predictions
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.paper.study_images import StudyImages
from histogan_tf.paper.study_maps import slide_map_figures, write_study_maps

CLASSES = ("non-idc", "idc")


def write(tmp_path: Path, names: list[str], labels: list[int]) -> None:
    images = ImageSet(
        images=np.arange(len(names), dtype=np.uint8)[:, None, None, None] * np.ones((1, 50, 50, 3), np.uint8),
        labels=np.array(labels, np.int32),
        ids=np.array(names),
        groups=None,
        name="idc",
        class_names=CLASSES,
    )
    is_training = np.zeros(len(names), bool)
    is_training[0] = True
    part = ~is_training
    run = tmp_path / "seed-42" / "classifier-real"
    run.mkdir(parents=True)
    predictions = Predictions(images.ids[part], None, images.labels[part], np.linspace(0, 1, part.sum()))
    write_predictions(run / "predictions.csv", predictions, Config(), CLASSES)
    write_study_maps(tmp_path, tmp_path / "seed-42", StudyImages(images, is_training))


def test_three_validation_slides_with_most_to_see_are_drawn(tmp_path: Path):
    names, labels = [], []
    for patient, of_patient in {"1": [0, 1], "2": [0] * 6, "3": [0, 1, 1, 0], "4": [1, 1, 0, 0], "5": [1, 0]}.items():
        for place, label in enumerate(of_patient):
            names.append(f"{patient}/{label}/{patient}_idx5_x{50 * place + 1}_y1_class{label}.png")
            labels.append(label)
    write(tmp_path, names, labels)  # the first patch of patient 1 is a training patch: one class is left
    slides = json.loads((tmp_path / "maps" / "slides.json").read_text())["slides"]
    assert [slide["patient"] for slide in slides] == ["3", "4", "5"]
    assert slides[0]["text"].startswith("4 patches, 2 of them idc")
    assert all((tmp_path / "maps" / file).exists() for slide in slides for file in slide["pictures"].values())
    assert not list((tmp_path / "maps").glob("2-*.png"))
    (figure,) = slide_map_figures(tmp_path)
    assert len(figure.pictures) == 9 and all(picture.is_pixelated for picture in figure.pictures)
    assert "3: 4 patches" in figure.text


def test_patches_without_a_place_make_no_figure(tmp_path: Path):
    write(tmp_path, ["a", "b", "c"], [0, 1, 0])
    assert json.loads((tmp_path / "maps" / "slides.json").read_text()) == {"slides": []}
    assert not list(slide_map_figures(tmp_path))
