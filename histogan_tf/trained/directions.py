"""Finds directions in a generator's latent space that change its images most, and names them by what they change."""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Callable, Iterator

import keras
import numpy as np
import tensorflow as tf
from keras import layers

from histogan_tf.data.pipeline import to_uint8
from histogan_tf.machine.progress import Progress
from histogan_tf.metrics.appearance import measures_of
from histogan_tf.models.enlargement import EnlargedConv2D
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.latents import draw_latents
from histogan_tf.models.modes import ModeOfLatent
from histogan_tf.trained.load import TrainedNetwork

logger = logging.getLogger(__name__)

_Compute = Callable[[np.ndarray, np.ndarray], Iterator[np.ndarray]]

_NUM_DIRECTIONS = 8
_NUM_PAIRS = 5_000
_NUM_STARTS, _NUM_PLACES = 32, 8  # a direction is measured on as many images as their product
_REACH = 4.0  # standard deviations of z from the middle to either end of a direction
_CLEAR = 0.6  # correlation from which a direction is named by what it changes,
_VISIBLE = 0.1  # if the change from end to end is that part of the deviation among latents
_NAMED_MEASURES = 2
_ROUNDING = 1e-9  # deviations below it are none
_CELLS = 8  # per side: finer maps are averaged to so many cells, so that 5,000 of them fit into memory
_BATCH = 50
_MEANS = {"normal01": 0.0, "uniform_signed": 0.0, "uniform_unsigned": 0.5}
_DEVIATIONS = {"normal01": 1.0, "uniform_signed": 3.0**-0.5, "uniform_unsigned": 12.0**-0.5}


@dataclasses.dataclass(frozen=True)
class Direction:
    """A direction in which a generator's images change.

    Attributes:
        name: what more of it does, such as "more nuclei", or "direction 4" if that is not clear.
        vector: float32 (z_dim,), of length 1; the vectors of a generator are at right angles to each other.
        low, high: where its ends are: a latent z is at the place `z @ vector`.
        correlations: how each measure of the images goes along with the place, in [-1, 1], by the name of more of it.
        z_dist: the distribution of z.
    """

    name: str
    vector: np.ndarray
    low: float
    high: float
    correlations: dict[str, float]
    z_dist: str

    def moved(self, latents: np.ndarray, place: float | np.ndarray) -> np.ndarray:
        """Returns latents moved along the direction to a place, float32 (num_latents, z_dim).

        Numbers of a uniform distribution stay in its range.

        Args:
            latents: float (num_latents, z_dim).
            place: from `low` to `high`, one for all or float (num_latents,).
        """
        moved = latents + (np.asarray(place) - latents @ self.vector)[:, None] * self.vector
        if self.z_dist != "normal01":
            moved = np.clip(moved, {"uniform_signed": -1.0, "uniform_unsigned": 0.0}[self.z_dist], 1.0)
        return moved.astype(np.float32)


def find_directions(trained: TrainedNetwork) -> list[Direction]:
    """Finds up to eight directions, those that change the images most first.

    They are the principal components of the feature maps after the first block of convolutions over 10,000 latents,
    taken back to z by least squares (Härkönen et al., "GANSpace: Discovering Interpretable GAN Controls", NeurIPS 2020,
    section 2.2). Before the first convolution there is little to find: in the generator that comes with the program,
    the first component has 1.2 % of the variance there, and 5.1 % after the first block.

    Latents come in pairs with the same label, and with the same first number if that chooses the mode and the
    placement. The components are those of differences within pairs, so that no direction jumps to another mode.

    Args:
        trained: a generator.

    Returns:
        The directions; none if the images are the same for every latent, or if all of z chooses the mode.
    """
    logger.info("finding directions of z, from %s latents and the images along each direction", f"{2 * _NUM_PAIRS:,}")
    held = sum(isinstance(layer, ModeOfLatent) for layer in trained.network.layers)
    vectors, images_of = _principal_directions(trained, held), _compiled(trained.network)
    found: list[Direction] = []
    with Progress(len(vectors), 0, "direction") as progress:
        for number, vector in enumerate(vectors, start=1):
            direction = _named(_direction(vector, trained.config.z_dist), number, trained, images_of)
            num_alike = sum(other.name.partition(" (")[0] == direction.name for other in found)
            if num_alike:
                direction = dataclasses.replace(direction, name=f"{direction.name} ({num_alike + 1})")
            found.append(direction)
            progress.update(number)
    return found


def _principal_directions(trained: TrainedNetwork, held: int) -> np.ndarray:
    """Returns vectors of length 1 at right angles to each other, float64 (up to 8, z_dim), the strongest first.

    The first `held` numbers of each vector are 0.
    """
    from sklearn.utils.extmath import randomized_svd

    z_dim, z_dist = trained.config.z_dim, trained.config.z_dist
    first, second = (draw_latents(_NUM_PAIRS, z_dim, z_dist, (number, 0)).numpy() for number in (0, 1))
    second[:, :held] = first[:, :held]
    labels = np.arange(_NUM_PAIRS, dtype=np.int32) % max(1, trained.num_classes)
    features = _compiled(_early_features(trained.network))
    differences = np.concatenate(
        [ours - theirs for ours, theirs in zip(features(first, labels), features(second, labels), strict=True)]
    )
    num_directions = min(_NUM_DIRECTIONS, z_dim - held, differences.shape[1])
    if num_directions < 1:
        return np.zeros((0, z_dim))
    left, strengths, _ = randomized_svd(differences, num_directions, n_oversamples=8, n_iter=2, random_state=0)
    # A constant map has no components: what the singular vectors say then is rounding.
    left = left[:, strengths > 1e-6 * max(1.0, strengths[0])]
    slopes = (first - second)[:, held:].T.astype(np.float64) @ left
    found, triangle = np.linalg.qr(slopes)
    found *= np.where(np.diag(triangle) < 0, -1.0, 1.0)
    return np.concatenate([np.zeros((held, found.shape[1])), found]).T


