"""Placement: where a generator cuts each of its images out of a larger one, and how it turns and mirrors it.

A discriminator that sees all images, real and generated, shifted, turned and mirrored at random (Zhao et al.,
"Differentiable Augmentation for Data-Efficient GAN Training", NeurIPS 2020) cannot tell how the generator places them:
these augmentations cannot be undone from the outside (Karras et al., "Training Generative Adversarial Networks with
Limited Data", NeurIPS 2020, section 2.2). What the generator learns to match the training images is its images after a
random placement, so that the placement belongs to the generator. Without it, images of one kind all lie the same way,
the grid of the upsampling has the same place in all of them, and their edges show where convolutions met zeros.
"""

from __future__ import annotations

import math

import tensorflow as tf
from keras import layers, ops

from histogan_tf.metrics.symmetries import FLIP_LEFT_RIGHT, FLIP_UP_DOWN, TRANSPOSE, symmetries_that_fit

_MOST_SHIFTS = 16


def num_shifts(height: int, width: int) -> int:
    """Returns how many places there are along an axis: the largest power of 2 up to a sixth of the shorter side.

    It is 16 at most, and 1 for images of less than 12 pixels. That many neighbouring places hold all phases of the
    grids that upsampling by a factor of 2 may leave.
    """
    return min(_MOST_SHIFTS, 2 ** int(math.log2(max(1, min(height, width) // 6))))


class Placement(layers.Layer):
    """Cuts each image out of a larger one, and turns or mirrors it, as a number between 0 and 1 says.

    Args:
        num_shifts: the number of places along each axis, a power of 2; images lose `num_shifts - 1` pixels of their
            height and width.
        is_turned: whether to apply the symmetries of a square, or those four that images keep their shape in.
        uses_products: whether placement in training is a product of matrices, which has the same result. On a CPU it
            and its gradient take a seventh of the time of slices and choices. A GPU may round the factors of products.
    """

    def __init__(self, num_shifts: int, is_turned: bool, uses_products: bool = False, **kwargs: object) -> None:
        super().__init__(**kwargs)
        self._num_shifts, self._is_turned, self._uses_products = num_shifts, is_turned, uses_products

    def call(self, images, place, training: bool = False):
        """Returns the placed images, (batch, height - num_shifts + 1, width - num_shifts + 1, channels).

        Args:
            images: float32 (batch, height, width, channels).
            place: float32 (batch,) in [0, 1); its range is cut into equal parts, one for each placement. A placement's
                number is ((symmetry) * num_shifts + left) * num_shifts + top, with symmetries numbered as in
                `metrics.symmetries`, and places by their distance from the left and the top, in pixels.
            training: whether gradients will be computed. If not, slices and choices are used, which are in every format
                of exported networks.
        """
        num_symmetries = len(symmetries_that_fit(images.shape[1:3])) if self._is_turned else 1
        number = ops.cast(place * (num_symmetries * self._num_shifts**2), "int32")
        if training and self._uses_products:
            return self._placed_by_products(images, number, num_symmetries)
        number = number[:, None, None, None]

        def has(part: int):
            return ops.floor_divide(number, part) % 2 == 1

        for axis, part in ((1, 1), (2, self._num_shifts)):
            distance = self._num_shifts // 2
            while distance:
                # One binary digit of the distance at a time: slices and choices are exact, fast and in every format.
                far, near = _slices(images, axis, distance)
                images = ops.where(has(part * distance), far, near)
                distance //= 2
        first = self._num_shifts**2
        if num_symmetries > TRANSPOSE:
            images = ops.where(has(TRANSPOSE * first), ops.transpose(images, (0, 2, 1, 3)), images)
        if num_symmetries > 1:
            images = ops.where(has(FLIP_LEFT_RIGHT * first), ops.flip(images, 2), images)
            images = ops.where(has(FLIP_UP_DOWN * first), ops.flip(images, 1), images)
        return images

    def _placed_by_products(self, images, number, num_symmetries: int):
        """Returns the images placed as numbers of placements, int32 (batch,), say.

        Rows and columns are chosen by a product with rows of a unit matrix each, and whole images are transposed last:
        transposing and then mirroring an image is the same as mirroring it along the other axis and then transposing.
        """
        number = number[:, None]
        first = self._num_shifts**2
        distances = number % self._num_shifts, ops.floor_divide(number, self._num_shifts) % self._num_shifts

        def has(symmetry: int):
            return ops.floor_divide(number, symmetry * first) % 2 == 1

        flips = [has(FLIP_UP_DOWN), has(FLIP_LEFT_RIGHT)]
        if num_symmetries > TRANSPOSE:
            is_transposed = has(TRANSPOSE)
            flips = [ops.where(is_transposed, flip, other) for flip, other in zip(flips[::-1], flips, strict=True)]
        chosen = []
        for flip, distance, size in zip(flips, distances, images.shape[1:3], strict=True):
            last = size - self._num_shifts
            pixels = ops.arange(last + 1, dtype="int32")[None]
            if num_symmetries > 1:
                pixels = ops.where(flip, last - pixels, pixels)
            chosen.append(pixels + distance)
        images = _rows_and_columns(images, *chosen)
        if num_symmetries > TRANSPOSE:
            transposed = ops.transpose(images, (0, 2, 1, 3))
            images = tf.raw_ops.Select(condition=is_transposed[:, 0], x=transposed, y=images)
        return images

    def compute_output_shape(self, images_shape: tuple[int, ...], place_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the placed images."""
        batch, height, width, channels = images_shape
        lost = self._num_shifts - 1
        return batch, height - lost, width - lost, channels


def _slices(images, axis: int, distance: int):
    """Returns all pixels but the first ones along an axis, and all but the last ones, `distance` of them."""
    if axis == 1:
        return images[:, distance:], images[:, :-distance]
    return images[:, :, distance:], images[:, :, :-distance]


def _rows_and_columns(images, rows, columns):
    """Returns the given rows and columns of each image.

    Args:
        images: float32 (batch, height, width, channels).
        rows, columns: numbers of rows and of columns, int32 (batch, new height) and (batch, new width).
    """
    _, height, width, channels = images.shape
    new_height, new_width = rows.shape[1], columns.shape[1]
    images = ops.reshape(images, (-1, height, width * channels))
    images = ops.matmul(ops.one_hot(rows, height, dtype=images.dtype), images)
    # One column of pixels is `channels` neighbouring columns of the matrix.
    columns = ops.reshape(
        columns[:, :, None] * channels + ops.arange(channels, dtype="int32"), (-1, new_width * channels)
    )
    images = ops.matmul(images, ops.one_hot(columns, width * channels, axis=1, dtype=images.dtype))
    return ops.reshape(images, (-1, new_height, new_width, channels))
