from __future__ import annotations

import re

import numpy as np

from histogan_tf.classifier.predictions_file import Predictions
from histogan_tf.paper.precision_recall_plot import plot_precision_and_recall
from histogan_tf.paper.rows import ROWS


def test_each_row_has_a_curve_and_the_papers_rows_have_a_star(tmp_path):
    rng = np.random.default_rng(0)
    labels = np.arange(40, dtype=np.int32) % 2
    rows = [row for row in ROWS if row.name in ("real", "dcgan", "tissue-and-real")]
    predictions = {row: Predictions(labels.astype(str), None, labels, rng.random(40)) for row in rows}
    plot_precision_and_recall(tmp_path / "curves.svg", predictions)
    drawn = (tmp_path / "curves.svg").read_text()
    # Lines that are neither axes, ticks nor parts of the legend: a curve and a dot each, a star for those of the paper,
    # and chance.
    lines = re.findall(r'<g id="line2d_\d+">', drawn)
    plot_precision_and_recall(tmp_path / "fewer.svg", dict(list(predictions.items())[:2]))
    fewer = re.findall(r'<g id="line2d_\d+">', (tmp_path / "fewer.svg").read_text())
    assert len(lines) - len(fewer) == 3  # the curve and the dot of the tissue GAN, and its line in the legend
