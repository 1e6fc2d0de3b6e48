"""The layers of carpedm20's DCGAN-tensorflow (ops.py), and the layers that may replace them.

The original differs from Keras's defaults. Its batch norm has momentum 0.9 and epsilon 1e-5. Its convolutions start
from a truncated normal distribution, its linear layers and transposed convolutions from a normal one, both of standard
deviation 0.02. Biases start at zero, and layers before batch norm have them too. A convolution's output has
ceil(size / stride) pixels a side.
"""

from __future__ import annotations

from collections.abc import Callable

import keras
from keras import layers

from histogan_tf.machine.randomness import Purpose, seeds_of_weights
from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.spectral import SpectralDense


class DCGANLayers:
    """Makes the layers of one network as the original does, each from a seed of its own.

    Args:
        precision: a Keras dtype policy.
        seed: the seed of the initial weights.
        purpose: the network's purpose, which gives each network other seeds.
        sync_batch_norm: whether batch norm uses the statistics of all replicas' batches together.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
    """

    def __init__(
        self, precision: str, seed: int, purpose: Purpose, sync_batch_norm: bool, cpu_kernels: bool = False
    ) -> None:
        self.precision = precision
        # A deeper network has the same seeds in its first layers.
        self._seeds = seeds_of_weights(seed, purpose)
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
        """Returns the output of a fully connected layer, the original's `linear`."""
        return layer(units, kernel_initializer=self._normal(), name=name, dtype=precision or self.precision)(hidden)

    def conv(self, hidden: keras.KerasTensor, filters: int, name: str) -> keras.KerasTensor:
        """Returns the output of a 5x5 convolution with stride 2, the original's `conv2d`."""
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
        """Returns the output of a transposed convolution of size `out_size`, the original's `deconv2d`.

        The padding is SAME. Keras takes no output size, so the size is reached by its output padding.
        """
        layer = self._classes.transposed_conv(
            filters, kernel_size, strides=stride, padding="same", **self._settings(name)
        )
        # Set after construction: the constructor refuses a padding as large as the stride, which even kernels need.
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
        """Returns the output of a nearest-neighbour resizing and a convolution, which leaves no checkerboard.

        The kernels overlap evenly at every pixel (Odena et al., "Deconvolution and Checkerboard Artifacts", Distill,
        2016). Pixels are repeated and those beyond `out_size` are cut off, because the gradient of TensorFlow's own
        resizing has no deterministic kernel on a GPU.
        """
        if stride > 1:
            hidden = layers.UpSampling2D(stride, interpolation="nearest", dtype=self.precision)(hidden)
        margins = [(0, pixels - out_pixels) for pixels, out_pixels in zip(hidden.shape[1:3], out_size, strict=True)]
        if any(map(any, margins)):
            hidden = layers.Cropping2D(margins, dtype=self.precision)(hidden)
        return self._classes.conv(filters, kernel_size, padding="same", **self._settings(name))(hidden)

    def batch_norm(self, hidden: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns the output of batch normalization, the original's `batch_norm`."""
        return self._classes.batch_norm(
            momentum=0.9, epsilon=1e-5, synchronized=self._sync_batch_norm, name=name, dtype=self.precision
        )(hidden)

    def relu(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the output of a ReLU, the generator's activation."""
        return layers.ReLU(dtype=self.precision)(hidden)

    def leaky_relu(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the output of a leaky ReLU, the discriminator's activation and the original's `lrelu`."""
        return self._classes.leaky_relu(negative_slope=0.2, dtype=self.precision)(hidden)

    def flatten(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        """Returns feature maps as vectors."""
        return layers.Flatten(dtype=self.precision)(hidden)

    def _settings(self, name: str) -> dict[str, object]:
        return {"kernel_initializer": self._normal(), "name": name, "dtype": self.precision}

    def _normal(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.02, seed=next(self._seeds))


class SpectralLayers(DCGANLayers):
    """Makes a discriminator's layers with spectrally normalized kernels instead of batch norm."""

    def linear(self, *args, **kwargs) -> keras.KerasTensor:
        """Returns the output of a fully connected layer with a spectrally normalized kernel."""
        return super().linear(*args, layer=SpectralDense, **kwargs)

    def _conv_class(self) -> Callable[..., keras.Layer]:
        return self._classes.spectral_conv

    def batch_norm(self, hidden: keras.KerasTensor, name: str) -> keras.KerasTensor:
        """Returns its input: batch norm would undo the normalization of the kernels."""
        return hidden
