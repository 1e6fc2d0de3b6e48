"""Makes sheets of images, and writes pictures, animations and plots of losses to files."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from histogan_tf.errors import counted
from histogan_tf.runs.files import written_aside

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_WHITE = 255
_CAPTION_PIXELS = 12  # the size of its letters
_SHOWN_QUANTILES = (0.002, 0.998)  # of the values of a loss, those between which a plot must show


def tile(images: np.ndarray, num_columns: int | None = None, gap_pixels: int = 2) -> np.ndarray:
    """Puts images side by side, row by row, on one sheet (the original's `merge`).

    Args:
        images: uint8 (num_images, height, width, channels).
        num_columns: images in a row; None makes as many columns as rows, or one more.
        gap_pixels: white pixels between images.

    Returns:
        uint8 (sheet_height, sheet_width, channels); places without an image are white.
    """
    num_images, height, width, channels = images.shape
    num_columns = num_columns or math.ceil(math.sqrt(num_images))
    num_rows = -(-num_images // num_columns)
    cells = np.full((num_rows * num_columns, height + gap_pixels, width + gap_pixels, channels), _WHITE, dtype=np.uint8)
    cells[:num_images, :height, :width] = images
    rows = cells.reshape(num_rows, num_columns, *cells.shape[1:]).transpose(0, 2, 1, 3, 4)
    sheet = rows.reshape(num_rows * cells.shape[1], num_columns * cells.shape[2], channels)
    return sheet[: sheet.shape[0] - gap_pixels, : sheet.shape[1] - gap_pixels]


def to_pillow(image: np.ndarray) -> Image.Image:
    """Returns a uint8 image (height, width, channels) with 1 or 3 channels as a Pillow image."""
    return Image.fromarray(image[..., 0] if image.shape[-1] == 1 else image)


def save_png(path: Path, image: np.ndarray) -> None:
    """Writes a uint8 image (height, width, channels) with 1 or 3 channels as PNG."""
    with written_aside(path) as aside:
        to_pillow(image).save(aside, format="PNG")


def with_caption(sheet: np.ndarray, caption: str) -> np.ndarray:
    """Puts a sentence above a sheet of images, in as many lines as it needs.

    Args:
        sheet: uint8 (height, width, 1 or 3).
        caption: the sentence.

    Returns:
        uint8 (larger height, width, 1 or 3); its lowest rows are the sheet.
    """
    width, channels = sheet.shape[1:]
    font = ImageFont.load_default(_CAPTION_PIXELS)
    lines = [""]
    for word in caption.split():
        longer = f"{lines[-1]} {word}".strip()
        if lines[-1] and font.getlength(longer) > width:
            lines.append(word)
        else:
            lines[-1] = longer
    line_height = round(1.4 * _CAPTION_PIXELS)
    strip = Image.new("L", (width, line_height * len(lines)), _WHITE)
    draw_on = ImageDraw.Draw(strip)
    for number, line in enumerate(lines):
        draw_on.text((0, number * line_height), line, fill=0, font=font)
    return np.concatenate([np.repeat(np.asarray(strip)[..., np.newaxis], channels, axis=-1), sheet])


def save_gif(path: Path, frames: Sequence[np.ndarray], seconds: float) -> None:
    """Writes an endless animation.

    Args:
        path: the GIF to write.
        frames: images, each uint8 (height, width, channels).
        seconds: how long one turn through all frames takes.
    """
    pictures = [to_pillow(frame) for frame in frames]
    milliseconds = max(20, round(1000 * seconds / len(pictures)))  # browsers slow down shorter frames
    with written_aside(path) as aside:
        pictures[0].save(aside, format="GIF", save_all=True, append_images=pictures[1:], duration=milliseconds, loop=0)


def save_figure(path: Path, figure: Figure) -> None:
    """Writes a matplotlib figure as PNG, or as SVG if the path ends in .svg; the same figure gives the same bytes."""
    import matplotlib

    is_svg = path.suffix == ".svg"
    settings = {"metadata": {"Date": None}} if is_svg else {}
    with written_aside(path) as aside, matplotlib.rc_context({"svg.hashsalt": path.stem}):
        figure.savefig(aside, format="svg" if is_svg else "png", dpi=120, bbox_inches="tight", **settings)


def save_rows(path: Path, sheet: np.ndarray, names: Sequence[str]) -> None:
    """Writes a sheet of images as PNG, with the name of each row beside it.

    Args:
        path: the PNG to write.
        sheet: uint8 (height, width, 1 or 3), of rows of one height.
        names: the names of the rows, from the top.
    """
    from matplotlib.figure import Figure

    height, width = sheet.shape[:2]
    figure = Figure(figsize=(max(4.0, width / 60), height / 60))
    axes = figure.subplots()
    axes.imshow(to_pillow(sheet), cmap="gray", vmin=0, vmax=_WHITE)
    axes.set_yticks((np.arange(len(names)) + 0.5) * height / len(names), labels=names)
    axes.set_xticks([])
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    save_figure(path, figure)


def plot_losses(path: Path, metrics: Sequence[Mapping[str, float]], names: Sequence[str], title: str) -> None:
    """Draws losses over steps: the value of every step faintly, and the running mean (the paper's Figure 5).

    The few largest and smallest values may be cut off, so that the first steps do not flatten all others.

    Args:
        path: the PNG or SVG to write.
        metrics: one mapping for each step, with `step` and the losses by name.
        names: names of the losses to draw.
        title: text above the plot.
    """
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    steps = np.array([row["step"] for row in metrics])
    window = max(1, len(steps) // 50)
    figure = Figure(figsize=(5.2, 3.7), layout="constrained")
    axes = figure.subplots()
    shown = []
    for name in names:
        values = np.array([row[name] for row in metrics])
        (line,) = axes.plot(steps, values, alpha=0.25, linewidth=0.8)
        means = np.convolve(values, np.ones(window) / window, mode="valid")
        axes.plot(steps[window - 1 :], means, color=line.get_color(), label=name)
        shown += [*np.quantile(values, _SHOWN_QUANTILES), means.min(), means.max()]
    ylabel = "loss" if window == 1 else f"loss (bold: mean of {counted(window, 'step')})"
    axes.set(xlabel="step", ylabel=ylabel, title=title)
    margin = 0.05 * (max(shown) - min(shown)) or 1.0
    axes.set_ylim(min(shown) - margin, max(shown) + margin)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.grid(alpha=0.3)
    figure.legend(loc="outside lower center", ncols=3)  # beside the curves, which may be anywhere
    save_figure(path, figure)
