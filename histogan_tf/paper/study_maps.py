"""The study's slide maps: what the classifier of real patches makes of three slides that it has never seen."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from histogan_tf.classifier.predictions_file import read_predictions
from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.classifier.slide_maps import SlideMaps, placed_patch, shown_slide, write_slide_maps
from histogan_tf.paper.rows import BASELINE
from histogan_tf.paper.study_images import StudyImages
from histogan_tf.reporting.html import Figure, Picture
from histogan_tf.runs import files

MAPS = "maps"
_NUM_SLIDES = 3


def write_study_maps(directory: Path, folder: Path, images: StudyImages) -> None:
    """Writes maps/ in the study's directory: the page, its pictures, and slides.json, which names what is shown.

    The slides are those of the validation patients with the most patches of their rarer class. Where the names of
    patches say no place, slides.json lists none.

    Args:
        directory: the study's directory.
        folder: the folder of the repeat whose classifier is shown.
        images: the study's images.
    """
    predictions = read_predictions(folder / f"classifier-{BASELINE}" / "predictions.csv")
    names = images.whole.class_names
    all_maps = SlideMaps(names, THRESHOLD)
    all_maps.add(predictions.ids, predictions.probabilities)
    shown = all_maps.largest(_NUM_SLIDES)
    places = [placed_patch(name) for name in predictions.ids]
    chosen = np.array([place is not None and place.patient in shown for place in places])
    slides = []
    if chosen.any():
        maps = SlideMaps(names, THRESHOLD)
        index = {name: number for number, name in enumerate(images.whole.ids.tolist())}
        ids = predictions.ids[chosen]
        patches = images.whole.select(np.array([index[name] for name in ids.tolist()]))
        maps.add(ids, predictions.probabilities[chosen], np.asarray(patches.images[:]))
        write_slide_maps(directory / MAPS, maps, names, "trained on real patches alone")
        slides = [shown_slide(directory / MAPS, maps, patient, names[1]) for patient in maps.patients]
    found = [
        {
            "patient": slide.patient,
            "text": slide.text,
            "pictures": {title: path.name for title, path in slide.pictures.items()},
        }
        for slide in slides
    ]
    files.write_json(directory / MAPS / "slides.json", {"slides": found})


def slide_map_figures(directory: Path) -> Iterator[Figure]:
    """Yields the report's figure of slide maps; nothing if no place is known.

    Args:
        directory: the study's directory.
    """
    slides = json.loads((directory / MAPS / "slides.json").read_text(encoding="utf-8"))["slides"]
    if not slides:
        return
    text = (
        "Validation slides, patch by patch: the tissue, the true class, and the probability by the classifier trained "
        "on real patches alone. White places have no patch. "
    )
    text += " ".join(f"{slide['patient']}: {slide['text']}." for slide in slides)
    pictures = [
        Picture(directory / MAPS / name, f"{slide['patient']}, {title}", is_pixelated=True)
        for slide in slides
        for title, name in slide["pictures"].items()
    ]
    yield Figure("Beyond the paper: slide maps", text, pictures)
