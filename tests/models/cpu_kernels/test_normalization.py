import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.normalization import (
    FusedBatchNormalization,
    FusedInstanceNormalization,
    fuse_batch_norms,
)

SHAPE = (6, 5, 7, 3)


def _random(seed, shape=SHAPE):
    return np.random.default_rng(seed).normal(2.0, 3.0, shape).astype(np.float32)


def _outputs_and_gradients(layer, inputs, upstream):
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    gradients = tape.gradient(outputs, [inputs, layer.gamma.value, layer.beta.value], output_gradients=upstream)
    return [np.asarray(tensor) for tensor in (outputs, *gradients)]


def _with_weights(layer, shape=SHAPE):
    layer.build(shape)
    layer.gamma.assign(np.linspace(0.5, 1.5, shape[-1]))
    layer.beta.assign(np.linspace(-1.0, 1.0, shape[-1]))
    return layer


@pytest.mark.parametrize("shape", [SHAPE, (1, 5, 7, 3), (6, 4)])
def test_batch_normalization_trains_as_keras_does(shape):
    settings = {"momentum": 0.9, "epsilon": 1e-5}
    ours, theirs = (
        _with_weights(layer(**settings), shape) for layer in (FusedBatchNormalization, keras.layers.BatchNormalization)
    )
    for seed in range(3):
        inputs, upstream = tf.constant(_random(seed, shape)), tf.constant(_random(9 + seed, shape))
        for mine, keras_own in zip(
            _outputs_and_gradients(ours, inputs, upstream),
            _outputs_and_gradients(theirs, inputs, upstream),
            strict=True,
        ):
            np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours.moving_mean, theirs.moving_mean, rtol=1e-5)
    np.testing.assert_allclose(ours.moving_variance, theirs.moving_variance, rtol=1e-5)
    inputs = tf.constant(_random(20, shape))
    np.testing.assert_allclose(ours(inputs, training=False), theirs(inputs, training=False), rtol=1e-5, atol=1e-6)


def test_a_moving_variance_is_that_of_the_batch_itself():
    layer = _with_weights(FusedBatchNormalization(momentum=0.75))
    inputs = _random(0)
    layer(tf.constant(inputs), training=True)
    np.testing.assert_allclose(layer.moving_mean, 0.25 * inputs.mean((0, 1, 2)), rtol=1e-5)
    np.testing.assert_allclose(layer.moving_variance, 0.75 + 0.25 * inputs.var((0, 1, 2)), rtol=1e-5)


def test_bfloat16_keeps_float32_statistics():
    layers = [
        _with_weights(layer(momentum=0.9, epsilon=1e-5, dtype="mixed_bfloat16"))
        for layer in (FusedBatchNormalization, keras.layers.BatchNormalization)
    ]
    inputs = tf.cast(_random(1), tf.bfloat16)
    outputs = [layer(inputs, training=True) for layer in layers]
    assert outputs[0].dtype == tf.bfloat16
    mine, keras_own = (np.asarray(tf.cast(output, tf.float32)) for output in outputs)
    np.testing.assert_allclose(mine, keras_own, atol=2**-7 * np.abs(keras_own).max())
    np.testing.assert_allclose(layers[0].moving_mean, layers[1].moving_mean, rtol=1e-5)
    np.testing.assert_allclose(layers[0].moving_variance, layers[1].moving_variance, rtol=1e-4)


@pytest.mark.parametrize("num_images", [1, 2, 6])
def test_instance_normalization_is_keras_group_normalization_of_single_channels(num_images):
    shape = (num_images, *SHAPE[1:])
    ours = _with_weights(FusedInstanceNormalization(epsilon=1e-5), shape)
    theirs = _with_weights(keras.layers.GroupNormalization(groups=-1, epsilon=1e-5), shape)
    inputs, upstream = tf.constant(_random(0, shape)), tf.constant(_random(1, shape))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = theirs(inputs)
    gradients = tape.gradient(outputs, [inputs, theirs.gamma.value, theirs.beta.value], output_gradients=upstream)
    for mine, keras_own in zip(_outputs_and_gradients(ours, inputs, upstream), [outputs, *gradients], strict=True):
        np.testing.assert_allclose(mine, keras_own, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(ours(inputs, training=False), outputs, rtol=1e-5, atol=1e-5)


def test_instance_normalization_of_a_batch_of_unknown_size():
    layer = _with_weights(FusedInstanceNormalization())

    @tf.function(input_signature=[tf.TensorSpec((None, *SHAPE[1:]))])
    def normalize(inputs):
        return layer(inputs, training=True)

    inputs = _random(3)
    np.testing.assert_allclose(normalize(inputs), layer(tf.constant(inputs), training=False), rtol=1e-4, atol=1e-5)


def test_second_derivatives_exist():
    layer = _with_weights(FusedBatchNormalization())
    inputs = tf.constant(_random(0))

    def gradient_norm(layer):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = tf.reduce_sum(layer(inputs, training=True) ** 3)
            norm = tf.reduce_sum(inner.gradient(outputs, inputs) ** 2)
        return outer.gradient(norm, layer.gamma.value)

    expected = gradient_norm(_with_weights(keras.layers.BatchNormalization()))
    np.testing.assert_allclose(gradient_norm(layer), expected, rtol=1e-3)


@pytest.mark.parametrize("training", [True, False])
def test_batch_normalization_that_is_frozen_keeps_its_statistics(training):
    inputs, upstream = tf.constant(_random(0)), tf.constant(_random(1))
    results = []
    for kind in (FusedBatchNormalization, keras.layers.BatchNormalization):
        layer = _with_weights(kind())
        layer.moving_mean.assign([1.0, 2.0, 3.0])
        layer.moving_variance.assign([4.0, 5.0, 6.0])
        layer.trainable = False
        with tf.GradientTape() as tape:
            tape.watch(inputs)
            outputs = layer(inputs, training=training)
        results.append([outputs, tape.gradient(outputs, inputs, output_gradients=upstream), layer.moving_mean])
    for found, expected in zip(*results, strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


def test_batch_norms_of_a_library_are_fused_with_their_weights():
    image = keras.Input(SHAPE[1:])
    network = keras.Model(image, keras.layers.BatchNormalization(name="norm")(keras.layers.ReLU()(image)))
    network.set_weights([np.array([1.0, 2.0, 3.0]) + number for number in range(4)])
    inputs = _random(0)
    expected = network(inputs)
    fuse_batch_norms(network)
    assert type(network.get_layer("norm")) is FusedBatchNormalization
    operations = tf.function(network).get_concrete_function(tf.constant(inputs)).graph.get_operations()
    assert [operation.type for operation in operations].count("FusedBatchNormV3") == 1
    np.testing.assert_allclose(network(inputs), expected, rtol=1e-5, atol=1e-5)
