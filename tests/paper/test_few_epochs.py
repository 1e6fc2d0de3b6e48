from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.paper import few_epochs
from histogan_tf.paper.few_epochs import train_last_layer


def separable(num_images: int = 200) -> tuple[np.ndarray, np.ndarray]:
    """Positive features of two classes, as a network's are, of which the first tells them apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, num_images).astype(np.int32)
    features = np.abs(rng.normal(size=(num_images, 8))).astype(np.float32)
    features[:, 0] += 2 * labels
    return features, labels


def accuracy(layer: tuple[np.ndarray, np.ndarray], features: np.ndarray, labels: np.ndarray) -> float:
    kernel, bias = layer
    return float(np.mean(np.argmax(features @ kernel + bias, axis=1) == labels))


def test_it_learns_more_with_each_epoch_and_is_not_done_after_the_first():
    features, labels = separable()
    layers = train_last_layer(features, labels, seed=1)
    assert len(layers) == few_epochs.NUM_EPOCHS
    assert layers[0][0].shape == (8, 2) and layers[0][1].shape == (2,)
    first, last = (accuracy(layers[epoch], features, labels) for epoch in (0, -1))
    assert first < last and last > 0.6


def test_the_seed_decides_all_numbers():
    features, labels = separable()
    once, again, other = (train_last_layer(features, labels, seed=seed)[-1][0] for seed in (1, 1, 2))
    np.testing.assert_array_equal(once, again)
    assert np.abs(once - other).max() > 1e-3


def test_one_step_is_that_of_sgd_with_momentum(monkeypatch):
    monkeypatch.setattr(few_epochs, "NUM_EPOCHS", 2)
    features, labels = separable(num_images=32)  # a batch: each epoch is one step
    rng = np.random.default_rng(3)
    kernel, bias = rng.uniform(-(8**-0.5), 8**-0.5, (8, 2)), rng.uniform(-(8**-0.5), 8**-0.5, 2)
    velocity = [0.0, 0.0]
    for found_kernel, found_bias in train_last_layer(features, labels, seed=3):
        logits = features @ kernel + bias
        error = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True) - np.eye(2)[labels]
        for number, gradient in enumerate((features.T @ error / 32, error.mean(axis=0))):
            velocity[number] = 0.9 * velocity[number] + gradient
        kernel, bias = kernel - 0.001 * velocity[0], bias - 0.001 * velocity[1]
        assert found_kernel == pytest.approx(kernel, abs=1e-9) and found_bias == pytest.approx(bias, abs=1e-9)


def test_a_mean_of_which_a_part_is_undefined_is_undefined():
    assert few_epochs._mean([0.25, 0.75]) == 0.5
    assert few_epochs._mean([0.25, float("nan")]) is None
