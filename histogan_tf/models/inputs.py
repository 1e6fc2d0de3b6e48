"""The inputs of networks that may be conditioned on labels."""

from __future__ import annotations

import keras


def named_inputs(network: keras.Model, first: object, labels: object) -> dict[str, object]:
    """Returns the inputs of a network by name: z or images, and the labels if the network is conditional."""
    return dict(zip(network.input, (first, labels), strict=False))
