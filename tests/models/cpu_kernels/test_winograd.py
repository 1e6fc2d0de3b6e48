import contextlib
import functools
import math

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels import winograd as algorithm
from histogan_tf.models.cpu_kernels.algorithms import ConvolutionShape, convolve, estimated_algorithm
from histogan_tf.models.cpu_kernels.winograd import WinogradConvolution
from histogan_tf.models.cpu_kernels.winograd_matrices import axes_of, tiled_filtering

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


@pytest.mark.parametrize("least_tiles_apart", [1, 99])
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
        (7, (13, 25), (5, 5), 2, "SAME"),  # fewer inputs of a kernel than outputs, which are divided instead
        (7, (9, 15), (3, 3), 1, "VALID"),  # as many points as there can be
        (2, (7, 9), (5, 5), 3, "VALID"),  # three kernels, one of them of one tap
        (2, (7, 9), (1, 2), 2, "VALID"),  # as many taps as the stride, or fewer
        (3, (7, 9), (1, 2), 3, "SAME"),  # fewer taps than the stride: pixels between the taps that no output sees
    ],
)
def test_it_is_the_convolution_and_its_transpose(
    tile, size, kernel_size, stride, padding, least_tiles_apart, monkeypatch
):
    monkeypatch.setattr(algorithm, "_LEAST_TILES_APART", least_tiles_apart)
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
    whole = ConvolutionShape(_axes(**shape), num_images, channels, filters, "float32")
    algorithm = estimated_algorithm(whole)
    assert algorithm.startswith("winograd_")
    inputs = _random(0, (num_images, *shape["size"], channels), tf.float32)
    kernel = 0.02 * _random(1, (*shape["kernel_size"], channels, filters), tf.float32)
    winograd, plain = (functools.partial(convolve, name, whole) for name in (algorithm, "plain"))
    assert 0 < max(_differences(winograd, plain, inputs, kernel)) < 2e-5


def _both_directions(size, kernel_size, stride, padding, dtype=tf.float32):
    """The algorithm for one shape, and for each direction its name, its direction, its maps and a kernel."""
    axes = _axes(size, kernel_size, stride, padding)
    winograd = WinogradConvolution(axes, 3)
    kernel = _random(1, (*kernel_size, 8, 16), dtype)
    inputs = _random(0, (2, *size, 8), dtype)
    maps = _random(2, (2, *(axis.out_pixels for axis in axes), 16), dtype)
    ways = [("convolve", winograd._direction, inputs), ("convolve_transposed", winograd._direction.adjoint, maps)]
    return winograd, kernel, ways


def _at_once(winograd, direction):
    """The algorithm with all rows together, which TensorFlow differentiates."""
    return lambda maps, kernel: winograd._outputs_at_once(maps, kernel, direction)


@pytest.fixture(params=[True, False])
def are_factors_kept(request, monkeypatch):
    """Whether a forward pass keeps the factors of the maps for the backward pass."""
    monkeypatch.setattr(algorithm, "_MOST_COST_OF_TRANSFORM", 0.0 if request.param else math.inf)
    return request.param


@pytest.mark.parametrize("most_values", [1, 2**24])
@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding"),
    [((8, 6), (4, 3), 1, "SAME"), ((7, 9), (5, 5), 2, "SAME"), ((14, 9), (5, 5), 3, "VALID")],
)
def test_rows_computed_in_parts_change_no_bit(
    size, kernel_size, stride, padding, most_values, are_factors_kept, monkeypatch
):
    monkeypatch.setattr(algorithm, "_MOST_VALUES_FORTH", most_values)
    monkeypatch.setattr(algorithm, "_MOST_VALUES_BACK", most_values)
    winograd, kernel, ways = _both_directions(size, kernel_size, stride, padding)
    num_rows = winograd._num_products[0] if most_values == 1 else min(stride, kernel_size[0])
    for name, direction, maps in ways:
        assert len(winograd._parts(maps, kernel, most_values)) == num_rows
        found = tf.function(_outputs_and_gradients)(getattr(winograd, name), maps, kernel)
        expected = tf.function(_outputs_and_gradients)(_at_once(winograd, direction), maps, kernel)
        for mine, whole in zip(found, expected, strict=True):
            np.testing.assert_array_equal(mine, whole)


