import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.kernel_gradients import kernel_gradient_by_convolution, kernel_gradient_by_product
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of


def _random(seed, shape):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding"),
    [
        ((7, 9), (5, 5), 1, "VALID"),
        ((8, 6), (1, 2), 1, "VALID"),
        ((7, 9), (5, 5), 1, "SAME"),
        ((8, 6), (4, 3), 1, "SAME"),  # more zeros behind than before
        ((8, 6), (5, 5), 2, "SAME"),  # likewise, and every second place of the kernel
        ((8, 6), (4, 3), 2, "VALID"),  # pixels that no output sees
        ((7, 9), (5, 5), 3, "VALID"),  # likewise
        ((7, 9), (1, 2), 3, "SAME"),  # pixels between the taps that no output sees
    ],
)
def test_a_kernel_gradient_is_tensorflows(size, kernel_size, stride, padding):
    inputs, kernel = _random(0, (4, *size, 3)), _random(1, (*kernel_size, 3, 5))
    with tf.GradientTape() as tape:
        tape.watch(kernel)
        outputs = tf.nn.conv2d(inputs, kernel, stride, padding)
    upstream = _random(2, outputs.shape)
    expected = tape.gradient(outputs, kernel, output_gradients=upstream)
    axes = axes_of(size, outputs.shape[1:3], kernel_size, (stride, stride), padding)
    ways = [kernel_gradient_by_convolution]
    if stride == 1 and padding == "VALID":
        ways.append(kernel_gradient_by_product)
    for way in ways:
        found = way(inputs, upstream, axes)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4)
