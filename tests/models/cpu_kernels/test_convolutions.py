import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels import convolutions
from histogan_tf.models.cpu_kernels.algorithms import convolve
from histogan_tf.models.cpu_kernels.convolutions import FastConv2D, FastConv2DTranspose

PAIRS = [(FastConv2D, keras.layers.Conv2D), (FastConv2DTranspose, keras.layers.Conv2DTranspose)]


def _random(seed, shape):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), tf.float32)


@pytest.fixture
def calls(monkeypatch):
    """Names of the algorithms that were taken, but for the plain one, and without the size of tiles."""
    made = []

    def counted(algorithm, *args):
        made.extend([algorithm.rstrip("_0123456789")] if algorithm != "plain" else [])
        return convolve(algorithm, *args)

    monkeypatch.setattr(convolutions, "convolve", counted)
    return made


def _pair(ours, keras_own, shape, **settings):
    settings = {"filters": 32, "kernel_size": 3, "strides": 2} | settings
    mine, theirs = (layer(**settings) for layer in (ours, keras_own))
    for layer in (mine, theirs):
        layer.build(shape)
        layer.set_weights([0.1 * _random(number, weight.shape) for number, weight in enumerate(mine.weights)])
    return mine, theirs


def _outputs_and_gradients(layer, inputs, upstream):
    sources = [inputs, *(weight.value for weight in layer.trainable_weights)]
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = layer(inputs, training=True)
    return [outputs, *tape.gradient(outputs, sources, output_gradients=upstream)]


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("settings", [{"padding": "same"}, {"padding": "valid"}, {"use_bias": False}])
@pytest.mark.parametrize(("ours", "keras_own"), PAIRS)
def test_training_is_keras_own(ours, keras_own, settings, is_compiled, calls):
    inputs = _random(0, (16, 3, 4, 32) if ours is FastConv2DTranspose else (16, 7, 9, 32))
    mine, theirs = _pair(ours, keras_own, inputs.shape, activation="tanh", **settings)
    upstream = _random(1, theirs.compute_output_shape(inputs.shape))
    run = tf.function(_outputs_and_gradients) if is_compiled else _outputs_and_gradients
    for found, expected in zip(
        run(mine, inputs, upstream), _outputs_and_gradients(theirs, inputs, upstream), strict=True
    ):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3)
    assert len(calls) == 1
    np.testing.assert_array_equal(mine(inputs, training=False), theirs(inputs))


@pytest.mark.parametrize("is_compiled", [True, False])
@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("ours", "keras_own"), PAIRS)
def test_float32_trains_with_fewer_products(ours, keras_own, padding, is_compiled, calls):
    inputs = _random(0, (8, 15, 14, 96))
    settings = {"filters": 96, "strides": 1, "padding": padding, "activation": "tanh"}
    mine, theirs = _pair(ours, keras_own, inputs.shape, **settings)
    upstream = _random(1, theirs.compute_output_shape(inputs.shape))
    run = tf.function(_outputs_and_gradients) if is_compiled else _outputs_and_gradients
    for found, expected in zip(
        run(mine, inputs, upstream), _outputs_and_gradients(theirs, inputs, upstream), strict=True
    ):
        assert float(tf.norm(found - expected) / tf.norm(expected)) < 1e-4
    assert calls == ["winograd"]
    np.testing.assert_array_equal(mine(inputs, training=False), theirs(inputs))
    halved, _ = _pair(ours, keras_own, inputs.shape, dtype="mixed_bfloat16", **settings)
    halved(inputs, training=True)
    assert "winograd" not in calls[1:]


@pytest.mark.parametrize(
    ("num_images", "settings", "way"),
    [
        (16, {"strides": 2, "padding": "same"}, "kernel_gradient_by_convolution"),
        (4, {"strides": 1}, "kernel_gradient_by_convolution"),
        (2, {"strides": 1}, "kernel_gradient_by_product"),
    ],
)
def test_bfloat16_is_as_near_to_float32_as_keras_is(num_images, settings, way, calls):
    inputs = _random(0, (num_images, 13, 13, 32))
    _, exact = _pair(FastConv2D, keras.layers.Conv2D, inputs.shape, **settings)
    mine, theirs = _pair(FastConv2D, keras.layers.Conv2D, inputs.shape, dtype="mixed_bfloat16", **settings)
    upstream = _random(1, exact.compute_output_shape(inputs.shape))
    expected = _outputs_and_gradients(exact, inputs, upstream)
    errors = [
        [
            float(tf.norm(tf.cast(found, tf.float32) - right) / tf.norm(right))
            for found, right in zip(
                _outputs_and_gradients(layer, inputs, tf.cast(upstream, tf.bfloat16)), expected, strict=True
            )
        ]
        for layer in (mine, theirs)
    ]
    np.testing.assert_array_less(errors[0], 1.2 * np.array(errors[1]))
    assert calls == [way]


@pytest.mark.parametrize(
    ("shape", "settings", "way"),
    [
        ((16, 7, 7, 32), {}, "kernel_gradient_by_convolution"),
        ((8, 15, 15, 96), {"filters": 96, "strides": 1}, "winograd"),
    ],
)
def test_a_penalty_on_gradients_can_be_differentiated(shape, settings, way, calls):
    inputs = _random(0, shape)
    pair = _pair(FastConv2D, keras.layers.Conv2D, inputs.shape, activation="tanh", **settings)

    def penalty_gradients(layer):
        with tf.GradientTape() as outer:
            with tf.GradientTape() as inner:
                inner.watch(inputs)
                outputs = layer(inputs, training=True)
            penalty = tf.reduce_sum(tf.square(inner.gradient(outputs, inputs)))
        return outer.gradient(penalty, [weight.value for weight in layer.trainable_weights])

    for found, expected in zip(*map(penalty_gradients, pair), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-3 * float(tf.norm(expected)))
    assert set(calls) == {way}


