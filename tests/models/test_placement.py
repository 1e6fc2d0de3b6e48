"""Placement against NumPy's slices and turns, for images that are square and that are not."""

from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.metrics.symmetries import apply_symmetry
from histogan_tf.models.placement import Placement, num_shifts


@pytest.mark.parametrize(
    ("shape", "shifts", "is_turned", "num_symmetries"),
    [((8, 8, 3), 4, True, 8), ((5, 7, 1), 2, True, 4), ((5, 5, 3), 1, True, 8), ((11, 9, 1), 8, False, 1)],
)
@pytest.mark.parametrize("by_products", [False, True])
def test_each_part_of_the_range_has_its_placement(shape, shifts, is_turned, num_symmetries, by_products):
    numbers = np.arange(num_symmetries * shifts**2)
    images = np.random.default_rng(0).normal(size=(len(numbers), *shape)).astype(np.float32)
    places = (numbers + np.linspace(0.001, 0.999, len(numbers))) / len(numbers)
    layer = Placement(shifts, is_turned, uses_products=by_products)
    placed = np.asarray(layer(images, places.astype(np.float32), training=by_products))
    height, width = shape[0] - shifts + 1, shape[1] - shifts + 1
    for number in numbers:
        top, left, symmetry = number % shifts, number // shifts % shifts, number // shifts**2
        part = images[number : number + 1, top : top + height, left : left + width]
        np.testing.assert_array_equal(placed[number], apply_symmetry(part, symmetry)[0])


def test_products_have_the_gradient_of_slices_and_choices():
    images = tf.random.stateless_normal((40, 9, 9, 3), (1, 2))
    upstream = tf.random.stateless_normal((40, 8, 8, 3), (3, 4))
    place = tf.random.stateless_uniform((40,), (5, 6))
    gradients = []
    for uses_products in (False, True):
        with tf.GradientTape() as tape:
            tape.watch(images)
            placed = Placement(2, True, uses_products)(images, place, training=True)
        gradients.append(tape.gradient(placed, images, output_gradients=upstream))
    np.testing.assert_array_equal(*gradients)


def test_small_images_have_fewer_places():
    sides = (8, 11, 12, 16, 24, 32, 50, 96, 256)
    assert [num_shifts(side, 300) for side in sides] == [1, 1, 2, 2, 4, 4, 8, 16, 16]
