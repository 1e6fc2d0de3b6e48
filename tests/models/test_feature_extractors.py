"""The random network is one and the same everywhere, sees colour and texture, and takes any images."""

import numpy as np
import pytest

from histogan_tf.errors import UserError
from histogan_tf.models.feature_extractors import (
    FeatureExtractor,
    build_random_network,
    extractor,
    weights_fingerprint,
)

PINNED_DEVIATIONS = [0.257073, 0.081564, 0.080994, 0.057410, 0.057257, 0.040532]
PINNED_WEIGHT = 0.2649702


@pytest.fixture(scope="module")
def random():
    return extractor("random")


def random_images(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_random_weights_are_pinned():
    # Other weights would make other features, whose distances compare with no earlier ones.
    network = build_random_network()
    kernels = network.get_weights()
    assert network.count_params() == 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    assert [float(kernel.std()) for kernel in kernels] == pytest.approx(PINNED_DEVIATIONS, rel=1e-5)
    assert kernels[0][0, 0, 0, 1] == pytest.approx(PINNED_WEIGHT, rel=1e-6)
    for kernel in kernels:
        np.testing.assert_allclose(kernel[..., ::2].sum(axis=(0, 1)), 0, atol=1e-5)
    assert weights_fingerprint(network) == weights_fingerprint(build_random_network())


def test_fingerprint_knows_a_changed_weight():
    network = build_random_network()
    before = weights_fingerprint(network)
    kernels = network.get_weights()
    kernels[3][1, 1, 5, 5] += 1e-3
    network.set_weights(kernels)
    assert weights_fingerprint(network) != before


def test_first_stage_is_the_convolution_by_hand(random):
    # A flat image: kernels that sum to zero answer nothing inside, the others by the sum of their weights.
    first, second = build_random_network().get_weights()[:2]
    pixels = np.pad(np.full((5, 5, 3), 200 / 127.5 - 1), ((1, 1), (1, 1), (0, 0)))

    def convolve(padded, kernel):
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        values = np.einsum("yxcij,ijcf->yxf", windows, kernel)
        return np.where(values > 0, values, 0.2 * values)

    hidden = convolve(np.pad(convolve(pixels, first), ((1, 1), (1, 1), (0, 0))), second)
    found = random(np.full((1, 5, 5, 3), 200, np.uint8))[0]
    np.testing.assert_allclose(found[:32], hidden.mean(axis=(0, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[32:64], hidden.std(axis=(0, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4, 3), (50, 50, 3), (17, 40, 1)])
def test_any_size_and_colour(random, shape):
    features = random(random_images(3, *shape))
    assert features.shape == (3, 448)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_grey_images_are_seen_as_rgb(random):
    grey = random_images(2, 8, 8, 1)
    np.testing.assert_array_equal(random(grey), random(np.repeat(grey, 3, axis=-1)))


def test_batches_change_nothing():
    seen = []

    def mean_colour(images):
        seen.append(len(images))
        return images.mean(axis=(1, 2))

    images = random_images(7, 5, 5, 3)
    features = FeatureExtractor("mean", "0", mean_colour, batch_size=3)(images)
    assert seen == [3, 3, 1]
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, images.mean(axis=(1, 2)), rtol=1e-6)


def test_every_feature_tells_some_images_apart(random):
    assert random(random_images(6, 16, 16, 3)).std(axis=0).min() > 0


def test_unknown_names_and_empty_sets(random):
    with pytest.raises(UserError, match=r"--features=resnet9000: choose one of random"):
        extractor("resnet9000")
    with pytest.raises(UserError, match="no image"):
        random(random_images(0, 8, 8, 3))
