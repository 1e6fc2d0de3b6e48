"""Pictures of a clustering: a montage of each cluster, and plots that help to choose the number of clusters."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from histogan_tf.clustering.scores import KSelection
from histogan_tf.errors import counted
from histogan_tf.reporting.pictures import save_figure

MONTAGE_COLUMNS = 6
MONTAGE_IMAGES = 36  # the most images in each panel of a montage
_GAP = 2  # white pixels between images
_DOTS_PER_INCH = 100


def tile_montage(images: np.ndarray, columns: int = MONTAGE_COLUMNS) -> np.ndarray:
    """Returns a picture of images side by side, row by row, on white.

    Args:
        images: uint8 (num_images, height, width, channels), num_images at least 1.
        columns: the number of images in a row.

    Returns:
        uint8 (picture height, picture width, 3).
    """
    num_images, height, width, _ = images.shape
    rows = -(-num_images // columns)
    sheet = np.full((rows * (height + _GAP) - _GAP, columns * (width + _GAP) - _GAP, 3), 255, np.uint8)
    for index, image in enumerate(images):
        top, left = (index // columns) * (height + _GAP), (index % columns) * (width + _GAP)
        sheet[top : top + height, left : left + width] = image
    return sheet


def save_montage(path: Path, title: str, panels: dict[str, np.ndarray]) -> None:
    """Writes a PNG file with panels side by side, each a picture of images under its name.

    Args:
        path: the file to write.
        title: the title above the panels.
        panels: the images of each panel by its name, uint8 (num_images, height, width, channels); the first
            MONTAGE_IMAGES are shown.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6 * len(panels), 6.6), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(title, fontsize=18)
    for axes, (name, images) in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels.items(), strict=True):
        axes.imshow(tile_montage(images[:MONTAGE_IMAGES]))
        axes.set_title(name, fontsize=15)
        axes.set_axis_off()
    figure.savefig(path)


def save_k_selection(path: Path, selection: KSelection, chosen: int) -> None:
    """Writes a PNG or SVG file with the inertia and the silhouette for each number of clusters.

    A bend of the inertia or a peak of the silhouette suggests a number.

    Args:
        path: the file to write.
        selection: the scores.
        chosen: the number of clusters in clusters.csv, which is marked.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    figure = Figure(figsize=(9, 4), dpi=_DOTS_PER_INCH, layout="constrained")
    figure.suptitle(f"k-means on the visual words of {counted(selection.num_images, 'image')}")
    left, right = figure.subplots(1, 2)
    for axes, name, values in (
        (left, "inertia (sum of squared distances)", selection.inertia),
        (right, "mean silhouette", selection.silhouette),
    ):
        axes.plot(selection.num_clusters, values, marker="o")
        axes.axvline(chosen, color="grey", linestyle="--", label=f"k = {chosen}, in clusters.csv")
        axes.set(xlabel="number of clusters k", ylabel=name)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.legend()
    save_figure(path, figure)
