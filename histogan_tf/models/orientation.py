"""Orientation: the symmetry of the square by which a generator turns or mirrors each of its images.

A discriminator that sees all images, real and generated, in random orientations cannot tell in which ones the generator
makes them: the generator matches the training images only after a random turn (Zhao et al., "Differentiable
Augmentation for Data-Efficient GAN Training", NeurIPS 2020, section 3.2, trains with such augmentations; Karras et al.,
"Training Generative Adversarial Networks with Limited Data", NeurIPS 2020, section 2.2, tells when they can be undone,
and these cannot). So the turn belongs to the generator. Without it, images of one kind all lie the same way.
"""

from __future__ import annotations

from keras import layers, ops

from histogan_tf.metrics.symmetries import FLIP_LEFT_RIGHT, FLIP_UP_DOWN, TRANSPOSE, symmetries_that_fit


class Orientation(layers.Layer):
    """Turns or mirrors each image by one of the symmetries of a square; those that are not square by one of four."""

    def call(self, images, place):
        """Returns the images, each in its orientation.

        Args:
            images: float32 (batch, height, width, channels).
            place: float32 (batch,) in [0, 1); its range is cut into equal parts, one for each symmetry, which are
                numbered as in `metrics.symmetries`.
        """
        num_symmetries = len(symmetries_that_fit(images.shape[1:3]))
        symmetry = ops.cast(place * num_symmetries, "int32")[:, None, None, None]

        def has(part: int):
            return ops.floor_divide(symmetry, part) % 2 == 1

        if num_symmetries > TRANSPOSE:
            images = ops.where(has(TRANSPOSE), ops.transpose(images, (0, 2, 1, 3)), images)
        images = ops.where(has(FLIP_LEFT_RIGHT), ops.flip(images, 2), images)
        return ops.where(has(FLIP_UP_DOWN), ops.flip(images, 1), images)

    def compute_output_shape(self, images_shape: tuple[int, ...], place_shape: tuple[int, ...]) -> tuple[int, ...]:
        """Returns the shape of the images."""
        return images_shape
