"""Trains the last layer for a few epochs of stochastic gradient descent, as transfer learning is often done.

The study's own classifiers are trained to their optimum, which has no epochs. Beside them, this shows what a classifier
is worth that was stopped long before: the paper's row Real may be one.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.config import Config
from histogan_tf.metrics.classification import point_estimates
from histogan_tf.paper.rows import ROWS
from histogan_tf.paper.study_features import study_features
from histogan_tf.reporting.pictures import save_figure
from histogan_tf.runs import files

# PyTorch's tutorial on transfer learning, from which classifiers of its time were made: SGD with these numbers.
LEARNING_RATE, MOMENTUM = 0.001, 0.9
BATCH_SIZE = 64
NUM_EPOCHS = 25
_NUM_STARTS = 3  # initial weights, over which the metrics are averaged
_METRICS = ("precision", "recall", "accuracy", "roc_auc")


def write_few_epochs(config: Config, directory: Path) -> None:
    """Writes few_epochs/few_epochs.json and its plot: the metrics of the last layer after each epoch.

    Args:
        config: the settings of the classifier that is trained on real images.
        directory: the study's directory; it holds the features that its classifiers share.

    Raises:
        UserError: if images cannot be read.
    """
    data = load_data(config)
    cache = study_features(config, data.validation.image_shape, directory / "features")
    features, validation = cache.views(data.real)[0], cache.views(data.validation)[0]
    measured = [
        [
            point_estimates(data.validation.labels, _probabilities(validation, *layer), 0.5)
            for layer in train_last_layer(features, data.labels, seed=config.seed + start)
        ]
        for start in range(_NUM_STARTS)
    ]
    epochs = [
        {"epoch": epoch, **{name: float(np.mean([run[name] for run in runs])) for name in _METRICS}}
        for epoch, runs in enumerate(zip(*measured, strict=True), start=1)
    ]
    settings = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "batch_size": BATCH_SIZE, "starts": _NUM_STARTS}
    files.write_json(directory / "few_epochs" / "few_epochs.json", {"settings": settings, "epochs": epochs})
    _plot(directory / "few_epochs" / "few_epochs.svg", epochs)


def train_last_layer(features: np.ndarray, labels: np.ndarray, *, seed: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Returns kernel and bias of a softmax layer of two classes after each epoch of SGD with momentum.

    Args:
        features: float32 (num_images, d), not standardized.
        labels: int (num_images,), 0 or 1.
        seed: the seed of the initial weights, uniform as PyTorch's Linear has them, and of the order of the images.

    Returns:
        For each of NUM_EPOCHS epochs, float64 (d, 2) and float64 (2,).
    """
    rng = np.random.default_rng(seed)
    bound = features.shape[1] ** -0.5
    kernel, bias = rng.uniform(-bound, bound, (features.shape[1], 2)), rng.uniform(-bound, bound, 2)
    kernel_velocity, bias_velocity = np.zeros_like(kernel), np.zeros_like(bias)
    targets = np.eye(2)[labels]
    layers = []
    for _ in range(NUM_EPOCHS):
        order = rng.permutation(len(features))
        for start in range(0, len(order), BATCH_SIZE):
            batch = order[start : start + BATCH_SIZE]
            error = (_softmax(features[batch] @ kernel + bias) - targets[batch]) / len(batch)
            kernel_velocity = MOMENTUM * kernel_velocity + features[batch].T @ error
            bias_velocity = MOMENTUM * bias_velocity + error.sum(axis=0)
            kernel, bias = kernel - LEARNING_RATE * kernel_velocity, bias - LEARNING_RATE * bias_velocity
        layers.append((kernel, bias))
    return layers


def _softmax(logits: np.ndarray) -> np.ndarray:
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def _probabilities(features: np.ndarray, kernel: np.ndarray, bias: np.ndarray) -> np.ndarray:
    return _softmax(features @ kernel + bias)[:, 1]


def _plot(path: Path, epochs: list[dict[str, Any]]) -> None:
    """Draws precision, recall and accuracy over epochs, with the paper's row Real as dotted lines."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6.4, 4), layout="constrained")
    axes = figure.subplots()
    published = dict(zip(_METRICS, ROWS[0].published, strict=False))
    for number, name in enumerate(published):
        style = {"color": f"C{number}"}
        axes.plot(
            [row["epoch"] for row in epochs], [row[name] for row in epochs], label=name, marker="o", ms=3, **style
        )
        axes.axhline(published[name], linestyle=":", **style)
    axes.set(xlabel="epochs of SGD on the last layer", ylabel="on validation images (dotted: the paper's Real)")
    axes.grid(alpha=0.3)
    axes.legend()
    save_figure(path, figure)
