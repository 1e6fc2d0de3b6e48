from collections.abc import Iterator

import keras
import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view

from histogan_tf.errors import UserError
from histogan_tf.models import cyclegan

SIZES = [(32, 32), (33, 57), (50, 50), (64, 64)]


def small_generator(size=(33, 57), **kwargs):
    kwargs = {"seed": 0, "num_filters": 2, "num_blocks": 1, **kwargs}
    return cyclegan.build_cyclegan_generator((*size, 3), **kwargs)


def small_discriminator(size=(33, 57), **kwargs):
    return cyclegan.build_cyclegan_discriminator((*size, 3), **{"seed": 0, "num_filters": 2, **kwargs})


BUILDERS = [small_generator, small_discriminator]


def random_images(count, size=(33, 57), seed=0):
    return np.random.default_rng(seed).uniform(-1, 1, (count, *size, 3)).astype(np.float32)


def conv(kernel_size, channels_in, channels_out):
    """Parameters of a convolution, transposed or not: its kernel and one bias for each filter."""
    return kernel_size**2 * channels_in * channels_out + channels_out


def normalized_conv(kernel_size, channels_in, channels_out):
    """The same with the scale and offset of an instance normalization."""
    return conv(kernel_size, channels_in, channels_out) + 2 * channels_out


@pytest.mark.parametrize("upsampling", cyclegan.UPSAMPLINGS)
@pytest.mark.parametrize(("num_blocks", "published"), [(6, 7_845_123), (9, 11_388_675)])
def test_generator_has_the_published_number_of_parameters(num_blocks, published, upsampling):
    by_hand = (
        normalized_conv(7, 3, 64)
        + normalized_conv(3, 64, 128)
        + normalized_conv(3, 128, 256)
        + num_blocks * 2 * normalized_conv(3, 256, 256)
        + normalized_conv(3, 256, 128)
        + normalized_conv(3, 128, 64)
        + conv(7, 64, 3)
    )
    generator = cyclegan.build_cyclegan_generator((50, 50, 3), seed=0, num_blocks=num_blocks, upsampling=upsampling)
    assert generator.count_params() == by_hand == published


def test_discriminator_has_the_published_number_of_parameters():
    by_hand = (
        conv(4, 3, 64)
        + normalized_conv(4, 64, 128)
        + normalized_conv(4, 128, 256)
        + normalized_conv(4, 256, 512)
        + conv(4, 512, 1)
    )
    assert cyclegan.build_cyclegan_discriminator((50, 50, 3), seed=0).count_params() == by_hand == 2_766_529


@pytest.mark.parametrize(("size", "expected"), [((32, 32), 6), ((128, 128), 6), ((128, 129), 9), ((256, 256), 9)])
def test_default_number_of_blocks_grows_with_the_image(size, expected):
    assert cyclegan.default_num_blocks((*size, 3)) == expected


def test_generator_builds_the_default_number_of_blocks():
    names = [layer.name for layer in small_generator((50, 50), num_blocks=None).layers]
    assert [name for name in names if name.endswith("-add")] == [f"R8-{block}-add" for block in range(1, 7)]


@pytest.mark.parametrize("upsampling", cyclegan.UPSAMPLINGS)
@pytest.mark.parametrize("size", SIZES)
def test_translation_is_as_large_as_its_source(size, upsampling):
    translated = small_generator(size, upsampling=upsampling)(random_images(1, size))
    assert translated.shape == (1, *size, 3)
    assert np.abs(translated).max() <= 1 and np.std(translated) > 0.01


def test_grey_images_are_translated_to_grey_ones():
    generator = cyclegan.build_cyclegan_generator((32, 32, 1), seed=0, num_filters=2, num_blocks=1)
    assert generator.output_shape == (None, 32, 32, 1)


@pytest.mark.parametrize(("size", "pads"), [((64, 32), ((3, 3), (3, 3))), ((50, 57), ((4, 4), (4, 5)))])
def test_image_is_mirrored_to_a_multiple_of_four_and_cropped_back(size, pads):
    generator = small_generator(size)
    images = random_images(1, size)
    first_conv, last = generator.get_layer("c7s1-2-conv"), generator.get_layer("tanh")
    padded, uncropped, translated = keras.Model(generator.input, [first_conv.input, last.output, generator.output])(
        images
    )
    np.testing.assert_array_equal(padded, np.pad(images, ((0, 0), *pads, (0, 0)), mode="reflect"))
    (top, _), (left, _) = pads
    height, width = size
    np.testing.assert_array_equal(translated, uncropped[:, top - 3 : top - 3 + height, left - 3 : left - 3 + width])
    assert uncropped.shape[1] % 4 == 0 and uncropped.shape[2] % 4 == 0


