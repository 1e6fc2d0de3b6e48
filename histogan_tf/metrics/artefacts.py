"""Measures the pixel grids that upsampling leaves: lines in the spectrum at the frequencies of its strides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics.checks import check_images
from histogan_tf.metrics.distances import row_blocks
from histogan_tf.metrics.intervals import QUANTILES, resample_weights

# Periods in pixels of the grids that the last, the last two and the last three upsamplings by 2 leave.
PERIODS = (2, 4, 8)
# Steps between neighbouring pixels that differ by less than this share of the mean step are no grid. JPEG's blocks at a
# quality of 75 and more stay below it.
STEP_TOLERANCE = 0.1
# Distances of a line's neighbours, in units of 1 / size cycles per pixel. A Hann window smears a line over two units.
_NEIGHBOUR_DISTANCES = (3, 5, 7)
_LUMA = np.array([0.299, 0.587, 0.114])  # ITU-R BT.601. JPEG stores the colours of 2x2 pixels as one, but not the luma
_UNSEEN_VARIANCE = 1.0  # variance, in squared grey levels, of white noise that nobody sees

Frequency = tuple[float, float]  # along y and along x, in cycles per pixel


class CheckerboardScore(NamedTuple):
    """How much a grid of one period stands out in synthetic images, relative to real ones.

    Attributes:
        score: log10 of a ratio of ratios: 0 if synthetic images have no more of a grid than real ones, 1 for ten times
            the power.
        low, high: the 95 % bootstrap interval, over images of both sets; nan if each set has only one image.
    """

    score: float
    low: float
    high: float


class _Line(NamedTuple):
    """One of the places where a grid shows.

    Attributes:
        frequencies: where a grid has its power; one, or the two of both diagonals.
        step_axis: None for the spectrum of the pixels; 1 or 2 for that of the steps between neighbours on this axis.
    """

    frequencies: tuple[Frequency, ...]
    step_axis: int | None


def checkerboard_score(
    real_images: np.ndarray,
    synthetic_images: np.ndarray,
    period: int = 2,
    *,
    num_resamples: int = 2000,
    seed: int = 42,
) -> CheckerboardScore:
    """Returns how much a grid of `period` pixels stands out in synthetic images, in decades above real images.

    A transposed convolution paints unevenly, with its stride as the period (Odena et al., "Deconvolution and
    Checkerboard Artifacts", Distill 2016); the paper's Figure 5 shows it. Such a grid is a line in the spectrum of the
    pixels at 1 / period cycles per pixel. An enlargement by repeated pixels leaves no line there, but one in the
    spectrum of the steps, the absolute differences of neighbouring pixels (as Gallagher, "Detection of Linear and Cubic
    Interpolation in JPEG Compressed Images", CRV 2005, finds it in second differences).

    So five lines are measured: of the pixels, along the rows, along the columns and on the diagonals; of the steps,
    along the rows and along the columns. A line's excess is its power divided by the mean power of its neighbours in
    frequency. It does not depend on where the grid begins, and hardly on sharpness, blur or noise, which change a line
    and its neighbours alike. There are two kinds of neighbours: those that are as fine as the line, in other directions
    (a round blur treats them alike), and those that share the line's frequency along one axis (a blur along the axes
    treats them alike). The kind with the smaller excess counts. The score is log10 of the excess in synthetic images,
    averaged over them, divided by that in real images; it is that of the line with the largest score.

    The maximum of five lines is a little above 0 even for real images; `checkerboard_floor` says how much. The bounds
    are the largest of the five lower bounds and of the five upper bounds, each at a fifth of the error rate
    (Bonferroni), so that they hold for the maximum. A blur by a box of 5 or more pixels has zeros in its spectrum,
    beside which a line seems to stand out: it was measured to score 0.4 on real patches.

    Args:
        real_images: uint8 (num_real, height, width, channels).
        synthetic_images: uint8 (num_synthetic, height, width, channels).
        period: the period in pixels, from 2 to half of the shorter side.
        num_resamples: the number of bootstrap resamples.
        seed: the seed of the bootstrap.

    Raises:
        UserError: if a set is empty, shapes differ, or the period does not fit into the images.
    """
    check_images(real_images, synthetic_images)
    _check_period(period, real_images)
    real, synthetic = _excesses(real_images, period), _excesses(synthetic_images, period)
    score = float(_line_scores(real.mean(axis=0), synthetic.mean(axis=0)).max())
    if len(real) == len(synthetic) == 1:
        return CheckerboardScore(score, np.nan, np.nan)
    real_seed, synthetic_seed = np.random.SeedSequence(seed).generate_state(2)
    replicates = _line_scores(
        _resampled_means(real, num_resamples, int(real_seed)),
        _resampled_means(synthetic, num_resamples, int(synthetic_seed)),
    )
    tail = QUANTILES[0] / replicates.shape[1]
    low, high = np.quantile(replicates, (tail, 1 - tail), axis=0).max(axis=1)
    return CheckerboardScore(score, float(low), float(high))


def checkerboard_floor(
    real_images: np.ndarray, period: int = 2, *, num_splits: int = 1000, seed: int = 42
) -> CheckerboardScore:
    """Returns the score that real images reach: that of one random half of them against the other half.

    The result holds the mean of the scores over many random halves, and their 95 % range.

    Args:
        real_images: uint8 (num_real, height, width, channels), at least two images.
        period: the period in pixels, from 2 to half of the shorter side.
        num_splits: the number of times that the images are split into halves.
        seed: the seed of the random halves.

    Raises:
        UserError: if there are fewer than two images, or the period does not fit into them.
    """
    check_images(real_images, real_images)
    _check_period(period, real_images)
    num_half = len(real_images) // 2
    if not num_half:
        raise UserError("one real image has no halves to compare: give at least two")
    excesses = _excesses(real_images, period)
    rng = np.random.default_rng(seed)
    scores = []
    for rows in row_blocks(num_splits, len(excesses)):
        num_rows = len(range(num_splits)[rows])
        order = rng.permuted(np.tile(np.arange(len(excesses)), (num_rows, 1)), axis=1)
        halves = (order < num_half), (order >= num_half) & (order < 2 * num_half)
        scores.append(_line_scores(*(_weighted_means(half, excesses, num_half) for half in halves)).max(axis=1))
    replicates = np.concatenate(scores)
    low, high = np.quantile(replicates, QUANTILES)
    return CheckerboardScore(float(replicates.mean()), float(low), float(high))


def repeated_pixels(images: np.ndarray, period: int) -> np.ndarray:
    """Returns images with the plainest grid: each block of period x period pixels has the colour of its first pixel.

    Args:
        images: uint8 (num_images, height, width, channels).
        period: the side of a block, in pixels.
    """
    height, width = images.shape[1:3]
    blocks = np.repeat(np.repeat(images[:, ::period, ::period], period, axis=1), period, axis=2)
    return blocks[:, :height, :width]


def fitting_periods(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns those of PERIODS for which images of (height, width, channels) are large enough."""
    return tuple(period for period in PERIODS if period <= min(image_shape[:2]) // 2)


def _check_period(period: int, images: np.ndarray) -> None:
    shortest = min(images.shape[1:3])
    if not 2 <= period <= shortest // 2:
        raise UserError(
            f"period {period} does not fit into images of {shortest} pixels: give a period from 2 to {shortest // 2}"
        )


def _lines(period: int) -> tuple[_Line, ...]:
    fine = 1 / period
    rows, columns, diagonals = ((0.0, fine),), ((fine, 0.0),), ((fine, fine), (fine, -fine))
    return _Line(rows, None), _Line(columns, None), _Line(diagonals, None), _Line(rows, 2), _Line(columns, 1)


def _excesses(images: np.ndarray, period: int) -> np.ndarray:
    """Returns the excess of each line over both kinds of neighbours, float64 (num_images, 5, 2)."""
    lines = _lines(period)
    size = min(images.shape[1:3])
    excesses = np.empty((len(images), len(lines), 2))
    for rows in row_blocks(len(images), int(np.prod(images.shape[1:]))):
        pixels = images[rows].astype(np.float64)
        luma = pixels @ _LUMA if pixels.shape[3] == 3 else pixels[..., 0]
        for step_axis in (None, 1, 2):
            plane = pixels if step_axis is None else np.abs(np.diff(luma, axis=step_axis))[..., None]
            tolerance = 0.0 if step_axis is None else (STEP_TOLERANCE * plane.mean(axis=(1, 2, 3))) ** 2
            numbers = [number for number, line in enumerate(lines) if line.step_axis == step_axis]
            frequencies = [lines[number].frequencies for number in numbers]
            excesses[rows, numbers] = _plane_excesses(plane, frequencies, size, tolerance)
    return excesses


def _plane_excesses(
    plane: np.ndarray, lines: list[tuple[Frequency, ...]], size: int, tolerance: float | np.ndarray
) -> np.ndarray:
    """Returns power / mean power of the neighbours of either kind, (num_images, num_lines, 2).

    `tolerance` is added to both, and so is the power of white noise that nobody sees, so that flat images compare as
    equal instead of as 0 / 0, and a line below it does not count.
    """
    groups = [[frequency] for line in lines for frequency in line]
    groups += [kind for line in lines for frequency in line for kind in _neighbours(frequency, size)]
    power = _power(plane, [frequency for group in groups for frequency in group])
    ends = np.cumsum([len(group) for group in groups])
    means = [power[:, end - len(group) : end].mean(axis=1) for group, end in zip(groups, ends, strict=True)]
    num_frequencies = sum(map(len, lines))
    height, width, channels = plane.shape[1:]
    unseen = _UNSEEN_VARIANCE * channels * np.sum(_hann(height) ** 2) * np.sum(_hann(width) ** 2) + tolerance
    excesses, first = np.empty((len(plane), len(lines), 2)), 0
    for number, line in enumerate(lines):
        here = range(first, first + len(line))
        of_line = np.mean([means[index] for index in here], axis=0) + unseen
        for kind in (0, 1):
            of_kind = np.mean([means[num_frequencies + 2 * index + kind] for index in here], axis=0) + unseen
            excesses[:, number, kind] = of_line / of_kind
        first += len(line)
    return excesses


def _neighbours(frequency: Frequency, size: int) -> tuple[list[Frequency], list[Frequency]]:
    """Returns the neighbours of a line that are as fine, and those that share its frequency along one axis.

    They are at least three units of 1 / size away, which is where the window's main lobe has ended, but not so far that
    they come to another line of the grid: at most 45 degrees away as seen from frequency 0. Where the line is finer
    than half a cycle per pixel, no others are as fine, and those of the second kind stand for both.
    """
    along_y, along_x = frequency
    fineness, angle = np.hypot(along_y, along_x), np.arctan2(along_y, along_x)
    longest = 2 * fineness * np.sin(np.pi / 8)
    distances = [steps / size for steps in _NEIGHBOUR_DISTANCES if steps / size <= longest] or [longest]
    signs = (-1, 1)
    if along_y and along_x:
        distances_along = [distance for distance in distances if distance <= along_y / 2] or [along_y / 2]
        shifts = [sign * distance for distance in distances_along for sign in signs]
        shared = [(along_y + shift, along_x) for shift in shifts] + [(along_y, along_x + shift) for shift in shifts]
    else:
        shifts = [sign * distance for distance in distances for sign in signs]
        shared = [(along_y, shift) if along_y else (shift, along_x) for shift in shifts]
    if fineness > 0.5:
        return shared, shared
    turns = [sign * 2 * np.arcsin(distance / 2 / fineness) for distance in distances for sign in signs]
    return [(fineness * np.sin(angle + turn), fineness * np.cos(angle + turn)) for turn in turns], shared


def _power(plane: np.ndarray, frequencies: list[Frequency]) -> np.ndarray:
    """Returns the power at each frequency, summed over channels, float64 (num_images, num_frequencies).

    The Fourier transform is computed at exactly these frequencies, even if they are not among the discrete ones. A Hann
    window is applied, because otherwise the jump from one edge to the opposite one would swamp fine frequencies.
    """
    num_images, height, width, channels = plane.shape
    window_y, window_x = _hann(height), _hann(width)
    along_y, along_x = np.array(frequencies).T
    waves_y = window_y[:, None] * np.exp(-2j * np.pi * np.arange(height)[:, None] * along_y)
    waves_x = window_x[:, None] * np.exp(-2j * np.pi * np.arange(width)[:, None] * along_x)
    flat = np.moveaxis(plane, 3, 1).reshape(num_images * channels, height, width)
    transforms = np.zeros((len(flat), len(frequencies)), np.complex128)
    means = np.einsum("nyx,y,x->n", flat, window_y, window_x, optimize=True)
    for rows in row_blocks(height, width * len(frequencies)):
        waves = (waves_y[rows, None, :] * waves_x).reshape(-1, len(frequencies))
        pixels = (flat[:, rows] - means[:, None, None]).reshape(len(flat), -1)
        transforms += pixels @ waves.real + 1j * (pixels @ waves.imag)
    return (np.abs(transforms) ** 2).reshape(num_images, channels, -1).sum(axis=1)


def _hann(size: int) -> np.ndarray:
    """Returns the weights (size,) of a Hann window, which sum to one; none is zero."""
    window = np.hanning(size + 2)[1:-1]
    return window / window.sum()


def _line_scores(real_excesses: np.ndarray, synthetic_excesses: np.ndarray) -> np.ndarray:
    """Returns the score of each line, (…, 5), from mean excesses over both kinds of neighbours, (…, 5, 2)."""
    return np.min(np.log10(synthetic_excesses / real_excesses), axis=-1)


def _resampled_means(excesses: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Returns the mean excesses in each bootstrap resample, float64 (num_resamples, 5, 2)."""
    blocks = resample_weights(len(excesses), num_resamples=num_resamples, seed=seed)
    return np.concatenate([_weighted_means(weights, excesses, len(excesses)) for weights in blocks])


def _weighted_means(weights: np.ndarray, excesses: np.ndarray, total: int) -> np.ndarray:
    means = weights @ excesses.reshape(len(excesses), -1) / total
    return means.reshape(len(weights), *excesses.shape[1:])