def test_parts_hold_as_few_values_as_asked_for():
    winograd, kernel, ways = _both_directions((7, 9), (5, 5), 2, "SAME")
    _, _, inputs = ways[0]
    in_row = winograd._num_products[1] * 8 * 16  # of the kernel's factors; tiles are few
    assert winograd._parts(inputs, kernel, 2 * in_row) == [(0, 2, 0), (2, 4, 0), (4, 5, 1), (5, 7, 1)]
    assert winograd._parts(inputs, kernel, 5 * in_row) == [(0, 4, 0), (4, 7, 1)]


@pytest.mark.parametrize(
    ("size", "kernel_size", "stride", "padding"), [((8, 6), (4, 3), 1, "SAME"), ((7, 9), (5, 5), 2, "SAME")]
)
def test_gradients_can_be_differentiated(size, kernel_size, stride, padding, are_factors_kept):
    winograd, kernel, ways = _both_directions(size, kernel_size, stride, padding, tf.float64)
    inputs_shape = ways[0][2].shape

    def second_gradients(convolve, maps):
        with tf.GradientTape() as outer:
            outer.watch([maps, kernel])
            with tf.GradientTape() as inner:
                inner.watch([maps, kernel])
                outputs = tf.tanh(convolve(maps, kernel))
            penalty = tf.add_n([tf.reduce_sum(gradient**2) for gradient in inner.gradient(outputs, [maps, kernel])])
        return outer.gradient(penalty, [maps, kernel])

    plain = {
        "convolve": lambda maps, kernel: tf.nn.conv2d(maps, kernel, stride, padding),
        "convolve_transposed": lambda maps, kernel: tf.nn.conv2d_transpose(maps, kernel, inputs_shape, stride, padding),
    }
    for name, _, maps in ways:
        found, expected = (second_gradients(way, maps) for way in (getattr(winograd, name), plain[name]))
        for mine, theirs in zip(found, expected, strict=True):
            assert float(tf.norm(mine - theirs) / tf.norm(theirs)) < 1e-11


@pytest.mark.parametrize("is_kernel_wanted", [True, False])
def test_the_gradient_of_a_kernel_is_only_computed_where_it_is_asked_for(is_kernel_wanted):
    winograd, kernel, ways = _both_directions((7, 9), (5, 5), 2, "SAME")
    for name, _, maps in ways:

        @tf.function
        def gradients(maps, kernel, name=name):
            with tf.GradientTape() as tape:
                tape.watch([maps, kernel])
                outputs = getattr(winograd, name)(maps, kernel)
            return tape.gradient(outputs, [maps, kernel] if is_kernel_wanted else [maps])

        graph = gradients.get_concrete_function(maps, kernel).graph
        needed, waiting = set(), [output.op for output in graph.outputs]
        while waiting:
            operation = waiting.pop()
            if operation not in needed:
                needed.add(operation)
                waiting += [*(tensor.op for tensor in operation.inputs), *operation.control_inputs]
        # The products of inputs and gradients of outputs, one for each of the two kernels of stride 1.
        of_kernel = [one for one in needed if one.type == "BatchMatMulV2" and one.get_attr("adj_x")]
        assert len(of_kernel) == (2 if is_kernel_wanted else 0)


def test_a_backward_pass_reads_no_transformed_values_of_the_forward_pass(monkeypatch):
    monkeypatch.setattr(algorithm, "_MOST_COST_OF_TRANSFORM", math.inf)
    winograd, kernel, ways = _both_directions((7, 9), (5, 5), 2, "SAME")

    def largest_kept(convolve, maps):
        """The number of values of the largest tensor of the forward pass that the backward pass reads."""
        forward = set()

        @tf.function
        def gradients(maps, kernel):
            with tf.GradientTape() as tape:
                tape.watch([maps, kernel])
                outputs = convolve(maps, kernel)
            forward.update(operation.name for operation in outputs.graph.get_operations())
            return tape.gradient(outputs, [maps, kernel])

        operations = gradients.get_concrete_function(maps, kernel).graph.get_operations()
        backward = [operation for operation in operations if operation.name not in forward]
        read = {tensor.ref() for operation in backward for tensor in operation.inputs if tensor.op.name in forward}
        return max(tensor.deref().shape.num_elements() for tensor in read)

    for name, direction, maps in ways:
        plain = max(np.size(maps), np.size(kernel))
        assert largest_kept(getattr(winograd, name), maps) == plain
        assert largest_kept(_at_once(winograd, direction), maps) > plain