@pytest.mark.parametrize(
    ("size", "patches"),
    [((32, 32), (2, 2)), ((33, 57), (2, 5)), ((50, 50), (4, 4)), ((64, 64), (6, 6)), ((256, 256), (30, 30))],
)
def test_discriminator_gives_one_logit_a_patch(size, patches):
    assert small_discriminator(size).output_shape == (None, *patches, 1)


def test_a_logit_sees_70_pixels():
    field = 1
    for layer in reversed(small_discriminator().layers):
        if isinstance(layer, keras.layers.Conv2D):
            field = (field - 1) * layer.strides[0] + layer.kernel_size[0]
    assert field == 70


def test_first_and_last_layers_of_the_discriminator_are_not_normalized():
    names = [layer.name for layer in small_discriminator().layers if layer.name.endswith("-norm")]
    assert names == ["C4-norm", "C8-norm", "C16-norm"]
    slopes = [layer.negative_slope for layer in small_discriminator().layers if layer.name.endswith("-relu")]
    assert slopes == pytest.approx([0.2] * 4)


@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_instance_normalization_equals_numpy(precision):
    layer = small_generator(precision=precision).get_layer("d8-norm")
    scale, offset = np.arange(1, 9, dtype=np.float32), np.arange(8, dtype=np.float32) - 4
    layer.set_weights([scale, offset])
    # Far from zero: statistics in bfloat16 would be off by far more than the rounding of the result.
    x = tf.cast(np.random.default_rng(1).normal(30, 2, (3, 9, 15, 8)), layer.compute_dtype)
    exact = tf.cast(x, tf.float64).numpy()
    mean, variance = exact.mean((1, 2), keepdims=True), exact.var((1, 2), keepdims=True)
    expected = (exact - mean) / np.sqrt(variance + 1e-5) * scale + offset
    tolerance = {"float32": 1e-5, "mixed_bfloat16": 2**-8}[precision]
    np.testing.assert_allclose(tf.cast(layer(x), tf.float64), expected, rtol=tolerance, atol=tolerance * 8)


@pytest.mark.parametrize("build", BUILDERS)
def test_initial_weights_are_those_published(build):
    kernels, scales = [], []
    for variable in build(num_filters=16).variables:
        if variable.name == "kernel":
            kernels.append(np.ravel(variable))
        elif variable.name == "gamma":
            scales.append(np.ravel(variable))
        else:
            assert not np.any(variable), variable.path
    for values, mean in ((np.concatenate(kernels), 0), (np.concatenate(scales), 1)):
        assert values.mean() == pytest.approx(mean, abs=5 * 0.02 / np.sqrt(values.size))
        assert values.std() == pytest.approx(0.02, rel=5 / np.sqrt(2 * values.size))
    assert len({kernel.tobytes()[:32] for kernel in kernels}) == len(kernels)


@pytest.mark.parametrize("build", BUILDERS)
def test_same_seed_gives_the_same_weights_and_another_seed_others(build):
    first, same, other = ([w.tobytes() for w in build(seed=seed).get_weights()] for seed in (7, 7, 8))
    assert first == same
    assert first != other


@pytest.mark.parametrize("build", BUILDERS)
def test_eager_compiled_and_rebuilt_models_agree(build):
    model, images = build(), random_images(2)
    eager = model(images).numpy()
    spec = tf.TensorSpec((None, *images.shape[1:]))
    compiled = tf.function(lambda batch: model(batch), input_signature=[spec])
    np.testing.assert_allclose(compiled(images), eager, atol=1e-5)
    rebuilt = type(model).from_config(model.get_config())
    rebuilt.set_weights(model.get_weights())
    np.testing.assert_allclose(rebuilt(images), eager, atol=1e-6)


@pytest.mark.parametrize("build", BUILDERS)
def test_images_of_a_batch_do_not_influence_each_other(build):
    model, images = build(), random_images(3)
    one_by_one = np.concatenate([model(images[i : i + 1]) for i in range(3)])
    np.testing.assert_allclose(model(images), one_by_one, atol=1e-5)


@pytest.mark.parametrize("build", BUILDERS)
def test_mixed_precision_computes_in_bfloat16_and_returns_float32(build):
    images = random_images(2)
    exact, mixed = build()(images), build(precision="mixed_bfloat16")
    dtypes = {layer.compute_dtype for layer in mixed.layers if layer.name.endswith(("-norm", "-relu"))}
    assert dtypes == {"bfloat16"}
    assert all(variable.dtype == "float32" for variable in mixed.variables)
    last_conv = [layer for layer in mixed.layers if isinstance(layer, keras.layers.Conv2D)][-1]
    assert last_conv.compute_dtype == "float32"
    result = mixed(images)
    assert result.dtype == tf.float32
    np.testing.assert_allclose(result, exact, atol=0.05 * np.abs(exact).max())


