"""A convolution of enlarged maps: padded by reflection as in CycleGAN's generator, or upsampled first."""

from __future__ import annotations

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

Margins = Sequence[tuple[int, int]]
"""Numbers of pixels to add on each side of an image: ((above, below), (left, right))."""

NO_MARGINS = ((0, 0), (0, 0))


@keras.saving.register_keras_serializable(package="histogan_tf")
class EnlargedConv2D(keras.layers.Conv2D):
    """Keras's convolution of images, channels last, whose inputs are first enlarged.

    Attributes:
        upsampled_size: the argument of this name.

    Args:
        args, kwargs: the arguments of Keras's Conv2D.
        upsampled_size: the (height, width) of the inputs after bilinear upsampling to twice their size, of which the
            last row and column are cut off where they are too many; None to leave the size.
        reflection: the numbers of pixels to add on each side after that; the pixels at the edge are not repeated.
    """

    def __init__(
        self, *args, upsampled_size: tuple[int, int] | None = None, reflection: Margins = NO_MARGINS, **kwargs
    ) -> None:
        super().__init__(*args, **kwargs)
        self.upsampled_size = upsampled_size and tuple(upsampled_size)
        # An array, since Keras would track a tuple of tuples as part of the layer's state and save it in checkpoints.
        self._reflection = np.array(reflection)

    def get_config(self) -> dict[str, object]:
        """Returns the arguments with which an equal layer can be made."""
        enlargement = {"upsampled_size": self.upsampled_size, "reflection": self._reflection.tolist()}
        return super().get_config() | enlargement

    def compute_output_shape(self, input_shape: Sequence[int | None]) -> tuple[int | None, ...]:
        """Returns the shape of the outputs for a shape of inputs; a size is None where it is unknown."""
        num_images, *size, channels = input_shape
        size = self.upsampled_size or size
        size = [pixels and pixels + sum(margins) for pixels, margins in zip(size, self._reflection, strict=True)]
        return super().compute_output_shape((num_images, *size, channels))

    def call(self, inputs, training: bool | None = None):
        """Returns the convolution of inputs, float (batch, height, width, channels), whether `training` or not."""
        return super().call(self._reflected(self._upsampled(inputs)))

    def _upsampled(self, inputs):
        if self.upsampled_size is None:
            return inputs
        height, width = self.upsampled_size
        twice = [2 * pixels for pixels in inputs.shape[1:3]]
        return ops.image.resize(inputs, twice, interpolation="bilinear")[:, :height, :width]

    def _reflected(self, inputs):
        if not self._reflection.any():
            return inputs
        return ops.pad(inputs, [(0, 0), *map(tuple, self._reflection.tolist()), (0, 0)], mode="reflect")
