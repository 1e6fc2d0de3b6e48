import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.winograd import WinogradConvolution, axes_of, faster_than_plain

RESIDUAL_BLOCK = {"size": (15, 15), "kernel_size": (3, 3), "stride": 1, "padding": "VALID"}


def _axes(size, kernel_size, stride, padding):
    out_size = tf.nn.conv2d(tf.zeros((1, *size, 1)), tf.zeros((*kernel_size, 1, 1)), stride, padding).shape[1:3]
    return axes_of(size, out_size, kernel_size, (stride, stride), padding)


def _random(seed, shape, dtype=tf.float64):
    return tf.constant(np.random.default_rng(seed).normal(size=shape), dtype)


def _outputs_and_gradients(convolve, inputs, kernel):
    with tf.GradientTape() as tape:
        tape.watch([inputs, kernel])
        outputs = convolve(inputs, kernel)
    return [
        outputs,
        *tape.gradient(outputs, [inputs, kernel], output_gradients=_random(9, outputs.shape, inputs.dtype)),
    ]


def _differences(convolve, plain, inputs, kernel):
    """The differences of outputs and gradients, as shares of their norms."""
    pairs = zip(*(_outputs_and_gradients(way, inputs, kernel) for way in (convolve, plain)), strict=True)
    return [float(tf.norm(found - expected) / tf.norm(expected)) for found, expected in pairs]


@pytest.mark.parametrize(
    ("tile", "size", "kernel_size", "stride", "padding"),
    [
        (3, (8, 6), (5, 5), 1, "VALID"),  # the last tile of a row reaches beyond the outputs
        (2, (7, 9), (5, 5), 1, "SAME"),  # zeros before and behind
        (4, (8, 6), (4, 3), 1, "SAME"),  # more zeros behind than before
        (4, (8, 6), (1, 2), 1, "VALID"),  # one tap along an axis
        (4, (7, 9), (5, 5), 2, "SAME"),  # two kernels, of three and of two taps
        (2, (8, 6), (5, 5), 2, "SAME"),  # and more zeros behind than before
        (3, (8, 6), (4, 3), 2, "VALID"),  # pixels that no output sees
        (2, (7, 9), (5, 5), 3, "VALID"),  # three kernels, one of them of one tap
        (2, (7, 9), (1, 2), 2, "VALID"),  # as many taps as the stride, or fewer
        (3, (7, 9), (1, 2), 3, "SAME"),  # fewer taps than the stride: pixels between the taps that no output sees
    ],
)
def test_it_is_the_convolution_and_its_transpose(tile, size, kernel_size, stride, padding):
    axes = _axes(size, kernel_size, stride, padding)
    winograd = WinogradConvolution(axes, tile)
    inputs, kernel = _random(0, (2, *size, 3)), _random(1, (*kernel_size, 3, 4))
    plain = lambda inputs, kernel: tf.nn.conv2d(inputs, kernel, stride, padding)  # noqa: E731
    assert max(_differences(winograd.convolve, plain, inputs, kernel)) < 1e-12

    maps = _random(2, (2, *(axis.out_pixels for axis in axes), 4))
    transposed = lambda maps, kernel: tf.nn.conv2d_transpose(maps, kernel, inputs.shape, stride, padding)  # noqa: E731
    assert max(_differences(winograd.convolve_transposed, transposed, maps, kernel)) < 1e-12


@pytest.mark.parametrize(
    ("shape", "num_images", "channels", "filters"),
    [
        (RESIDUAL_BLOCK, 16, 256, 256),
        ({"size": (66, 66), "kernel_size": (3, 3), "stride": 1, "padding": "VALID"}, 1, 256, 256),
        ({"size": (8, 8), "kernel_size": (4, 4), "stride": 1, "padding": "VALID"}, 16, 256, 512),
        ({"size": (7, 7), "kernel_size": (5, 5), "stride": 2, "padding": "SAME"}, 64, 256, 512),
        ({"size": (50, 50), "kernel_size": (5, 5), "stride": 1, "padding": "SAME"}, 4, 64, 128),
    ],
)
def test_where_it_is_faster_float32_comes_as_near_as_documented(shape, num_images, channels, filters):
    winograd = faster_than_plain(_axes(**shape), num_images, channels, filters)
    inputs = _random(0, (num_images, *shape["size"], channels), tf.float32)
    kernel = 0.02 * _random(1, (*shape["kernel_size"], channels, filters), tf.float32)
    plain = lambda inputs, kernel: tf.nn.conv2d(inputs, kernel, shape["stride"], shape["padding"])  # noqa: E731
    of_outputs, of_inputs_gradient, of_kernel_gradient = _differences(winograd.convolve, plain, inputs, kernel)
    assert 0 < max(of_outputs, of_inputs_gradient) < 1e-5
    assert 0 < of_kernel_gradient < 5e-5


@pytest.mark.parametrize(
    ("shape", "num_images", "channels", "filters"),
    [
        (RESIDUAL_BLOCK, 16, 16, 16),
        (RESIDUAL_BLOCK, 1, 512, 3),
        (RESIDUAL_BLOCK | {"size": (514, 514)}, 4, 256, 256),  # it would hold some gigabytes
        (RESIDUAL_BLOCK | {"kernel_size": (9, 9)}, 16, 256, 256),
        (RESIDUAL_BLOCK | {"kernel_size": (1, 1)}, 16, 256, 256),
        ({"size": (25, 25), "kernel_size": (5, 5), "stride": 2, "padding": "SAME"}, 64, 64, 128),
    ],
)
def test_elsewhere_a_plain_convolution_is_left_alone(shape, num_images, channels, filters):
    assert faster_than_plain(_axes(**shape), num_images, channels, filters) is None