@pytest.mark.parametrize(
    ("build", "upsampling"), [(small_generator, "transposed"), (small_generator, "resize"), (small_discriminator, None)]
)
def test_gradient_reaches_every_variable_that_matters(build, upsampling):
    model = build(num_filters=4) if upsampling is None else build(num_filters=4, upsampling=upsampling)
    images = random_images(2)
    target = np.random.default_rng(1).uniform(-1, 1, (2, *model.output_shape[1:])).astype(np.float32)
    with tf.GradientTape() as tape:
        loss = tf.reduce_mean(tf.abs(model(images, training=True) - target))
    gradients = tape.gradient(loss, [variable.value for variable in model.trainable_variables])
    # Instance normalization subtracts whatever is constant over the image: a bias right before it, and an offset that
    # a reflected (not zero-padded) convolution hands on to it. Nothing but rounding is left of their gradients.
    normalized = {layer.name.removesuffix("-norm") for layer in model.layers if layer.name.endswith("-norm")}
    inert = {f"{name}-conv/bias" for name in normalized}
    if upsampling == "resize":
        inert.add("R16-1b-norm/beta")
    for variable, gradient in zip(model.trainable_variables, gradients, strict=True):
        name = "/".join(variable.path.split("/")[-2:])
        assert gradient is not None, name
        assert (np.abs(gradient).max() > 1e-5) != (name in inert), name


@pytest.mark.parametrize("build", BUILDERS)
@pytest.mark.parametrize("size", [(31, 64), (64, 31)])
def test_too_small_images_are_refused(build, size):
    with pytest.raises(UserError, match=rf"{size[0]}x{size[1]} pixels .* at least 32"):
        build(size)


def test_unknown_upsampling_is_refused():
    with pytest.raises(UserError, match="upsampling='bilinear' is unknown: choose one of transposed, resize"):
        small_generator(upsampling="bilinear")


def published_generator(image: np.ndarray, weights: Iterator[np.ndarray]) -> np.ndarray:
    """The ResnetGenerator of the authors' PyTorch code in NumPy, on (channels, height, width), with one residual block.

    Weights come in that code's order and shapes: a convolution's (outputs, inputs, height, width), a transposed one's
    (inputs, outputs, height, width), then its bias; then scale and offset of the instance normalization.
    """

    def padded(x, pixels, mode):
        return np.pad(x, ((0, 0), (pixels, pixels), (pixels, pixels)), mode=mode)

    def convolve(x, stride=1):
        kernel, bias = next(weights), next(weights)
        windows = sliding_window_view(x, kernel.shape[2:], axis=(1, 2))[:, ::stride, ::stride]
        return np.einsum("iyxhw,oihw->oyx", windows, kernel) + bias[:, None, None]

    def convolve_transposed(x):  # ConvTranspose2d(kernel_size=3, stride=2, padding=1, output_padding=1)
        kernel, bias = next(weights), next(weights)
        height, width = x.shape[1:]
        full = np.zeros((kernel.shape[1], 2 * height + 2, 2 * width + 2))
        for row in range(3):
            for column in range(3):
                place = full[:, row : row + 2 * height : 2, column : column + 2 * width : 2]
                place += np.einsum("iyx,io->oyx", x, kernel[:, :, row, column])
        return full[:, 1 : 2 * height + 1, 1 : 2 * width + 1] + bias[:, None, None]

    def normalize(x):
        scale, offset = next(weights)[:, None, None], next(weights)[:, None, None]
        centred = x - x.mean(axis=(1, 2), keepdims=True)
        return scale * centred / np.sqrt(x.var(axis=(1, 2), keepdims=True) + 1e-5) + offset

    def relu(x):
        return np.maximum(x, 0)

    x = relu(normalize(convolve(padded(image, 3, "reflect"))))
    for _ in range(2):
        x = relu(normalize(convolve(padded(x, 1, "constant"), stride=2)))
    residual = relu(normalize(convolve(padded(x, 1, "reflect"))))
    x = x + normalize(convolve(padded(residual, 1, "reflect")))
    for _ in range(2):
        x = relu(normalize(convolve_transposed(x)))
    return np.tanh(convolve(padded(x, 3, "reflect")))


@pytest.mark.parametrize("cpu_kernels", [False, True])
def test_a_generator_with_the_authors_weights_gives_their_output(cpu_kernels):
    generator = small_generator((32, 40), num_filters=4, cpu_kernels=cpu_kernels)
    rng = np.random.default_rng(2)
    generator.set_weights([rng.normal(0, 0.3, weight.shape) for weight in generator.get_weights()])
    weights = [np.float64(weight) for weight in generator.get_weights()]
    weights = [weight.transpose(3, 2, 0, 1) if weight.ndim == 4 else weight for weight in weights]
    image = rng.uniform(-1, 1, (1, 32, 40, 3)).astype(np.float32)
    expected = published_generator(image[0].transpose(2, 0, 1).astype(np.float64), iter(weights)).transpose(1, 2, 0)
    for training in (False, True):
        np.testing.assert_allclose(generator(image, training=training)[0], expected, atol=1e-4)
    assert np.std(expected) > 0.3
