"""Mirrored margins of feature maps, from whole pieces: TensorFlow's MirrorPad goes through them value by value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf

Margins = Sequence[tuple[int, int]]
"""Pixels ((above, below), (left, right))."""

NO_MARGINS = ((0, 0), (0, 0))


def reflect(images: tf.Tensor, margins: Margins) -> tf.Tensor:
    """`tf.pad(mode="REFLECT")` of height and width: the edges themselves are not repeated.

    Args:
        images: float (batch, height, width, channels), larger than the margins; its sizes are known.
        margins: to add; the images themselves come back if there are none.
    """
    if not np.any(margins):
        return images
    sizes = zip(images.shape[1:3], margins, strict=True)
    if any(pixels < before + after + 2 for pixels, (before, after) in sizes):  # the margins mirror the same pixels
        return tf.pad(images, [(0, 0), *margins, (0, 0)], mode="REFLECT")

    @tf.custom_gradient
    def mirror(images: tf.Tensor) -> tuple[tf.Tensor, Callable[[tf.Tensor], tf.Tensor]]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            for axis, sides in ((2, margins[1]), (1, margins[0])):
                upstream = _add_margins(upstream, *sides, axis)
            return upstream

        for axis, sides in ((1, margins[0]), (2, margins[1])):
            images = _with_margins(images, *sides, axis)
        return images, gradient

    return mirror(images)


def _with_margins(images: tf.Tensor, before: int, after: int, axis: int) -> tf.Tensor:
    inside = images.shape[axis] - before - after - 2
    _, head, _, tail, _ = tf.split(images, [1, before, inside, after, 1], axis)
    return tf.concat([_reversed(head, axis), images, _reversed(tail, axis)], axis)


def _add_margins(upstream: tf.Tensor, before: int, after: int, axis: int) -> tf.Tensor:
    """The gradient of `_with_margins`: what a margin mirrored gets its share of it too."""
    inside = upstream.shape[axis] - 2 * (before + after + 1)
    margin, first, head, middle, tail, last, far_margin = tf.split(
        upstream, [before, 1, before, inside, after, 1, after], axis
    )
    head, tail = head + _reversed(margin, axis), tail + _reversed(far_margin, axis)
    return tf.concat([first, head, middle, tail, last], axis)


def _reversed(pixels: tf.Tensor, axis: int) -> tf.Tensor:
    return tf.reverse(pixels, [axis]) if pixels.shape[axis] > 1 else pixels
