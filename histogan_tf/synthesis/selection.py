"""Which synthetic images may join a training set, and why.

Every rule sees training images and synthetic ones, never validation images: what it knows of real images comes as the
training images' features, or as probabilities of a classifier that was trained on them. Where a set has several labels,
apply a rule to one label at a time.
"""

from __future__ import annotations

import csv
import dataclasses
from pathlib import Path

import numpy as np

from histogan_tf.errors import UserError, counted
from histogan_tf.metrics.checks import checked_pair
from histogan_tf.metrics.distances import nearest
from histogan_tf.metrics.generative import REALISM_NEIGHBOURS, realism_scores
from histogan_tf.reporting import pictures
from histogan_tf.runs.csv_cells import neutral_cells
from histogan_tf.runs.files import written_aside

_SHEET_IMAGES = 100


@dataclasses.dataclass(frozen=True)
class Selection:
    """What one rule says of each synthetic image.

    Attributes:
        rule: `confidence`, `realism` or `distance`.
        is_kept: bool (num_synthetic,).
        scores: float64 (num_synthetic,), what the rule decided on.
        reasons: str (num_synthetic,), why an image was kept or rejected, in words.
    """

    rule: str
    is_kept: np.ndarray
    scores: np.ndarray
    reasons: np.ndarray


def select_confident(probabilities: np.ndarray, labels: np.ndarray, threshold: float = 0.5) -> Selection:
    """Keeps images whose label a classifier of real training images agrees with.

    Xue et al., "Selective Synthetic Augmentation with HistoGAN for Improved Histopathology Image Classification",
    Medical Image Analysis 67 (2021), section 3.2, keep images by the confidence of the assigned label likewise.

    Args:
        probabilities: (num_synthetic,), of label 1, in [0, 1].
        labels: (num_synthetic,), 0 or 1, that the images were made for.
        threshold: least probability of an image's own label, in [0, 1].

    Raises:
        UserError: lengths differ; a probability or the threshold is not in [0, 1]; a label is neither 0 nor 1.
    """
    probabilities, labels = np.asarray(probabilities, np.float64), np.asarray(labels)
    if probabilities.ndim != 1 or probabilities.shape != labels.shape:
        raise UserError(f"{probabilities.shape} probabilities of {labels.shape} labels: give one per image")
    if not np.isin(labels, (0, 1)).all():
        raise UserError("confidence is of labels 0 and 1 only: choose another rule for other labels")
    if not ((probabilities >= 0) & (probabilities <= 1)).all() or not 0 <= threshold <= 1:
        raise UserError(f"a threshold of {threshold} and probabilities: give numbers in [0, 1]")
    scores = np.where(labels == 1, probabilities, 1 - probabilities)
    return _by_score("confidence", scores, threshold, "probability of its label")


def select_realistic(
    real_features: np.ndarray, synthetic_features: np.ndarray, num_neighbours: int = REALISM_NEIGHBOURS
) -> Selection:
    """Keeps images inside the manifold of the real ones: those of a realism score of at least 1.

    `realism_scores` of metrics/generative.py tells what the score is. The rule is strict: of other real images it would
    keep about half.

    Args:
        real_features: (num_real, d), of training images of one label.
        synthetic_features: (num_synthetic, d), of synthetic images of that label.
        num_neighbours: at least 1.

    Raises:
        UserError: no more real images than neighbours; NaN; different d.
    """
    scores = realism_scores(real_features, synthetic_features, num_neighbours)
    return _by_score("realism", scores, 1.0, "realism")


def select_changed(
    source_features: np.ndarray, translated_features: np.ndarray, minimum: float | None = None
) -> Selection:
    """Keeps translated images that really changed: the paper's future work for the images of a CycleGAN.

    Args:
        source_features: (num_images, d), of real training images.
        translated_features: (num_images, d), of what each was translated to.
        minimum: least distance of a pair; if None, the median distance of a source image to its nearest other one, so
            that a kept image is further from its source than real images are from each other.

    Raises:
        UserError: the sets differ in length or d; NaN; fewer than two images where minimum is None.
    """
    source, translated = checked_pair(source_features, translated_features)
    if len(source) != len(translated):
        raise UserError(
            f"{counted(len(source), 'source image')} and {counted(len(translated), 'translated one')}: give one for "
            "each"
        )
    if minimum is None:
        minimum = float(np.median(np.sqrt(nearest(source, None, 1).squares)))
    scores = np.linalg.norm(source - translated, axis=1)
    return _by_score("distance", scores, minimum, "distance to its source")


def write_selection(directory: Path, selection: Selection, ids: np.ndarray, images: np.ndarray) -> None:
    """Writes selection.csv (one line an image) and sheets of kept and rejected ones, kept.png and rejected.png.

    A sheet shows at most 100 images, evenly spread; it is left out if there is none to show.

    Args:
        directory: is made if absent.
        selection: of the images.
        ids: str (num_synthetic,).
        images: uint8 (num_synthetic, height, width, channels).
    """
    assert len(ids) == len(images) == len(selection.is_kept), (len(ids), len(images), len(selection.is_kept))
    with written_aside(directory / "selection.csv") as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("image", "kept", "rule", "score", "reason"))
        for image_id, is_kept, score, reason in zip(
            ids, selection.is_kept, selection.scores, selection.reasons, strict=True
        ):
            writer.writerow(neutral_cells((image_id, int(is_kept), selection.rule, f"{score:.6g}", reason)))
    for name, chosen in (("kept", selection.is_kept), ("rejected", ~selection.is_kept)):
        indices = np.flatnonzero(chosen)
        if len(indices):
            shown = indices[np.linspace(0, len(indices) - 1, min(_SHEET_IMAGES, len(indices))).astype(int)]
            pictures.save_png(directory / f"{name}.png", pictures.tile(images[shown]))


def _by_score(rule: str, scores: np.ndarray, least: float, noun: str) -> Selection:
    """Keeps scores of at least `least`."""
    is_kept = scores >= least
    comparisons = np.where(is_kept, ">=", "<")
    reasons = [f"{noun} {score:.4g} {sign} {least:.4g}" for score, sign in zip(scores, comparisons, strict=True)]
    return Selection(rule, is_kept, scores, np.array(reasons, dtype=str))
