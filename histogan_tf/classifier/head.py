"""The linear head: logistic regression on features, to convergence; and the folds that choose its penalty."""

from __future__ import annotations

import dataclasses
import itertools
import logging
import math
import operator
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from histogan_tf.errors import UserError, counted
from histogan_tf.machine.cores import num_usable_cores

logger = logging.getLogger(__name__)

NUM_FOLDS = 5
PENALTIES = tuple(float(penalty) for penalty in np.logspace(1, -4, 11))
_MOST_ITERATIONS = 10_000


@dataclasses.dataclass(frozen=True)
class TrainingFeatures:
    """What a head is fitted to.

    Attributes:
        features: float32 (num_views, num_images, num_features); view 0 is the image itself.
        labels: int32 (num_images,), from 0 on; each label occurs.
        groups: str (num_images,), the patient of each image; None if unknown.
        is_real: bool (num_images,), false for synthetic images.
    """

    features: np.ndarray
    labels: np.ndarray
    groups: np.ndarray | None
    is_real: np.ndarray


@dataclasses.dataclass(frozen=True)
class Head:
    """A linear function of features; its sigmoid is the probability of label 1.

    Of three labels or more, it has a value for each, and their softmax gives the probabilities of all labels.

    Attributes:
        kernel: float64 (num_features,), or (num_features, num_classes) for three labels or more.
        bias: the constant term, or float64 (num_classes,).
    """

    kernel: np.ndarray
    bias: float | np.ndarray

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Returns probabilities, float64 (num_images[, num_classes]), of float (num_images, num_features)."""
        return probabilities_of(features @ self.kernel + self.bias)


def probabilities_of(logits: np.ndarray) -> np.ndarray:
    """Returns the probability of label 1, float64 (num_images,); or those of all labels, (num_images, num_classes).

    Args:
        logits: float64 (num_images,) or (num_images, 1), of label 1; or (num_images, num_classes), of all labels.
    """
    from scipy.special import expit, softmax

    if logits.ndim == 2 and logits.shape[1] > 1:
        return softmax(logits, axis=1)
    return expit(logits.reshape(-1))


@dataclasses.dataclass(frozen=True)
class HeldOut:
    """What was predicted for training images by heads that had not seen them.

    Attributes:
        indices: int (num_images,), which training images.
        probabilities: float64 (num_images,), of label 1; or of all labels, (num_images, num_classes).
        by: "patient" or "image": what was kept on one side of a fold.
    """

    indices: np.ndarray
    probabilities: np.ndarray
    by: str


class HeadFitter:
    """Minimizes, over all views of the images, mean log loss + penalty / 2 * |kernel|^2 of standardized features.

    The penalty makes the minimum unique, where 512 features separate a few hundred images without one; L-BFGS goes down
    to it, and draws no number. Features are standardized by their mean and deviation over all training images, which is
    folded into the result.

    Args:
        training: all training images.
    """

    def __init__(self, training: TrainingFeatures) -> None:
        self._num_views = len(training.features)
        features = training.features.reshape(-1, training.features.shape[-1]).astype(np.float64)
        self._mean, stddev = features.mean(axis=0), features.std(axis=0)
        is_constant = stddev <= 1e-6 * np.maximum(1.0, np.abs(self._mean))  # but for rounding: it tells nothing
        self._stddev = np.where(is_constant, np.inf, stddev)
        features -= self._mean
        features /= self._stddev
        self._features, self._labels = features, np.tile(training.labels, self._num_views)

    def fits(self, is_fitted: np.ndarray) -> Callable[[float], Head]:
        """Returns a function from a penalty, above 0, to the head; each fit starts where the one before it ended.

        Args:
            is_fitted: bool (num_images,), the images to fit.
        """
        from sklearn.linear_model import LogisticRegression
        from threadpoolctl import threadpool_limits

        model = LogisticRegression(solver="lbfgs", tol=1e-8, max_iter=_MOST_ITERATIONS, warm_start=True)
        weights = np.tile(is_fitted / self._num_views, self._num_views)

        def fit(penalty: float) -> Head:
            model.set_params(C=1 / (penalty * is_fitted.sum()))
            # Products so small cost more to share out than to make; and one thread adds up the same way everywhere.
            with threadpool_limits(1):
                model.fit(self._features, self._labels, sample_weight=weights)
            if model.n_iter_[0] >= _MOST_ITERATIONS:
                logger.warning("the head was stopped after %d iterations, before it had converged", _MOST_ITERATIONS)
            if len(model.classes_) > 2:
                kernels = (model.coef_ / self._stddev).T
                return Head(kernels, model.intercept_ - self._mean @ kernels)
            kernel = model.coef_[0] / self._stddev
            return Head(kernel, float(model.intercept_[0] - self._mean @ kernel))

        return fit


def choose_penalty(training: TrainingFeatures, fitter: HeadFitter, seed: int) -> tuple[float, HeldOut]:
    """Returns the penalty of least log loss on images that the head has not seen, and what was predicted for them.

    Five folds, by patient where patients are known. Held-out images are the real ones if there are any; synthetic
    images are then in every fold's training set. Penalties fall until the loss rises.

    Raises:
        UserError: if there are fewer than two such images of a label.
    """
    from threadpoolctl import threadpool_limits

    # scikit-learn's LogisticRegressionCV keeps no held-out predictions and fits every penalty, with one C for folds of
    # any size: 2.2 times the CPU time, and up to 0.014 off (812 phantom patches, --features=random, 3 views).
    folds, by = make_folds(training, seed)
    held_out = np.concatenate(folds)
    everything = np.arange(len(training.labels))
    fits = [fitter.fits(~np.isin(everything, fold)) for fold in folds]
    best_loss, best_penalty, best = math.inf, PENALTIES[0], np.empty(0)
    # The limit holds for all folds at once: each fit would lift its own while the others go on.
    with threadpool_limits(1), ThreadPoolExecutor(num_usable_cores()) as pool:
        for penalty in PENALTIES:
            heads = pool.map(operator.call, fits, itertools.repeat(penalty))
            parts = [head.probabilities(training.features[0, fold]) for head, fold in zip(heads, folds, strict=True)]
            probabilities = np.concatenate(parts)
            loss = log_loss(training.labels[held_out], probabilities)
            if loss >= best_loss:
                break
            best_loss, best_penalty, best = loss, penalty, probabilities
    logger.info("head: penalty %.3g, log loss %.4f on images held out by %s", best_penalty, best_loss, by)
    order = np.argsort(held_out)
    return best_penalty, HeldOut(held_out[order], best[order], by)


def make_folds(training: TrainingFeatures, seed: int) -> tuple[list[np.ndarray], str]:
    """Returns disjoint held-out index arrays, stratified by label, and "patient" or "image": what they keep together.

    Raises:
        UserError: as `choose_penalty`.
    """
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    candidates = np.flatnonzero(training.is_real)
    candidates = candidates if len(candidates) else np.arange(len(training.labels))
    labels = training.labels[candidates]
    fewest = int(np.bincount(labels, minlength=int(training.labels.max()) + 1).min())
    if fewest < 2:
        raise UserError(
            f"only {counted(fewest, 'image')} of a label to hold out of training in turn: give at least 2 of each"
        )
    groups = None if training.groups is None else training.groups[candidates]
    num_groups = 0 if groups is None else len(np.unique(groups))
    if num_groups >= 2:
        num_folds = min(NUM_FOLDS, num_groups, int(np.bincount(labels).max()))
        splitter = StratifiedGroupKFold(num_folds, shuffle=True, random_state=seed)
        folds = [candidates[fold] for _, fold in splitter.split(labels, labels, groups)]
        if _are_sound(folds, training.labels):
            return folds, "patient"
    if groups is not None:
        logger.warning("too few training patients to hold some out in turn: images are held out, which flatters them")
    splitter = StratifiedKFold(min(NUM_FOLDS, fewest), shuffle=True, random_state=seed)
    return [candidates[fold] for _, fold in splitter.split(labels, labels)], "image"


def _are_sound(folds: Sequence[np.ndarray], labels: np.ndarray) -> bool:
    """Returns whether each fold holds images, and leaves all labels to train on."""
    num_classes = len(np.unique(labels))
    return all(len(fold) and len(np.unique(np.delete(labels, fold))) == num_classes for fold in folds)


def log_loss(labels: np.ndarray, probabilities: np.ndarray) -> float:
    """Returns the mean of -log of the probability of the true label, which is kept above 1e-15."""
    if probabilities.ndim == 2:
        likelihoods = probabilities[np.arange(len(labels)), labels]
    else:
        likelihoods = np.where(labels == 1, probabilities, 1 - probabilities)
    return float(-np.log(np.maximum(likelihoods, 1e-15)).mean())