def _early_features(network: keras.Model) -> keras.Model:
    """Returns the part of a generator up to the maps after its first block, flattened to (batch, features)."""
    blocks = [layer for layer in network.layers if _upsamples(layer)]
    if len(blocks) < 2:
        blocks = [layer for layer in network.layers if any(len(weight.shape) == 4 for weight in layer.weights)]
    maps = blocks[min(1, len(blocks) - 1)].input
    sizes = tuple(-(-side // _CELLS) for side in maps.shape[1:3])
    if max(sizes) > 1:
        maps = keras.ops.average_pool(maps, sizes, padding="same")
    return keras.Model(network.input, keras.ops.reshape(maps, (-1, math.prod(maps.shape[1:]))))


def _upsamples(layer: keras.Layer) -> bool:
    return (
        isinstance(layer, layers.UpSampling2D) or isinstance(layer, EnlargedConv2D) and layer.upsampled_size is not None
    )


def _compiled(network: keras.Model) -> _Compute:
    """Returns a network as a function of latents and labels, which yields its outputs a batch at a time."""

    @tf.function(reduce_retracing=True)
    def compute(latents: tf.Tensor, labels: tf.Tensor) -> tf.Tensor:
        return network(named_inputs(network, latents, labels), training=False)

    def compute_all(latents: np.ndarray, labels: np.ndarray) -> Iterator[np.ndarray]:
        for start in range(0, len(latents), _BATCH):
            some = slice(start, start + _BATCH)
            yield compute(tf.constant(latents[some]), tf.constant(labels[some])).numpy().astype(np.float32)

    return compute_all


def _direction(vector: np.ndarray, z_dist: str) -> Direction:
    """Returns a direction without a name, whose ends are 4 standard deviations from its middle."""
    middle, reach = _MEANS[z_dist] * vector.sum(), _REACH * _DEVIATIONS[z_dist]
    return Direction("", vector.astype(np.float32), float(middle - reach), float(middle + reach), {}, z_dist)


def _named(direction: Direction, number: int, trained: TrainedNetwork, images_of: _Compute) -> Direction:
    """Returns a direction with the name of what it changes, turned so that the first thing named becomes more."""
    measures = measures_of(trained.image_shape[-1])
    found, changes = _effects(direction, trained, images_of)
    order = np.argsort(-np.abs(found), kind="stable")
    clear = [index for index in order if abs(found[index]) >= _CLEAR and changes[index] >= _VISIBLE]
    name = f"direction {number}"
    if clear:
        if found[clear[0]] < 0:
            found, low, high = -found, -direction.high, -direction.low
            direction = dataclasses.replace(direction, vector=-direction.vector, low=low, high=high)
        name = ", ".join(
            measures[index].more if found[index] > 0 else measures[index].less for index in clear[:_NAMED_MEASURES]
        )
    correlations = {measure.more: round(float(value), 3) for measure, value in zip(measures, found, strict=True)}
    return dataclasses.replace(direction, name=name, correlations=correlations)


def _effects(direction: Direction, trained: TrainedNetwork, images_of: _Compute) -> tuple[np.ndarray, np.ndarray]:
    """Returns what a direction does to each measure of the images, each float64 (num_measures,).

    32 latents are moved to 8 places each. What the latents differ in otherwise is left out: from the measures of each,
    their mean is subtracted.

    Returns:
        The correlations of the measures with the place; and how much they change on average from end to end, in
        standard deviations of their means among latents.
    """
    config = trained.config
    starts = draw_latents(_NUM_STARTS, config.z_dim, config.z_dist, (2, 0)).numpy()
    labels = np.arange(_NUM_STARTS, dtype=np.int32) % max(1, trained.num_classes)
    places = np.linspace(direction.low, direction.high, _NUM_PLACES)
    latents = direction.moved(np.repeat(starts, _NUM_PLACES, axis=0), np.tile(places, _NUM_STARTS))
    outputs = images_of(latents, np.repeat(labels, _NUM_PLACES))
    images = np.concatenate([to_uint8(output).numpy() for output in outputs])
    centred_places = places - places.mean()
    correlations, changes = [], []
    for measure in measures_of(images.shape[-1]):
        values = measure.compute(images).reshape(_NUM_STARTS, _NUM_PLACES)
        means = values.mean(axis=1, keepdims=True)
        products = (values - means) @ centred_places
        size = np.linalg.norm(values - means) * np.linalg.norm(centred_places) * math.sqrt(_NUM_STARTS)
        slope = products.mean() / np.square(centred_places).sum()
        correlations.append(products.sum() / max(size, _ROUNDING))
        changes.append(abs(slope) * np.ptp(places) / max(means.std(), _ROUNDING))
    return np.array(correlations), np.array(changes)
