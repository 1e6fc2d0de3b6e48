"""Keras's cropping, whose gradient takes less time."""

from __future__ import annotations

import keras
import tensorflow as tf
from keras import ops


@keras.saving.register_keras_serializable(package="histogan_tf")
class PaddedCropping2D(keras.layers.Cropping2D):
    """Cropping by an operation whose gradient is padding with zeros.

    The gradient of Python's slices, which Keras uses, is a general operation that takes many times as long: a tenth of
    the step of a projected GAN, and 3 % of CycleGAN's.
    """

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the cropped maps.

        Args:
            inputs: float (batch, height, width, channels).
            training: whether gradients will be computed. If not, Keras's operations are used, as in exported networks.
        """
        if not training:
            return super().call(inputs)
        _, height, width, channels = self.compute_output_shape(inputs.shape)
        (top, _), (left, _) = self.cropping
        return ops.slice(inputs, (0, top, left, 0), (-1, height, width, channels))
