"""Makes perturbed views of images: turned, mirrored, stained otherwise, or with noise. No operation has a state."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

from histogan_tf.data.stain import check_stainable, jitter_stains
from histogan_tf.errors import UserError
from histogan_tf.machine import replicas
from histogan_tf.metrics.symmetries import (
    FLIP_LEFT_RIGHT,
    FLIP_UP_DOWN,
    TRANSPOSE,
    apply_symmetry,
    symmetries_that_fit,
)

NOISE_STDDEV = 8.0  # grey levels, about what an 8-bit slide camera adds

# Sets of symmetries, by their numbers in metrics/symmetries.py.
_QUARTER_TURNS = frozenset({5, 3, 6})  # by 90, 180 and 270 degrees clockwise
_FLIPS = frozenset({1, 2, 3})  # left-right, up-down, both
_ALL = frozenset(range(1, 8))


def apply_symmetries(images: tf.Tensor, symmetries: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors each image of a batch by a symmetry of its own.

    Args:
        images: (batch, height, width, channels), any type.
        symmetries: int (batch,), the symmetry of each image, in [0, 8); below 4 unless the images are square.

    Returns:
        The images, of the same shape and type.
    """
    symmetries = tf.cast(symmetries, tf.int32)
    is_square = images.shape[1] == images.shape[2]
    for operation in (TRANSPOSE, FLIP_LEFT_RIGHT, FLIP_UP_DOWN) if is_square else (FLIP_LEFT_RIGHT, FLIP_UP_DOWN):
        is_set = tf.bitwise.bitwise_and(symmetries, operation) > 0
        images = tf.where(is_set[:, tf.newaxis, tf.newaxis, tf.newaxis], apply_symmetry(images, operation), images)
    return images


def add_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns uint8 images with Gaussian noise of NOISE_STDDEV grey levels in each channel, rounded and clipped.

    Args:
        images: uint8, any shape.
        seed: int (2,), the seed for TensorFlow's stateless operations.
    """
    noise = replicas.drawn(
        lambda shape: tf.random.stateless_normal(shape, seed, stddev=NOISE_STDDEV), tf.unstack(tf.shape(images))
    )
    return tf.cast(tf.clip_by_value(tf.round(tf.cast(images, tf.float32) + noise), 0.0, 255.0), tf.uint8)


def restain(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """Returns uint8 images whose stains are changed at random by `jitter_stains`, rounded.

    Args:
        images: uint8 (batch, height, width, 3).
        seed: int (2,), the seed for TensorFlow's stateless operations.
    """
    return tf.cast(tf.round(255.0 * jitter_stains(tf.cast(images, tf.float32) / 255.0, seed)), tf.uint8)


def symmetries_of(perturbations: Collection[str], image_shape: tuple[int, int, int]) -> list[int]:
    """Returns the numbers of the symmetries that `rotation`, `flips` or both make, sorted, without the identity.

    Rotations and flips together make all eight. Images that are not square get no quarter turns.
    """
    found: set[int] = set()
    if "rotation" in perturbations:
        found |= _QUARTER_TURNS
    if "flips" in perturbations:
        found |= _FLIPS
    if {"rotation", "flips"} <= set(perturbations):
        found |= _ALL
    return sorted(found.intersection(symmetries_that_fit(image_shape)))


def perturbed_view(
    images: tf.Tensor, perturbations: Collection[str], view: int | tf.Tensor, seed: tf.Tensor
) -> tf.Tensor:
    """Returns one perturbed view of each image of a batch.

    The first symmetry of an image is drawn at random. Its further views take the other symmetries in turn, and none
    recurs before all have been used.

    Args:
        images: uint8 (batch, height, width, channels), with static height and width.
        perturbations: some of `rotation`, `flips`, `stain` and `noise`.
        view: the number of the view, from 1.
        seed: int64 (2,), the seed of the batch; the same for all its views.

    Returns:
        The views, uint8, of the shape of `images`.
    """
    symmetries = tf.constant(symmetries_of(perturbations, images.shape[1:]), tf.int32)
    if num_symmetries := symmetries.shape[0]:
        first = tf.random.stateless_uniform([tf.shape(images)[0]], seed, 0, num_symmetries, tf.int32)
        images = apply_symmetries(images, tf.gather(symmetries, (first + view - 1) % num_symmetries))
    return _without_place(images, perturbations, tf.random.experimental.stateless_fold_in(seed, view))


def _without_place(images: tf.Tensor, perturbations: Collection[str], seed: tf.Tensor) -> tf.Tensor:
    """Returns the images with the perturbations that leave every pixel at its place: stain, then noise."""
    if "stain" in perturbations:
        images = restain(images, tf.random.experimental.stateless_fold_in(seed, 1))
    return add_noise(images, seed) if "noise" in perturbations else images


def random_view(images: tf.Tensor, perturbations: Collection[str], seed: tf.Tensor) -> tf.Tensor:
    """Returns a batch in which each image has a random symmetry, possibly the identity, and other stains and noise if
    these are among the perturbations.

    Args:
        images: uint8 (batch, height, width, channels), with static height and width.
        perturbations: some of `rotation`, `flips`, `stain` and `noise`.
        seed: int (2,), the seed of all random choices.
    """
    symmetries = tf.constant([0, *symmetries_of(perturbations, images.shape[1:])], tf.int32)
    drawn = replicas.drawn(
        lambda shape: tf.random.stateless_uniform(shape, seed, 0, symmetries.shape[0], tf.int32), [tf.shape(images)[0]]
    )
    images = apply_symmetries(images, tf.gather(symmetries, drawn))
    return _without_place(images, perturbations, tf.random.experimental.stateless_fold_in(seed, 1))


def check_views(perturbations: Collection[str], num_views: int, image_shape: tuple[int, int, int]) -> None:
    """Refuses a number of views at which some views of an image would be equal, and stains of grey images.

    Args:
        perturbations: some of `rotation`, `flips`, `stain` and `noise`.
        num_views: the number of views of each image.
        image_shape: the (height, width, channels) of the images.

    Raises:
        UserError: if there are more views than symmetries, and neither stain nor noise makes them differ; or for
            stain in images without three channels.
    """
    if "stain" in perturbations:
        check_stainable(image_shape[-1])
    num_symmetries = len(symmetries_of(perturbations, image_shape))
    if not {"stain", "noise"} & set(perturbations) and num_views > num_symmetries:
        raise UserError(
            f"--views={num_views}: --perturbations={','.join(perturbations)} makes only {num_symmetries} different "
            f"views of a {image_shape[0]}x{image_shape[1]} image; lower --views, or add stain or noise to "
            f"--perturbations"
        )
