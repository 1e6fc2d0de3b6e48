"""What makes the networks fast on a CPU, behind one switch.

`layer_classes` gives the networks their layers: Keras's own, or subclasses that compute the same in less time, with the
same weights under the same names. Nothing else of the package reaches into this folder.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import NamedTuple

import keras
import tensorflow as tf

from histogan_tf.models.cpu_kernels.convolutions import FastConv2D, FastConv2DTranspose, FastSpectralConv2D
from histogan_tf.models.cpu_kernels.normalization import FusedBatchNormalization, FusedInstanceNormalization
from histogan_tf.models.reflection import ReflectedConv2D
from histogan_tf.models.spectral import SpectralConv2D


class LayerClasses(NamedTuple):
    """The classes that a network makes its layers of; each is called with the arguments of Keras's own.

    Attributes:
        conv: a convolution.
        reflected_conv: a convolution that takes `reflection` too.
        transposed_conv: a transposed convolution.
        spectral_conv: a convolution with a spectrally normalized kernel.
        batch_norm: batch normalization.
        instance_norm: normalization of every channel of every image by itself.
    """

    conv: Callable[..., keras.Layer]
    reflected_conv: Callable[..., keras.Layer]
    transposed_conv: Callable[..., keras.Layer]
    spectral_conv: Callable[..., keras.Layer]
    batch_norm: Callable[..., keras.Layer]
    instance_norm: Callable[..., keras.Layer]


_PLAIN = LayerClasses(
    conv=keras.layers.Conv2D,
    reflected_conv=ReflectedConv2D,
    transposed_conv=keras.layers.Conv2DTranspose,
    spectral_conv=SpectralConv2D,
    batch_norm=keras.layers.BatchNormalization,
    # As many groups as channels (Ulyanov et al. 2016).
    instance_norm=functools.partial(keras.layers.GroupNormalization, groups=-1),
)
_FAST = LayerClasses(
    conv=FastConv2D,
    reflected_conv=FastConv2D,
    transposed_conv=FastConv2DTranspose,
    spectral_conv=FastSpectralConv2D,
    batch_norm=FusedBatchNormalization,
    instance_norm=FusedInstanceNormalization,
)


def layer_classes(cpu_kernels: bool) -> LayerClasses:
    """The classes that networks are made of.

    Args:
        cpu_kernels: the value of --cpu_kernels.
    """
    return _FAST if is_on(cpu_kernels) else _PLAIN


def is_on(cpu_kernels: bool) -> bool:
    """Whether a value of --cpu_kernels takes effect: a GPU has fast kernels of its own, and keeps to Keras's layers."""
    return cpu_kernels and not tf.config.list_logical_devices("GPU")
