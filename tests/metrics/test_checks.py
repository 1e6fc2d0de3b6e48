"""Features come out as float64, and what is wrong with a set is said of that set."""

import numpy as np
import pytest

from histogan_tf.errors import UserError
from histogan_tf.metrics.checks import check_images, checked_features, checked_pair


def test_features_are_float64():
    features = checked_features(np.float32([[0.1, 2.0]]), "real")
    assert features.dtype == np.float64
    np.testing.assert_array_equal(features, [[np.float64(np.float32(0.1)), 2.0]])


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_features_that_are_not_finite_are_counted_and_the_first_is_named(value):
    features = np.zeros((9, 3))
    features[[4, 6], 2] = value
    with pytest.raises(
        UserError, match="the real features of 2 of 9 images are not finite, the first those of image 4"
    ):
        checked_features(features, "real")


@pytest.mark.parametrize("shape", [(3,), (0, 3), (3, 0), (2, 3, 4)])
def test_features_of_another_shape(shape):
    with pytest.raises(UserError, match="synthetic features of shape"):
        checked_features(np.zeros(shape), "synthetic")


def test_a_pair_has_one_dimension_and_enough_images():
    real, synthetic = checked_pair(np.zeros((3, 2)), np.ones((4, 2)), minimum=3)
    assert (real.shape, synthetic.shape) == ((3, 2), (4, 2))
    with pytest.raises(UserError, match="3 real and 4 synthetic images are too few to compare: give at least 4"):
        checked_pair(real, synthetic, minimum=4)
    with pytest.raises(UserError, match="2 dimensions and synthetic ones 1"):
        checked_pair(real, synthetic[:, :1])


def test_images_of_one_shape():
    images = np.zeros((2, 5, 6, 3), np.uint8)
    check_images(images, images[:1])
    with pytest.raises(UserError, match="there are no real images"):
        check_images(images[:0], images)
    with pytest.raises(UserError, match="real images are 5x6 RGB and synthetic ones 5x6 grey"):
        check_images(images, images[..., :1])
    with pytest.raises(UserError, match="synthetic ones 5x5 RGB"):
        check_images(images, images[:, :, :5])
