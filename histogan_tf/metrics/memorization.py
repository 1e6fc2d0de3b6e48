"""Finds synthetic images that copy training images, by their nearest neighbours in feature and in pixel space.

A distance by itself says nothing: two patches of fat are always close. So the distance to the nearest training image is
divided by that image's distance to its own neighbours. The quotient is compared with those of real images, each of
which is left out of the training images in turn. An outlier is so far from its neighbours that every image near it
would look like a copy. So the divisor is at most the median image's distance to its neighbours.
"""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics.checks import check_images, checked_pair
from histogan_tf.metrics.distances import Neighbours, nearest
from histogan_tf.metrics.planted_copies import PLANTED_COPIES, planted
from histogan_tf.metrics.pose_matching import PoseMatcher
from histogan_tf.metrics.symmetries import apply_symmetry, symmetries_that_fit

# The neighbour of a training image whose distance is the divisor; the third, so that a few near-duplicates do no harm.
SCALE_NEIGHBOUR = 3
# Share of independent images that are wrongly taken for copies, in each of the two spaces.
FALSE_ALARM_RATE = 1e-4
MIN_TRAINING_IMAGES = SCALE_NEIGHBOUR + 2
_LOW_QUANTILE, _MIDDLE_QUANTILE = 0.01, 0.5
_MAX_LEFT_OUT = 1000  # training images that are compared with the others, so that it takes seconds
_MAX_PLANTED = 100  # training images of which copies of each kind are planted
_SEED = 42

