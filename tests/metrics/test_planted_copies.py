import numpy as np
import pytest

from histogan_tf.metrics.planted_copies import PLANTED_COPIES, planted

IMAGES = np.random.default_rng(0).integers(0, 256, (3, 8, 10, 3), dtype=np.uint8)


def change(kind):
    return planted(IMAGES, kind, np.random.default_rng(1))


@pytest.mark.parametrize("kind", PLANTED_COPIES)
def test_copies_have_the_shape_of_the_images_and_differ_from_them(kind):
    copies = change(kind)
    assert (copies.dtype, copies.shape) == (np.uint8, IMAGES.shape)
    assert (copies != IMAGES).any(axis=(1, 2, 3)).all()


def test_copies_are_changed_as_they_say():
    np.testing.assert_array_equal(change("brightness x 0.8"), np.rint(IMAGES * 0.8))
    np.testing.assert_array_equal(change("brightness + 30"), np.minimum(IMAGES.astype(int) + 30, 255))
    np.testing.assert_array_equal(change("shifted by 1 pixel")[:, 1:, 1:], IMAGES[:, :-1, :-1])
    np.testing.assert_array_equal(change("shifted by 2 pixels")[:, 2:, 2:], IMAGES[:, :-2, :-2])
    np.testing.assert_array_equal(change("mirrored and shifted by 1 pixel")[:, 1:, 1:], IMAGES[:, :-1, :0:-1])
    np.testing.assert_array_equal(change("turned or mirrored"), IMAGES[:, ::-1, ::-1])
