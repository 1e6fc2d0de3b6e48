import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.reflection import reflect


def _random(seed, shape):
    return tf.constant(np.random.default_rng(seed).normal(size=shape))


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("size", [(9, 8), (5, 4)])
@pytest.mark.parametrize("margins", [((1, 1), (1, 1)), ((3, 3), (3, 3)), ((2, 3), (0, 1)), ((0, 0), (0, 0))])
def test_margins_and_their_gradient_are_tensorflows(margins, size, is_compiled):
    images = _random(0, (2, *size, 3))
    upstream = _random(1, np.pad(images, ((0, 0), *margins, (0, 0))).shape)

    def outputs_and_gradient(pad):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = pad(images)
        return outputs, tape.gradient(outputs, images, output_gradients=upstream)

    run = tf.function(outputs_and_gradient) if is_compiled else outputs_and_gradient
    outputs, gradient = run(lambda images: reflect(images, margins))
    expected = outputs_and_gradient(lambda images: tf.pad(images, [(0, 0), *margins, (0, 0)], mode="REFLECT"))
    np.testing.assert_array_equal(outputs, expected[0])
    np.testing.assert_allclose(gradient, expected[1], rtol=1e-12, atol=1e-12)
