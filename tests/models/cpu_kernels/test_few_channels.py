import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels import few_channels
from histogan_tf.models.cpu_kernels.few_channels import (
    convolve_to_few_channels,
    convolve_transposed_to_few_channels,
    kernel_gradient_to_few_channels,
)
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of


def _random(seed, shape):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float64)


def _axes(size, kernel_size, stride, padding):
    out_size = tf.nn.conv2d(tf.zeros((1, *size, 1)), tf.zeros((*kernel_size, 1, 1)), stride, padding).shape[1:3]
    return axes_of(size, out_size, kernel_size, (stride, stride), padding)


@pytest.fixture(params=[1, 99])
def enough_channels(request, monkeypatch):
    """From how many channels on the taps of a row are not channels of their own."""
    monkeypatch.setattr(few_channels, "ENOUGH_CHANNELS", request.param)


FORMS = [
    ((7, 9), (5, 5), 1, "VALID"),
    ((7, 9), (5, 4), 1, "SAME"),  # more zeros behind than before
    ((8, 6), (1, 2), 1, "VALID"),  # one tap along an axis
]
STRIDED = [
    ((8, 6), (5, 5), 2, "SAME"),
    ((7, 9), (4, 4), 2, "SAME"),
    ((8, 7), (4, 3), 2, "VALID"),  # pixels that no output sees
    ((9, 8), (3, 3), 3, "SAME"),
    ((7, 9), (1, 2), 3, "SAME"),  # pixels between the taps that no output sees
]


@pytest.mark.usefixtures("enough_channels")
@pytest.mark.parametrize(("size", "kernel_size", "stride", "padding"), FORMS)
def test_it_is_the_convolution(size, kernel_size, stride, padding):
    inputs, kernel = _random(0, (2, *size, 5)), _random(1, (*kernel_size, 5, 3))
    found = convolve_to_few_channels(inputs, kernel, _axes(size, kernel_size, stride, padding))
    np.testing.assert_allclose(found, tf.nn.conv2d(inputs, kernel, stride, padding), rtol=1e-12, atol=1e-12)


@pytest.mark.usefixtures("enough_channels")
@pytest.mark.parametrize(("size", "kernel_size", "stride", "padding"), FORMS + STRIDED)
def test_it_is_the_transposed_convolution(size, kernel_size, stride, padding):
    axes = _axes(size, kernel_size, stride, padding)
    maps, kernel = _random(0, (2, *(axis.out_pixels for axis in axes), 5)), _random(1, (*kernel_size, 3, 5))
    found = convolve_transposed_to_few_channels(maps, kernel, axes)
    expected = tf.nn.conv2d_transpose(maps, kernel, (2, *size, 3), stride, padding)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("size", "kernel_size", "stride", "padding"), FORMS)
def test_it_is_the_gradient_of_the_kernel(size, kernel_size, stride, padding):
    inputs, axes = _random(0, (2, *size, 5)), _axes(size, kernel_size, stride, padding)
    upstream = _random(1, (2, *(axis.out_pixels for axis in axes), 3))
    expected = tf.raw_ops.Conv2DBackpropFilter(
        input=inputs,
        filter_sizes=[*kernel_size, 5, 3],
        out_backprop=upstream,
        strides=[1, 1, 1, 1],
        padding=padding,
    )
    found = kernel_gradient_to_few_channels(inputs, upstream, axes)
    np.testing.assert_allclose(found, expected, rtol=1e-12, atol=1e-12)
