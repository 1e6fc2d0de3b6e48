"""Modes: groups of similar training images, on which a generator is conditioned without anybody having labelled them.

Liu et al., "Diverse Image Generation via Self-Conditioned GANs", CVPR 2020: a GAN whose discriminator is told the group
of each image cannot make images of the easiest groups only. Here a mode is a cluster of the images' features. The
generator takes it from the first number of z, in the proportions of the training images, so that z remains its only
input beside the label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import keras
import numpy as np
from keras import layers, ops

_LARGEST_QUANTILE = 1.0 - 1e-6
_NOWHERE = 1e6  # coordinates of the centres of modes that do not exist
_NUM_COMPONENTS = 64  # dimensions in which features are clustered


class ModeOfLatent(layers.Layer):
    """Chooses a mode for each z by the first number of z.

    The range of that number is cut into an interval for each mode, so long that the mode is drawn in its proportion.

    Args:
        num_modes: the number of modes of each label.
        num_classes: the number of labels; 0 if the network is not conditioned on labels.
        z_dist: the distribution of z, see `latents.draw_latents`.
        proportions: the share of each mode in the images of its label, (labels, num_modes), with rows that sum to 1;
            None for equal shares.
    """

    def __init__(
        self, num_modes: int, num_classes: int, z_dist: str, proportions: np.ndarray | None = None, **kwargs: object
    ) -> None:
        super().__init__(trainable=False, **kwargs)
        self._num_modes, self._z_dist = num_modes, z_dist
        if proportions is None:
            proportions = np.full((max(1, num_classes), num_modes), 1.0 / num_modes)
        ends = np.cumsum(proportions, axis=1, dtype=np.float64).astype(np.float32)
        self.ends = self.add_weight(
            name="ends", shape=ends.shape, initializer=lambda *_, **__: ops.convert_to_tensor(ends), trainable=False
        )

    def call(self, latents, label=None):
        """Returns the number of the condition, int32 (batch,): that of the label times `num_modes`, plus the mode.

        Args:
            latents: float32 (batch, z_dim).
            label: int32 (batch,); None if there are no labels.
        """
        ends = self.ends[:1] if label is None else ops.take(self.ends, label, axis=0)
        mode = ops.sum(ops.cast(self._quantile(latents[:, :1]) >= ends[:, :-1], "int32"), axis=1)
        return mode if label is None else label * self._num_modes + mode

    def moved_to(self, conditions, latents):
        """Returns latents whose first number is moved to the middle of the interval of a given mode.

        Args:
            conditions: numbers of conditions, int32 (batch,), as `call` returns them.
            latents: float32 (batch, z_dim).
        """
        ends = ops.convert_to_tensor(self.ends)
        begins = ops.concatenate([ops.zeros_like(ends[:, :1]), ends[:, :-1]], axis=1)
        middle = ops.take(ops.reshape((begins + ends) / 2.0, (-1,)), conditions)
        first = {
            "normal01": lambda: math.sqrt(2.0) * ops.erfinv(2.0 * middle - 1.0),
            "uniform_signed": lambda: 2.0 * middle - 1.0,
            "uniform_unsigned": lambda: middle,
        }[self._z_dist]()
        return ops.concatenate([first[:, None], latents[:, 1:]], axis=1)

    def _quantile(self, numbers):
        """Returns the probability that a number of z is smaller than the given ones."""
        quantile = {
            "normal01": lambda: 0.5 * (1.0 + ops.erf(numbers / math.sqrt(2.0))),
            "uniform_signed": lambda: 0.5 * (numbers + 1.0),
            "uniform_unsigned": lambda: numbers,
        }[self._z_dist]()
        return ops.minimum(quantile, _LARGEST_QUANTILE)


class ModeOfFeatures(layers.Layer):
    """Tells the mode of an image by its features: the cluster whose centre is nearest.

    Args:
        pooled: features of training images, float32 (n, channels), see `pool`.
        labels: int32 (n,), the labels of these images; None if the modes do not depend on labels.
        num_modes: the number of modes of each label.
        seed: the seed of the clustering.

    Attributes:
        proportions: the share of each mode in the images of its label, float64 (labels, num_modes).
    """

    def __init__(self, pooled: np.ndarray, labels: np.ndarray | None, num_modes: int, seed: int) -> None:
        super().__init__(trainable=False, name="mode_of_features")
        self._num_modes = num_modes
        mean, axes = _principal_axes(pooled)
        coordinates = (pooled - mean) @ axes
        labels = np.zeros(len(pooled), np.int32) if labels is None else labels
        found = [_clusters(coordinates[labels == label], num_modes, seed) for label in range(labels.max() + 1)]
        centres, proportions = (np.stack(arrays) for arrays in zip(*found, strict=True))
        self.proportions = proportions
        for name, values in (("mean", mean), ("axes", axes), ("centres", centres)):
            setattr(self, name, self._constant(name, values.astype(np.float32)))

    def call(self, pooled, label):
        """Returns the number of each image's condition, int32 (batch,): its label times `num_modes`, plus the mode.

        Args:
            pooled: features, float32 (batch, channels), see `pool`.
            label: int32 (batch,); not read if the modes do not depend on labels.
        """
        coordinates = ops.matmul(pooled - self.mean, self.axes)
        num_labels = self.centres.shape[0]
        centres = ops.take(self.centres, label, axis=0) if num_labels > 1 else self.centres[:1]
        distances = ops.sum(ops.square(coordinates[:, None] - centres), axis=-1)
        mode = ops.cast(ops.argmin(distances, axis=1), "int32")
        return label * self._num_modes + mode if num_labels > 1 else mode

    def _constant(self, name: str, values: np.ndarray) -> keras.Variable:
        return self.add_weight(
            name=name, shape=values.shape, initializer=lambda *_, **__: ops.convert_to_tensor(values), trainable=False
        )


def pool(features: Sequence[object]):
    """Returns the means over all positions of feature maps of several scales, float32 (batch, all channels).

    Args:
        features: one map for each scale, (batch, height, width, channels).
    """
    return ops.concatenate([ops.mean(ops.cast(feature, "float32"), axis=(1, 2)) for feature in features], axis=-1)


def _principal_axes(pooled: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features' mean and their principal axes, (channels, components), in units of standard deviations."""
    mean = pooled.mean(axis=0)
    deviations = pooled.std(axis=0) + 1e-6
    _, _, axes = np.linalg.svd((pooled - mean) / deviations, full_matrices=False)
    return mean, axes[:_NUM_COMPONENTS].T / deviations[:, None]


def _clusters(points: np.ndarray, num_modes: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the centres, (num_modes, dimensions), and the shares of the points of the clusters.

    A cluster should have 4 points at least on average: of few points, fewer modes are made, and the others are empty.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    centres = np.full((num_modes, points.shape[1]), _NOWHERE)
    shares = np.zeros(num_modes)
    num_clusters = max(1, min(num_modes, len(points) // 4))
    # On several threads, sums are added up in an order that depends on the moment.
    with threadpool_limits(limits=1):
        found = KMeans(num_clusters, n_init=4, random_state=seed).fit(points)
    centres[:num_clusters] = found.cluster_centers_
    shares[:num_clusters] = np.bincount(found.labels_, minlength=num_clusters) / len(points)
    return centres, shares
