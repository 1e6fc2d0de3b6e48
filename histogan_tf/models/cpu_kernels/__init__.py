"""Layers that are faster on a CPU than Keras's own, behind one switch, --cpu_kernels.

`layer_classes` returns the classes of layers that networks are made of: Keras's own, or subclasses that compute the
same in less time, with the same weights under the same names.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels.convolutions import (
    FastConv2D,
    FastConv2DTranspose,
    FastEqualizedConv2D,
    FastSpectralConv2D,
)
from histogan_tf.models.cpu_kernels.normalization import FusedBatchNormalization, FusedInstanceNormalization
from histogan_tf.models.equalized import EqualizedConv2D
from histogan_tf.models.reflection import ReflectedConv2D
from histogan_tf.models.spectral import SpectralConv2D


class LayerClasses(NamedTuple):
    """The classes of a network's layers. Each takes the arguments of the Keras layer that it stands for.

    Attributes:
        conv: the convolution.
        reflected_conv: the convolution that also takes `reflection`, see `ReflectedConv2D`.
        transposed_conv: the transposed convolution.
        spectral_conv: the convolution with a spectrally normalized kernel.
        equalized_conv: the convolution with an equalized learning rate.
        batch_norm: batch normalization.
        instance_norm: instance normalization, which normalizes each channel of each image by itself.
    """

    conv: Callable[..., keras.Layer]
    reflected_conv: Callable[..., keras.Layer]
    transposed_conv: Callable[..., keras.Layer]
    spectral_conv: Callable[..., keras.Layer]
    equalized_conv: Callable[..., keras.Layer]
    batch_norm: Callable[..., keras.Layer]
    instance_norm: Callable[..., keras.Layer]


_PLAIN = LayerClasses(
    conv=keras.layers.Conv2D,
    reflected_conv=ReflectedConv2D,
    transposed_conv=keras.layers.Conv2DTranspose,
    spectral_conv=SpectralConv2D,
    equalized_conv=EqualizedConv2D,
    batch_norm=keras.layers.BatchNormalization,
    # Instance normalization (Ulyanov et al. 2016) is group normalization with one channel in each group: -1.
    instance_norm=functools.partial(keras.layers.GroupNormalization, groups=-1),
)
_FAST = LayerClasses(
    conv=FastConv2D,
    reflected_conv=FastConv2D,
    transposed_conv=FastConv2DTranspose,
    spectral_conv=FastSpectralConv2D,
    equalized_conv=FastEqualizedConv2D,
    batch_norm=FusedBatchNormalization,
    instance_norm=FusedInstanceNormalization,
)


def layer_classes(cpu_kernels: bool) -> LayerClasses:
    """Returns the classes of layers that networks are made of.

    Args:
        cpu_kernels: the value of --cpu_kernels.
    """
    return _FAST if is_on(cpu_kernels) else _PLAIN


def is_on(cpu_kernels: bool) -> bool:
    """Returns whether the fast layers are used: if --cpu_kernels is on and there is no GPU, which has fast kernels."""
    return cpu_kernels and not tf.config.list_logical_devices("GPU")
