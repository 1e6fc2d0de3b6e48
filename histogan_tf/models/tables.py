"""A text table of a network's layers, with their output shapes and numbers of parameters, for the log."""

from __future__ import annotations

import math
import textwrap

import keras

from histogan_tf.reporting.text_tables import plain_table


def num_trainable(network: keras.Model) -> int:
    """Returns the number of trainable parameters of a network."""
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


def network_table(network: keras.Model) -> str:
    """Returns the table: a line for each input and each layer with parameters, and a last line with the totals."""
    rows = [
        (layer.name, type(layer).__name__, _shapes(layer.output), f"{layer.count_params():,}")
        for layer in network.layers
        if layer.count_params() or isinstance(layer, keras.layers.InputLayer)
    ]
    rows.append((network.name, "output and sum", _shapes(network.outputs[0]), f"{network.count_params():,}"))
    table = textwrap.indent(plain_table(rows, right=(2, 3)), "  ")
    return f"{network.name}: {num_trainable(network):,} trainable parameters\n{table}"


def _shapes(outputs: keras.KerasTensor | list[keras.KerasTensor]) -> str:
    """Returns the shapes of a layer's outputs without the batch, such as `4x4x512`; a number has the shape `1`."""
    return ", ".join("x".join(map(str, output.shape[1:])) or "1" for output in keras.tree.flatten(outputs))
