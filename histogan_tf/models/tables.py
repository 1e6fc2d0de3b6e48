"""A network as a table to read: layer, output shape, parameters."""

from __future__ import annotations

import math

import keras


def num_trainable(network: keras.Model) -> int:
    """How many numbers of a network training changes."""
    return sum(math.prod(weight.shape) for weight in network.trainable_weights)


def network_table(network: keras.Model) -> str:
    """One line for each layer that has parameters, or that is named after what it puts out, and a last one of sums."""
    rows = [
        (layer.name, type(layer).__name__, "x".join(map(str, layer.output.shape[1:])), f"{layer.count_params():,}")
        for layer in network.layers
        if layer.count_params() or isinstance(layer, keras.layers.InputLayer)
    ]
    output_shape = "x".join(map(str, network.output.shape[1:]))
    rows.append((network.name, "output and sum", output_shape, f"{network.count_params():,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:>{widths[2]}}  {parameters:>{widths[3]}}"
        for name, kind, shape, parameters in rows
    ]
    return "\n".join([f"{network.name}: {num_trainable(network):,} trainable parameters", *lines])
