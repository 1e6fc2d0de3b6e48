"""Keras's batch and instance normalization on TensorFlow's fused kernel.

Keras computes both from many small operations, each a pass over memory: in a bfloat16 step of a DCGAN on a CPU they
cost as much as a convolution. FusedBatchNormV3 makes one pass there and one back, with float32 statistics of bfloat16
activations as Keras has them, and where statistics are fixed TensorFlow joins it to the convolution before it. Weights
and names are Keras's own.
"""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="histogan_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization over the channels of feature maps, or the units of vectors (Ioffe & Szegedy 2015)."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalizes by the batch's statistics in training, and by their moving averages otherwise.

        Args:
            inputs: float (batch, height, width, channels) or (batch, units); the latter, and synchronized statistics,
                go Keras's own way.
            training: whether to use, and to take in, the statistics of this batch.
            mask: as in Keras.
        """
        if len(inputs.shape) != 4 or self.synchronized:
            return super().call(inputs, training=training, mask=mask)
        scale, offset = self.gamma.value, self.beta.value
        if not (training and self.trainable):
            moments = self.moving_mean.value, self.moving_variance.value
            return _fused(inputs, scale, offset, self.epsilon, moments)[0]
        outputs, mean, variance = _fused(inputs, scale, offset, self.epsilon)
        # The kernel gives the sample variance, n - 1 below the line; Keras averages that of the batch itself.
        num_values = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        self._take_in(self.moving_mean, mean)
        self._take_in(self.moving_variance, variance * (num_values - 1) / num_values)
        return outputs

    def _take_in(self, moving_average: keras.Variable, statistic: tf.Tensor) -> None:
        moving_average.assign(moving_average * self.momentum + statistic * (1 - self.momentum))


@keras.saving.register_keras_serializable(package="histogan_tf")
class FusedInstanceNormalization(keras.layers.GroupNormalization):
    """Normalization of every channel of every image by itself (Ulyanov et al. 2016): as many groups as channels."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"groups": -1, **kwargs})

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """The same in training and inference.

        Args:
            inputs: float (batch, height, width, channels).
            training: whether to take the fused kernel, for which the batch's images become channels; exported graphs
                keep to Keras's operations, which every runtime knows.
        """
        if not training:
            return super().call(inputs)
        num_images = inputs.shape[0] or tf.shape(inputs)[0]
        _, height, width, channels = inputs.shape
        if inputs.shape[0] == 1:
            return _fused(inputs, self.gamma.value, self.beta.value, self.epsilon)[0]
        pixels = tf.transpose(tf.reshape(inputs, (num_images, height * width, channels)), (1, 0, 2))
        outputs, _, _ = _fused(
            tf.reshape(pixels, (1, height * width, 1, num_images * channels)),
            tf.tile(self.gamma.value, [num_images]),
            tf.tile(self.beta.value, [num_images]),
            self.epsilon,
        )
        pixels = tf.transpose(tf.reshape(outputs, (height * width, num_images, channels)), (1, 0, 2))
        return tf.reshape(pixels, (num_images, height, width, channels))


def fuse_batch_norms(network: keras.Model) -> None:
    """Makes the batch norms of a network that a library has built take the fused kernel, with their weights and names.

    Args:
        network: changed in place; its layers have no activations, masks or axes of their own.
    """
    for layer in network.layers:
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = (
                FusedBatchNormalization  # the libraries take no layer of ours, and state must stay the same
            )


def _fused(
    inputs: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    epsilon: float,
    moments: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """(inputs - mean) / sqrt(variance + epsilon) * scale + offset, the mean, and the sample variance, by channel.

    Mean and variance are `moments` if there are some, otherwise those of the inputs.
    """
    mean, variance = moments or (tf.zeros((0,)), tf.zeros((0,)))
    result = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=epsilon, is_training=not moments
    )
    return result.y, result.batch_mean, result.batch_variance
