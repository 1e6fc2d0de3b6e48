"""Distances of synthetic images from real ones, as pure functions on feature arrays, float (num_images, d).

All are computed in float64. Each value depends on the features and on the number of images, so the names of metrics
contain both. If there are too few images for a value, functions raise UserError.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from histogan_tf.metrics.checks import checked_pair
from histogan_tf.metrics.distances import feature_distances, nearest, row_blocks

NUM_NEIGHBOURS = 5  # Naeem et al. 2020, section 4.3
REALISM_NEIGHBOURS = 3  # Kynkäänniemi et al. 2019, section 4


class ManifoldMetrics(NamedTuple):
    """Fidelity and diversity of synthetic images, measured by balls around images; the names are those of the papers.

    Attributes:
        precision: the share of synthetic images inside the ball of a real image, in [0, 1].
        recall: the share of real images inside the ball of a synthetic image, in [0, 1].
        density: the mean number of real balls that hold a synthetic image, divided by the number of neighbours; at
            least 0. Other real images would have about 1; it is above 1 if synthetic images crowd where real ones are
            dense.
        coverage: the share of real images whose ball holds a synthetic image, in [0, 1].
    """

    precision: float
    recall: float
    density: float
    coverage: float


def frechet_distance(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Returns the squared Fréchet distance of the Gaussians with the means and (n - 1) covariances of the two sets.

    Heusel et al., "GANs Trained by a Two Time-Scale Update Rule Converge to a Local Nash Equilibrium", NeurIPS 2017,
    equation 6: |m_1 - m_2|^2 + tr(C_1 + C_2 - 2 (C_1 C_2)^(1/2)). It is called FID only with features of InceptionV3.
    Few images bias it upwards, so compare only values of equal sample counts.

    With C = A'A / (n - 1), A the centred features, the eigenvalues of C_1 C_2 are the squared singular values of
    A_1 A_2' / ((n_1 - 1) (n_2 - 1))^(1/2). So the trace of the root is a sum of singular values. It is real, needs no
    matrix root, and also holds for fewer images than dimensions. Identical sets have distance 0, up to rounding.

    Args:
        real: the features of real images, float (num_real, d).
        synthetic: the features of synthetic images, float (num_synthetic, d).

    Raises:
        UserError: if a set has fewer than two images (and so no covariance), a feature is not finite, or d differs.
    """
    real, synthetic = checked_pair(real, synthetic, minimum=2)
    difference = real.mean(axis=0) - synthetic.mean(axis=0)
    roots = [_covariance_root(features) for features in (real, synthetic)]
    traces = [np.sum(root**2) for root in roots]
    trace_of_root = np.linalg.norm(roots[0] @ roots[1].T, ord="nuc")
    return float(max(difference @ difference + sum(traces) - 2 * trace_of_root, 0.0))


def squared_mmd(real: np.ndarray, synthetic: np.ndarray) -> float:
    """Returns an unbiased estimate of the squared maximum mean discrepancy with the kernel k(x, y) = (x·y / d + 1)^3.

    Bińkowski et al., "Demystifying MMD GANs", ICLR 2018, section 4; Gretton et al., JMLR 13:723 (2012), equation 3. Its
    expectation does not depend on the number of images, and is zero for equal distributions. Single values may be below
    zero; the value of a set against itself is.

    Args:
        real: the features of real images, float (num_real, d).
        synthetic: the features of synthetic images, float (num_synthetic, d).

    Raises:
        UserError: if a set has fewer than two images, a feature is not finite, or d differs.
    """
    real, synthetic = checked_pair(real, synthetic, minimum=2)
    return _mean_kernel_of_pairs(real) + _mean_kernel_of_pairs(synthetic) - 2 * _mean_kernel(real, synthetic)


