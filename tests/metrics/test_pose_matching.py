"""Distances of patches in all poses: small for changed copies, and those of brute force for coarse candidates."""

import numpy as np
import pytest

from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.errors import UserError
from histogan_tf.metrics.planted_copies import PLANTED_COPIES, planted
from histogan_tf.metrics.pose_matching import PoseMatcher
from histogan_tf.metrics.symmetries import apply_symmetry


def phantoms(num_images, height=32, width=None, channels=3):
    return make_phantom(num_images, height, seed=5).images[:, :, : width or height, :channels]


@pytest.mark.parametrize("kind", PLANTED_COPIES)
def test_the_source_of_a_changed_copy_is_nearest(kind):
    training = phantoms(60)
    sources = np.array([1, 20, 33, 47])
    found = PoseMatcher(training).nearest(planted(training[sources], kind, np.random.default_rng(0)), 2)
    np.testing.assert_array_equal(found.indices[:, 0], sources)
    assert (found.squares[:, 0] < 0.6 * found.squares[:, 1]).all()


@pytest.mark.parametrize("symmetry", range(8))
@pytest.mark.parametrize("size", [32, 33])
def test_an_oriented_copy_is_as_near_as_the_image_itself(symmetry, size):
    training = phantoms(8, size)
    matcher = PoseMatcher(training)
    itself = matcher.nearest(training[[3]], 1)
    oriented = matcher.nearest(np.ascontiguousarray(apply_symmetry(training[[3]], symmetry)), 1)
    assert oriented.indices[0, 0] == itself.indices[0, 0] == 3
    np.testing.assert_allclose(oriented.squares, itself.squares, atol=1e-4)
    assert itself.squares[0, 0] < 0.05


@pytest.mark.parametrize("shape", [(8, 8, 3), (16, 24, 1), (24, 16, 3), (128, 128, 3)])
def test_other_shapes(shape):
    height, width, channels = shape
    training = np.random.default_rng(0).integers(0, 256, (6, *shape), dtype=np.uint8)
    if min(height, width) >= 16:
        training = phantoms(6, max(height, width), channels=channels)[:, :height, :width]
    found = PoseMatcher(training).nearest(training[:, ::-1, ::-1], 1)
    np.testing.assert_array_equal(found.indices[:, 0], np.arange(6))


def test_an_image_that_is_left_out_is_not_its_own_neighbour():
    training = phantoms(20)
    matcher = PoseMatcher(training)
    own = np.array([4, 11])
    kept = matcher.nearest(training[own], 4)
    left_out = matcher.nearest(training[own], 3, own)
    np.testing.assert_array_equal(kept.indices[:, 0], own)
    np.testing.assert_array_equal(left_out.indices, kept.indices[:, 1:])
    np.testing.assert_allclose(left_out.squares, kept.squares[:, 1:], atol=1e-5)
    with pytest.raises(UserError, match="too few other images, 2, for 3 neighbours"):
        PoseMatcher(training[:3]).nearest(training[:1], 3, np.array([0]))


def test_flat_images_are_like_no_other():
    flat = np.full((3, 16, 16, 3), [[[[200]]], [[[201]]], [[[90]]]], np.uint8)
    assert PoseMatcher(flat).nearest(flat, 1).squares.min() > 1.9
