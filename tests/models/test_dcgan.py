from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models.dcgan import build_dcgan_discriminator, build_dcgan_generator, feature_sizes
from histogan_tf.models.dcgan_layers import DCGANLayers
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.tables import network_table


def _layers() -> DCGANLayers:
    return DCGANLayers("float32", 1, Purpose.GENERATOR_WEIGHTS, sync_batch_norm=False)


def num_trainable(network: keras.Model) -> int:
    return sum(int(np.prod(weight.shape)) for weight in network.trainable_weights)


def conv(kernel: int, inputs: int, outputs: int) -> int:
    return kernel * kernel * inputs * outputs + outputs


def test_the_generator_has_the_originals_parameters():
    projection = 100 * (4 * 4 * 512) + 4 * 4 * 512
    batch_norms = 2 * (512 + 256 + 128 + 64)
    transposed = conv(5, 512, 256) + conv(5, 256, 128) + conv(5, 128, 64) + conv(5, 64, 3)
    assert num_trainable(build_dcgan_generator((64, 64, 3))) == projection + batch_norms + transposed == 5_135_363


def test_the_discriminator_has_the_originals_parameters():
    convolutions = conv(5, 3, 64) + conv(5, 64, 128) + conv(5, 128, 256) + conv(5, 256, 512)
    batch_norms = 2 * (128 + 256 + 512)
    assert (
        num_trainable(build_dcgan_discriminator((64, 64, 3)))
        == convolutions + batch_norms + (4 * 4 * 512 + 1)
        == 4_316_545
    )


def test_the_conditional_networks_have_the_originals_parameters_on_mnist():
    y, z, gf, df, fc = 10, 100, 64, 64, 1024
    generator = (
        ((z + y) * fc + fc + 2 * fc)
        + ((fc + y) * (2 * gf * 7 * 7) + 2 * gf * 7 * 7 + 2 * (2 * gf * 7 * 7))
        + (conv(5, 2 * gf + y, 2 * gf) + 2 * 2 * gf)
        + conv(5, 2 * gf + y, 1)
    )
    assert (
        num_trainable(build_dcgan_generator((28, 28, 1), num_classes=y, strides=(2, 2), kernel_size=(5, 5)))
        == generator
    )
    discriminator = (
        conv(5, 1 + y, 1 + y)
        + (conv(5, 1 + y + y, df + y) + 2 * (df + y))
        + ((7 * 7 * (df + y) + y) * fc + fc + 2 * fc)
        + (fc + y + 1)
    )
    assert num_trainable(build_dcgan_discriminator((28, 28, 1), num_layers=2, num_classes=y)) == discriminator


def test_five_strides_make_128x128_images_in_five_transposed_convolutions():
    generator = build_dcgan_generator((128, 128, 3), strides=(2,) * 5, kernel_size=(5,) * 5)
    assert generator.output.shape == (None, 128, 128, 3)
    transposed = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    assert [layer.input.shape[1:] for layer in transposed] == [
        (4, 4, 1024),
        (8, 8, 512),
        (16, 16, 256),
        (32, 32, 128),
        (64, 64, 64),
    ]
    # In front of the original's layers stand a wider projection and one transposed convolution with its batch norm.
    original = num_trainable(build_dcgan_generator((64, 64, 3)))
    wider_projection = 101 * 4 * 4 * (1024 - 512)
    assert num_trainable(generator) == original + wider_projection + 2 * 1024 + conv(5, 1024, 512)


def test_five_layers_of_a_discriminator_end_at_4x4_of_128x128():
    discriminator = build_dcgan_discriminator((128, 128, 3), num_layers=5)
    convolutions = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.output.shape[1:] for layer in convolutions] == [
        (64, 64, 64),
        (32, 32, 128),
        (16, 16, 256),
        (8, 8, 512),
        (4, 4, 1024),
    ]
    original = num_trainable(build_dcgan_discriminator((64, 64, 3)))
    wider_end = 4 * 4 * (1024 - 512)
    assert num_trainable(discriminator) == original + wider_end + 2 * 1024 + conv(5, 512, 1024)


