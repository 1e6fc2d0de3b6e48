"""Distances of feature sets against scipy's matrix root, plain double loops and brute-force balls."""

import numpy as np
import pytest
from scipy import linalg

from histogan_tf.errors import UserError
from histogan_tf.metrics import distances
from histogan_tf.metrics.generative import (
    ManifoldMetrics,
    frechet_distance,
    manifold_metrics,
    squared_mmd,
    squared_radii,
)


def gaussian(seed, num_images, dimensions, shift=0.0, scale=1.0):
    return shift + scale * np.random.default_rng(seed).standard_normal((num_images, dimensions))


def frechet_by_sqrtm(real, synthetic):
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (real, synthetic)]
    difference = real.mean(axis=0) - synthetic.mean(axis=0)
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    return difference @ difference + np.trace(covariances[0] + covariances[1] - 2 * np.real(root))


@pytest.mark.parametrize(("num_real", "num_synthetic", "dimensions"), [(60, 45, 7), (200, 30, 1), (12, 40, 12)])
def test_frechet_distance_is_scipys(num_real, num_synthetic, dimensions):
    real = gaussian(1, num_real, dimensions) @ gaussian(2, dimensions, dimensions)
    synthetic = gaussian(3, num_synthetic, dimensions, shift=0.4, scale=1.3)
    np.testing.assert_allclose(
        frechet_distance(real, synthetic), frechet_by_sqrtm(real, synthetic), rtol=1e-8, atol=1e-9
    )


def test_frechet_distance_with_fewer_images_than_dimensions():
    # All images lie on the first two axes of 40, where there are enough of them for scipy's root.
    real, synthetic = gaussian(1, 10, 2), gaussian(2, 8, 2, shift=1.0, scale=0.5)
    rotation = linalg.qr(gaussian(3, 40, 40))[0][:2]
    expected = frechet_by_sqrtm(real, synthetic)
    assert frechet_distance(real @ rotation, synthetic @ rotation) == pytest.approx(expected, rel=1e-9)


def test_frechet_distance_of_two_images_each_by_hand():
    # Means (0, 0) and (3, 4); variances 2 along x for both, so the covariances are equal and only 3² + 4² is left.
    real = np.array([[-1.0, 0.0], [1.0, 0.0]])
    assert frechet_distance(real, real + [3.0, 4.0]) == pytest.approx(25.0)
    # Variance 2 along x against 2 along y: nothing in common, so both traces count.
    assert frechet_distance(real, real[:, ::-1]) == pytest.approx(4.0)


@pytest.mark.parametrize("num_images", [2, 5, 300])
def test_frechet_distance_of_identical_sets_is_zero(num_images):
    features = gaussian(5, num_images, 64, shift=10.0)
    assert 0 <= frechet_distance(features, features) < 1e-10


def mmd_by_double_loop(real, synthetic):
    def kernel(x, y):
        return (sum(x * y) / len(x) + 1) ** 3

    def mean_of_pairs(features):
        pairs = [(i, j) for i in range(len(features)) for j in range(len(features)) if i != j]
        return sum(kernel(features[i], features[j]) for i, j in pairs) / len(pairs)

    crossed = sum(kernel(x, y) for x in real for y in synthetic) / (len(real) * len(synthetic))
    return mean_of_pairs(real) + mean_of_pairs(synthetic) - 2 * crossed


@pytest.mark.parametrize(("num_real", "num_synthetic"), [(2, 2), (9, 13), (20, 6)])
@pytest.mark.parametrize("block", [1, 50, 10**6])
def test_squared_mmd_is_a_plain_double_loop(monkeypatch, num_real, num_synthetic, block):
    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", block)
    real, synthetic = gaussian(1, num_real, 5), gaussian(2, num_synthetic, 5, shift=0.5)
    assert squared_mmd(real, synthetic) == pytest.approx(mmd_by_double_loop(real, synthetic), rel=1e-11)


def test_squared_mmd_of_a_set_with_itself_is_below_zero():
    features = gaussian(4, 30, 6)
    assert squared_mmd(features, features) == pytest.approx(mmd_by_double_loop(features, features), rel=1e-9)
    assert squared_mmd(features, features) < 0


def test_squared_mmd_of_two_images_with_themselves_by_hand():
    # Between the two (1·(-1) + 1)³ = 0; over all pairs of the one set with the other, (8 + 0 + 0 + 8) / 4.
    features = np.array([[1.0], [-1.0]])
    assert squared_mmd(features, features) == -8.0


def test_squared_mmd_is_unbiased():
    values = [squared_mmd(gaussian((1, seed), 10, 3), gaussian((2, seed), 14, 3)) for seed in range(2000)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))


