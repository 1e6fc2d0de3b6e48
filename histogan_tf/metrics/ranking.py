"""Computes the metrics of a binary classifier for many weighted resamples at once, as bootstrap intervals need them."""

from __future__ import annotations

import numpy as np

PRECISION_TO_REACH = 0.9


class Ranking:
    """Images sorted once by falling probability, so that the metrics of any resample are sums over its weights.

    The numbers of true and false positives at every distinct probability are cumulative sums of weights; all metrics
    except the Brier score follow from them. Images of equal probability share one threshold, so ties count half in the
    ROC AUC.

    Args:
        labels: (num_images,), 0 or 1.
        probabilities: (num_images,), the probability of label 1, falling.
        threshold: the probability from which on an image is called positive.
    """

    def __init__(self, labels: np.ndarray, probabilities: np.ndarray, threshold: float) -> None:
        assert not np.any(np.diff(probabilities) > 0)
        self._labels = labels
        self._squared_error = (probabilities - labels) ** 2
        last_of_ties = np.append(probabilities[1:] != probabilities[:-1], True)
        self._ends = np.flatnonzero(last_of_ties)
        self._num_above = int(np.sum(probabilities[self._ends] >= threshold))

    def metrics(self, weights: np.ndarray) -> dict[str, np.ndarray]:
        """Returns the metrics of each resample by name, float (num_resamples,); nan where undefined.

        Args:
            weights: int (num_resamples, num_images), the number of times that each image occurs in each resample.
        """
        called = self._cumulative(weights)
        true_positives = self._cumulative(weights * self._labels)
        false_positives = called - true_positives
        total, positives, negatives = called[:, -1], true_positives[:, -1], false_positives[:, -1]
        # Copied, since a view would keep its whole block alive until the last resample.
        tp, fp = true_positives[:, self._num_above].copy(), false_positives[:, self._num_above].copy()
        fn, tn = positives - tp, negatives - fp
        recall, specificity = ratio(tp, positives), ratio(tn, negatives)
        # Trapezoids under the ROC curve, in units of one pair of a positive and a negative.
        pairs = np.einsum("rt,rt->r", np.diff(false_positives), true_positives[:, :-1] + true_positives[:, 1:]) / 2
        # Thresholds that a resample skips add no recall, so their precision may be anything finite.
        precisions = true_positives[:, 1:] / np.maximum(called[:, 1:], 1)
        return {
            "precision": ratio(tp, tp + fp),
            "recall": recall,
            "accuracy": (tp + tn) / total,
            "specificity": specificity,
            "balanced_accuracy": (recall + specificity) / 2,
            "f1": ratio(2 * tp, 2 * tp + fp + fn),
            "roc_auc": ratio(pairs, positives * negatives),
            "average_precision": ratio(np.einsum("rt,rt->r", np.diff(true_positives), precisions), positives),
            "recall_at_precision_90": ratio(
                np.max(np.where(precisions >= PRECISION_TO_REACH, true_positives[:, 1:], 0.0), axis=1), positives
            ),
            "brier_score": weights @ self._squared_error / total,
            "true_positives": tp,
            "false_positives": fp,
            "false_negatives": fn,
            "true_negatives": tn,
        }

    def _cumulative(self, weights: np.ndarray) -> np.ndarray:
        """Returns a 0, then the weight at or above each distinct probability: (num_resamples, num_thresholds + 1)."""
        sums = np.zeros((len(weights), len(self._ends) + 1))
        sums[:, 1:] = np.cumsum(weights, axis=1)[:, self._ends]
        return sums


def ratio(numerator: np.ndarray, denominator: np.ndarray) -> np.ndarray:
    """Returns numerator / denominator; nan where the denominator is zero."""
    return np.divide(numerator, denominator, out=np.full(np.shape(numerator), np.nan), where=denominator > 0)
