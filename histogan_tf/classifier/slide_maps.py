"""Maps of slides: the probability of the positive class at each patch's place, beside the truth and the tissue.

Patches of the IDC sets say in their names where on the slide they were cut. Cruz-Roa et al., SPIE 9041 (2014), show
such maps.
"""

from __future__ import annotations

import dataclasses
import logging
import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from histogan_tf.data.image_set import find_class
from histogan_tf.data.sources.idc import IDC_CLASS_NAMES, PATCH_SIZE
from histogan_tf.errors import UserError, counted
from histogan_tf.reporting.html import write_page
from histogan_tf.reporting.pictures import save_png

logger = logging.getLogger(__name__)

CELL_PIXELS = 12  # the side of a patch on a map
SLIDES_ON_PAGE = 12  # more would make the page too large to open
PAGE = "maps.html"
_KINDS = ("tissue", "truth", "probability")
_NAME = re.compile(r"(?P<patient>[^/]+)_idx\d+_x(?P<x>\d+)_y(?P<y>\d+)_class(?P<label>[01])\.\w+")
_BACKGROUND = (255, 255, 255)
# From surely negative to surely positive. Lightness falls along the way, so the map can be read without its colours.
_COLOURS = np.array([(226, 229, 240), (196, 170, 205), (168, 96, 150), (122, 28, 92), (62, 6, 55)], float)


@dataclasses.dataclass(frozen=True)
class PlacedPatch:
    """A patch whose place on its slide is known.

    Attributes:
        patient: the name of the patient, who has one slide.
        x, y: the place of its left upper corner, in pixels of the slide.
        class_name: the name of its true class.
    """

    patient: str
    x: int
    y: int
    class_name: str


def placed_patch(name: str) -> PlacedPatch | None:
    """Returns what a file name such as 9290_idx5_x1101_y601_class0.png says; None if it says no place.

    Args:
        name: the name of the file, with or without folders.
    """
    found = _NAME.fullmatch(name.rsplit("/", 1)[-1])
    if found is None:
        return None
    return PlacedPatch(found["patient"], int(found["x"]), int(found["y"]), IDC_CLASS_NAMES[int(found["label"])])


def map_files(names: Sequence[str]) -> list[str]:
    """Returns the names of all files that maps of these patches may consist of.

    Args:
        names: the file names of patches.

    Raises:
        UserError: if no name says a place.
    """
    patients = {patch.patient for patch in map(placed_patch, names) if patch is not None}
    if not patients:
        raise UserError(
            f"--map needs patches whose names say their place on the slide, such as 9290_idx5_x1101_y601_class0.png; "
            f"none of {counted(len(names), 'name')} does, the first {names[0]!r}: leave --map out"
        )
    return [PAGE, *(f"{patient}-{kind}.png" for patient in sorted(patients) for kind in _KINDS)]


class SlideMaps:
    """Collects patches with their probabilities, and draws a map of each slide.

    Args:
        class_names: the classifier's names of labels 0 and 1, of which 1 is the positive class.
        threshold: the probability from which on a patch is called positive.
    """

    def __init__(self, class_names: Sequence[str], threshold: float = 0.5) -> None:
        self._class_names, self._threshold = class_names, threshold
        self._slides: dict[str, dict[tuple[int, int], tuple[float, int | None, np.ndarray | None]]] = {}
        self._num_unplaced = 0

    def add(self, names: Sequence[str], probabilities: np.ndarray, images: np.ndarray | None = None) -> None:
        """Adds patches; those whose names say no place are counted and left out.

        Args:
            names: the file name of each patch.
            probabilities: float (num_patches,), the probability of the positive class.
            images: uint8 (num_patches, height, width, channels); None to leave the tissue out.
        """
        for index, (name, probability) in enumerate(zip(names, probabilities, strict=True)):
            patch = placed_patch(name)
            if patch is None:
                self._num_unplaced += 1
                continue
            thumbnail = None if images is None else _thumbnail(images[index])
            truth = find_class(patch.class_name, self._class_names)
            place = patch.y // PATCH_SIZE, patch.x // PATCH_SIZE
            self._slides.setdefault(patch.patient, {})[place] = (float(probability), truth, thumbnail)

    @property
    def num_unplaced(self) -> int:
        """The number of patches whose names say no place."""
        return self._num_unplaced

    @property
    def patients(self) -> tuple[str, ...]:
        """The patients, sorted by name; numbers by their size."""
        return tuple(sorted(self._slides, key=lambda name: (not name.isdigit(), len(name) * name.isdigit(), name)))

    def largest(self, number: int) -> tuple[str, ...]:
        """Returns the patients with the most patches of their rarer class, up to `number`: those with most to see."""

        def rarer(patient: str) -> int:
            truths = [truth for _, truth, _ in self._slides[patient].values()]
            return min(truths.count(0), truths.count(1))

        chosen = sorted(self.patients, key=rarer, reverse=True)[:number]
        return tuple(patient for patient in self.patients if patient in chosen)

    def draw(self, patient: str) -> dict[str, np.ndarray]:
        """Returns the pictures of one slide: `tissue` (if images were added), `truth` (if known) and `probability`.

        Each is uint8 (height, width, 3), CELL_PIXELS for each patch. Places without a patch are white.
        """
        slide = self._slides[patient]
        places = np.array(list(slide))
        top, left = places.min(axis=0)
        num_rows, num_columns = places.max(axis=0) - (top, left) + 1
        is_known = {
            "tissue": all(thumbnail is not None for _, _, thumbnail in slide.values()),
            "truth": any(truth is not None for _, truth, _ in slide.values()),
            "probability": True,
        }
        shape = (num_rows * CELL_PIXELS, num_columns * CELL_PIXELS, 3)
        pictures = {kind: np.full(shape, _BACKGROUND, np.uint8) for kind in _KINDS if is_known[kind]}
        for (row, column), (probability, truth, thumbnail) in slide.items():
            cell = np.s_[
                (row - top) * CELL_PIXELS : (row - top + 1) * CELL_PIXELS,
                (column - left) * CELL_PIXELS : (column - left + 1) * CELL_PIXELS,
            ]
            pictures["probability"][cell] = map_colour(probability)
            if truth is not None:
                pictures["truth"][cell] = map_colour(truth)
            if "tissue" in pictures:
                pictures["tissue"][cell] = thumbnail
        return pictures

    def summary(self, patient: str) -> dict[str, int | float | None]:
        """Returns numbers of one slide: patches, true and predicted positives, and the share that is right.

        What needs the true classes is None if none is known.
        """
        values = list(self._slides[patient].values())
        called = [probability >= self._threshold for probability, _, _ in values]
        known = [(call, truth) for call, (_, truth, _) in zip(called, values, strict=True) if truth is not None]
        right = sum(call == bool(truth) for call, truth in known)
        return {
            "num_patches": len(values),
            "num_positive": sum(truth for _, truth in known) if known else None,
            "num_called_positive": sum(called),
            "accuracy": right / len(known) if known else None,
        }


