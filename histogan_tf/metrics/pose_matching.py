"""Finds a patch again after small changes: another brightness or sharpness, turned, mirrored or shifted a little.

Each patch is blurred and normalized, and two patches are compared in all poses. A quick comparison of coarse patches
picks the candidates for the thorough one.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from histogan_tf.errors import UserError, counted
from histogan_tf.metrics.distances import Neighbours, row_blocks
from histogan_tf.metrics.symmetries import apply_symmetry, symmetries_that_fit

BLUR_PIXELS = 1.5
MORE_BLUR_PIXELS = 1.2  # of the second view of each training image, after the first blur
MAX_SHIFT_PIXELS = 2
ANGLES_DEGREES = (0.0, -4.0, 4.0)
_COARSE_SIDE = 8
_NUM_CANDIDATES = 16
_SAMPLE_STEP = 2  # pixels; the blur leaves no detail that is finer
_WORKING_SIDE = 48  # larger images are reduced by the whole factor that leaves at least this shorter side
_NOISE_VARIANCE = 1.0  # squared grey levels, added to each patch's variance: flat patches are like no other patch
_INVERSE = (0, 1, 2, 3, 4, 6, 5, 7)  # of each symmetry; only the quarter turns differ from their own


class PoseMatcher:
    """Training images, prepared for finding the ones that other images are most like in any pose.

    The distance of two images is sqrt(2 - 2 c), where c is the largest correlation of their blurred pixels over the
    symmetries of a square, shifts of up to two pixels along each axis, and turns by 0 and 4 degrees, which also find
    those by 2 and 6. Each colour's mean is subtracted, so neither brightness nor contrast matters. Each training image
    is there twice, once blurred more, so that blurred copies are found. The distance lies in [0, 2].

    Images of 96 pixels and more are reduced first, and shifts are of the reduced pixels. Only the 16 training images
    that are most alike in coarse pixels are compared in all poses.
    """

    def __init__(self, training_images: np.ndarray) -> None:
        """Prepares training images, uint8 (num_training, height, width, channels)."""
        self._symmetries = symmetries_that_fit(training_images.shape[1:])
        coarse, views = [], []
        for planes in _prepared(training_images):
            coarse.append(_coarse(planes))
            limit = _shift_limit(planes)
            views.append(
                np.stack(
                    [_unit(_sampled(one, limit, 0, 0)) for one in (planes, _blur(planes, MORE_BLUR_PIXELS))], axis=1
                )
            )
        self._coarse, self._views = np.concatenate(coarse), np.concatenate(views)

    def __len__(self) -> int:
        """Returns the number of training images."""
        return len(self._coarse)

    def nearest(self, images: np.ndarray, num_neighbours: int, own_indices: np.ndarray | None = None) -> Neighbours:
        """Returns the training images that are nearest to each image, with their squared distances.

        Args:
            images: uint8 (num_images, height, width, channels), of the shape of the training images.
            num_neighbours: the number of neighbours of each image, from 1 to 16.
            own_indices: int (num_images,), if the images are training images: the index of each, which is left out.

        Raises:
            UserError: if there are fewer training images than neighbours.
        """
        from threadpoolctl import threadpool_limits

        num_others = len(self._coarse) - (own_indices is not None)
        if num_others < num_neighbours:
            raise UserError(f"too few other images, {num_others}, for {counted(num_neighbours, 'neighbour')} each")
        num_candidates = min(_NUM_CANDIDATES, num_others)
        squares = np.empty((len(images), num_neighbours))
        indices = np.empty((len(images), num_neighbours), np.int64)
        start = 0
        for planes in _prepared(images):
            own = None if own_indices is None else own_indices[start : start + len(planes)]
            candidates, symmetries = self._candidates(planes, num_candidates, own)
            # Products of so few images are faster in one thread: waiting for others took ten times as long.
            with threadpool_limits(1):
                found = self._thorough_squares(planes, candidates, symmetries)
            order = np.argsort(found, axis=1, kind="stable")[:, :num_neighbours]
            rows = slice(start, start + len(planes))
            squares[rows] = np.take_along_axis(found, order, axis=1)
            indices[rows] = np.take_along_axis(candidates, order, axis=1)
            start += len(planes)
        return Neighbours(squares, indices)

    def _candidates(
        self, planes: np.ndarray, num_candidates: int, own: np.ndarray | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Returns the training images most alike in coarse pixels and the best symmetry for each, (num, candidates)."""
        coarse = _coarse(planes)
        oriented = [_flat(apply_symmetry(coarse, symmetry)) for symmetry in self._symmetries]
        references = _flat(self._coarse)
        best = oriented[0] @ references.T
        for orientation in oriented[1:]:
            np.maximum(best, orientation @ references.T, out=best)
        if own is not None:
            best[np.arange(len(best)), own] = -np.inf
        candidates = np.argpartition(-best, num_candidates - 1, axis=1)[:, :num_candidates]
        of_each = [np.einsum("nd,ncd->nc", orientation, references[candidates]) for orientation in oriented]
        return candidates, np.argmax(of_each, axis=0)

    def _thorough_squares(self, planes: np.ndarray, candidates: np.ndarray, symmetries: np.ndarray) -> np.ndarray:
        """Returns squared distances in the best pose, float64 (num_images, num_candidates)."""
        limit = _shift_limit(planes)
        shifts = range(-limit, limit + 1)
        # Colours first, so that the pixels of a row lie beside one another while views are cut out.
        turned = np.stack([_turned(planes, angle) for angle in ANGLES_DEGREES], axis=1).transpose(0, 1, 4, 2, 3).copy()
        squares = np.empty(candidates.shape)
        for number, (chosen, oriented) in enumerate(zip(candidates, symmetries, strict=True)):
            poses = [_sampled(turned[number], limit, dy, dx, first_axis=2) for dy in shifts for dx in shifts]
            poses = np.concatenate(poses)  # (angles * shifts, channels, y, x)
            # The best symmetry of the image is undone on the training image instead: there are fewer of these.
            views = [apply_symmetry(self._views[one], _INVERSE[it]) for one, it in zip(chosen, oriented, strict=True)]
            views = np.concatenate(views).transpose(0, 3, 1, 2)
            products = _flat(poses) @ _flat(views).T  # views have no mean, so poses may keep theirs
            found = (products / _lengths(poses, (2, 3))[:, None]).max(axis=0)
            found = found.reshape(-1, 2).max(axis=1)  # the sharper and the blurrier view of each training image
            squares[number] = np.maximum(2 - 2 * found.astype(np.float64), 0)
        return squares


