"""Orientation against NumPy's turns, for images that are square and that are not."""

from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.metrics.symmetries import apply_symmetry
from histogan_tf.models.orientation import Orientation


@pytest.mark.parametrize(("shape", "num_symmetries"), [((5, 5, 3), 8), ((4, 6, 1), 4)])
def test_each_part_of_the_range_has_its_symmetry(shape, num_symmetries):
    images = np.random.default_rng(0).normal(size=(num_symmetries, *shape)).astype(np.float32)
    places = (np.arange(num_symmetries) + np.linspace(0, 0.999, num_symmetries)) / num_symmetries
    turned = np.asarray(Orientation()(images, places.astype(np.float32)))
    for symmetry in range(num_symmetries):
        np.testing.assert_array_equal(turned[symmetry], apply_symmetry(images[symmetry : symmetry + 1], symmetry)[0])
