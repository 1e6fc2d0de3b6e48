"""A convolution with padding by reflection, which CycleGAN's generator uses."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

Margins = Sequence[tuple[int, int]]
"""Numbers of pixels to add on each side of an image: ((above, below), (left, right))."""

NO_MARGINS = ((0, 0), (0, 0))


@keras.saving.register_keras_serializable(package="histogan_tf")
class ReflectedConv2D(keras.layers.Conv2D):
    """Keras's convolution of images, channels last, whose inputs are first enlarged by reflection.

    Args:
        args, kwargs: the arguments of Keras's Conv2D.
        reflection: the numbers of pixels to add on each side; the pixels at the edge are not repeated.
    """

    def __init__(self, *args, reflection: Margins = NO_MARGINS, **kwargs) -> None:
        super().__init__(*args, **kwargs)
        # An array, since Keras would track a tuple of tuples as part of the layer's state and save it in checkpoints.
        self._reflection = np.array(reflection)

    def get_config(self) -> dict[str, object]:
        """Returns the arguments with which an equal layer can be made."""
        return super().get_config() | {"reflection": self._reflection.tolist()}

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the outputs for a shape of inputs; a size is None where it is unknown."""
        num_images, *size, channels = input_shape
        size = [pixels and pixels + sum(margins) for pixels, margins in zip(size, self._reflection, strict=True)]
        return super().compute_output_shape((num_images, *size, channels))

    def call(self, inputs, training: bool | None = None):
        """Returns the convolution of inputs, float (batch, height, width, channels), whether `training` or not."""
        return super().call(self._reflected(inputs))

    def _reflected(self, inputs):
        if not self._reflection.any():
            return inputs
        return ops.pad(inputs, [(0, 0), *map(tuple, self._reflection.tolist()), (0, 0)], mode="reflect")
