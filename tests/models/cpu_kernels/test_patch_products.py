import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.patch_products import (
    convolve_patches,
    convolve_patches_transposed,
    kernel_gradient_of_patches,
)


def _random(seed, shape):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float64)


@pytest.mark.parametrize("kernel_size", [(4, 4), (3, 2), (1, 1), (7, 9)])
def test_a_convolution_and_its_gradients_are_tensorflows(kernel_size):
    inputs, kernel = _random(0, (2, 7, 9, 3)), _random(1, (*kernel_size, 3, 5))
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = tf.nn.conv2d(inputs, kernel, 1, "VALID")
    upstream = _random(2, outputs.shape)
    expected = [outputs, *tape.gradient(outputs, [inputs, kernel], output_gradients=upstream)]
    found = [
        convolve_patches(inputs, kernel),
        convolve_patches_transposed(upstream, kernel),
        kernel_gradient_of_patches(inputs, upstream),
    ]
    for mine, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-12, atol=1e-12)
