"""Trains the last layer for a few epochs of stochastic gradient descent, as transfer learning is often done.

The study's own classifiers are trained to their optimum, which has no epochs. Beside them, this shows what a classifier
is worth that was stopped long before: the paper's row Real may be one. A training set that synthetic images double has
twice as many steps in an epoch. So the same classifier is also trained on real and synthetic images, and the plot tells
what the synthetic images change from what longer training changes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.config import Config
from histogan_tf.metrics.classification import point_estimates
from histogan_tf.paper.rows import Row
from histogan_tf.paper.study_features import study_features
from histogan_tf.reporting.pictures import save_figure
from histogan_tf.runs import files

# PyTorch's tutorial on transfer learning, from which classifiers of its time were made: SGD with these numbers.
LEARNING_RATE, MOMENTUM = 0.001, 0.9
BATCH_SIZE = 64
NUM_EPOCHS = 25
_NUM_STARTS = 3  # initial weights, over which the metrics are averaged
_METRICS = ("precision", "recall", "accuracy", "roc_auc")
_NUMBERED_EPOCHS = (1, 3, 10, NUM_EPOCHS)  # in the plot

if TYPE_CHECKING:
    from matplotlib.axes import Axes


def write_few_epochs(configs: Mapping[Row, Config], directory: Path) -> None:
    """Writes few_epochs/few_epochs.json and its plot: the metrics of the last layer after each epoch.

    Args:
        configs: the settings of the classifier of each row.
        directory: the study's directory; it holds the features that its classifiers share.

    Raises:
        UserError: if images cannot be read.
    """
    rows = [
        {"name": row.name, "title": row.title, "published": row.published, **_measure(config, directory / "features")}
        for row, config in configs.items()
    ]
    settings = {"learning_rate": LEARNING_RATE, "momentum": MOMENTUM, "batch_size": BATCH_SIZE, "starts": _NUM_STARTS}
    files.write_json(directory / "few_epochs" / "few_epochs.json", {"settings": settings, "rows": rows})
    _plot(directory / "few_epochs" / "few_epochs.svg", rows)


def _measure(config: Config, features_directory: Path) -> dict[str, Any]:
    """Returns the number of training images of a classifier, and its metrics after each epoch."""
    data = load_data(config)
    cache = study_features(config, data.validation.image_shape, features_directory)
    parts = [data.real, *([] if data.synthetic is None else [data.synthetic])]
    features = np.concatenate([cache.views(part)[0] for part in parts])
    validation = cache.views(data.validation)[0]
    measured = [
        [
            point_estimates(data.validation.labels, _probabilities(validation, *layer), 0.5)
            for layer in train_last_layer(features, data.labels, seed=config.seed + start)
        ]
        for start in range(_NUM_STARTS)
    ]
    epochs = [
        {"epoch": epoch, **{name: _mean([start[name] for start in starts]) for name in _METRICS}}
        for epoch, starts in enumerate(zip(*measured, strict=True), start=1)
    ]
    return {"num_images": len(features), "epochs": epochs}


def _mean(values: Sequence[float]) -> float | None:
    """Returns the mean; None if a value is undefined, as precision is where no image is called positive."""
    mean = float(np.mean(values))
    return None if np.isnan(mean) else mean


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


def _plot(path: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Draws each row's way through the plane of precision and recall, and its accuracy over the images seen."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 4.6), layout="constrained")
    way, accuracy = figure.subplots(1, 2)
    for number, row in enumerate(rows):
        _plot_row(way, accuracy, row, f"C{number}")
    way.set(xlabel="recall", ylabel="precision", title="After each epoch; stars: the paper's numbers")
    accuracy.set(xlabel="images seen", ylabel="accuracy", xscale="log", title="Accuracy; dotted: the paper's")
    for axes in (way, accuracy):
        axes.grid(alpha=0.3)
    accuracy.legend(fontsize=8)
    save_figure(path, figure)


def _plot_row(way: Axes, accuracy: Axes, row: Mapping[str, Any], color: str) -> None:
    style = {"color": color, "marker": "o", "ms": 3}
    epochs = [epoch for epoch in row["epochs"] if epoch["precision"] is not None]
    way.plot([epoch["recall"] for epoch in epochs], [epoch["precision"] for epoch in epochs], **style)
    for epoch in epochs:
        if epoch["epoch"] in _NUMBERED_EPOCHS:
            place = (epoch["recall"], epoch["precision"])
            way.annotate(str(epoch["epoch"]), place, (3, 3), textcoords="offset points", fontsize=7, color=color)
    seen = [epoch["epoch"] * row["num_images"] for epoch in row["epochs"]]
    accuracy.plot(seen, [epoch["accuracy"] for epoch in row["epochs"]], label=row["title"], **style)
    if row["published"]:
        precision, recall, published_accuracy = row["published"]
        way.plot(recall, precision, marker="*", ms=12, color=color, markeredgecolor="0.2")
        accuracy.axhline(published_accuracy, linestyle=":", color=color)
