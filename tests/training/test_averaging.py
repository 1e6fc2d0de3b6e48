from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.training.averaging import WeightAverage

INPUTS = np.array([[1.0, 2.0], [3.0, 5.0]], np.float32)


def network(value: float) -> keras.Model:
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2), keras.layers.BatchNormalization(momentum=0.9)])
    set_trained(model, value)
    return model


def set_trained(model: keras.Model, value: float) -> None:
    for weight in model.trainable_weights:
        weight.assign(tf.fill(weight.shape, value))


def test_the_average_follows_the_ramp_by_hand_and_has_statistics_of_its_own():
    average, source = network(1.0), network(1.0)
    follower = WeightAverage(average, source, decay=0.25)
    update = tf.function(follower.update)
    expected, mean, variance = 1.0, 0.0, 1.0
    # (1 + n) / (10 + n): 0.1, 2/11, 3/12; then the ceiling of 0.25
    for step, (value, decay) in enumerate([(2.0, 0.1), (3.0, 2 / 11), (5.0, 0.25), (7.0, 0.25)]):
        set_trained(source, value)
        update(tf.constant(step, tf.int64), INPUTS)
        expected = decay * expected + (1 - decay) * value
        for weight in average.trainable_weights:
            assert weight.numpy().ravel() == pytest.approx([expected] * weight.numpy().size, rel=1e-6)
        # Of the inputs' sums 3 and 8, times the kernel's weight, plus the bias
        mean = 0.9 * mean + 0.1 * (expected * 5.5 + expected)
        variance = 0.9 * variance + 0.1 * (2.5 * expected) ** 2
    assert average.layers[1].moving_mean.numpy() == pytest.approx([mean] * 2, rel=1e-5)
    assert average.layers[1].moving_variance.numpy() == pytest.approx([variance] * 2, rel=1e-5)
    assert source.layers[1].moving_mean.numpy().tolist() == [0.0, 0.0]


def test_networks_of_other_shapes_are_our_mistake():
    with pytest.raises(ValueError, match="zip"):
        WeightAverage(network(0.0), keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)]), 0.9)
