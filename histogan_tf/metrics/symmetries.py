"""The eight symmetries of a square (its dihedral group), by which images are turned and mirrored.

Tissue has no top and no left side, so a turned or mirrored patch is as good as the original, and no pixel is invented.
"""

from __future__ import annotations

from typing import TypeVar

import numpy as np

Images = TypeVar("Images")  # an array of NumPy, or a tensor of TensorFlow

# A symmetry is a number in [0, 8), whose bits are applied in this order. 0 is the identity; 5, 3 and 6 turn by 90, 180
# and 270 degrees clockwise; 1, 2 and 3 flip left-right, up-down and both.
TRANSPOSE, FLIP_LEFT_RIGHT, FLIP_UP_DOWN = 4, 1, 2


def symmetries_that_fit(image_shape: tuple[int, ...]) -> range:
    """Returns the symmetries that keep the shape of images (height, width, …): all 8 if square, else the first 4."""
    return range(8 if image_shape[0] == image_shape[1] else 4)


def apply_symmetry(images: Images, symmetry: int) -> Images:
    """Turns and mirrors all images of a batch by one symmetry.

    Args:
        images: (batch, height, width, channels), an array of NumPy or a tensor of TensorFlow, any type.
        symmetry: the number of the symmetry, in [0, 8).

    Returns:
        The images, of the same type; symmetries from 4 on exchange height and width. For NumPy, a view.
    """
    if isinstance(images, np.ndarray):
        transpose, reverse = np.transpose, np.flip
    else:
        import tensorflow as tf

        transpose, reverse = tf.transpose, tf.reverse
    if symmetry & TRANSPOSE:
        images = transpose(images, (0, 2, 1, 3))
    if symmetry & FLIP_LEFT_RIGHT:
        images = reverse(images, (2,))
    if symmetry & FLIP_UP_DOWN:
        images = reverse(images, (1,))
    return images
