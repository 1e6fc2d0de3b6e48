"""Computes the SIFT descriptors of one image.

SIFT: Lowe, "Distinctive Image Features from Scale-Invariant Keypoints", IJCV 60(2), 2004.
"""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator

import numpy as np

from histogan_tf.errors import UserError

DESCRIPTOR_LENGTH = 128  # 4x4 cells of 8 orientations (Lowe, section 6.1)
DESCRIPTOR_SIDE = 16  # pixels under one descriptor: 4x4 cells of 4x4 samples (Lowe, figure 7 and section 6.1)
GRID_STEP = 8  # pixels between the centres of dense descriptors: each overlaps its neighbours by half
_OPENCV_CELL = 1.5  # OpenCV draws a cell 3 * (size / 2) pixels wide around a key point of diameter `size`


@dataclasses.dataclass(frozen=True)
class DescriptorSettings:
    """The settings by which an image is described.

    Attributes:
        upsample: the whole factor by which an image is enlarged first (bilinear, as Lowe doubles his, section 3.3).
            Small patches have few key points: a 50x50 patch has about 15, and about 115 when enlarged twice.
        dense: whether descriptors lie on an upright grid of one scale instead of at key points. Every textured image
            then has some, but they change when the tissue is turned, although tissue has no up.
        root_sift: whether to take the square root of the L1-normalized descriptor, which amounts to the Hellinger
            kernel (Arandjelović & Zisserman, "Three things everyone should know to improve object retrieval", CVPR
            2012, section 3).
    """

    upsample: int = 2
    dense: bool = False
    root_sift: bool = False


def check_size(image_shape: tuple[int, int, int], settings: DescriptorSettings) -> None:
    """Checks that the window of one descriptor fits into an image of (height, width, channels), enlarged as set.

    Raises:
        UserError: if it does not fit, or the factor of enlargement is below 1.
    """
    height, width, _ = image_shape
    if settings.upsample < 1:
        raise UserError(f"upsample is {settings.upsample}; give a whole factor of at least 1")
    if min(height, width) * settings.upsample < DESCRIPTOR_SIDE:
        needed = -(-DESCRIPTOR_SIDE // min(height, width))
        raise UserError(
            f"images of {height}x{width} enlarged {settings.upsample} times are smaller than the "
            f"{DESCRIPTOR_SIDE}x{DESCRIPTOR_SIDE} window of a SIFT descriptor; use upsample {needed} or more"
        )


def describe_image(image: np.ndarray, settings: DescriptorSettings) -> np.ndarray:
    """Returns the SIFT descriptors, uint8 (num_descriptors, 128), of an image, uint8 (height, width, 1 or 3).

    A flat image has none: (0, 128). RootSIFT is not applied here but in `as_points`, so that descriptors stay uint8 and
    take little memory.
    """
    import cv2

    grey = image[..., 0] if image.shape[-1] == 1 else cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
    if settings.upsample > 1:
        factor = settings.upsample
        grey = cv2.resize(grey, None, fx=factor, fy=factor, interpolation=cv2.INTER_LINEAR)
    sift = cv2.SIFT.create()
    if settings.dense:
        _, descriptors = sift.compute(grey, _grid(*grey.shape))
    else:
        _, descriptors = sift.detectAndCompute(grey, None)
    if descriptors is None:
        return np.zeros((0, DESCRIPTOR_LENGTH), np.uint8)
    # A grid point on flat ground has an all-zero descriptor: it describes nothing, and has no L1 norm to divide by.
    return descriptors[descriptors.any(axis=1)].astype(np.uint8)  # OpenCV's floats are whole numbers in [0, 255]


def as_points(descriptors: np.ndarray, settings: DescriptorSettings) -> np.ndarray:
    """Returns uint8 descriptors (n, 128) as float32 points (n, 128), between which distances are measured."""
    points = descriptors.astype(np.float32)
    if settings.root_sift:
        points = np.sqrt(points / points.sum(axis=1, keepdims=True))
    return points


@contextlib.contextmanager
def one_thread_per_call() -> Iterator[None]:
    """Keeps OpenCV, BLAS and OpenMP from starting threads of their own.

    Such threads add partial sums in the order in which they happen to finish, so the last bits would differ from run to
    run. They would also compete with the threads of `map_in_order` for the same cores.
    """
    import cv2
    import sklearn.cluster  # noqa: F401  (threadpoolctl limits only libraries that are already loaded)
    import threadpoolctl

    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        with threadpoolctl.threadpool_limits(1):
            yield
    finally:
        cv2.setNumThreads(threads)


def _grid(height: int, width: int) -> list:
    """Returns upright key points on a centred grid, whose windows lie inside the image."""
    import cv2

    def centres(side: int) -> np.ndarray:
        num_steps = (side - DESCRIPTOR_SIDE) // GRID_STEP
        return side / 2 + GRID_STEP * (np.arange(num_steps + 1) - num_steps / 2)

    diameter = DESCRIPTOR_SIDE / 4 / _OPENCV_CELL
    return [cv2.KeyPoint(x, y, diameter, 0.0) for y in centres(height) for x in centres(width)]