@pytest.mark.parametrize("shape", [(15, 7, 7, 32), (16, 7, 7, 31), (16, 17, 17, 32)])
def test_few_images_few_channels_and_large_maps_keep_tensorflows_own(shape, calls):
    layer = FastConv2D(4, 3, strides=2, padding="same")
    layer.build(shape)
    _outputs_and_gradients(layer, _random(0, shape), tf.ones(layer.compute_output_shape(shape)))
    assert not calls


@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize(("ours", "keras_own"), PAIRS)
def test_sizes_may_be_unknown(ours, keras_own, training, calls):
    mine, theirs = _pair(ours, keras_own, (None, None, None, 32), padding="same")
    inputs = _random(0, (16, 3, 4, 32))

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 32))])
    def convolve(images):
        return mine(images, training=training)

    np.testing.assert_array_equal(convolve(inputs), theirs(inputs))
    assert not calls


@pytest.mark.parametrize(
    ("shape", "filters", "ways"),
    [
        ((8, 13, 12, 96), 96, ["winograd"]),
        ((16, 6, 5, 32), 5, ["kernel_gradient_by_convolution"]),
        ((8, 13, 12, 96), 3, ["to_few_channels"]),
    ],
)
def test_margins_are_mirrored_in_training_and_inference(shape, filters, ways, calls):
    reflection = ((1, 1), (2, 1))
    inputs = _random(0, shape)
    mirrored = tf.pad(inputs, [(0, 0), *reflection, (0, 0)], mode="REFLECT")
    mine = FastConv2D(filters, 3, reflection=reflection)
    theirs = keras.layers.Conv2D(filters, 3)
    for layer, images in ((mine, inputs), (theirs, mirrored)):
        layer.build(images.shape)
        layer.set_weights([0.1 * _random(number, weight.shape) for number, weight in enumerate(layer.weights)])
    assert mine.compute_output_shape((None, 13, None, shape[-1])) == (None, 13, None, filters)
    np.testing.assert_array_equal(mine(inputs, training=False), theirs(mirrored))
    np.testing.assert_array_equal(FastConv2D.from_config(mine.get_config())._reflection, reflection)

    upstream = _random(1, mine.compute_output_shape(shape))
    found = _outputs_and_gradients(mine, inputs, upstream)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = theirs(tf.pad(inputs, [(0, 0), *reflection, (0, 0)], mode="REFLECT"))
    sources = [inputs, *(weight.value for weight in theirs.trainable_weights)]
    expected = [outputs, *tape.gradient(outputs, sources, output_gradients=upstream)]
    for my_own, keras_own in zip(found, expected, strict=True):
        assert float(tf.norm(my_own - keras_own) / tf.norm(keras_own)) < 1e-4
    assert calls == ways


@pytest.mark.parametrize("layer_class", [FastConv2D, FastConv2DTranspose])
def test_gradients_of_biases_are_added_up_in_float32(layer_class):
    layer = layer_class(4, 3, padding="same", dtype="mixed_bfloat16")
    inputs = _random(0, (64, 25, 25, 40))
    layer.build(inputs.shape)
    upstream = tf.cast(_random(1, (64, 25, 25, 4)) + 0.1, tf.bfloat16)
    with tf.GradientTape() as tape:
        outputs = layer(inputs, training=True)
    found = tape.gradient(outputs, layer.bias.value, output_gradients=upstream)
    np.testing.assert_allclose(found, np.sum(upstream, axis=(0, 1, 2), dtype=np.float32), rtol=0.01)


@pytest.mark.parametrize("upsampled_size", [(13, 12), (14, 11)])
@pytest.mark.parametrize(
    ("dtype", "channels", "filters", "ways", "most_error"),
    [
        ("float32", 96, 16, ["products_before_upsampling"], 1e-6),
        ("bfloat16", 96, 16, ["products_before_upsampling"], 5e-3),
        ("float32", 5, 96, [], 1e-6),  # so few products that the sums would take longer
    ],
)
def test_maps_are_upsampled_in_training_and_inference(
    upsampled_size, dtype, channels, filters, ways, most_error, calls
):
    inputs, (height, width) = _random(0, (8, 7, 6, channels)), upsampled_size
    mine = FastConv2D(filters, 3, padding="same", upsampled_size=upsampled_size, dtype=dtype)
    theirs = keras.layers.Conv2D(filters, 3, padding="same")
    for layer, size in ((mine, (7, 6)), (theirs, upsampled_size)):
        layer.build((8, *size, channels))
        layer.set_weights([0.1 * _random(number, weight.shape) for number, weight in enumerate(layer.weights)])
    assert mine.compute_output_shape((None, 7, 6, channels)) == (None, height, width, filters)
    assert FastConv2D.from_config(mine.get_config()).upsampled_size == upsampled_size

    upstream = _random(1, (8, height, width, filters))
    found = _outputs_and_gradients(mine, tf.cast(inputs, dtype), tf.cast(upstream, dtype))
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        outputs = theirs(keras.layers.UpSampling2D(2, interpolation="bilinear")(inputs)[:, :height, :width])
    sources = [inputs, *(weight.value for weight in theirs.trainable_weights)]
    expected = [outputs, *tape.gradient(outputs, sources, output_gradients=upstream)]
    in_inference = mine(tf.cast(inputs, dtype), training=False)
    for my_own, keras_own in zip([in_inference, *found], [outputs, *expected], strict=True):
        assert float(tf.norm(tf.cast(my_own, tf.float32) - keras_own) / tf.norm(keras_own)) < most_error
    assert calls == ways