def test_channels_of_a_deeper_conditional_network_double_too():
    y, layers = 2, 4
    generator = build_dcgan_generator((64, 64, 3), num_classes=y, gf_dim=8, strides=(2,) * 4, kernel_size=(5,) * 4)
    transposed = [layer for layer in generator.layers if isinstance(layer, keras.layers.Conv2DTranspose)]
    # As in the original, at least 2 * gf_dim, and the label beside them.
    assert [layer.input.shape[1:] for layer in transposed] == [
        (4, 4, 64 + y),
        (8, 8, 32 + y),
        (16, 16, 16 + y),
        (32, 32, 16 + y),
    ]
    discriminator = build_dcgan_discriminator((64, 64, 3), num_layers=layers, num_classes=y, df_dim=8, dfc_dim=4)
    convolutions = [layer for layer in discriminator.layers if isinstance(layer, keras.layers.Conv2D)]
    assert [layer.filters for layer in convolutions] == [3 + y, 8 + y, 16 + y, 32 + y]
    assert [layer.input.shape[-1] for layer in convolutions] == [3 + y, 3 + y + y, 8 + y + y, 16 + y + y]
    logits = discriminator({"image": tf.zeros((2, 64, 64, 3)), "label": tf.constant([0, 1])})
    assert logits.shape == (2, 1)


def test_layers_take_the_seeds_of_their_network_in_order_however_many_there_are():
    seeds = weight_seeds(42, Purpose.GENERATOR_WEIGHTS, 10)
    deep = build_dcgan_generator((512, 512, 1), z_dim=2, gf_dim=1, strides=(2,) * 9, kernel_size=(3,) * 9)
    original = build_dcgan_generator((16, 16, 1), z_dim=2, gf_dim=1, kernel_size=(3,) * 4)
    for network, names in ((deep, range(10)), (original, range(5))):
        for number in names:
            kernel = network.get_layer(f"g_h{number}" if number else "g_h0_lin").kernel
            initializer = keras.initializers.RandomNormal(stddev=0.02, seed=seeds[number])
            np.testing.assert_array_equal(kernel, initializer(kernel.shape))


@pytest.mark.parametrize("shape", [(16, 16, 1), (28, 28, 1), (33, 57, 3), (50, 50, 3), (64, 48, 3)])
@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (1, 1, 1, 1), (3, 1, 2, 1)])
@pytest.mark.parametrize("kernel_size", [(5, 5, 5, 5), (4, 2, 3, 6)])
def test_any_size_comes_out_at_any_strides_and_kernels(shape, strides, kernel_size):
    generator = build_dcgan_generator(shape, z_dim=3, gf_dim=1, strides=strides, kernel_size=kernel_size)
    assert generator.output.shape == (None, *shape)


@pytest.mark.parametrize("num_classes", [0, 3])
@pytest.mark.parametrize("precision", ["float32", "mixed_bfloat16"])
def test_images_and_logits_have_their_shape_type_and_range(num_classes, precision):
    options = {"num_classes": num_classes, "precision": precision}
    shape = (17, 30, 3)
    layers = 2 if num_classes else 4
    generator = build_dcgan_generator(
        shape, z_dim=5, gf_dim=2, gfc_dim=4, strides=(2,) * layers, kernel_size=(5,) * layers, **options
    )
    discriminator = build_dcgan_discriminator(shape, num_layers=layers, df_dim=2, dfc_dim=4, **options)
    labels = tf.constant([0, 2, 1])
    images = generator(named_inputs(generator, 100.0 * tf.ones((3, 5)), labels), training=True)
    logits = discriminator(named_inputs(discriminator, images, labels), training=True)
    assert (images.shape, images.dtype) == ((3, *shape), tf.float32)
    assert (logits.shape, logits.dtype) == ((3, 1), tf.float32)
    assert np.abs(images).max() <= 1.0


