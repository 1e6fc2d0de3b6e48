"""Keras's batch and instance normalization, computed by TensorFlow's fused operation FusedBatchNormV3.

Keras computes both from many small operations, each of which reads and writes all activations: in a bfloat16 step of a
DCGAN on a CPU they cost as much as a convolution. The fused operation is one forward and one backward operation. Like
Keras, it computes float32 statistics of bfloat16 activations. Where the statistics are fixed, TensorFlow merges it with
the convolution before it. Weights and names are Keras's own.
"""

from __future__ import annotations

import keras
import tensorflow as tf


@keras.saving.register_keras_serializable(package="histogan_tf")
class FusedBatchNormalization(keras.layers.BatchNormalization):
    """Batch normalization of the channels of feature maps, or of the units of vectors (Ioffe & Szegedy 2015)."""

    def call(self, inputs: tf.Tensor, training: bool | None = None, mask: tf.Tensor | None = None) -> tf.Tensor:
        """Normalizes inputs by the statistics of the batch in training, and by their moving averages otherwise.

        Args:
            inputs: float (batch, height, width, channels) or (batch, units). Keras's own operations normalize vectors
                in inference, and any inputs if statistics are synchronized over replicas.
            training: whether to normalize by the statistics of this batch, and to update the moving averages with them.
            mask: the mask of Keras's layer, which is passed on to Keras's own operations.
        """
        is_learning = training and self.trainable
        if self.synchronized or (len(inputs.shape) != 4 and not is_learning):
            return super().call(inputs, training=training, mask=mask)
        scale, offset = self.gamma.value, self.beta.value
        if not is_learning:
            moments = self.moving_mean.value, self.moving_variance.value
            return _fused(inputs, scale, offset, self.epsilon, moments)[0]
        # A vector is a map of one pixel.
        maps = inputs if len(inputs.shape) == 4 else inputs[:, tf.newaxis, tf.newaxis]
        outputs, mean, variance = _fused(maps, scale, offset, self.epsilon)
        # The operation returns the unbiased variance, divided by n - 1; Keras averages the variance divided by n.
        num_values = tf.cast(tf.size(inputs) // inputs.shape[-1], tf.float32)
        self._take_in(self.moving_mean, mean)
        self._take_in(self.moving_variance, variance * (num_values - 1) / num_values)
        return tf.reshape(outputs, tf.shape(inputs)) if maps is not inputs else outputs

    def _take_in(self, moving_average: keras.Variable, statistic: tf.Tensor) -> None:
        moving_average.assign(moving_average * self.momentum + statistic * (1 - self.momentum))


@keras.saving.register_keras_serializable(package="histogan_tf")
class FusedInstanceNormalization(keras.layers.GroupNormalization):
    """Instance normalization, which normalizes each channel of each image by itself (Ulyanov et al. 2016)."""

    def __init__(self, **kwargs) -> None:
        super().__init__(**{"groups": -1, **kwargs})

    def call(self, inputs: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        """Returns the normalized inputs, which are the same in training and inference up to rounding.

        Args:
            inputs: float (batch, height, width, channels).
            training: whether to use the fused operation, to which each channel of each image is given as a channel of
                its own. If not, Keras's operations are used, because exported graphs must run in every runtime.
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
    """Makes the batch normalizations of a finished network use the fused operation, with their weights and names.

    Args:
        network: the network, such as one of a library, which is changed in place. Its batch normalizations must be over
            the last axis and without masks.
    """
    for layer in network.layers:
        if type(layer) is keras.layers.BatchNormalization:
            layer.__class__ = (
                FusedBatchNormalization  # libraries build their own layers, and the layer's weights must stay the same
            )


def _fused(
    inputs: tf.Tensor,
    scale: tf.Tensor,
    offset: tf.Tensor,
    epsilon: float,
    moments: tuple[tf.Tensor, tf.Tensor] | None = None,
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns (inputs - mean) / sqrt(variance + epsilon) * scale + offset, and the mean and variance of each channel.

    Mean and variance are `moments` if given, and otherwise those of the inputs, with the unbiased variance returned.
    """
    mean, variance = moments or (tf.zeros((0,)), tf.zeros((0,)))
    result = tf.raw_ops.FusedBatchNormV3(
        x=inputs, scale=scale, offset=offset, mean=mean, variance=variance, epsilon=epsilon, is_training=not moments
    )
    return result.y, result.batch_mean, result.batch_variance
