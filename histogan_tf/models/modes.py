"""Modes: groups of similar training images, on which a generator is conditioned without anybody having labelled them.

Liu et al., "Diverse Image Generation via Self-Conditioned GANs", CVPR 2020: a GAN whose discriminator is told the group
of each image cannot make images of the easiest groups only. Here a mode is a cluster of the images' features. The
generator takes it from the first number of z, in the proportions of the training images, so that z remains its only
input beside the label.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from keras import layers, ops

_LARGEST_QUANTILE = 1.0 - 1e-6
_SHORTEST_INTERVAL = 1e-9  # keeps the place in the interval of a mode without images finite
_MARGIN = 0.01  # share of an interval, at either end
_NOWHERE = 1e6  # coordinates of the centres of modes that do not exist
_NUM_COMPONENTS = 64  # dimensions in which features are clustered


class ModeOfLatent(layers.Layer):
    """Chooses a mode for each z by the first number of z.

    The range of that number is cut into an interval for each mode, so long that the mode is drawn in its proportion.
    Where in the interval the number lies is a second result, which chance alone decides: it can choose what must not
    depend on the mode, see `placement`.

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
        ends = _interval_ends(proportions)
        self.ends = self.add_weight(
            name="ends", shape=ends.shape, initializer=lambda *_, **__: ops.convert_to_tensor(ends), trainable=False
        )

    def set_proportions(self, proportions: np.ndarray) -> None:
        """Changes the shares in which modes are drawn, (labels, num_modes)."""
        self.ends.assign(_interval_ends(proportions))

    def call(self, latents, label=None):
        """Returns the condition of each z, and where in the interval of its mode the first number lies.

        Args:
            latents: float32 (batch, z_dim).
            label: int32 (batch,); None if there are no labels.

        Returns:
            The number of the condition, int32 (batch,): that of the label times `num_modes`, plus the mode; and the
            place, float32 (batch,) in [0, 1), uniformly distributed.
        """
        ends = self.ends[:1] if label is None else ops.take(self.ends, label, axis=0)
        quantile = self._quantile(latents[:, :1])
        mode = ops.sum(ops.cast(quantile >= ends[:, :-1], "int32"), axis=1)
        condition = mode if label is None else label * self._num_modes + mode
        begins, ends = self._intervals(condition)
        place = (quantile[:, 0] - begins) / ops.maximum(ends - begins, _SHORTEST_INTERVAL)
        return condition, ops.clip(place, 0.0, _LARGEST_QUANTILE)

    def moved_to(self, conditions, latents):
        """Returns latents whose first number is moved to the interval of a given mode, to the same place within it.

        The place is where the number lies in its whole range, so that places are uniformly distributed.

        Args:
            conditions: numbers of conditions, int32 (batch,), as `call` returns them.
            latents: float32 (batch, z_dim).
        """
        begins, ends = self._intervals(conditions)
        # Away from the ends, where rounding would lead to the neighbouring mode.
        place = ops.clip(self._quantile(latents[:, 0]), _MARGIN, 1.0 - _MARGIN)
        quantile = begins + (ends - begins) * place
        first = {
            "normal01": lambda: math.sqrt(2.0) * ops.erfinv(2.0 * quantile - 1.0),
            "uniform_signed": lambda: 2.0 * quantile - 1.0,
            "uniform_unsigned": lambda: quantile,
        }[self._z_dist]()
        return ops.concatenate([first[:, None], latents[:, 1:]], axis=1)

    def _intervals(self, conditions):
        """Returns the quantiles at which the intervals of conditions begin and end, each float32 (batch,)."""
        ends = ops.convert_to_tensor(self.ends)
        begins = ops.concatenate([ops.zeros_like(ends[:, :1]), ends[:, :-1]], axis=1)
        return tuple(ops.take(ops.reshape(bounds, (-1,)), conditions) for bounds in (begins, ends))

    def _quantile(self, numbers):
        """Returns the probability that a number of z is smaller than the given ones."""
        quantile = {
            "normal01": lambda: 0.5 * (1.0 + ops.erf(numbers / math.sqrt(2.0))),
            "uniform_signed": lambda: 0.5 * (numbers + 1.0),
            "uniform_unsigned": lambda: numbers,
        }[self._z_dist]()
        return ops.minimum(quantile, _LARGEST_QUANTILE)


def _interval_ends(proportions: np.ndarray) -> np.ndarray:
    """Returns the probabilities at which the interval of each mode ends, float32 (labels, num_modes)."""
    return np.cumsum(proportions, axis=1, dtype=np.float64).astype(np.float32)


