"""Layers with an equalized learning rate, against plain ones."""

from __future__ import annotations

import keras
import numpy as np
import pytest

from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.equalized import EqualizedDense


@pytest.mark.parametrize("cpu_kernels", [False, True])
def test_a_convolution_computes_with_its_kernel_divided_by_the_root_of_its_inputs(cpu_kernels):
    rng = np.random.default_rng(0)
    images, kernel = (rng.normal(size=shape).astype(np.float32) for shape in ((2, 6, 6, 4), (3, 3, 4, 5)))
    layer = layer_classes(cpu_kernels).equalized_conv(5, 3, padding="same")
    layer.build(images.shape)
    layer.set_weights([kernel, np.arange(5.0)])
    plain = keras.layers.Conv2D(5, 3, padding="same")
    plain.build(images.shape)
    plain.set_weights([kernel / 6.0, np.arange(5.0)])  # 6 is the root of 3 * 3 * 4
    for training in (False, True):
        np.testing.assert_allclose(layer(images, training=training), plain(images), rtol=1e-4, atol=1e-5)


def test_a_fully_connected_layer_does_so_too():
    vectors = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    layer = EqualizedDense(2)
    layer.build(vectors.shape)
    layer.set_weights([np.ones((4, 2)), np.zeros(2)])
    np.testing.assert_allclose(
        layer(vectors), np.repeat(vectors.sum(axis=1, keepdims=True) / 2.0, 2, axis=1), rtol=1e-6
    )
