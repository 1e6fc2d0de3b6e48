import numpy as np
import pytest

from histogan_tf.metrics.symmetries import apply_symmetry, symmetries_that_fit

# By NumPy's other functions, in the order of the numbers.
BY_HAND = (
    lambda image: image,
    np.fliplr,
    np.flipud,
    lambda image: np.rot90(image, 2),
    lambda image: image.transpose(1, 0, 2),
    lambda image: np.rot90(image, -1),
    lambda image: np.rot90(image, 1),
    lambda image: np.rot90(image.transpose(1, 0, 2), 2),
)


def random_images(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (3, height, width, 3), np.uint8)


@pytest.mark.parametrize("symmetry", range(8))
def test_each_symmetry_equals_numpys(symmetry):
    images = random_images(5, 5)
    np.testing.assert_array_equal(apply_symmetry(images, symmetry), [BY_HAND[symmetry](image) for image in images])


def test_the_eight_differ_and_four_of_them_fit_what_is_not_square():
    square, oblong = random_images(5, 5), random_images(4, 6)
    assert len({apply_symmetry(square, symmetry).tobytes() for symmetry in symmetries_that_fit((5, 5, 3))}) == 8
    views = [apply_symmetry(oblong, symmetry) for symmetry in symmetries_that_fit((4, 6, 3))]
    assert [view.shape for view in views] == [oblong.shape] * 4
    assert len({view.tobytes() for view in views}) == 4