@pytest.mark.parametrize(("in_size", "out_size", "stride", "kernel"), [(7, 13, 2, 5), (7, 14, 2, 5), (7, 13, 2, 4),
    (7, 14, 2, 4), (5, 13, 3, 5), (5, 15, 3, 2), (6, 6, 1, 5), (6, 6, 1, 4)])  # fmt: skip
def test_a_transposed_convolution_equals_the_originals_operation(in_size, out_size, stride, kernel):
    inputs = keras.Input((in_size, in_size, 3))
    layer = _layers().transposed_conv(inputs, 2, kernel, stride, (out_size, out_size), "layer")
    model = keras.Model(inputs, layer)
    images = np.random.default_rng(0).normal(size=(2, in_size, in_size, 3)).astype(np.float32)
    weights = model.get_layer("layer").kernel.numpy()  # (height, width, output channels, input channels)
    expected = tf.nn.conv2d_transpose(images, weights, (2, out_size, out_size, 2), stride, padding="SAME")
    np.testing.assert_array_equal(model(images), expected)


def test_weights_start_as_the_originals():
    generator = build_dcgan_generator((64, 64, 3), gf_dim=32)
    discriminator = build_dcgan_discriminator((64, 64, 3), df_dim=32)
    assert generator.get_layer("g_h1").kernel.numpy().std() == pytest.approx(0.02, rel=0.02)
    assert np.abs(generator.get_layer("g_h1").kernel).max() > 0.06  # normal, not truncated
    truncated = discriminator.get_layer("d_h3_conv").kernel.numpy()
    assert np.abs(truncated).max() <= 0.04 + 1e-6
    assert truncated.std() == pytest.approx(0.02, rel=0.15)
    for network in (generator, discriminator):
        for layer in network.layers:
            if hasattr(layer, "bias"):
                assert not np.any(layer.bias)
            if isinstance(layer, keras.layers.BatchNormalization):
                assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
            if isinstance(layer, keras.layers.LeakyReLU):
                assert layer.negative_slope == 0.2


def test_the_seed_decides_the_weights_and_no_two_layers_share_theirs():
    first, again, other = (build_dcgan_generator((16, 16, 3), z_dim=4, gf_dim=2, seed=seed) for seed in (1, 1, 2))
    for weight, same, different in zip(first.weights, again.weights, other.weights, strict=True):
        np.testing.assert_array_equal(weight, same)
        if "kernel" in weight.path:
            assert not np.array_equal(weight, different)
    kernels = [layer.kernel.numpy().ravel()[:20] for layer in first.layers if hasattr(layer, "kernel")]
    assert len({kernel.tobytes() for kernel in kernels}) == len(kernels) == 5


def test_the_condition_reaches_the_image():
    generator = build_dcgan_generator(
        (16, 16, 1), z_dim=2, gf_dim=2, gfc_dim=4, num_classes=2, strides=(2, 2), kernel_size=(5, 5)
    )
    latents = tf.zeros((2, 2))
    images = generator({"z": latents, "label": tf.constant([0, 1])}).numpy()
    assert np.abs(images[0] - images[1]).max() > 0


def test_feature_sizes_follow_the_originals_rounding():
    assert feature_sizes(50, (2, 2, 2, 2)) == [4, 7, 13, 25, 50]
    assert feature_sizes(28, (2, 2)) == [7, 14, 28]
    assert feature_sizes(50, (1, 1, 1, 1)) == [50] * 5
    assert feature_sizes(128, (2, 2, 2, 2, 2)) == [4, 8, 16, 32, 64, 128]
    assert feature_sizes(4, (2, 2)) == [1, 2, 4]


