"""Draws precision and recall of the study's classifiers at every threshold, beside the paper's numbers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from histogan_tf.classifier.predictions_file import Predictions
from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.metrics.classification import point_estimates, precision_recall_curve
from histogan_tf.paper.rows import Row
from histogan_tf.reporting.pictures import save_figure


def plot_precision_and_recall(path: Path, predictions: Mapping[Row, Predictions]) -> None:
    """Draws a curve for each row; dots are the threshold of Table 1, stars the paper's numbers.

    A training set that only moves the threshold moves the dot along the curve; one that improves the classifier lifts
    the curve.

    Args:
        path: the SVG to write.
        predictions: the predictions of one classifier of each row, for the same images.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7.2, 5.4), layout="constrained")
    axes = figure.subplots()
    for number, (row, found) in enumerate(predictions.items()):
        precision, recall, _ = precision_recall_curve(found.labels, found.probabilities)
        axes.step(recall, precision, where="post", color=f"C{number}", linewidth=1.2, label=row.title)
        at_threshold = point_estimates(found.labels, found.probabilities, THRESHOLD)
        axes.plot(at_threshold["recall"], at_threshold["precision"], marker="o", color=f"C{number}")
        if row.published:
            published_precision, published_recall, _ = row.published
            axes.plot(published_recall, published_precision, "*", ms=11, color=f"C{number}", markeredgecolor="0.2")
    share = float(np.mean(next(iter(predictions.values())).labels))
    axes.axhline(share, color="0.5", linestyle=":", linewidth=1, label="all called positive")
    axes.plot([], [], "o", color="0.4", label=f"from a probability of {THRESHOLD} on")
    if any(row.published for row in predictions):
        axes.plot([], [], "*", ms=11, color="0.6", markeredgecolor="0.2", label="the paper")
    axes.set(xlabel="recall", ylabel="precision", xlim=(0, 1.01), ylim=(0, 1.01))
    axes.grid(alpha=0.3)
    axes.legend(loc="lower left", fontsize=8)
    save_figure(path, figure)
