"""A network as a table to read: layer, output shape, parameters."""

from __future__ import annotations

import math
import textwrap

import keras

from histogan_tf.reporting.text_tables import plain_table


def network_table(network: keras.Model) -> str:
    """One line for each layer that has parameters, or that is named after what it puts out, and a last one of sums."""
    rows = [
        (layer.name, type(layer).__name__, "x".join(map(str, layer.output.shape[1:])), f"{layer.count_params():,}")
        for layer in network.layers
        if layer.count_params() or isinstance(layer, keras.layers.InputLayer)
    ]
    trainable = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    output_shape = "x".join(map(str, network.output.shape[1:]))
    rows.append((network.name, "output and sum", output_shape, f"{network.count_params():,}"))
    table = textwrap.indent(plain_table(rows, right=(2, 3)), "  ")
    return f"{network.name}: {trainable:,} trainable parameters\n{table}"