@pytest.mark.parametrize(
    ("shape", "channels", "filters", "are_kept"),
    [
        ({"size": (50, 50), "kernel_size": (5, 5), "stride": 1, "padding": "SAME"}, 64, 128, (True, True)),
        ({"size": (7, 7), "kernel_size": (5, 5), "stride": 2, "padding": "SAME"}, 12, 512, (False, True)),
        (RESIDUAL_BLOCK, 256, 256, (False, False)),
    ],
)
def test_factors_of_large_maps_are_kept(shape, channels, filters, are_kept):
    axes = _axes(**shape)
    winograd = WinogradConvolution(axes, 3)
    kernel = tf.zeros((*shape["kernel_size"], channels, filters))
    inputs, outputs = (
        tf.zeros((1, *shape["size"], channels)),
        tf.zeros((1, *(axis.out_pixels for axis in axes), filters)),
    )
    directions = winograd._direction, winograd._direction.adjoint
    for maps, direction, is_kept in zip((inputs, outputs), directions, are_kept, strict=True):
        kept = winograd._kept_factors(maps, kernel, direction)
        assert bool(kept) == is_kept
        num_tiles = np.prod([axis.num_tiles(3) for axis in axes])
        assert all(factors.shape[-2:] == (num_tiles, maps.shape[-1]) for factors in kept)
        num_products = sum(math.prod(factors.shape[:-2]) for factors in kept)
        assert num_products == is_kept * np.prod(winograd._num_products)


def test_fixed_kernels_are_transformed_once_if_they_are_not_too_large(monkeypatch):
    winograd, kernel, ways = _both_directions((7, 9), (5, 5), 2, "SAME")
    for name, _, maps in ways:

        def transforms_and_results(is_fixed, name=name, maps=maps):
            """How many times a kernel is transformed, the outputs, and the gradient of the maps."""

            @tf.function
            def compute(maps, kernel):
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch(maps)
                    with algorithm.fixed_kernels() if is_fixed else contextlib.nullcontext():
                        outputs = getattr(winograd, name)(maps, kernel)
                return outputs, tape.gradient(outputs, maps)

            operations = compute.get_concrete_function(maps, kernel).graph.get_operations()
            of_kernel = [one for one in operations if one.type == "MatMul" and one.outputs[0].shape[-1] == 8 * 16]
            return len(of_kernel), compute(maps, kernel)

        num_fixed, fixed = transforms_and_results(is_fixed=True)
        num_others, others = transforms_and_results(is_fixed=False)
        assert num_fixed == 2 < num_others  # one for each kernel of stride 1
        for mine, theirs in zip(fixed, others, strict=True):
            np.testing.assert_array_equal(mine, theirs)
        with monkeypatch.context() as patch:
            patch.setattr(algorithm, "_MOST_VALUES_AT_ONCE", 2**10)
            assert transforms_and_results(is_fixed=True)[0] > 1


@pytest.mark.parametrize(
    ("pixels", "out_pixels", "taps", "stride", "tile", "expected"),
    [
        (7, 4, 5, 2, 4, 10),  # 6 for four inputs and three taps, 4 for three inputs and two taps
        (13, 7, 5, 2, 7, 16),
        (25, 13, 5, 2, 7, 32),
        (25, 25, 5, 1, 5, 45),
    ],
)
def test_zeros_around_an_image_save_products(pixels, out_pixels, taps, stride, tile, expected):
    axis, _ = axes_of((pixels, pixels), (out_pixels, out_pixels), (taps, taps), (stride, stride), "SAME")
    assert axis.num_products(tile) * axis.num_tiles(tile) == expected
    filtering = tiled_filtering(axis, tile)
    inputs, kernel = _random(0, pixels).numpy(), _random(1, taps).numpy()
    products = np.repeat(filtering.of_kernel @ kernel, axis.num_tiles(tile)) * (filtering.of_inputs @ inputs)
    assert len(products) == expected
    padded = np.pad(inputs, [max(margin, 0) for margin in axis.margins])
    plain = [padded[place * stride :][:taps] @ kernel for place in range(out_pixels)]
    np.testing.assert_allclose(filtering.of_products @ products, plain, rtol=1e-10, atol=1e-10)