class ModeOfFeatures(layers.Layer):
    """Tells the mode of an image by its features: the cluster whose centre is nearest.

    Args:
        num_channels: the number of channels of the features of all scales, see `pool`.
        num_labels: the number of labels, each of which has its own modes; 1 if modes do not depend on labels.
        num_modes: the number of modes of each label.
    """

    def __init__(self, num_channels: int, num_labels: int, num_modes: int) -> None:
        super().__init__(trainable=False, name="mode_of_features")
        self._num_labels, self._num_modes = num_labels, num_modes
        num_axes = min(_NUM_COMPONENTS, num_channels)
        shapes = {
            "mean": (num_channels,),
            "axes": (num_channels, num_axes),
            "centres": (num_labels, num_modes, num_axes),
        }
        self.mean, self.axes, self.centres = (
            self.add_weight(name=name, shape=shape, initializer="zeros", trainable=False)
            for name, shape in shapes.items()
        )
        self.built = True

    def find(self, pooled: np.ndarray, labels: np.ndarray | None, seed: int) -> None:
        """Finds the modes of training images.

        Args:
            pooled: the images' features, float32 (n, channels), see `pool`.
            labels: int32 (n,); None if the modes do not depend on labels.
            seed: the seed of the clustering.
        """
        mean, axes = _principal_axes(pooled, self.axes.shape[1])
        coordinates = (pooled - mean) @ axes
        labels = np.zeros(len(pooled), np.int32) if labels is None else labels
        centres = [_centres(coordinates[labels == label], self._num_modes, seed) for label in range(self._num_labels)]
        for weight, values in ((self.mean, mean), (self.axes, axes), (self.centres, np.stack(centres))):
            weight.assign(values.astype(np.float32))

    def proportions(self, pooled: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        """Returns the share of each mode in the images of its label, float64 (labels, num_modes).

        Args:
            pooled: the images' features, float32 (n, channels).
            labels: int32 (n,); None if the modes do not depend on labels.
        """
        labels = np.zeros(len(pooled), np.int32) if labels is None else labels.astype(np.int32)
        conditions = ops.convert_to_numpy(self(pooled, labels))
        counts = np.bincount(conditions, minlength=self._num_labels * self._num_modes)
        counts = counts.reshape(self._num_labels, self._num_modes).astype(np.float64)
        counts[counts.sum(axis=1) == 0] = 1.0  # a label without images
        return counts / counts.sum(axis=1, keepdims=True)

    def leave_out(self, is_empty: np.ndarray) -> None:
        """Removes modes, so that no image is taken for one of them.

        Args:
            is_empty: bool (labels, num_modes), the modes that are removed.
        """
        self.centres.assign(np.where(is_empty[..., None], np.float32(_NOWHERE), ops.convert_to_numpy(self.centres)))

    def call(self, pooled, label):
        """Returns the number of each image's condition, int32 (batch,): its label times `num_modes`, plus the mode.

        Args:
            pooled: features, float32 (batch, channels), see `pool`.
            label: int32 (batch,); not read if the modes do not depend on labels.
        """
        coordinates = ops.matmul(pooled - self.mean, self.axes)
        centres = ops.take(self.centres, label, axis=0) if self._num_labels > 1 else self.centres[:1]
        distances = ops.sum(ops.square(coordinates[:, None] - centres), axis=-1)
        mode = ops.cast(ops.argmin(distances, axis=1), "int32")
        return label * self._num_modes + mode if self._num_labels > 1 else mode


def pool(features: Sequence[object]):
    """Returns the means over all positions of feature maps of several scales, float32 (batch, all channels).

    Args:
        features: one map for each scale, (batch, height, width, channels).
    """
    return ops.concatenate([ops.mean(ops.cast(feature, "float32"), axis=(1, 2)) for feature in features], axis=-1)


def _principal_axes(pooled: np.ndarray, num_axes: int) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features' mean, and their principal axes, (channels, num_axes), in units of standard deviations.

    Few images have fewer axes than that; the others are zero.
    """
    mean = pooled.mean(axis=0)
    deviations = pooled.std(axis=0) + 1e-6
    _, _, found = np.linalg.svd((pooled - mean) / deviations, full_matrices=False)
    axes = np.zeros((pooled.shape[1], num_axes))
    axes[:, : len(found)] = found[:num_axes].T / deviations[:, None]
    return mean, axes


def _centres(points: np.ndarray, num_modes: int, seed: int) -> np.ndarray:
    """Returns the centres of clusters of points, (num_modes, dimensions).

    A cluster should have 4 points at least on average: of few points fewer clusters are made, and the other centres are
    far from everything.
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    centres = np.full((num_modes, points.shape[1]), _NOWHERE)
    num_clusters = min(num_modes, -(-len(points) // 4))
    if num_clusters:
        # On several threads, sums are added up in an order that depends on the moment.
        with threadpool_limits(limits=1):
            centres[:num_clusters] = KMeans(num_clusters, n_init=4, random_state=seed).fit(points).cluster_centers_
    return centres