def manifold_by_brute_force(real, synthetic, num_neighbours):
    def radii(features):
        return [
            sorted(np.linalg.norm(x - y) for j, y in enumerate(features) if j != i)[num_neighbours - 1]
            for i, x in enumerate(features)
        ]

    between = np.array([[np.linalg.norm(y - x) for x in real] for y in synthetic])
    in_real, in_synthetic = between <= radii(real), radii(synthetic) >= between.T
    return ManifoldMetrics(
        precision=np.mean([row.any() for row in in_real]),
        recall=np.mean([row.any() for row in in_synthetic]),
        density=in_real.sum() / (num_neighbours * len(synthetic)),
        coverage=np.mean([column.any() for column in in_real.T]),
    )


@pytest.mark.parametrize("block", [1, 70, 10**6])
@pytest.mark.parametrize(("num_real", "num_synthetic", "num_neighbours"), [(30, 22, 3), (15, 40, 5), (2, 2, 1)])
def test_manifold_metrics_are_a_brute_force_oracle(monkeypatch, block, num_real, num_synthetic, num_neighbours):
    monkeypatch.setattr(distances, "BLOCK_ELEMENTS", block)
    real, synthetic = gaussian(1, num_real, 3), gaussian(2, num_synthetic, 3, shift=0.8, scale=0.7)
    expected = manifold_by_brute_force(real, synthetic, num_neighbours)
    np.testing.assert_allclose(manifold_metrics(real, synthetic, num_neighbours), expected, rtol=1e-12)


def test_manifold_metrics_by_hand():
    # With one neighbour the radii of the real images 0, 1, 3 are 1, 1, 2, and those of 0.5, 10, 12 are 9.5, 2, 2.
    # Balls of real images hold 0.5 (those of 0 and 1) and no other; those of synthetic ones hold 0, 1 and 3.
    real, synthetic = np.array([[0.0], [1.0], [3.0]]), np.array([[0.5], [10.0], [12.0]])
    assert manifold_metrics(real, synthetic, 1) == pytest.approx((1 / 3, 1.0, 2 / 3, 2 / 3))


def test_a_collapsed_generator_is_precise_and_recalls_nothing_else():
    # One image again and again has balls of radius 0. It lies in those of all three real images, the last at its edge.
    real, synthetic = np.array([[0.0], [1.0], [3.0]]), np.ones((4, 1))
    assert manifold_metrics(real, synthetic, 1) == pytest.approx((1.0, 1 / 3, 3.0, 1.0))


@pytest.mark.parametrize("num_neighbours", [1, 3, 5])
def test_a_set_with_itself_is_precise_and_covered(num_neighbours):
    features = gaussian(3, 50, 20).astype(np.float32)
    expected = (1.0, 1.0, (num_neighbours + 1) / num_neighbours, 1.0)  # each ball holds its centre and its neighbours
    assert manifold_metrics(features, features.copy(), num_neighbours) == pytest.approx(expected)


def test_density_and_coverage_of_one_distribution_are_as_derived():
    # Naeem et al. 2020, section 4.3: density 1, and coverage 1 - (N - 1) … (N - k) / ((M + N - 1) … (M + N - k)).
    num_images, num_neighbours = 40, 5
    factors = [(num_images - 1 - i) / (2 * num_images - 1 - i) for i in range(num_neighbours)]
    found = np.mean([manifold_metrics(gaussian((1, s), 40, 8), gaussian((2, s), 40, 8)) for s in range(200)], axis=0)
    assert found[2] == pytest.approx(1.0, abs=0.03)
    assert found[3] == pytest.approx(1 - np.prod(factors), abs=0.01)


def test_radii_leave_out_the_image_itself_but_not_its_copies():
    np.testing.assert_allclose(squared_radii(np.array([[0.0], [0.0], [2.0]]), 1), [0.0, 0.0, 4.0])
    np.testing.assert_allclose(squared_radii(np.array([[0.0], [0.0], [2.0]]), 2), [4.0, 4.0, 4.0])


@pytest.mark.parametrize("metric", [frechet_distance, squared_mmd, manifold_metrics])
def test_what_cannot_be_compared_is_the_users_mistake(metric):
    good, broken = gaussian(1, 8, 3), gaussian(2, 8, 3)
    broken[5, 1] = np.nan
    with pytest.raises(UserError, match=r"synthetic features of 1 of 8 images are not finite.* image 5"):
        metric(good, broken)
    with pytest.raises(UserError, match=r"real features of 1 of 8 images"):
        metric(broken, good)
    with pytest.raises(UserError, match="3 dimensions and synthetic ones 4"):
        metric(good, gaussian(2, 8, 4))
    with pytest.raises(UserError, match=r"shape \(0, 3\)"):
        metric(good[:0], good)
    with pytest.raises(UserError, match="1 synthetic image are too few"):
        metric(good, good[:1])


def test_too_few_images_for_the_neighbours():
    features = gaussian(1, 5, 3)
    with pytest.raises(UserError, match="at least 6 of each"):
        manifold_metrics(features, features, 5)
    assert manifold_metrics(features, features, 4).precision == 1.0
