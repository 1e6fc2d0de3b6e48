import cv2
import numpy as np
import pytest
import threadpoolctl

from histogan_tf.clustering import descriptors
from histogan_tf.clustering.descriptors import DescriptorSettings
from histogan_tf.errors import UserError


@pytest.mark.parametrize("channels", [1, 3])
def test_descriptors_are_those_of_opencv_on_the_enlarged_image(textures, channels):
    image = textures.images[25][:33, :, :channels]
    grey = image[..., 0] if channels == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    grey = cv2.resize(grey, (80, 66), interpolation=cv2.INTER_LINEAR)
    _, expected = cv2.SIFT.create().detectAndCompute(grey, None)
    found = descriptors.describe_image(image, DescriptorSettings(upsample=2))
    assert found.dtype == np.uint8
    assert len(found) > 10
    np.testing.assert_array_equal(found, expected)


def test_enlarging_finds_more(textures):
    image = textures.images[25]
    numbers = [len(descriptors.describe_image(image, DescriptorSettings(upsample))) for upsample in (1, 2)]
    assert 0 < numbers[0] < numbers[1]


@pytest.mark.parametrize("dense", [False, True])
def test_a_flat_image_has_none(dense):
    image = np.full((40, 40, 3), 90, np.uint8)
    assert descriptors.describe_image(image, DescriptorSettings(dense=dense)).shape == (0, 128)


def test_dense_grid_is_centred_and_inside():
    points = [key_point.pt for key_point in descriptors._grid(34, 48)]
    assert points == [(x, y) for y in (9, 17, 25) for x in (8, 16, 24, 32, 40)]
    noise = np.random.default_rng(0).integers(0, 256, (34, 48, 1), dtype=np.uint8)
    assert descriptors.describe_image(noise, DescriptorSettings(upsample=1, dense=True)).shape == (15, 128)


def test_dense_descriptors_see_their_window_only():
    image = np.full((16, 80, 1), 90, np.uint8)
    image[8, 72] = 255
    # Of nine windows, at x = 8, 16, … 72, those with the dot in their 16 pixels or in reach of the blur (sigma 1.6).
    found = descriptors.describe_image(image, DescriptorSettings(upsample=1, dense=True))
    assert 2 <= len(found) <= 3


def test_root_sift_by_hand():
    row = np.zeros((1, 128), np.uint8)
    row[0, [3, 90]] = 50, 150
    points = descriptors.as_points(row, DescriptorSettings(root_sift=True))
    assert points.dtype == np.float32
    np.testing.assert_allclose(points[0, [3, 90]], [0.5, np.sqrt(0.75)], rtol=1e-6)
    assert np.count_nonzero(points) == 2
    np.testing.assert_array_equal(descriptors.as_points(row, DescriptorSettings()), row)


def test_smallest_size():
    descriptors.check_size((8, 30, 3), DescriptorSettings(upsample=2))
    with pytest.raises(UserError, match="30x7 enlarged 2 times .* use upsample 3 or more"):
        descriptors.check_size((30, 7, 3), DescriptorSettings(upsample=2))
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    assert descriptors.describe_image(noise, DescriptorSettings(upsample=2, dense=True)).shape == (1, 128)


def test_libraries_get_their_threads_back():
    with descriptors.one_thread_per_call():
        pass  # loads the libraries
    before = cv2.getNumThreads(), threadpoolctl.threadpool_info()
    with descriptors.one_thread_per_call():
        assert cv2.getNumThreads() == 1
        assert {pool["num_threads"] for pool in threadpoolctl.threadpool_info()} == {1}
    assert (cv2.getNumThreads(), threadpoolctl.threadpool_info()) == before
