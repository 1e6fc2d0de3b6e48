import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.activations import LeanLeakyReLU

INPUTS = np.array([-3.0, -1e-45, -0.0, 0.0, 1e-45, 0.5, 2.0, np.inf, -np.inf, np.nan], np.float32)


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_outputs_and_gradients_have_the_bits_of_kerass(dtype):
    found = []
    for layer in (LeanLeakyReLU(0.2, dtype=dtype), keras.layers.LeakyReLU(0.2, dtype=dtype)):
        inputs = tf.cast(INPUTS, layer.compute_dtype)
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=True)
        found.append([outputs, tape.gradient(outputs, inputs, output_gradients=tf.ones_like(outputs) * 3)])
    for mine, theirs in zip(*found, strict=True):
        assert mine.dtype == theirs.dtype
        np.testing.assert_array_equal(tf.cast(mine, tf.float32), tf.cast(theirs, tf.float32))


def test_the_gradient_keeps_the_outputs_alone():
    layer = LeanLeakyReLU(0.2)

    @tf.function
    def gradients(inputs):
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs * 2, training=True)
        return tape.gradient(outputs, inputs)

    operations = gradients.get_concrete_function(tf.TensorSpec((3,))).graph.get_operations()
    (gradient,) = (operation for operation in operations if operation.type == "LeakyReluGrad")
    assert _source(gradient.inputs[1]).type == "LeakyRelu"


def test_inference_is_kerass():
    operations = tf.function(LeanLeakyReLU(0.2)).get_concrete_function(tf.TensorSpec((3,))).graph.get_operations()
    assert {"IdentityN", "LeakyReluGrad"}.isdisjoint(operation.type for operation in operations)


def test_second_gradients_are_those_of_kerass():
    inputs = tf.constant([-2.0, 1.0, 3.0])

    def penalty_gradient(layer):
        with tf.GradientTape() as outer:
            outer.watch(inputs)
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = tf.reduce_sum(layer(inputs**2 * tf.sign(inputs), training=True))
            penalty = tf.reduce_sum(inner.gradient(outputs, inputs) ** 2)
        return outer.gradient(penalty, inputs)

    np.testing.assert_array_equal(
        penalty_gradient(LeanLeakyReLU(0.2)), penalty_gradient(keras.layers.LeakyReLU(negative_slope=0.2))
    )


def _source(tensor):
    """The operation that made a tensor, without those that only pass it on."""
    operation = tensor.op
    while operation.type in ("Identity", "IdentityN"):
        operation = operation.inputs[tensor.value_index].op
    return operation
