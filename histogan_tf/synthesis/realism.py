"""Writes the realism score of each synthetic image, and a sheet of the most and the least realistic ones."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from histogan_tf.reporting import pictures
from histogan_tf.runs.csv_cells import neutral_cells
from histogan_tf.runs.files import written_aside

_NUM_SHOWN = 10


def realism_summary(scores: np.ndarray) -> dict[str, float]:
    """Returns the `median` of realism scores, and the share of images that lie within real ones, `share_at_least_1`.

    Images on the very spot of a real one have an infinite score, for which the largest finite one is taken.

    Args:
        scores: the realism scores, float (num_images,), which may be infinite.
    """
    finite = scores[np.isfinite(scores)]
    largest = finite.max() if len(finite) else 1.0
    return {"median": float(np.median(np.minimum(scores, largest))), "share_at_least_1": float(np.mean(scores >= 1))}


def write_realism(directory: Path, realism: Mapping[str, np.ndarray], ids: np.ndarray, images: np.ndarray) -> None:
    """Writes realism.csv, the scores of each image, and realism.png, the ten most and the ten least realistic images.

    The sheet has the best images in its upper row, the best first, and the worst in its lower row, the worst last. They
    are ordered by the scores of the last features, which are those of a pretrained network where there are two. If
    there are fewer than twenty images, each row shows half of them.

    Args:
        directory: the folder to write to, which exists.
        realism: the scores by name of the features, each float (num_synthetic,).
        ids: the names of the images, str (num_synthetic,).
        images: uint8 (num_synthetic, height, width, channels).
    """
    with written_aside(directory / "realism.csv") as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", *(f"realism-{name}" for name in realism)))
        for image_id, *scores in zip(ids, *realism.values(), strict=True):
            writer.writerow(neutral_cells((image_id, *(f"{score:.6g}" for score in scores))))
    order = np.argsort(-list(realism.values())[-1], kind="stable")
    num_shown = min(_NUM_SHOWN, len(order) // 2)
    shown = np.concatenate([order[:num_shown], order[len(order) - num_shown :]])
    sheet = pictures.tile(images[shown], num_columns=num_shown)
    pictures.save_rows(directory / "realism.png", sheet, ["most realistic", "least realistic"])
