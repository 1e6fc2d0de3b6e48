import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.algorithm_choice import algorithms_chosen_by, chosen_algorithm
from histogan_tf.models.cpu_kernels.algorithms import (
    ConvolutionShape,
    can_compute,
    convolve,
    estimated_algorithm,
    possible_algorithms,
)
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of

RESIDUAL_BLOCK = {"size": (15, 15), "kernel_size": (3, 3), "stride": 1, "padding": "VALID"}
OF_DCGAN = {"size": (7, 7), "kernel_size": (5, 5), "stride": 2, "padding": "SAME"}
NO_MARGINS = ((0, 0), (0, 0))


def _shape(size, kernel_size, stride, padding, *rest, reflection=NO_MARGINS, **more):
    whole = [pixels + sum(margins) for pixels, margins in zip(size, reflection, strict=True)]
    out_size = tf.nn.conv2d(tf.zeros((1, *whole, 1)), tf.zeros((*kernel_size, 1, 1)), stride, padding).shape[1:3]
    return ConvolutionShape(axes_of(size, out_size, kernel_size, (stride, stride), padding, reflection), *rest, **more)


def _random(seed, shape, dtype):
    return tf.cast(np.random.default_rng(seed).normal(size=shape), dtype)


def _outputs_and_gradients(algorithm, shape):
    vertical, horizontal = shape.axes
    inputs = _random(0, (shape.num_images, vertical.pixels, horizontal.pixels, shape.channels), shape.dtype)
    outputs = _random(1, (shape.num_images, vertical.out_pixels, horizontal.out_pixels, shape.filters), shape.dtype)
    kernel = _random(2, (vertical.taps, horizontal.taps, shape.channels, shape.filters), shape.dtype)
    maps, upstream = (outputs, inputs) if shape.is_transposed else (inputs, outputs)
    with tf.GradientTape() as tape:
        tape.watch([maps, kernel])
        result = convolve(algorithm, shape, maps, kernel)
    return [result, *tape.gradient(result, [maps, kernel], upstream)]


@pytest.mark.parametrize("is_transposed", [False, True])
@pytest.mark.parametrize(
    "form",
    [
        RESIDUAL_BLOCK,
        OF_DCGAN,
        {"size": (9, 8), "kernel_size": (3, 4), "stride": 2, "padding": "VALID"},
        RESIDUAL_BLOCK | {"reflection": ((1, 1), (2, 1))},
    ],
)
def test_all_possible_algorithms_compute_the_same(form, is_transposed):
    if is_transposed and "reflection" in form:
        pytest.skip("a transposed convolution has no reflection")
    shape = _shape(**form, num_images=4, channels=40, filters=48, dtype="float32", is_transposed=is_transposed)
    plain, *others = possible_algorithms(shape)
    assert plain == "plain"
    assert others
    expected = _outputs_and_gradients(plain, shape)
    for algorithm in others:
        assert can_compute(algorithm, shape)
        for found, exact in zip(_outputs_and_gradients(algorithm, shape), expected, strict=True):
            assert float(tf.norm(found - exact) / tf.norm(exact)) < 5e-5, algorithm


@pytest.mark.parametrize(("dtype", "most_error"), [("float32", 1e-5), ("bfloat16", 1e-2)])
def test_convolutions_to_a_few_channels_compute_the_same(dtype, most_error):
    shape = _shape(**RESIDUAL_BLOCK, num_images=4, channels=40, filters=3, dtype=dtype)
    expected = _outputs_and_gradients("plain", shape)
    for found, exact in zip(_outputs_and_gradients("to_few_channels", shape), expected, strict=True):
        assert found.dtype == dtype
        difference = tf.cast(found, tf.float32) - tf.cast(exact, tf.float32)
        assert float(tf.norm(difference) / tf.norm(tf.cast(exact, tf.float32))) < most_error