def manifold_metrics(real: np.ndarray, synthetic: np.ndarray, num_neighbours: int = NUM_NEIGHBOURS) -> ManifoldMetrics:
    """Returns improved precision and recall, density and coverage.

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019, equations
    1 and 2; Naeem et al., "Reliable Fidelity and Diversity Metrics for Generative Models", ICML 2020, equations 3 to 5.
    The ball of an image reaches to the num_neighbours-th nearest other image of its own set, and includes its surface.
    A set compared with itself has precision, recall and coverage 1 and, without ties, density (num_neighbours + 1) /
    num_neighbours. Coverage and recall rise with the number of synthetic images, so compare only equal sample counts.

    Args:
        real: the features of real images, float (num_real, d).
        synthetic: the features of synthetic images, float (num_synthetic, d).
        num_neighbours: the number of neighbours that a ball reaches to.

    Raises:
        UserError: if a set has at most `num_neighbours` images, a feature is not finite, or d differs.
    """
    real, synthetic = checked_pair(real, synthetic, minimum=num_neighbours + 1)
    real_radii = squared_radii(real, num_neighbours)
    synthetic_radii = squared_radii(synthetic, num_neighbours)
    num_balls = np.zeros(len(synthetic))  # number of real images' balls that hold each synthetic image
    is_recalled, is_covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    for rows in row_blocks(len(synthetic), len(real)):
        squares = feature_distances(synthetic[rows], real)
        is_in_real_ball = squares <= real_radii
        num_balls[rows] = is_in_real_ball.sum(axis=1)
        is_covered |= is_in_real_ball.any(axis=0)
        is_recalled |= (squares <= synthetic_radii[rows, None]).any(axis=0)
    return ManifoldMetrics(
        precision=float(np.mean(num_balls > 0)),
        recall=float(np.mean(is_recalled)),
        density=float(np.mean(num_balls) / num_neighbours),
        coverage=float(np.mean(is_covered)),
    )


def realism_scores(real: np.ndarray, synthetic: np.ndarray, num_neighbours: int = REALISM_NEIGHBOURS) -> np.ndarray:
    """Returns how far inside the manifold of the real images each synthetic image lies, float64 (num_synthetic,).

    Kynkäänniemi et al., "Improved Precision and Recall Metric for Assessing Generative Models", NeurIPS 2019, equation
    3: the realism of an image is the largest quotient, over real images, of the radius of a real image's ball (to its
    num_neighbours-th nearest other) and the distance to that real image. It is at least 1 inside a ball. Balls larger
    than the median are left out, because those of outliers hold almost anything; so about half of other real images
    reach 1. An image on the very spot of a real one has infinite realism.

    Args:
        real: the features of real images, (num_real, d).
        synthetic: the features of synthetic images, (num_synthetic, d).
        num_neighbours: the number of neighbours that a real image's ball reaches to, at least 1.

    Raises:
        UserError: if there are no more real images than neighbours, features hold NaN, or their d differ.
    """
    real, synthetic = checked_pair(real, synthetic)
    radii = squared_radii(real, num_neighbours)
    is_small = radii <= np.median(radii)
    scores = np.empty(len(synthetic))
    for rows in row_blocks(len(synthetic), int(is_small.sum())):
        squares = feature_distances(synthetic[rows], real[is_small])
        quotients = np.divide(radii[is_small], squares, out=np.full_like(squares, np.inf), where=squares > 0)
        scores[rows] = np.sqrt(quotients.max(axis=1))
    return scores


def squared_radii(features: np.ndarray, num_neighbours: int) -> np.ndarray:
    """Returns the squared distance of each image to its num_neighbours-th nearest other image, float64 (num_images,).

    Raises:
        UserError: if there are at most `num_neighbours` images.
    """
    return nearest(features, None, num_neighbours).squares[:, -1]


def _covariance_root(features: np.ndarray) -> np.ndarray:
    """Returns a matrix R, float64 (min(num_images, d), d), such that R'R is the covariance."""
    num_images, dimensions = features.shape
    centred = (features - features.mean(axis=0)) / np.sqrt(num_images - 1)
    return np.linalg.qr(centred, mode="r") if num_images > dimensions else centred


def _mean_kernel_of_pairs(features: np.ndarray) -> float:
    """Returns the mean of k over all pairs of different images."""
    num_images, dimensions = features.shape
    of_itself = _cube(np.einsum("ij,ij->i", features, features) / dimensions + 1)
    return (num_images * _mean_kernel(features, features) - of_itself.mean()) / (num_images - 1)


def _mean_kernel(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the mean of k over all pairs of an image of the first set and an image of the second."""
    dimensions = first.shape[1]
    sums = [
        _cube(first[rows] @ second.T / dimensions + 1).sum(axis=1).sum() for rows in row_blocks(len(first), len(second))
    ]
    return float(sum(sums) / (len(first) * len(second)))


def _cube(values: np.ndarray) -> np.ndarray:
    return values * values * values  # many times as fast as **3
