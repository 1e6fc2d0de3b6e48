"""Spectral normalization against NumPy's singular values."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.spectral import SpectralConv2D, SpectralDense


@pytest.mark.parametrize(
    ("layer", "shape"),
    [
        (SpectralDense(7, name="layer"), (5,)),
        (SpectralConv2D(6, 3, strides=2, padding="same", name="layer"), (8, 8, 4)),
        (SpectralDense(1, name="layer"), (40,)),
    ],
)
def test_the_kernel_is_divided_by_its_largest_singular_value(layer, shape):
    # Power iterations converge by the ratio of the two largest singular values, so the kernel must not be chance.
    keras.utils.set_random_seed(0)
    inputs = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    for _ in range(300):
        result = layer(inputs, training=True)
    trained = layer._kernel.numpy()
    largest = np.linalg.svd(trained.reshape(-1, trained.shape[-1]), compute_uv=False)[0]
    np.testing.assert_allclose(layer.kernel, trained / largest, rtol=1e-4)
    plain = type(layer).__mro__[2].from_config(layer.get_config() | {"name": "plain"})
    plain.build((None, *shape))
    plain.set_weights([trained / largest, np.zeros(trained.shape[-1])])
    np.testing.assert_allclose(result, plain(inputs), rtol=1e-3, atol=1e-5)


def test_one_power_iteration_a_training_pass_and_none_otherwise():
    layer = SpectralDense(2)
    layer.build((None, 2))
    layer.set_weights([np.array([[3.0, 0.0], [0.0, 1.0]]), np.zeros(2), np.ones((1, 2))])
    layer(np.ones((1, 2), np.float32), training=False)
    np.testing.assert_array_equal(layer.u, [[1.0, 1.0]])
    layer(np.ones((1, 2), np.float32), training=True)
    # v = (3, 1) / |.|, u = v W / |.| = (9, 1) / sqrt(82)
    np.testing.assert_allclose(layer.u, np.array([[9.0, 1.0]]) / np.sqrt(82), rtol=1e-6)


def test_the_gradient_passes_through_the_norm():
    keras.utils.set_random_seed(0)
    layer = SpectralDense(3)
    layer.build((None, 4))
    inputs = tf.constant(np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32))
    for _ in range(50):
        layer(inputs, training=True)
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, training=False) ** 2)
    gradient = tape.gradient(loss, layer.trainable_variables[0])
    # W / sigma(W) does not change when W is scaled, so the gradient has no component along W.
    along = np.sum(gradient.numpy() * layer._kernel.numpy())
    assert abs(along) < 1e-4 * np.linalg.norm(gradient) * np.linalg.norm(layer._kernel)
    assert np.linalg.norm(gradient) > 0


def test_u_is_a_float32_weight_under_mixed_precision():
    layer = SpectralDense(3, dtype="mixed_bfloat16")
    result = layer(np.ones((2, 4), np.float32), training=True)
    assert result.dtype == tf.bfloat16
    assert [weight.dtype for weight in layer.weights] == ["float32"] * 3
    assert [weight.path.rsplit("/", 1)[-1] for weight in layer.non_trainable_weights] == ["u"]
    assert isinstance(layer, keras.layers.Dense)


def test_a_new_layer_has_made_fifteen_power_iterations():
    kernel = np.random.default_rng(1).normal(size=(6, 5)).astype(np.float32)
    layer = SpectralDense(5, kernel_initializer=keras.initializers.Constant(kernel))
    layer.build((None, 6))
    u = np.ones(5)
    for _ in range(15):
        u = kernel.T @ (kernel @ u)
    np.testing.assert_allclose(layer.u.numpy()[0], u / np.linalg.norm(u), rtol=1e-4)
    largest = np.linalg.svd(layer.kernel.numpy(), compute_uv=False)[0]
    assert largest == pytest.approx(1.0, abs=0.02)