@pytest.mark.parametrize(
    ("form", "num_images", "channels", "filters", "dtype", "expected"),
    [
        (RESIDUAL_BLOCK, 16, 256, 256, "float32", "winograd_7"),
        (OF_DCGAN, 64, 256, 512, "float32", "winograd_4"),
        (OF_DCGAN, 64, 32, 3, "float32", "kernel_gradient_by_convolution"),
        (OF_DCGAN, 64, 256, 512, "bfloat16", "kernel_gradient_by_convolution"),
        (RESIDUAL_BLOCK | {"size": (13, 13)}, 2, 64, 64, "bfloat16", "kernel_gradient_by_product"),
        (OF_DCGAN, 64, 256, 512, "float16", "plain"),
        (RESIDUAL_BLOCK, 16, 16, 16, "float32", "plain"),
        (RESIDUAL_BLOCK, 1, 512, 3, "float32", "to_few_channels"),
        (RESIDUAL_BLOCK, 4, 512, 3, "bfloat16", "to_few_channels"),
        (RESIDUAL_BLOCK | {"size": (802, 802)}, 4, 64, 3, "bfloat16", "plain"),  # it would hold 140 MB
        (OF_DCGAN, 64, 3, 64, "bfloat16", "to_few_channels"),
        (OF_DCGAN, 64, 1, 64, "float32", "to_few_channels"),
        (OF_DCGAN, 64, 1, 64, "bfloat16", "plain"),  # it would round too often
        (RESIDUAL_BLOCK | {"size": (514, 514)}, 4, 256, 256, "float32", "plain"),  # it would hold some gigabytes
        (RESIDUAL_BLOCK | {"kernel_size": (1, 1)}, 16, 256, 256, "float32", "plain"),
        (OF_DCGAN | {"size": (25, 25)}, 64, 64, 128, "float32", "winograd_7"),
        (OF_DCGAN | {"size": (50, 50)}, 64, 32, 64, "float32", "plain"),
    ],
)
def test_the_estimate_knows_where_other_algorithms_are_faster(form, num_images, channels, filters, dtype, expected):
    assert (
        estimated_algorithm(_shape(**form, num_images=num_images, channels=channels, filters=filters, dtype=dtype))
        == expected
    )


def test_what_cannot_be_fast_or_exact_is_not_tried():
    shape = _shape(**OF_DCGAN, num_images=64, channels=256, filters=512, dtype="bfloat16")
    assert possible_algorithms(shape) == ["plain", "kernel_gradient_by_convolution"]
    large = _shape(**RESIDUAL_BLOCK | {"size": (52, 52)}, num_images=64, channels=64, filters=8, dtype="float32")
    assert possible_algorithms(large) == ["plain"]
    few = large._replace(filters=3)
    assert possible_algorithms(few) == ["plain", "to_few_channels"]
    assert possible_algorithms(few._replace(dtype="bfloat16", num_images=999)) == ["plain"]  # it would hold too much


@pytest.mark.parametrize("value", ["winograd_9", "winograd_", "winograd_-1", "fast", "", None, 4, ["plain"]])
def test_a_record_may_hold_anything(value):
    assert not can_compute(value, _shape(**OF_DCGAN, num_images=64, channels=256, filters=512, dtype="float32"))


def test_an_algorithm_must_suit_the_shape():
    strided = _shape(**OF_DCGAN, num_images=2, channels=64, filters=64, dtype="bfloat16")
    assert not can_compute("kernel_gradient_by_product", strided)
    assert not can_compute("winograd_4", strided)
    assert can_compute("winograd_4", strided._replace(dtype="float32"))


def test_sizes_that_make_equally_many_tiles_are_tried_once_and_stay_in_records():
    shape = _shape(**RESIDUAL_BLOCK, num_images=16, channels=256, filters=256, dtype="float32")
    assert possible_algorithms(shape)[-2:] == ["winograd_7", "winograd_5"]
    assert can_compute("winograd_6", shape)  # three tiles along an axis, as with winograd_5


def test_a_shape_has_a_name_of_its_own():
    form = {"num_images": 64, "channels": 3, "filters": 8, "dtype": "float32"}
    plain = _shape(**OF_DCGAN, **form)
    assert str(plain) == "float32 64 x 7x7x3 to 4x4x8, kernel 5x5, stride 2x2, SAME"
    transposed = plain._replace(is_transposed=True)
    assert str(transposed) == "float32 64 x 4x4x8 to 7x7x3, kernel 5x5, stride 2x2, SAME, transposed"
    reflected = _shape(**RESIDUAL_BLOCK, **form, reflection=((1, 0), (2, 1)))
    assert str(reflected).endswith("VALID, reflection (1, 0)x(2, 1)")
    upsampled = axes_of((7, 8), (13, 15), (3, 3), (1, 1), "SAME", upsampled_size=(13, 15))
    assert str(plain._replace(axes=upsampled)).endswith(
        "7x8x3 to 13x15x8, kernel 3x3, stride 1x1, SAME, upsampled to 13x15"
    )
    others = [plain._replace(**{name: value}) for name, value in (("dtype", "bfloat16"), ("num_images", 1))]
    assert len({str(shape) for shape in (plain, transposed, reflected, *others)}) == 5


def test_a_choice_holds_in_its_block():
    shape = _shape(**OF_DCGAN, num_images=64, channels=256, filters=512, dtype="float32")
    assert chosen_algorithm(shape) == "winograd_4"
    with algorithms_chosen_by(lambda shape: "plain"):
        assert chosen_algorithm(shape) == "plain"
    assert chosen_algorithm(shape) == "winograd_4"
