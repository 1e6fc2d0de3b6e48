"""Makes changed copies of images, to measure which kinds of copy an audit finds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from histogan_tf.metrics.symmetries import apply_symmetry, symmetries_that_fit


def planted(images: np.ndarray, kind: str, rng: np.random.Generator) -> np.ndarray:
    """Returns a changed copy of each image, uint8 (num_images, height, width, channels), rounded and clipped.

    Args:
        images: uint8 (num_images, height, width, channels).
        kind: a name in PLANTED_COPIES.
        rng: draws the noise.
    """
    return np.clip(np.rint(PLANTED_COPIES[kind](images.astype(np.float64), rng)), 0, 255).astype(np.uint8)


def _turned_or_mirrored(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return apply_symmetry(images, symmetries_that_fit(images.shape[1:])[-1])


def _shifted(images: np.ndarray, num_pixels: int) -> np.ndarray:
    """Returns images shifted down and to the right; pixels of the edge are repeated where others moved away."""
    padded = np.pad(images, ((0, 0), (num_pixels, 0), (num_pixels, 0), (0, 0)), mode="edge")
    return padded[:, : images.shape[1], : images.shape[2]]


def _blurred(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(images, (0, 2, 2, 0), mode="nearest")


def _rotated(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from scipy.ndimage import rotate

    return rotate(images, 5, axes=(1, 2), reshape=False, order=1, mode="nearest")


# Each takes float images in [0, 255] and a generator of random numbers.
PLANTED_COPIES: dict[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "turned or mirrored": _turned_or_mirrored,
    "brightness x 0.8": lambda images, rng: 0.8 * images,
    "brightness + 30": lambda images, rng: images + 30,
    "blurred, sigma 2 pixels": _blurred,
    "noise, deviation 20": lambda images, rng: images + rng.normal(0, 20, images.shape),
    "shifted by 1 pixel": lambda images, rng: _shifted(images, 1),
    "shifted by 2 pixels": lambda images, rng: _shifted(images, 2),
    "mirrored and shifted by 1 pixel": lambda images, rng: _shifted(images[:, :, ::-1], 1),
    "turned by 5 degrees": _rotated,
}
