"""Four textures that SIFT must tell apart.

They differ in structure, not in scale: SIFT sees grain and blurred grain alike.
"""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from histogan_tf.clustering import Clustering, cluster_images
from histogan_tf.data.image_set import ImageSet

SIDE = 40
PER_TEXTURE = 20
TURN = 0.2  # radians to either side


def _checks(generator: np.random.Generator) -> np.ndarray:
    angle = generator.uniform(-TURN, TURN)
    y, x = np.mgrid[:SIDE, :SIDE] + generator.uniform(0, SIDE, (2, 1, 1))
    along, across = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    return np.sign(np.sin(2 * np.pi / 12 * along) * np.sin(2 * np.pi / 12 * across))


def _grain(generator: np.random.Generator) -> np.ndarray:
    return gaussian_filter(generator.normal(size=(SIDE, SIDE)), 0.8)


def _rods(generator: np.random.Generator) -> np.ndarray:
    image = np.zeros((SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    angle = generator.uniform(-TURN, TURN)
    for row, column in generator.uniform(0, SIDE, (25, 2)):
        along = (x - column) * np.cos(angle) + (y - row) * np.sin(angle)
        across = (y - row) * np.cos(angle) - (x - column) * np.sin(angle)
        image[(np.abs(along) < 6) & (np.abs(across) < 1)] = 1
    return image


def _discs(generator: np.random.Generator) -> np.ndarray:
    image = np.zeros((SIDE, SIDE))
    y, x = np.mgrid[:SIDE, :SIDE]
    for row, column in generator.uniform(0, SIDE, (25, 2)):
        image[np.hypot(y - row, x - column) < 2.5] = 1
    return image


def _to_image(values: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """uint8 (SIDE, SIDE, 3) of random hue, plus faint noise."""
    values = (values - values.min()) / np.ptp(values)
    tint = generator.uniform(0.8, 1, 3)
    pixels = 25 + 200 * values[..., None] * tint + generator.normal(0, 2, (SIDE, SIDE, 3))
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


@pytest.fixture(scope="session")
def textures() -> ImageSet:
    """80 images; the label is the texture, and the patients p0 and p1 alternate."""
    generator = np.random.default_rng(7)
    labels = np.repeat(np.arange(4, dtype=np.int32), PER_TEXTURE)
    images = [_to_image((_checks, _grain, _rods, _discs)[label](generator), generator) for label in labels]
    return ImageSet(
        images=np.stack(images),
        labels=labels,
        ids=np.array([f"{index}.png" for index in range(len(labels))]),
        groups=np.array([f"p{index % 2}" for index in range(len(labels))]),
        name="textures",
        class_names=("checks", "grain", "rods", "discs"),
    )


@pytest.fixture(scope="session")
def textures_and_flat(textures: ImageSet) -> ImageSet:
    """The textures with images 3 and 50 made flat: SIFT finds nothing there."""
    images = textures.images.copy()
    images[[3, 50]] = 200
    return ImageSet(images, textures.labels, textures.ids, textures.groups, textures.name, textures.class_names)


@pytest.fixture(scope="session")
def clustering(textures_and_flat: ImageSet) -> Clustering:
    """The clustering of `textures_and_flat`, with 1 worker."""
    return cluster_images(textures_and_flat, vocabulary_size=40, num_workers=1)
