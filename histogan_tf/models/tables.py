"""A text table of a network's layers, with their output shapes and numbers of parameters, for the log."""

from __future__ import annotations

import math

import keras


def network_table(network: keras.Model) -> str:
    """Returns the table: a line for each input and each layer with parameters, and a last line with the totals."""
    rows = [
        (layer.name, type(layer).__name__, "x".join(map(str, layer.output.shape[1:])), f"{layer.count_params():,}")
        for layer in network.layers
        if layer.count_params() or isinstance(layer, keras.layers.InputLayer)
    ]
    trainable = sum(math.prod(weight.shape) for weight in network.trainable_weights)
    output_shape = "x".join(map(str, network.output.shape[1:]))
    rows.append((network.name, "output and sum", output_shape, f"{network.count_params():,}"))
    widths = [max(len(row[column]) for row in rows) for column in range(4)]
    lines = [
        f"  {name:<{widths[0]}}  {kind:<{widths[1]}}  {shape:>{widths[2]}}  {parameters:>{widths[3]}}"
        for name, kind, shape, parameters in rows
    ]
    return "\n".join([f"{network.name}: {trainable:,} trainable parameters", *lines])
