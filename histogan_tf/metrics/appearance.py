"""Measures what patches look like: their stains, their white area, the scale of their texture, their nuclei."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

# Optical densities of haematoxylin, eosin and DAB in red, green and blue, from Ruifrok & Johnston, "Quantification of
# histochemical staining by color deconvolution", 2001. DAB takes up what the other two cannot explain.
_STAINS = np.array([[0.650, 0.704, 0.286], [0.072, 0.990, 0.105], [0.268, 0.570, 0.776]])
_WHITE_LEVEL = 220  # from which a pixel's darkest colour counts as white
_NUCLEUS_SIGMA = 1.0  # pixels: a Gaussian of that width fits nuclei of 4 to 5 pixels, as at about 10-fold magnification
_NUCLEUS_CONTRAST = 0.06  # optical density of haematoxylin by which a nucleus stands out from its surroundings


@dataclasses.dataclass(frozen=True)
class Measure:
    """One property of how an image looks.

    Attributes:
        less, more: what an image with less and with more of it is called.
        compute: from uint8 (num_images, height, width, channels) to float64 (num_images,).
    """

    less: str
    more: str
    compute: Callable[[np.ndarray], np.ndarray]


def haematoxylin(images: np.ndarray) -> np.ndarray:
    """Returns the mean optical density of haematoxylin, float64 (num_images,), of uint8 RGB images."""
    return _densities(images)[..., 0].mean(axis=(1, 2))


def eosin(images: np.ndarray) -> np.ndarray:
    """Returns the mean optical density of eosin, float64 (num_images,), of uint8 RGB images."""
    return _densities(images)[..., 1].mean(axis=(1, 2))


def white_area(images: np.ndarray) -> np.ndarray:
    """Returns the share of white pixels, float64 (num_images,) in [0, 1]: glass, fat and gaps in the tissue."""
    return (images.min(axis=-1) >= _WHITE_LEVEL).mean(axis=(1, 2))


def brightness(images: np.ndarray) -> np.ndarray:
    """Returns the mean level, float64 (num_images,) in [0, 255]."""
    return images.mean(axis=(1, 2, 3), dtype=np.float64)


def texture_scale(images: np.ndarray) -> np.ndarray:
    """Returns the scale of the texture in pixels, float64 (num_images,): the deviation of levels over that of slopes.

    It is the wavelength, divided by 2 pi, of a wave that is as rough as the image; 0 for a flat image.
    """
    levels = images.mean(axis=-1, dtype=np.float64)
    slopes = np.square(np.diff(levels, axis=1)).mean(axis=(1, 2)) + np.square(np.diff(levels, axis=2)).mean(axis=(1, 2))
    return np.sqrt(levels.var(axis=(1, 2)) / np.maximum(slopes, 1e-9))


def num_nuclei(images: np.ndarray) -> np.ndarray:
    """Returns the number of nuclei, float64 (num_images,), of uint8 RGB images: spots with more haematoxylin.

    A spot is a peak of the difference of two Gaussians, of the size of a nucleus and of its surroundings.
    """
    from scipy import ndimage

    stain = _densities(images)[..., 0]
    near = ndimage.gaussian_filter(stain, (0, _NUCLEUS_SIGMA, _NUCLEUS_SIGMA), mode="nearest")
    far = ndimage.gaussian_filter(stain, (0, 3 * _NUCLEUS_SIGMA, 3 * _NUCLEUS_SIGMA), mode="nearest")
    contrast = near - far
    is_peak = (contrast == ndimage.maximum_filter(contrast, (1, 5, 5))) & (contrast >= _NUCLEUS_CONTRAST)
    return is_peak.sum(axis=(1, 2)).astype(np.float64)


_TEXTURE = Measure("finer texture", "coarser texture", texture_scale)
_OF_GREY_IMAGES = (Measure("darker", "paler", brightness), _TEXTURE)
_OF_TISSUE = (
    Measure("fewer nuclei", "more nuclei", num_nuclei),
    Measure("less white", "more white", white_area),
    Measure("less blue", "more blue", haematoxylin),
    Measure("less pink", "more pink", eosin),
    _TEXTURE,
)


def measures_of(num_channels: int) -> tuple[Measure, ...]:
    """Returns what can be measured on images: five measures of stained tissue in colour, and two of grey images."""
    return _OF_GREY_IMAGES if num_channels == 1 else _OF_TISSUE


def _densities(images: np.ndarray) -> np.ndarray:
    """Returns the optical density of each stain at each pixel, float64 (num_images, height, width, 3)."""
    vectors = _STAINS / np.linalg.norm(_STAINS, axis=1, keepdims=True)
    levels = np.arange(256)
    densities = -np.log10((levels + 1) / 256)
    return np.maximum(densities[images] @ np.linalg.inv(vectors), 0.0)
