"""Products before upsampling give the convolution of upsampled maps, and its gradients."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels import products_before_upsampling
from histogan_tf.models.cpu_kernels.products_before_upsampling import convolve_before_upsampling, relative_cost
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of


@pytest.fixture(params=[64, 5, 1])
def most_outputs(request, monkeypatch):
    """From how many outputs on, along an axis, these are divided into blocks."""
    monkeypatch.setattr(products_before_upsampling, "_MOST_OUTPUTS", request.param)
    products_before_upsampling._blocks_of.cache_clear()
    yield
    products_before_upsampling._blocks_of.cache_clear()


@pytest.mark.usefixtures("most_outputs")
@pytest.mark.parametrize(
    ("upsampled_size", "kernel_size", "stride", "padding"),
    [
        ((14, 12), (3, 3), 1, "SAME"),
        ((13, 11), (3, 2), 1, "SAME"),  # the last row and column are cut off; more zeros behind than before
        ((13, 12), (1, 4), 1, "VALID"),
        ((14, 11), (3, 3), 2, "VALID"),  # pixels that no output sees
    ],
)
def test_it_is_the_convolution_of_upsampled_maps(upsampled_size, kernel_size, stride, padding):
    random = np.random.default_rng(0)
    maps, kernel = tf.constant(random.normal(size=(2, 7, 6, 5))), tf.constant(random.normal(size=(*kernel_size, 5, 3)))
    height, width = upsampled_size

    def plain(maps, kernel):
        twice = tf.raw_ops.ResizeBilinear(images=maps, size=(14, 12), half_pixel_centers=True)
        return tf.nn.conv2d(tf.cast(twice, tf.float64)[:, :height, :width], kernel, stride, padding)

    def before(maps, kernel):
        out_size = plain(maps, kernel).shape[1:3]
        axes = axes_of((7, 6), out_size, kernel_size, (stride, stride), padding, upsampled_size=upsampled_size)
        return convolve_before_upsampling(maps, kernel, axes)

    def outputs_and_gradients(convolve):
        with tf.GradientTape() as tape:
            tape.watch([maps, kernel])
            outputs = convolve(maps, kernel)
            loss = tf.reduce_sum(tf.sin(outputs))
        return [outputs, *tape.gradient(loss, [maps, kernel])]

    # TensorFlow interpolates in float32.
    for found, expected in zip(outputs_and_gradients(before), outputs_and_gradients(plain), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-5)


def test_the_cost_counts_all_multiplications():
    axes = axes_of((29, 29), (57, 57), (3, 3), (1, 1), "SAME", upsampled_size=(57, 57))
    products = 29 * 29 * 9 * 64
    sums = 29 * 3 * 57 * 29 * 3 + 57 * 29 * 3 * 57
    assert relative_cost(axes, 64) == pytest.approx((products + sums) / (57 * 57 * 9 * 64))


def test_the_cost_does_not_grow_with_the_size():
    def cost(size):
        return relative_cost(
            axes_of((size // 2,) * 2, (size,) * 2, (3, 3), (1, 1), "SAME", upsampled_size=(size,) * 2), 64
        )

    assert cost(64) < cost(448) < 1.3 * cost(64)
