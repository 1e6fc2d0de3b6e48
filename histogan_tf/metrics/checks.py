"""Checks that two sets of images or of features can be compared."""

from __future__ import annotations

import numpy as np

from histogan_tf.errors import UserError, counted


def check_images(real_images: np.ndarray, synthetic_images: np.ndarray) -> None:
    """Checks that two sets of uint8 images (num_images, height, width, channels) have one image shape.

    Raises:
        UserError: if a set is empty, or their sizes or channels differ.
    """
    for noun, images in (("real", real_images), ("synthetic", synthetic_images)):
        assert images.dtype == np.uint8 and images.ndim == 4, (noun, images.dtype, images.shape)
        if not len(images):
            raise UserError(f"there are no {noun} images: give a folder or dataset that holds some")
    if real_images.shape[1:] != synthetic_images.shape[1:]:
        raise UserError(
            f"real images are {_shape(real_images)} and synthetic ones {_shape(synthetic_images)}: give both in one "
            f"size and colour, for instance with --output_height and --output_width"
        )


def checked_features(features: np.ndarray, noun: str) -> np.ndarray:
    """Returns features as float64 (num_images, d), after checking them.

    Args:
        features: the features, (num_images, d).
        noun: the kind of images that they belong to, such as "real", for messages.

    Raises:
        UserError: if they are not two-dimensional, are empty, or hold NaN or infinity.
    """
    features = np.asarray(features, np.float64)
    if features.ndim != 2 or not features.size:
        raise UserError(f"{noun} features of shape {features.shape}: give (num_images, d), at least one image")
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise UserError(
            f"the {noun} features of {len(bad)} of {counted(len(features), 'image')} are not finite, the first those "
            f"of image {bad[0]}: choose other --features, or other weights for their network"
        )
    return features


def checked_pair(real: np.ndarray, synthetic: np.ndarray, minimum: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Returns the features of two sets as float64 (num_real, d) and (num_synthetic, d), after checking them.

    Args:
        real: the features of real images, (num_real, d).
        synthetic: the features of synthetic images, (num_synthetic, d).
        minimum: the least number of images in each set.

    Raises:
        UserError: if `checked_features` refuses a set, if their d differ, or if a set has fewer than `minimum` images.
    """
    real, synthetic = checked_features(real, "real"), checked_features(synthetic, "synthetic")
    if real.shape[1] != synthetic.shape[1]:
        raise UserError(
            f"real features have {counted(real.shape[1], 'dimension')} and synthetic ones {synthetic.shape[1]}: "
            "extract both with the same --features"
        )
    if min(len(real), len(synthetic)) < minimum:
        raise UserError(
            f"{len(real)} real and {counted(len(synthetic), 'synthetic image')} are too few to compare: give at least "
            f"{minimum} of each"
        )
    return real, synthetic


def _shape(images: np.ndarray) -> str:
    height, width, channels = images.shape[1:]
    return f"{height}x{width} {'grey' if channels == 1 else 'RGB'}"