# From indices of training images to their four nearest neighbours among the other training images.
LeaveOut = Callable[[np.ndarray], Neighbours]


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
        num_left_out: the number of training images that were compared with the others, each left out in turn.
        num_suspected_real: how many of these would be suspected of copying another training image.
    """

    indices: np.ndarray
    distances: np.ndarray
    relative_distances: np.ndarray
    threshold: float
    real_quantiles: tuple[float, float]
    num_left_out: int
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
        pixels: those by the distance of `PoseMatcher`, in [0, 2]; 0 if the pixels are equal in some orientation.
        num_planted: the number of training images of which copies were planted.
        planted_rates: the share of these copies that is found by pixels, in [0, 1], by kind of copy.
    """

    features: NearestTraining
    pixels: NearestTraining
    num_planted: int
    planted_rates: Mapping[str, float]

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
    """Compares every synthetic image with every training image, and tells which kinds of copy it would find.

    For the latter, copies of up to 100 training images are changed in the ways of PLANTED_COPIES and looked for by
    pixels. Exact duplicates among the training images, also turned or mirrored ones, count once; otherwise they would
    hide their copies.

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
    first_by_digest: dict[bytes, int] = {}
    for index, digest in enumerate(_digests(training_images)):
        first_by_digest.setdefault(digest, index)
    first = np.array(list(first_by_digest.values()))
    if len(first) < MIN_TRAINING_IMAGES:
        raise UserError(
            f"{len(first)} different training images are too few to tell a copy from a similar image: give at least "
            f"{MIN_TRAINING_IMAGES}"
        )
    by_features = _feature_space(training_features[first], synthetic_features)
    distinct = training_images[first]
    matcher = PoseMatcher(distinct)
    scales = _Scales(lambda own: matcher.nearest(distinct[own], SCALE_NEIGHBOUR + 1, own), len(first), _MAX_LEFT_OUT)
    by_pixels = scales.compare(matcher.nearest(synthetic_images, 1))
    rng = np.random.default_rng(_SEED)
    sources = np.sort(rng.choice(len(first), min(len(first), _MAX_PLANTED), replace=False))
    rates = {
        kind: float(scales.compare(matcher.nearest(planted(distinct[sources], kind, rng), 1)).is_suspected.mean())
        for kind in PLANTED_COPIES
    }
    by_features, by_pixels = (
        dataclasses.replace(space, indices=first[space.indices]) for space in (by_features, by_pixels)
    )
    for index, digest in enumerate(_digests(synthetic_images)):
        if digest in first_by_digest:
            by_pixels.indices[index] = first_by_digest[digest]
            by_pixels.distances[index] = by_pixels.relative_distances[index] = 0.0
    return Copies(by_features, by_pixels, len(sources), rates)


def _digests(images: np.ndarray) -> Iterator[bytes]:
    """Yields a digest of each image, which turned and mirrored images share."""
    symmetries = symmetries_that_fit(images.shape[1:])
    for index in range(len(images)):
        image = images[index : index + 1]
        yield hashlib.sha256(min(apply_symmetry(image, symmetry).tobytes() for symmetry in symmetries)).digest()


def _feature_space(training: np.ndarray, synthetic: np.ndarray) -> NearestTraining:
    among = nearest(training, None, SCALE_NEIGHBOUR + 1)
    scales = _Scales(lambda own: Neighbours(among.squares[own], among.indices[own]), len(training), len(training))
    return scales.compare(nearest(synthetic, training, 1))


class _Scales:
    """The distances of training images to their neighbours, found when needed, and the threshold that follows."""

    def __init__(self, leave_out: LeaveOut, num_training: int, max_left_out: int) -> None:
        """Compares up to `max_left_out` training images with the others.

        Args:
            leave_out: returns the four nearest other training images of those with the given indices.
            num_training: the number of training images.
            max_left_out: the largest number of them to find the threshold from.
        """
        self._leave_out = leave_out
        self._distances = np.full((num_training, SCALE_NEIGHBOUR + 1), np.nan)
        self._indices = np.empty((num_training, SCALE_NEIGHBOUR + 1), np.int64)
        rng = np.random.default_rng(_SEED)
        left_out = np.sort(rng.choice(num_training, min(num_training, max_left_out), replace=False))
        self._find(left_out)
        self._median = np.median(self._distances[left_out, SCALE_NEIGHBOUR - 1])
        found = self._indices[left_out, 0]
        self._find(found)
        # An image that is left out must not count as a neighbour of its own nearest training image.
        is_neighbour = np.any(self._indices[found, :SCALE_NEIGHBOUR] == left_out[:, None], axis=1)
        scales = np.where(
            is_neighbour, *(self._distances[found, number] for number in (SCALE_NEIGHBOUR, SCALE_NEIGHBOUR - 1))
        )
        self._real = _quotients(self._distances[left_out, 0], np.minimum(scales, self._median))
        self._quantiles = tuple(float(value) for value in np.quantile(self._real, (_LOW_QUANTILE, _MIDDLE_QUANTILE)))
        self._threshold = _threshold(*self._quantiles)

    def compare(self, neighbours: Neighbours) -> NearestTraining:
        """Judges images by their nearest training images."""
        indices, distances = neighbours.indices[:, 0], np.sqrt(neighbours.squares[:, 0])
        self._find(indices)
        scales = np.minimum(self._distances[indices, SCALE_NEIGHBOUR - 1], self._median)
        return NearestTraining(
            indices=indices,
            distances=distances,
            relative_distances=_quotients(distances, scales),
            threshold=self._threshold,
            real_quantiles=self._quantiles,
            num_left_out=len(self._real),
            num_suspected_real=int(np.sum((self._real < self._threshold) | (self._real == 0))),
        )

    def _find(self, indices: np.ndarray) -> None:
        missing = np.unique(indices[np.isnan(self._distances[indices, 0])])
        if len(missing):
            found = self._leave_out(missing)
            self._distances[missing], self._indices[missing] = np.sqrt(found.squares), found.indices


def _threshold(low: float, middle: float) -> float:
    """Returns the relative distance below which a share FALSE_ALARM_RATE of independent images falls.

    In D dimensions, the share of images with a neighbour nearer than r grows as r^D (Levina & Bickel, "Maximum
    Likelihood Estimation of Intrinsic Dimension", NIPS 2004). D follows from two quantiles of real images, and the
    threshold is the r at which this law reaches the rate. It is far below the median if images vary in few ways, so
    that distances vary much, and close to the median if images vary in many ways. If more than 1 % of the real images
    have the features of others, the low quantile of these distances is 0, and only exact copies are suspected.
    """
    if low == 0:
        return 0.0
    inverse_dimensions = np.log(middle / low) / np.log(_MIDDLE_QUANTILE / _LOW_QUANTILE)
    return float(low * (FALSE_ALARM_RATE / _LOW_QUANTILE) ** inverse_dimensions)


def _quotients(distances: np.ndarray, scales: np.ndarray) -> np.ndarray:
    """Returns distances / scales; 0 if the distance is 0, else infinite if the scale is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(distances == 0, 0.0, distances / scales)
