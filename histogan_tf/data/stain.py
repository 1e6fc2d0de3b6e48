"""Stains of histology images: haematoxylin, eosin and DAB taken apart, changed, and put together again.

Light that passes a stain is absorbed by the law of Beer and Lambert, so that the stains of a pixel add up in optical
density, the negative natural logarithm of the share of light that passes: colour deconvolution (Ruifrok and Johnston,
"Quantification of histochemical staining by color deconvolution", 2001). All functions are TensorFlow operations with
gradients.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.machine import replicas

# The optical density of red, green and blue light for a unit of haematoxylin, eosin and DAB: skimage.color's
# rgb_from_hed.
RGB_FROM_HED = np.array([[0.65, 0.70, 0.29], [0.07, 0.99, 0.11], [0.27, 0.57, 0.78]], np.float32)
HED_FROM_RGB = np.linalg.inv(RGB_FROM_HED)
JITTER = 0.05  # sigma of Tellez et al. 2018; here in natural optical density
_DARKEST = 1 / 255  # a pixel of 0 would have an infinite density


def stains_of(images: tf.Tensor) -> tf.Tensor:
    """Returns the amount of each stain in each pixel, float32 (..., 3): haematoxylin, eosin and DAB.

    Args:
        images: float32 (..., 3), RGB in [0, 1].
    """
    return tf.tensordot(-tf.math.log(tf.maximum(images, _DARKEST)), HED_FROM_RGB, 1)


def image_of(stains: tf.Tensor) -> tf.Tensor:
    """Returns the RGB image that stains make, float32 (..., 3) in [0, 1]; the inverse of `stains_of`.

    Args:
        stains: float32 (..., 3), the amounts of haematoxylin, eosin and DAB.
    """
    return tf.minimum(tf.exp(-tf.tensordot(stains, RGB_FROM_HED, 1)), 1.0)


def jitter_stains(images: tf.Tensor, seed: tf.Tensor, sigma: float = JITTER) -> tf.Tensor:
    """Returns each image as another laboratory might have stained it.

    The amount of each stain is multiplied by a number from [1 - sigma, 1 + sigma], and one from [-sigma, sigma] is
    added, both drawn for the whole image (Tellez et al., "Whole-Slide Mitosis Detection in H&E Breast Histology Using
    PHH3 as a Reference", IEEE TMI 2018, section III-C).

    Args:
        images: float32 (batch, height, width, 3), in [0, 1].
        seed: int (2,), the seed for TensorFlow's stateless operations.
        sigma: the half width of both intervals.

    Raises:
        UserError: if the images have no three channels.
    """
    check_stainable(images.shape[-1])
    factors, offsets = tf.unstack(
        replicas.drawn(
            lambda shape: tf.random.stateless_uniform(shape, seed, -sigma, sigma), [tf.shape(images)[0], 2, 1, 1, 3]
        ),
        axis=1,
    )
    return image_of(stains_of(images) * (1.0 + factors) + offsets)


def mean_stains(images: np.ndarray) -> np.ndarray:
    """Returns the mean amount of each stain over all pixels, float64 (3,).

    Args:
        images: uint8 (num_images, height, width, 3).
    """
    means = [stains_of(tf.constant(image, tf.float32) / 255.0).numpy().mean(axis=(0, 1)) for image in images]
    return np.mean(np.asarray(means, np.float64), axis=0)


def scale_stains(images: np.ndarray, factors: np.ndarray) -> np.ndarray:
    """Returns images with the amount of each stain multiplied by a factor: uint8, of the same shape.

    White stays white, which an addition would colour.

    Args:
        images: uint8 (num_images, height, width, 3).
        factors: float (3,), of haematoxylin, eosin and DAB, above 0.
    """
    stains = stains_of(tf.constant(images, tf.float32) / 255.0) * tf.constant(factors, tf.float32)
    return tf.cast(tf.round(255.0 * image_of(stains)), tf.uint8).numpy()


def check_stainable(num_channels: int) -> None:
    """Refuses images in which no stains can be told apart.

    Raises:
        UserError: if there are not three channels.
    """
    if num_channels != 3:
        raise UserError(
            f"stains can be changed in colour images of 3 channels only, and these have {num_channels}: leave stain out"
        )