def map_colour(probability: float) -> tuple[int, int, int]:
    """Returns the colour of a probability of the positive class, red, green and blue from 0 to 255."""
    at = np.linspace(0, 1, len(_COLOURS))
    red, green, blue = (round(float(np.interp(probability, at, channel))) for channel in _COLOURS.T)
    return red, green, blue


def _thumbnail(image: np.ndarray) -> np.ndarray:
    """Returns an image, uint8 (height, width, 1 or 3), as uint8 (CELL_PIXELS, CELL_PIXELS, 3)."""
    coloured = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image
    resized = Image.fromarray(coloured).resize((CELL_PIXELS, CELL_PIXELS), Image.Resampling.BOX)
    return np.asarray(resized)


@dataclasses.dataclass(frozen=True)
class ShownSlide:
    """One slide on the page.

    Attributes:
        patient: the name of the patient.
        text: what the numbers of the slide are.
        pictures: the PNG files by title.
    """

    patient: str
    text: str
    pictures: dict[str, Path]


def write_slide_maps(
    directory: Path, maps: SlideMaps, class_names: Sequence[str], note: str, seen: Collection[str] = ()
) -> None:
    """Writes maps.html, one page that holds all it shows, and PATIENT-KIND.png for each picture of each slide.

    Args:
        directory: the folder to write to.
        maps: the collected patches. If there are more than SLIDES_ON_PAGE slides, the page shows those with the most
            patches of their rarer class.
        class_names: the names of labels 0 and 1, of which 1 is the positive class.
        note: what the classifier is, for the page.
        seen: the patients on whose patches the classifier was trained; the page says so of their slides.
    """
    on_page = set(maps.largest(SLIDES_ON_PAGE))
    slides = [shown_slide(directory, maps, patient, class_names[1], seen) for patient in maps.patients]
    write_page(
        directory / PAGE,
        "maps.html.j2",
        slides=[slide for slide in slides if slide.patient in on_page],
        num_slides=len(slides),
        num_unplaced=maps.num_unplaced,
        positive=class_names[1],
        negative=class_names[0],
        note=note,
        colours=[f"rgb{map_colour(step / 8)}" for step in range(9)],
    )
    logger.info("maps of %s: %s", counted(len(slides), "slide"), directory / PAGE)


def shown_slide(
    directory: Path, maps: SlideMaps, patient: str, positive_class: str, seen: Collection[str] = ()
) -> ShownSlide:
    """Writes the pictures of one slide, and returns what is to be shown of it.

    Args:
        directory: the folder for PATIENT-KIND.png.
        maps: the collected patches.
        patient: the name of the patient.
        positive_class: the name of label 1.
        seen: the patients on whose patches the classifier was trained.
    """
    titles = {
        "tissue": "tissue",
        "truth": f"truth: {positive_class} is dark",
        "probability": f"probability of {positive_class}",
    }
    numbers = maps.summary(patient)
    text = counted(numbers["num_patches"], "patch")
    if numbers["num_positive"] is not None:
        text += f", {numbers['num_positive']} of them {positive_class}"
    text += f"; {numbers['num_called_positive']} called {positive_class}"
    if numbers["accuracy"] is not None:
        text += f"; {100 * numbers['accuracy']:.0f} % right"
    if patient in seen:
        text += "; the classifier was trained on patches of this patient, which flatters the map"
    pictures = {}
    for kind, picture in maps.draw(patient).items():
        pictures[titles[kind]] = directory / f"{patient}-{kind}.png"
        save_png(pictures[titles[kind]], picture)
    return ShownSlide(patient, text, pictures)
