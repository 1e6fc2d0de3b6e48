"""Weights in a file: which become half precision, and what a damaged or misfitting file is told as."""

from __future__ import annotations

import json
import struct

import keras
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from histogan_tf.errors import UserError
from histogan_tf.models.projected_generator import LatentNoise
from histogan_tf.runs.weights_file import named_weights, networks_in, read_weights, write_weights


def small_network(units: int = 3, inputs: int = 2) -> keras.Model:
    """Two layers with trained weights and with statistics."""
    vectors = keras.Input((inputs,))
    hidden = keras.layers.Dense(units, name="lin")(vectors)
    return keras.Model(vectors, keras.layers.BatchNormalization(name="bn")(hidden), name="network")


class Counter(keras.layers.Layer):
    def build(self, _):
        self.count = self.add_weight(name="count", shape=(2,), dtype="int32", initializer="zeros", trainable=False)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "weights.safetensors"


def test_weights_are_named_after_network_layer_and_weight_whatever_was_built_before():
    for _ in range(2):
        assert list(named_weights({"generator_average": small_network()})) == [
            "generator/lin/kernel",
            "generator/lin/bias",
            "generator/bn/gamma",
            "generator/bn/beta",
            "generator/bn/moving_mean",
            "generator/bn/moving_variance",
        ]
    head = keras.layers.Dense(1, name="head")
    head.build((None, 2))
    assert list(named_weights({"head": head})) == ["head/kernel", "head/bias"]


def test_small_statistics_and_what_loses_more_than_rounding_stay_in_single_precision(path):
    network = small_network()
    weights = named_weights({"g": network})
    weights["g/lin/kernel"].assign(np.array([[0.1, 1e-6, -3.0]] * 2))  # an error of 1e-8 beside 3 is rounding
    weights["g/bn/moving_mean"].assign(np.array([0.1, 0.2, -3.0]))  # a small statistic, which is not rounded at all
    weights["g/bn/moving_variance"].assign(np.array([1.0, 65520.0, 2.0]))
    weights["g/bn/gamma"].assign(np.full(3, 70000.0))
    write_weights(path, {"g": network})
    stored = load_file(path)
    single = {name for name, tensor in stored.items() if tensor.dtype == np.float32}
    assert single == {"g/bn/moving_mean", "g/bn/moving_variance", "g/bn/gamma"}
    np.testing.assert_array_equal(stored["g/bn/moving_mean"], np.float32([0.1, 0.2, -3.0]))
    assert stored["g/bn/moving_variance"].tolist() == [1.0, 65520.0, 2.0]
    assert stored["g/lin/kernel"].dtype == np.float16
    assert stored["g/lin/kernel"][0, 0] == np.float16(0.1)


def test_a_scalar_stays_a_scalar(path):
    layers = [LatentNoise((2, 3), seed=1, name="noise") for _ in range(2)]
    layers[0].weight.assign(0.25)
    write_weights(path, {"generator": layers[0]})
    read_weights(path, {"generator": layers[1]})
    assert layers[1].weight.shape == () and float(layers[1].weight) == 0.25


def test_integers_stay_as_they_are_and_all_weights_come_back(path):
    counter, network = Counter(name="counter"), small_network()
    counter.build(None)
    counter.count.assign([7, 123456789])
    write_weights(path, {"counter": counter, "g": network})
    assert networks_in(path) == {"counter", "g"}
    other, other_counter = small_network(), Counter(name="counter")
    other_counter.build(None)
    read_weights(path, {"g_average": other, "counter": other_counter})
    assert other_counter.count.numpy().tolist() == [7, 123456789]
    for mine, theirs in zip(network.weights, other.weights, strict=True):
        np.testing.assert_array_equal(theirs.numpy(), mine.numpy().astype(np.float16).astype(np.float32))


def change(path, **changes):
    save_file({**load_file(path), **changes}, path)


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.write_bytes(path.read_bytes()[:-3]), "truncated or damaged"),
        (lambda path: path.write_bytes(b"\x80\x04pickle"), "truncated or damaged"),
        (lambda path: path.write_bytes(struct.pack("<Q", 2**40) + b"{}"), "truncated or damaged"),
        (lambda path: path.unlink(), "missing, truncated or damaged"),
        (lambda path: change(path, **{"g/lin/bias": np.zeros(4, np.float16)}), r"g/lin/bias is \(4,\) where \(3,\)"),
        (lambda path: change(path, **{"g/lin/bias": np.full(3, np.nan, np.float16)}), "g/lin/bias holds NaN"),
        (lambda path: change(path, **{"g/lin/bias": np.zeros(3, np.int32)}), "g/lin/bias is int32 and not float32"),
        (lambda path: change(path, **{"g/more/bias": np.zeros(3)}), "that the network has not, g/more/bias"),
        (
            lambda path: save_file({n: t for n, t in load_file(path).items() if n != "g/lin/bias"}, path),
            r"lacks the tensor g/lin/bias, \(3,\)",
        ),
    ],
)
def test_a_file_that_does_not_fit_is_told_and_changes_nothing(path, damage, words):
    network = small_network()
    write_weights(path, {"g": network})
    damage(path)
    before = [weight.numpy().copy() for weight in network.weights]
    with pytest.raises(UserError, match=words):
        read_weights(path, {"g": network})
    for old, weight in zip(before, network.weights, strict=True):
        np.testing.assert_array_equal(old, weight.numpy())


def test_the_file_is_a_header_of_json_and_numbers(path):
    write_weights(path, {"g": small_network()})
    content = path.read_bytes()
    (length,) = struct.unpack("<Q", content[:8])
    assert json.loads(content[8 : 8 + length])["g/lin/kernel"]["dtype"] == "F16"
