"""Which synthetic images are copies of training images: nearest neighbours in feature and in pixel space.

A distance says nothing by itself: two patches of fat are always close. So each is divided by how far the training image
that was found lies from its own neighbours, and compared with what real images, each left out in turn, show of it. The
neighbours of an outlier are so far away that whatever comes near it would look like a copy; so an image counts as no
further from its neighbours than the median image is from its own.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics.checks import check_images, checked_pair
from histogan_tf.metrics.distances import PairwiseDistances, feature_distances, nearest, pixel_distances

# The neighbour of a training image whose distance is its scale; the third, so that a few near-duplicates do no harm.
SCALE_NEIGHBOUR = 3
# Share of independent images that would be taken for copies, in each of the two spaces.
FALSE_ALARM_RATE = 1e-4
MIN_TRAINING_IMAGES = SCALE_NEIGHBOUR + 2
_LOW_QUANTILE, _MIDDLE_QUANTILE = 0.01, 0.5


@dataclasses.dataclass(frozen=True)
class NearestTraining:
    """The nearest training image of each synthetic image in one space.

    Attributes:
        indices: int64 (num_synthetic,), into the training images.
        distances: float64 (num_synthetic,).
        relative_distances: float64 (num_synthetic,): distances divided by that of the training image found to its own
            third-nearest other training image, or by the median of these if it is smaller.
        threshold: of relative distances; those below it, and distances of 0, are suspected copies.
        real_quantiles: the 1 % and 50 % quantiles of the relative distances of real images to each other.
        num_suspected_real: training images that would be suspected of being copies of another training image.
    """

    indices: np.ndarray
    distances: np.ndarray
    relative_distances: np.ndarray
    threshold: float
    real_quantiles: tuple[float, float]
    num_suspected_real: int

    @property
    def is_suspected(self) -> np.ndarray:
        """bool (num_synthetic,)."""
        return (self.relative_distances < self.threshold) | (self.distances == 0)


@dataclasses.dataclass(frozen=True)
class Copies:
    """Nearest training images of synthetic images.

    Attributes:
        features: by Euclidean distance of features.
        pixels: by root mean squared difference in grey levels, in [0, 255], in the best of the eight orientations.
    """

    features: NearestTraining
    pixels: NearestTraining

    @property
    def is_suspected(self) -> np.ndarray:
        """bool (num_synthetic,): in either space."""
        return self.features.is_suspected | self.pixels.is_suspected

    @property
    def relative_distances(self) -> np.ndarray:
        """float64 (num_synthetic,): the smaller of the two."""
        return np.minimum(self.features.relative_distances, self.pixels.relative_distances)


def find_copies(
    training_images: np.ndarray,
    synthetic_images: np.ndarray,
    training_features: np.ndarray,
    synthetic_features: np.ndarray,
) -> Copies:
    """Compares every synthetic image with every training image.

    Of copies of 100 real patches of 50x50 pixels, with the features `random`, all were suspected that were turned, had
    noise of 10 grey levels, were blurred by a pixel or brightened by 10 grey levels, which pixels see; of those shifted
    by one pixel 56 and by two 38, which features see; and of 182 other patches none. Exact duplicates among the
    training images count once, so that they do not hide their copies.

    Args:
        training_images: uint8 (num_training, height, width, channels).
        synthetic_images: uint8 (num_synthetic, height, width, channels).
        training_features: float (num_training, d).
        synthetic_features: float (num_synthetic, d).

    Raises:
        UserError: if a set is empty, shapes differ, features hold NaN, or there are fewer than five different training
            images.
    """
    check_images(training_images, synthetic_images)
    training_features, synthetic_features = checked_pair(training_features, synthetic_features)
    assert len(training_images) == len(training_features) and len(synthetic_images) == len(synthetic_features)
    _, first = np.unique(training_images.reshape(len(training_images), -1), axis=0, return_index=True)
    first.sort()
    if len(first) < MIN_TRAINING_IMAGES:
        raise UserError(
            f"{len(first)} different training images are too few to tell a copy from a likeness: give at least "
            f"{MIN_TRAINING_IMAGES}"
        )
    spaces = {
        "features": _nearest_training(training_features[first], synthetic_features, feature_distances),
        "pixels": _nearest_training(training_images[first], synthetic_images, pixel_distances),
    }
    return Copies(**{name: dataclasses.replace(space, indices=first[space.indices]) for name, space in spaces.items()})


def _nearest_training(training: np.ndarray, synthetic: np.ndarray, pairwise: PairwiseDistances) -> NearestTraining:
    among_training = nearest(training, None, SCALE_NEIGHBOUR + 1, pairwise)
    of_synthetic = nearest(synthetic, training, 1, pairwise)
    scales = np.sqrt(among_training.squares[:, SCALE_NEIGHBOUR - 1 :])  # (num_training, 2): of the third and fourth
    scales = np.minimum(scales, np.median(scales[:, 0]))
    indices, distances = of_synthetic.indices[:, 0], np.sqrt(of_synthetic.squares[:, 0])
    relative_distances = _quotients(distances, scales[indices, 0])

    # Each training image left out in turn: it must not count as a neighbour of the one that was found for it.
    found = among_training.indices[:, 0]
    left_out = np.arange(len(training))
    is_neighbour = np.any(among_training.indices[found, :SCALE_NEIGHBOUR] == left_out[:, None], axis=1)
    real = _quotients(np.sqrt(among_training.squares[:, 0]), scales[found, is_neighbour.astype(int)])
    low, middle = np.quantile(real, (_LOW_QUANTILE, _MIDDLE_QUANTILE))
    threshold = _threshold(low, middle)
    return NearestTraining(
        indices=indices,
        distances=distances,
        relative_distances=relative_distances,
        threshold=threshold,
        real_quantiles=(float(low), float(middle)),
        num_suspected_real=int(np.sum((real < threshold) | (real == 0))),
    )


def _threshold(low: float, middle: float) -> float:
    """The relative distance below which an independent image falls with FALSE_ALARM_RATE.

    Among points of D dimensions, the share of images with a neighbour nearer than r grows as r^D (Levina & Bickel,
    "Maximum Likelihood Estimation of Intrinsic Dimension", NIPS 2004). Two quantiles of real images give D, and the
    threshold lies where that law reaches the rate. So it is strict where images vary in few ways, and distances vary
    much, and close to the middle where they vary in many. Where more than 1 % of the real images are turned or mirrored
    ones of others, the low quantile of pixel distances is 0, and only exact copies are suspected.
    """
    if low == 0:
        return 0.0
    inverse_dimensions = np.log(middle / low) / np.log(_MIDDLE_QUANTILE / _LOW_QUANTILE)
    return float(low * (FALSE_ALARM_RATE / _LOW_QUANTILE) ** inverse_dimensions)


def _quotients(distances: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """distances / scales; 0 for a distance of 0, and infinite for another one on a scale of 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distances == 0, 0.0, distances / scales)
