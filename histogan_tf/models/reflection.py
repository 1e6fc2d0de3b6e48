"""Convolutions that see a mirror image beyond the edges of their inputs, as CycleGAN's do."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

Margins = Sequence[tuple[int, int]]
"""Pixels ((above, below), (left, right))."""

NO_MARGINS = ((0, 0), (0, 0))


@keras.saving.register_keras_serializable(package="histogan_tf")
class ReflectedConv2D(keras.layers.Conv2D):
    """Keras's convolution of images, channels last, whose inputs are first enlarged by reflection.

    Args:
        args, kwargs: those of Keras's Conv2D.
        reflection: pixels to mirror on each side; the edge itself is not repeated.
    """

    def __init__(self, *args, reflection: Margins = NO_MARGINS, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # Keras would track a tuple of tuples as a part of the layer's state, and checkpoints would hold it.
        self._reflection = np.array(reflection)

    def get_config(self) -> dict[str, object]:
        """The arguments of the constructor."""
        return super().get_config() | {"reflection": self._reflection.tolist()}

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """The shape of the outputs; None where a size is not known."""
        num_images, *size, channels = input_shape
        size = [pixels and pixels + sum(margins) for pixels, margins in zip(size, self._reflection, strict=True)]
        return super().compute_output_shape((num_images, *size, channels))

    def call(self, inputs, training: bool | None = None):
        """Convolves inputs, float (batch, height, width, channels); `training` changes nothing here."""
        return super().call(self._reflected(inputs))

    def _reflected(self, inputs):
        if not self._reflection.any():
            return inputs
        return ops.pad(inputs, [(0, 0), *map(tuple, self._reflection.tolist()), (0, 0)], mode="reflect")
