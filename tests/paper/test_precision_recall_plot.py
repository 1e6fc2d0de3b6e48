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
    counts = []
    for number in (1, 2, 3):
        plot_precision_and_recall(tmp_path / "curves.svg", dict(list(predictions.items())[:number]))
        counts.append(len(re.findall(r'<g id="line2d_\d+">', (tmp_path / "curves.svg").read_text())))
    of_dcgan, of_tissue = np.diff(counts)
    assert of_dcgan == 4  # its curve, dot and star, and its line in the legend
    assert of_tissue == 3  # the paper has no numbers of it
