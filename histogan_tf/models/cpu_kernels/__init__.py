"""Layers that are faster than Keras's own, behind one switch, --cpu_kernels.

`layer_classes` returns the classes of layers that networks are made of: Keras's own, or subclasses that compute the
same in less time or memory, with the same weights under the same names. Convolutions and cropping are for a CPU. The
normalizations serve a GPU too: Keras's own pass a gradient to their inputs along three ways, which TensorFlow adds up
in an order that the moment decides, on a GPU as on a CPU; the fused operation has one gradient. The leaky ReLU
takes less memory on both.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras

from histogan_tf.machine.gpu import has_gpu
from histogan_tf.models.cpu_kernels.activations import LeanLeakyReLU
from histogan_tf.models.cpu_kernels.convolutions import (
    FastConv2D,
    FastConv2DTranspose,
    FastEqualizedConv2D,
    FastSpectralConv2D,
)
from histogan_tf.models.cpu_kernels.cropping import PaddedCropping2D
from histogan_tf.models.cpu_kernels.normalization import FusedBatchNormalization, FusedInstanceNormalization
from histogan_tf.models.enlargement import EnlargedConv2D
from histogan_tf.models.equalized import EqualizedConv2D
from histogan_tf.models.spectral import SpectralConv2D


class LayerClasses(NamedTuple):
    """The classes of a network's layers. Each takes the arguments of the Keras layer that it stands for.

    Attributes:
        conv: the convolution.
        enlarged_conv: the convolution that can enlarge its inputs first, see `EnlargedConv2D`.
        transposed_conv: the transposed convolution.
        spectral_conv: the convolution with a spectrally normalized kernel.
        equalized_conv: the convolution with an equalized learning rate.
        batch_norm: batch normalization.
        instance_norm: instance normalization, which normalizes each channel of each image by itself.
        leaky_relu: the leaky ReLU.
        cropping: the layer that cuts off the edges of maps.
    """

    conv: Callable[..., keras.Layer]
    enlarged_conv: Callable[..., keras.Layer]
    transposed_conv: Callable[..., keras.Layer]
    spectral_conv: Callable[..., keras.Layer]
    equalized_conv: Callable[..., keras.Layer]
    batch_norm: Callable[..., keras.Layer]
    instance_norm: Callable[..., keras.Layer]
    leaky_relu: Callable[..., keras.Layer]
    cropping: Callable[..., keras.Layer]


_PLAIN = LayerClasses(
    conv=keras.layers.Conv2D,
    enlarged_conv=EnlargedConv2D,
    transposed_conv=keras.layers.Conv2DTranspose,
    spectral_conv=SpectralConv2D,
    equalized_conv=EqualizedConv2D,
    batch_norm=keras.layers.BatchNormalization,
    # Instance normalization (Ulyanov et al. 2016) is group normalization with one channel in each group: -1.
    instance_norm=functools.partial(keras.layers.GroupNormalization, groups=-1),
    leaky_relu=keras.layers.LeakyReLU,
    cropping=keras.layers.Cropping2D,
)
_FAST = LayerClasses(
    conv=FastConv2D,
    enlarged_conv=FastConv2D,
    transposed_conv=FastConv2DTranspose,
    spectral_conv=FastSpectralConv2D,
    equalized_conv=FastEqualizedConv2D,
    batch_norm=FusedBatchNormalization,
    instance_norm=FusedInstanceNormalization,
    leaky_relu=LeanLeakyReLU,
    cropping=PaddedCropping2D,
)


_ON_GPU = _PLAIN._replace(
    batch_norm=FusedBatchNormalization, instance_norm=FusedInstanceNormalization, leaky_relu=LeanLeakyReLU
)


def layer_classes(cpu_kernels: bool) -> LayerClasses:
    """Returns the classes of layers that networks are made of: for a GPU if there is one, and else for a CPU.

    Args:
        cpu_kernels: the value of --cpu_kernels; Keras's own layers if it is off.
    """
    if not cpu_kernels:
        return _PLAIN
    return _ON_GPU if has_gpu() else _FAST
