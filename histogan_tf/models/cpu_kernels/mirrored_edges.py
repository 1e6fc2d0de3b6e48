"""Padding of feature maps by reflection, which takes less time than TensorFlow's own.

TensorFlow copies value by value. Here pixels are copied with all their channels at once, and the gradient joins whole
rows and columns. Both give the same bits as TensorFlow's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import tensorflow as tf


def mirror_edges(maps: tf.Tensor, margins: Sequence[tuple[int, int]]) -> tf.Tensor:
    """Enlarges maps by reflection, which does not repeat the pixels at the edge, as `tf.pad` does.

    Args:
        maps: float (batch, height, width, channels).
        margins: how many pixels are added, ((above, below), (left, right)), each fewer than the maps have.

    Returns:
        float (batch, above + height + below, left + width + right, channels).
    """
    sizes = maps.shape[1:3]
    if any(pixels < sum(margin) + 2 for pixels, margin in zip(sizes, margins, strict=True)):
        # Some pixels are mirrored on both sides: too few of them to gain anything.
        return tf.pad(maps, [(0, 0), *margins, (0, 0)], mode="REFLECT")

    @tf.custom_gradient
    def compute(maps: tf.Tensor) -> tuple[tf.Tensor, Callable]:
        def gradient(upstream: tf.Tensor) -> tf.Tensor:
            return _added_to_sources(_added_to_sources(upstream, 1, margins[0]), 2, margins[1])

        (height, width), channels = sizes, maps.shape[3]
        rows, columns = (
            np.pad(np.arange(pixels), margin, mode="reflect") for pixels, margin in zip(sizes, margins, strict=True)
        )
        pixels = tf.reshape(maps, (-1, height * width, channels))
        places = (rows[:, None] * width + columns).reshape(-1)
        return tf.reshape(tf.gather(pixels, places, axis=1), (-1, len(rows), len(columns), channels)), gradient

    return compute(maps)


def _added_to_sources(maps: tf.Tensor, axis: int, margin: tuple[int, int]) -> tf.Tensor:
    """Takes mirrored pixels away from both ends of an axis, and adds them to those that they were copied from."""
    before, behind = margin
    between = maps.shape[axis] - 2 * (before + behind) - 2
    first_copies, first, first_sources, middle, last_sources, last, last_copies = tf.split(
        maps, [before, 1, before, between, behind, 1, behind], axis=axis
    )
    first_sources += tf.reverse(first_copies, [axis])
    last_sources += tf.reverse(last_copies, [axis])
    return tf.concat([first, first_sources, middle, last_sources, last], axis=axis)