@pytest.mark.parametrize(
    ("size", "strides", "message"),
    [
        (15, (2, 2, 2, 2), "15 pixels.*halves them 4 times.*--strides=2,2,2,2.*--output_height=16 or more"),
        (31, (1, 1, 1, 1, 1), "31 pixels.*halves them 5 times.*--output_height=32 or more.*--strides fewer"),
        (50, (4, 4, 4, 4), "50 pixels are too small for --strides=4,4,4,4.*smaller strides"),
        (16, (3, 3, 3, 3), "16 pixels are too small for --strides=3,3,3,3"),
    ],
)
def test_sizes_too_small_for_the_strides_are_told(size, strides, message):
    with pytest.raises(UserError, match=message):
        feature_sizes(size, strides)


def test_a_table_names_layers_shapes_and_sums():
    table = network_table(build_dcgan_generator((50, 50, 3)))
    assert "g_h4" in table
    assert "50x50x3" in table
    assert "5,135,363" in table.splitlines()[0]


@pytest.mark.parametrize("shape", [(16, 16, 1), (33, 57, 3), (50, 50, 3)])
@pytest.mark.parametrize("strides", [(2, 2, 2, 2), (1, 1, 1, 1), (3, 1, 2, 1)])
def test_resizing_reaches_any_size_with_as_many_parameters(shape, strides):
    options = {"z_dim": 3, "gf_dim": 2, "strides": strides, "kernel_size": (5, 4, 3, 2)}
    resized = build_dcgan_generator(shape, upsampling="resize", **options)
    assert resized.output.shape == (None, *shape)
    assert num_trainable(resized) == num_trainable(build_dcgan_generator(shape, **options))
    assert not any(isinstance(layer, keras.layers.Conv2DTranspose) for layer in resized.layers)


def test_a_resized_convolution_repeats_pixels_and_convolves():
    inputs = keras.Input((3, 4, 2))
    layer = _layers().resized_conv(inputs, 5, 3, 2, (5, 8), "layer")
    model = keras.Model(inputs, layer)
    images = np.random.default_rng(0).normal(size=(2, 3, 4, 2)).astype(np.float32)
    repeated = images.repeat(2, axis=1).repeat(2, axis=2)[:, :5, :8]
    expected = tf.nn.conv2d(repeated, model.get_layer("layer").kernel, 1, "SAME")
    np.testing.assert_allclose(model(images), expected, rtol=1e-5, atol=1e-6)


def test_one_input_reaches_every_pixel_alike_only_with_resizing():
    # Odena et al. 2016: a constant feature map comes out of a transposed convolution as a checkerboard.
    def deviation(upsample):
        inputs = keras.Input((8, 8, 1))
        model = keras.Model(inputs, upsample(inputs, 1, 5, 2, (16, 16), "layer"))
        return model(np.ones((1, 8, 8, 1), np.float32)).numpy()[0, 4:-4, 4:-4, 0].std()

    assert deviation(_layers().resized_conv) < 1e-7 < 1e-3 < deviation(_layers().transposed_conv)


@pytest.mark.parametrize("num_classes", [0, 2])
def test_spectral_norm_takes_the_place_of_batch_norm(num_classes):
    num_layers = 2 if num_classes else 4
    network = build_dcgan_discriminator(
        (16, 16, 3), num_layers=num_layers, df_dim=2, dfc_dim=4, num_classes=num_classes, spectral_norm=True
    )
    kinds = [type(layer).__name__ for layer in network.layers if layer.weights]
    assert sorted(set(kinds)) == ["SpectralConv2D", "SpectralDense"]
    plain = build_dcgan_discriminator((16, 16, 3), num_layers=num_layers, df_dim=2, dfc_dim=4, num_classes=num_classes)
    assert kinds.count("SpectralConv2D") == sum(isinstance(layer, keras.layers.Conv2D) for layer in plain.layers)
    for layer in network.layers:
        if layer.weights:  # the same seeds, so that only the option makes a difference
            np.testing.assert_array_equal(layer._kernel, plain.get_layer(layer.name).kernel)
