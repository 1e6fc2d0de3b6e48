"""Draws one picture of a dataset: random images and the mean colour of each class (the paper's Figures 1 and 2)."""

from __future__ import annotations

import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import counted
from histogan_tf.reporting import pictures

_WHITE = 255
_CELL_PIXELS = 112  # longest side of an image on the sheet
_TITLE_PIXELS, _GAP_PIXELS = 30, 16
_FONT_PIXELS = 18
_IMAGES_ACROSS = {1: 10, 2: 7, 3: 6, 4: 6}  # by number of classes
_FEWEST_ACROSS = 4


def draw(image_set: ImageSet, mean_colours: np.ndarray, seed: int) -> np.ndarray:
    """Returns one picture with a sheet of images for each class, or with a single sheet for an unlabelled set.

    The images shown are drawn at random, without replacement. They keep their proportions: small ones are enlarged by a
    whole factor, large ones are shrunk.

    Args:
        image_set: the images; lazy ones may differ in size.
        mean_colours: float (num_images, 3), mean red, green and blue of each image, in [0, 255]; NaN for an image that
            cannot be read.
        seed: the seed of the random choice. The choice within one class does not depend on the other classes.

    Returns:
        The picture, uint8 (height, width, 3).
    """
    classes = [(name, image_set.labels == number) for number, name in enumerate(image_set.class_names)]
    classes = classes or [(image_set.name, np.ones(len(image_set), bool))]
    across = _IMAGES_ACROSS.get(len(classes), _FEWEST_ACROSS)
    panels = []
    for number, (name, chosen) in enumerate(classes):
        readable = np.flatnonzero(chosen & ~np.isnan(mean_colours[:, 0]))
        rng = np.random.default_rng((seed, number))
        drawn = rng.choice(readable, min(across**2, len(readable)), replace=False)
        cells = [thumbnail(_decode(image_set, index)) for index in np.sort(drawn).tolist()]
        colour = mean_colours[readable].mean(axis=0) if len(readable) else np.full(3, _WHITE)
        panels.append(_panel(f"{name}: {counted(chosen.sum(), 'image')}, mean colour", colour, cells, across))
    return _side_by_side(panels)


def _decode(image_set: ImageSet, index: int) -> np.ndarray:
    return image_set.images.decode(index) if image_set.is_lazy else image_set.images[index]


def _panel(title: str, colour: np.ndarray, cells: list[np.ndarray], across: int) -> Image.Image:
    """Returns a sheet of thumbnails under a title, which ends in a swatch of the class's mean colour."""
    cells = cells or [np.full((_CELL_PIXELS, _CELL_PIXELS, 3), _WHITE, np.uint8)]
    height, width = (max(cell.shape[axis] for cell in cells) for axis in (0, 1))
    sheet = pictures.tile(np.stack([_center(cell, height, width) for cell in cells]), num_columns=across)
    font = ImageFont.load_default(_FONT_PIXELS)
    text_pixels = math.ceil(font.getlength(title)) + _TITLE_PIXELS + 1
    panel = Image.new("RGB", (max(sheet.shape[1], text_pixels), _TITLE_PIXELS + sheet.shape[0]), "white")
    panel.paste(Image.fromarray(sheet), (0, _TITLE_PIXELS))
    draw_on = ImageDraw.Draw(panel)
    draw_on.text((0, 0), title, fill="black", font=font)
    left = text_pixels - _TITLE_PIXELS + 8
    swatch = (left, 0, left + _TITLE_PIXELS - 8, _TITLE_PIXELS - 8)
    draw_on.rectangle(swatch, fill=tuple(np.rint(colour).astype(int).tolist()), outline="black")
    return panel


def thumbnail(image: np.ndarray) -> np.ndarray:
    """Returns an image, uint8 (height, width, 1 or 3), as uint8 RGB of at most 112 pixels a side, in proportion."""
    picture = pictures.to_pillow(image).convert("RGB")
    longest = max(picture.size)
    factor = _CELL_PIXELS // longest or _CELL_PIXELS / longest
    size = [max(1, round(side * factor)) for side in picture.size]
    resample = Image.Resampling.NEAREST if factor >= 1 else Image.Resampling.LANCZOS
    return np.asarray(picture.resize(size, resample))


def _center(cell: np.ndarray, height: int, width: int) -> np.ndarray:
    white = np.full((height, width, 3), _WHITE, np.uint8)
    top, left = (height - cell.shape[0]) // 2, (width - cell.shape[1]) // 2
    white[top : top + cell.shape[0], left : left + cell.shape[1]] = cell
    return white


def _side_by_side(panels: list[Image.Image]) -> np.ndarray:
    """Returns one picture, uint8 (height, width, 3), of the panels in a grid that is as square as possible."""
    columns = math.ceil(math.sqrt(len(panels)))
    width, height = (max(panel.size[axis] for panel in panels) + _GAP_PIXELS for axis in (0, 1))
    page = Image.new("RGB", (columns * width + _GAP_PIXELS, -(-len(panels) // columns) * height + _GAP_PIXELS), "white")
    for number, panel in enumerate(panels):
        row, column = divmod(number, columns)
        page.paste(panel, (_GAP_PIXELS + column * width, _GAP_PIXELS + row * height))
    return np.asarray(page)