def _prepared(images: np.ndarray) -> Iterator[np.ndarray]:
    """Yields blurred images, float32 (block, height, width, channels), in blocks of bounded memory."""
    factor = max(1, min(images.shape[1:3]) // _WORKING_SIDE)
    height, width = (size // factor for size in images.shape[1:3])
    # 32 images at least share a call, and the coarse comparison with all training images has as many rows.
    for rows in row_blocks(len(images), 2 * int(np.prod(images.shape[1:]))):
        pixels = images[rows, : height * factor, : width * factor].astype(np.float32)
        if factor > 1:
            pixels = pixels.reshape(-1, height, factor, width, factor, images.shape[3]).mean(axis=(2, 4))
        blurred = _blur(pixels, BLUR_PIXELS)
        # Odd sizes have a middle pixel, around which every second pixel is taken, the same ones after a mirroring.
        if not height % 2:
            blurred = (blurred[:, 1:] + blurred[:, :-1]) / 2
        if not width % 2:
            blurred = (blurred[:, :, 1:] + blurred[:, :, :-1]) / 2
        yield blurred - blurred.mean(axis=(1, 2), keepdims=True)


def _blur(planes: np.ndarray, sigma: float) -> np.ndarray:
    from scipy.ndimage import gaussian_filter

    return gaussian_filter(planes, (0, sigma, sigma, 0), mode="nearest")


def _coarse(planes: np.ndarray) -> np.ndarray:
    """Returns the means of 8x8 equal cells, normalized, float32 (num_images, 8, 8, channels)."""
    return _unit(np.einsum("ay,nyxc,bx->nabc", *_cells_with(planes), optimize=True))


def _cells_with(planes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Returns planes between the shares of each row and of each column in 8 equal cells, float32 (8, size)."""
    shares = []
    for size in planes.shape[1:3]:
        edges, pixels = np.arange(_COARSE_SIDE + 1) * size / _COARSE_SIDE, np.arange(size)
        covered = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
        shares.append((np.maximum(covered, 0) * _COARSE_SIDE / size).astype(np.float32))
    return shares[0], planes, shares[1]


def _shift_limit(planes: np.ndarray) -> int:
    """Returns the largest shift, an even number, so that the middle pixel is among the sampled ones or none is."""
    return MAX_SHIFT_PIXELS if min(planes.shape[1:3]) > 4 * MAX_SHIFT_PIXELS else 0


def _sampled(planes: np.ndarray, limit: int, dy: int, dx: int, first_axis: int = 1) -> np.ndarray:
    """Returns every second pixel along both axes, from the part of the planes that all shifts have in common."""
    height, width = planes.shape[first_axis : first_axis + 2]
    rows, columns = (
        slice(limit + shift, size - limit + shift, _SAMPLE_STEP) for size, shift in ((height, dy), (width, dx))
    )
    return planes[(slice(None),) * first_axis + (rows, columns)]


def _turned(planes: np.ndarray, degrees: float) -> np.ndarray:
    """Returns planes turned around their middle, by bilinear interpolation; edge pixels are repeated beyond."""
    if not degrees:
        return planes
    height, width = planes.shape[1:3]
    y, x = np.indices((height, width)) - np.array([(height - 1) / 2, (width - 1) / 2])[:, None, None]
    cosine, sine = np.cos(np.deg2rad(degrees)), np.sin(np.deg2rad(degrees))
    from_y = np.clip(cosine * y - sine * x + (height - 1) / 2, 0, height - 1)
    from_x = np.clip(sine * y + cosine * x + (width - 1) / 2, 0, width - 1)
    top, left = np.minimum(from_y.astype(int), height - 2), np.minimum(from_x.astype(int), width - 2)
    down, right = ((whole - part)[..., None].astype(np.float32) for whole, part in ((from_y, top), (from_x, left)))
    upper = (1 - right) * planes[:, top, left] + right * planes[:, top, left + 1]
    lower = (1 - right) * planes[:, top + 1, left] + right * planes[:, top + 1, left + 1]
    return (1 - down) * upper + down * lower


def _unit(patches: np.ndarray) -> np.ndarray:
    """Returns patches (num, y, x, channels) without each colour's mean, and of length 1 unless they are flat."""
    centred = patches - patches.mean(axis=(1, 2), keepdims=True)
    return centred / _lengths(centred, (1, 2))[:, None, None, None]


def _lengths(patches: np.ndarray, pixel_axes: tuple[int, int]) -> np.ndarray:
    """Returns the square root of the sum of squares around each colour's mean, and of a share for noise, (num,)."""
    num_pixels = patches.shape[pixel_axes[0]] * patches.shape[pixel_axes[1]]
    flat = _flat(patches)
    squares = np.einsum("nd,nd->n", flat, flat) - np.square(patches.sum(axis=pixel_axes)).sum(axis=1) / num_pixels
    return np.sqrt(np.maximum(squares, 0) + _NOISE_VARIANCE * flat.shape[1])


def _flat(patches: np.ndarray) -> np.ndarray:
    return patches.reshape(len(patches), -1)
