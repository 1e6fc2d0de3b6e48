"""Perturbed views of images: the symmetries of a square, and noise. TensorFlow operations without state."""

from __future__ import annotations

from collections.abc import Collection

import tensorflow as tf

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

# Numbers of symmetries, as in metrics/symmetries.py.
_QUARTER_TURNS = frozenset({5, 3, 6})  # by 90, 180 and 270 degrees clockwise
_FLIPS = frozenset({1, 2, 3})  # left-right, up-down, both
_ALL = frozenset(range(1, 8))


def apply_symmetries(images: tf.Tensor, symmetries: tf.Tensor) -> tf.Tensor:
    """Turns and mirrors each image of a batch by a symmetry of its own.

    Args:
        images: (batch, height, width, channels), any type.
        symmetries: int (batch,), in [0, 8); below 4 unless the images are square.

    Returns:
        As `images`.
    """
    symmetries = tf.cast(symmetries, tf.int32)
    is_square = images.shape[1] == images.shape[2]
    for operation in (TRANSPOSE, FLIP_LEFT_RIGHT, FLIP_UP_DOWN) if is_square else (FLIP_LEFT_RIGHT, FLIP_UP_DOWN):
        is_set = tf.bitwise.bitwise_and(symmetries, operation) > 0
        images = tf.where(is_set[:, tf.newaxis, tf.newaxis, tf.newaxis], apply_symmetry(images, operation), images)
    return images


def add_noise(images: tf.Tensor, seed: tf.Tensor) -> tf.Tensor:
    """uint8 images with Gaussian noise of NOISE_STDDEV grey levels in each channel, rounded and clipped.

    Args:
        images: uint8, any shape.
        seed: int (2,), of TensorFlow's stateless operations.
    """
    noise = replicas.drawn(
        lambda shape: tf.random.stateless_normal(shape, seed, stddev=NOISE_STDDEV), tf.unstack(tf.shape(images))
    )
    return tf.cast(tf.clip_by_value(tf.round(tf.cast(images, tf.float32) + noise), 0.0, 255.0), tf.uint8)


def symmetries_of(perturbations: Collection[str], image_shape: tuple[int, int, int]) -> list[int]:
    """The symmetries but the identity that `rotation`, `flips` or both make, rising; half turns only if not square.

    Rotations together with flips make all eight.
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
    """View 1, 2, … of a batch: an image's views run through all symmetries, from a drawn one on, before any recurs.

    Args:
        images: uint8 (batch, height, width, channels), with static height and width.
        perturbations: some of `rotation`, `flips` and `noise`.
        view: its number, from 1.
        seed: int64 (2,), of the batch; the same for all its views.

    Returns:
        uint8, as `images`.
    """
    symmetries = tf.constant(symmetries_of(perturbations, images.shape[1:]), tf.int32)
    if num_symmetries := symmetries.shape[0]:
        first = tf.random.stateless_uniform([tf.shape(images)[0]], seed, 0, num_symmetries, tf.int32)
        images = apply_symmetries(images, tf.gather(symmetries, (first + view - 1) % num_symmetries))
    if "noise" in perturbations:
        images = add_noise(images, tf.random.experimental.stateless_fold_in(seed, view))
    return images


def random_view(images: tf.Tensor, perturbations: Collection[str], seed: tf.Tensor) -> tf.Tensor:
    """A batch with a symmetry drawn for each image, the identity among them, and noise, by `seed`, int (2,)."""
    symmetries = tf.constant([0, *symmetries_of(perturbations, images.shape[1:])], tf.int32)
    drawn = replicas.drawn(
        lambda shape: tf.random.stateless_uniform(shape, seed, 0, symmetries.shape[0], tf.int32), [tf.shape(images)[0]]
    )
    images = apply_symmetries(images, tf.gather(symmetries, drawn))
    return add_noise(images, tf.random.experimental.stateless_fold_in(seed, 1)) if "noise" in perturbations else images


def check_views(perturbations: Collection[str], num_views: int, image_shape: tuple[int, int, int]) -> None:
    """Refuses views that would be equal.

    Raises:
        UserError: if there are more views than symmetries, and no noise to tell them apart.
    """
    num_symmetries = len(symmetries_of(perturbations, image_shape))
    if "noise" not in perturbations and num_views > num_symmetries:
        raise UserError(
            f"--views={num_views}: --perturbations={','.join(perturbations)} makes only {num_symmetries} views of a "
            f"{image_shape[0]}x{image_shape[1]} image that differ; take so many, or add noise"
        )
