"""Finds synthetic images that copy training images, by their nearest neighbours in feature and in pixel space.

A distance by itself says nothing: two patches of fat are always close. So the distance to the nearest training image is
divided by that image's distance to its own neighbours. The quotient is compared with those of real images, each of
which is left out of the training images in turn. An outlier is so far from its neighbours that every image near it
would look like a copy. So the divisor is at most the median image's distance to its neighbours.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics.checks import check_images, checked_pair
from histogan_tf.metrics.distances import PairwiseDistances, feature_distances, nearest, pixel_distances

# The neighbour of a training image whose distance is the divisor; the third, so that a few near-duplicates do no harm.
SCALE_NEIGHBOUR = 3
# Share of independent images that are wrongly taken for copies, in each of the two spaces.
FALSE_ALARM_RATE = 1e-4
MIN_TRAINING_IMAGES = SCALE_NEIGHBOUR + 2
_LOW_QUANTILE, _MIDDLE_QUANTILE = 0.01, 0.5


@dataclasses.dataclass(frozen=True)
class NearestTraining:
    """The nearest training image of each synthetic image in one space.

    Attributes:
        indices: int64 (num_synthetic,), the index of the nearest training image.
        distances: float64 (num_synthetic,), the distance to it.
        relative_distances: float64 (num_synthetic,): the distance divided by the distance of that training image to its
            third-nearest other training image, or by the median of these distances if the median is smaller.
        threshold: the relative distance below which an image is a suspected copy; so is one at a distance of 0.
        real_quantiles: the 1 % and 50 % quantiles of the relative distances of real images to each other.
        num_suspected_real: the number of training images that would be suspected of copying another training image.
    """

    indices: np.ndarray
    distances: np.ndarray
    relative_distances: np.ndarray
    threshold: float
    real_quantiles: tuple[float, float]
    num_suspected_real: int

    @property
    def is_suspected(self) -> np.ndarray:
        """Whether each synthetic image is a suspected copy, bool (num_synthetic,)."""
        return (self.relative_distances < self.threshold) | (self.distances == 0)


@dataclasses.dataclass(frozen=True)
class Copies:
    """The nearest training images of synthetic images in both spaces.

    Attributes:
        features: those by Euclidean distance of features.
        pixels: those by root mean squared difference in grey levels, in [0, 255], in the orientation in which the
            images differ least.
    """

    features: NearestTraining
    pixels: NearestTraining

    @property
    def is_suspected(self) -> np.ndarray:
        """Whether each synthetic image is a suspected copy in either space, bool (num_synthetic,)."""
        return self.features.is_suspected | self.pixels.is_suspected

    @property
    def relative_distances(self) -> np.ndarray:
        """The smaller of each synthetic image's two relative distances, float64 (num_synthetic,)."""
        return np.minimum(self.features.relative_distances, self.pixels.relative_distances)


def find_copies(
    training_images: np.ndarray,
    synthetic_images: np.ndarray,
    training_features: np.ndarray,
    synthetic_features: np.ndarray,
) -> Copies:
    """Compares every synthetic image with every training image.

    It was measured on changed copies of 100 real patches of 50x50 pixels, with the features `random`. By pixels, all
    copies were suspected that were turned, had noise of 10 grey levels, were blurred by a pixel or were brightened by
    10 grey levels. By features, 56 of the copies shifted by one pixel were suspected, and 38 of those shifted by two.
    Of 182 other patches, none was suspected. Exact duplicates among the training images count once; otherwise they
    would hide their copies.

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
            f"{len(first)} different training images are too few to tell a copy from a similar image: give at least "
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
    scales = np.sqrt(among_training.squares[:, SCALE_NEIGHBOUR - 1 :])  # (num_training, 2): third and fourth neighbour
    scales = np.minimum(scales, np.median(scales[:, 0]))
    indices, distances = of_synthetic.indices[:, 0], np.sqrt(of_synthetic.squares[:, 0])
    relative_distances = _quotients(distances, scales[indices, 0])

    # Each training image is left out in turn: it must not count as a neighbour of its own nearest training image.
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
    """Returns the relative distance below which a share FALSE_ALARM_RATE of independent images falls.

    In D dimensions, the share of images with a neighbour nearer than r grows as r^D (Levina & Bickel, "Maximum
    Likelihood Estimation of Intrinsic Dimension", NIPS 2004). D follows from two quantiles of real images, and the
    threshold is the r at which this law reaches the rate. It is far below the median if images vary in few ways, so
    that distances vary much, and close to the median if images vary in many ways. If more than 1 % of the real images
    are turned or mirrored copies of others, the low quantile of pixel distances is 0, and only exact copies are
    suspected.
    """
    if low == 0:
        return 0.0
    inverse_dimensions = np.log(middle / low) / np.log(_MIDDLE_QUANTILE / _LOW_QUANTILE)
    return float(low * (FALSE_ALARM_RATE / _LOW_QUANTILE) ** inverse_dimensions)


def _quotients(distances: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns distances / scales; 0 if the distance is 0, else infinite if the scale is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distances == 0, 0.0, distances / scales)
