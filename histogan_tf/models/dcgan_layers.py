"""The layers of carpedm20's DCGAN-tensorflow (ops.py), and what may stand in their place.

Keras's defaults are not the original's: batch norm has momentum 0.9 and epsilon 1e-5, convolutions start from a
truncated normal and linear and transposed layers from a normal of standard deviation 0.02, biases start at zero and
stand before batch norm too, and sizes follow ceil(size / stride).
"""

from __future__ import annotations

import itertools
from collections.abc import Callable

import keras
from keras import layers

from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.spectral import SpectralDense


class DCGANLayers:
    """Makes the layers of one network as the original does, each from a seed of its own.

    Args:
        precision: a Keras dtype policy.
        seed: of the initial weights.
        purpose: tells the seeds of one network from those of another.
        sync_batch_norm: batch norm by the statistics of all replicas' batches together.
        cpu_kernels: make the layers of what is fast on a CPU instead of plain Keras.
    """

    def __init__(
        self, precision: str, seed: int, purpose: Purpose, sync_batch_norm: bool, cpu_kernels: bool = False
    ) -> None:
        self.precision = precision
        # The first seeds do not depend on how many are asked for, so a deeper network goes on where another ends.
        self._seeds = (weight_seeds(seed, purpose, number)[-1] for number in itertools.count(1))
        self._sync_batch_norm = sync_batch_norm
        self._classes = layer_classes(cpu_kernels)

    def linear(
        self,
        hidden: keras.KerasTensor,
        units: int,
        name: str,
        precision: str | None = None,
        layer: type[layers.Dense] = layers.Dense,
    ) -> keras.KerasTensor:
        """The original's `linear`."""
        return layer(units, kernel_initializer=self._normal(), name=name, dtype=precision or self.precision)(hidden)

    def conv(self, hidden: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """The original's `conv2d`: 5x5, stride 2."""
        initializer = keras.initializers.TruncatedNormal(stddev=0.02, seed=next(self._seeds))
        return self._conv_class()(
            filters, 5, strides=2, padding="same", kernel_initializer=initializer, name=name, dtype=self.precision
        )(hidden)

    def _conv_class(self) -> Callable[..., keras.Layer]:
        return self._classes.conv

    def transposed_conv(
        self,
        hidden: keras.KerasTensor,
        filters: int,
        kernel_size: int,
        stride: int,
        out_size: tuple[int, int],
        name: str,
    ) -> keras.KerasTensor:
        """The original's `deconv2d`: SAME padding to a stated size, which Keras reaches through its output padding."""
        layer = self._classes.transposed_conv(
            filters, kernel_size, strides=stride, padding="same", **self._settings(name)
        )
        # Set here because the constructor refuses a padding as large as the stride, which even kernels need.
        layer.output_padding = tuple(
            out_pixels - (in_pixels - 1) * stride - kernel_size % 2
            for in_pixels, out_pixels in zip(hidden.shape[1:3], out_size, strict=True)
        )
        return layer(hidden)

    def resized_conv(
        self,
        hidden: keras.KerasTensor,
        filters: int,
        kernel_size: int,
        stride: int,
        out_size: tuple[int, int],
        name: str,
    ) -> keras.KerasTensor:
        """Nearest-neighbour resizing and a convolution, whose kernels overlap evenly at every pixel.

        Odena et al., "Deconvolution and Checkerboard Artifacts", Distill, 2016. Pixels are repeated, and those beyond
        the size cut off: the gradient of TensorFlow's own resizing has no deterministic kernel on a GPU.
        """
        if stride > 1:
            hidden = layers.UpSampling2D(stride, interpolation="nearest", dtype=self.precision)(hidden)
        margins = [(0, pixels - out_pixels) for pixels, out_pixels in zip(hidden.shape[1:3], out_size, strict=True)]
        if any(map(any, margins)):
            hidden = layers.Cropping2D(margins, dtype=self.precision)(hidden)
        return self._classes.conv(filters, kernel_size, padding="same", **self._settings(name))(hidden)

    def batch_norm(self, hidden: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """The original's `batch_norm`."""
        return self._classes.batch_norm(
            momentum=0.9, epsilon=1e-5, synchronized=self._sync_batch_norm, name=name, dtype=self.precision
        )(hidden)

    def relu(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """The generator's activation."""
        return layers.ReLU(dtype=self.precision)(hidden)

    def leaky_relu(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """The discriminator's activation, the original's `lrelu`."""
        return layers.LeakyReLU(negative_slope=0.2, dtype=self.precision)(hidden)

    def flatten(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Feature maps to vectors."""
        return layers.Flatten(dtype=self.precision)(hidden)

    def _settings(self, name: str) -> dict[str, object]:
        return {"kernel_initializer": self._normal(), "name": name, "dtype": self.precision}

    def _normal(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.02, seed=next(self._seeds))


class SpectralLayers(DCGANLayers):
    """A discriminator's layers with spectrally normalized kernels, in batch norm's place."""

    def linear(self, *args, **kwargs) -> keras.KerasTensor:
        """A linear layer with a spectrally normalized kernel."""
        return super().linear(*args, layer=SpectralDense, **kwargs)

    def _conv_class(self) -> Callable[..., keras.Layer]:
        return self._classes.spectral_conv

    def batch_norm(self, hidden: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns its input: batch norm would undo the normalization of the kernels."""
        return hidden
