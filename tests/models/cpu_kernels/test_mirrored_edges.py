"""Maps are mirrored at their edges as by TensorFlow, to the bit, and so is the gradient."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cpu_kernels.mirrored_edges import mirror_edges


@pytest.mark.parametrize("dtype", [tf.float32, tf.bfloat16])
@pytest.mark.parametrize(
    ("size", "margins"),
    [
        ((7, 6), ((1, 1), (1, 1))),
        ((9, 8), ((3, 2), (0, 4))),
        ((4, 6), ((1, 1), (2, 2))),  # nothing but mirrored pixels and edges
        ((5, 3), ((3, 2), (2, 1))),  # pixels that are mirrored on both sides
    ],
)
def test_maps_and_gradient_have_the_bits_of_tensorflow(size, margins, dtype):
    maps = tf.cast(tf.random.stateless_normal((2, *size, 3), (1, 2)), dtype)

    def with_gradient(pad):
        @tf.function
        def compute(maps):
            with tf.GradientTape() as tape:
                tape.watch(maps)
                padded = pad(maps)
            weights = tf.cast(tf.random.stateless_normal(padded.shape, (3, 4)), dtype)
            return padded, tape.gradient(padded, maps, output_gradients=weights)

        return [tf.cast(tensor, tf.float32) for tensor in compute(maps)]

    found = with_gradient(lambda maps: mirror_edges(maps, margins))
    expected = with_gradient(lambda maps: tf.pad(maps, [(0, 0), *margins, (0, 0)], mode="REFLECT"))
    assert found[0].shape == (2, size[0] + sum(margins[0]), size[1] + sum(margins[1]), 3)
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_array_equal(ours, theirs)
