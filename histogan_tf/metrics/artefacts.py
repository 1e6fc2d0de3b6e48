"""Measures checkerboard artefacts: the power, relative to real images, at the frequencies of a generator's strides."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.metrics.checks import check_images
from histogan_tf.metrics.distances import row_blocks
from histogan_tf.metrics.intervals import percentile_interval, resample_weights

# Periods in pixels of the checkerboards that the last, the last two and the last three convolutions of stride 2 leave.
PERIODS = (2, 4, 8)
_ROUNDING_VARIANCE = 1 / 12  # variance, in squared grey levels, that rounding to whole grey levels adds


class CheckerboardScore(NamedTuple):
    """The power of synthetic images relative to real ones at one frequency.

    Attributes:
        score: log10 of the ratio of powers: 0 for equal power, 1 for ten times that of real images, below 0 for images
            smoother than real ones.
        low, high: the 95 % bootstrap interval, over images of both sets; nan if each set has only one image.
    """

    score: float
    low: float
    high: float


def checkerboard_score(
    real_images: np.ndarray,
    synthetic_images: np.ndarray,
    period: int = 2,
    *,
    num_resamples: int = 2000,
    seed: int = 42,
) -> CheckerboardScore:
    """Returns log10 of the power of synthetic images over that of real images, at 1 / period cycles per pixel.

    A transposed convolution whose kernel size is not a multiple of its stride paints unevenly, with the stride as the
    period (Odena et al., "Deconvolution and Checkerboard Artifacts", Distill 2016); the paper's Figure 5 shows it.
    Power is measured at 1 / period along the rows, along the columns and along both diagonals, and averaged over
    images. The score is the mean of log10 of the ratio in these three directions, so that each direction is compared
    with itself.

    For example, take images whose power per pixel at this frequency is s^2 (the variance, for white noise). Adding a
    checkerboard of period 2 and of amplitude a, in grey levels, gives a score of log10(1 + a^2 / (s^2 w)) / 3, where w
    is the sum of squares of the two-dimensional window, about 2.25 / (height * width).

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
    real_power, synthetic_power = _power(real_images, period), _power(synthetic_images, period)
    score = _decades(real_power.mean(axis=0), synthetic_power.mean(axis=0))
    real_seed, synthetic_seed = np.random.SeedSequence(seed).generate_state(2)
    replicates = _decades(
        _resampled_means(real_power, num_resamples, int(real_seed)),
        _resampled_means(synthetic_power, num_resamples, int(synthetic_seed)),
    )
    low, high, _ = percentile_interval(replicates)
    if len(real_images) == len(synthetic_images) == 1:
        low = high = np.nan
    return CheckerboardScore(float(score), low, high)


def checkerboard_floor(
    real_images: np.ndarray, period: int = 2, *, num_splits: int = 1000, seed: int = 42
) -> CheckerboardScore:
    """Returns the score that real images reach: that of one random half of them against the other half.

    The result holds the mean of the scores over many random halves, which is near 0, and their 95 % range.

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
    power = _power(real_images, period)
    rng = np.random.default_rng(seed)
    scores = []
    for rows in row_blocks(num_splits, len(power)):
        num_rows = len(range(num_splits)[rows])
        order = rng.permuted(np.tile(np.arange(len(power)), (num_rows, 1)), axis=1)
        halves = [(order < num_half), (order >= num_half) & (order < 2 * num_half)]
        scores.append(_decades(*(half @ power / num_half for half in halves)))
    replicates = np.concatenate(scores)
    low, high, _ = percentile_interval(replicates)
    return CheckerboardScore(float(replicates.mean()), low, high)


def fitting_periods(image_shape: tuple[int, ...]) -> tuple[int, ...]:
    """Returns those of PERIODS for which images of (height, width, channels) are large enough."""
    return tuple(period for period in PERIODS if period <= min(image_shape[:2]) // 2)


def _check_period(period: int, images: np.ndarray) -> None:
    shortest = min(images.shape[1:3])
    if not 2 <= period <= shortest // 2:
        raise UserError(
            f"period {period} does not fit into images of {shortest} pixels: give a period from 2 to {shortest // 2}"
        )


def _power(images: np.ndarray, period: int) -> np.ndarray:
    """Returns the power at 1 / period, float64 (num_images, 3): along columns, along rows, and on the diagonals.

    The Fourier transform is computed at exactly this frequency, even if it is not one of the discrete ones. A Hann
    window is applied, because otherwise the jump from one edge to the opposite one would swamp fine frequencies. The
    power of rounding to whole grey levels is added, so that flat images compare as equal instead of as 0 / 0.
    """
    _, height, width, channels = images.shape
    window_y, window_x = _hann(height), _hann(width)
    wave_y, wave_x = _wave(height, period), _wave(width, period)
    power = np.empty((len(images), 3))
    for rows in row_blocks(len(images), height * width * channels):
        pixels = images[rows].astype(np.float64)
        pixels -= np.einsum("nyxc,y,x->nc", pixels, window_y, window_x, optimize=True)[:, None, None, :]
        still_x = np.einsum("nyxc,x->nyc", pixels, window_x)
        waving_x = np.einsum("nyxc,x->nyc", pixels, window_x * wave_x)
        transforms = {
            0: [np.einsum("nyc,y->nc", still_x, window_y * wave_y)],
            1: [np.einsum("nyc,y->nc", waving_x, window_y)],
            2: [np.einsum("nyc,y->nc", waving_x, window_y * wave) for wave in (wave_y, wave_y.conj())],
        }
        for direction, found in transforms.items():
            power[rows, direction] = np.mean([np.sum(np.abs(transform) ** 2, axis=1) for transform in found], axis=0)
    return power + _ROUNDING_VARIANCE * channels * np.sum(window_y**2) * np.sum(window_x**2)


def _hann(size: int) -> np.ndarray:
    """Returns the weights (size,) of a Hann window, which sum to one; none is zero."""
    window = np.hanning(size + 2)[1:-1]
    return window / window.sum()


def _wave(size: int, period: int) -> np.ndarray:
    return np.exp(-2j * np.pi * np.arange(size) / period)


def _decades(real_power: np.ndarray, synthetic_power: np.ndarray) -> np.ndarray:
    return np.mean(np.log10(synthetic_power) - np.log10(real_power), axis=-1)


def _resampled_means(power: np.ndarray, num_resamples: int, seed: int) -> np.ndarray:
    """Returns the mean power in each bootstrap resample, float64 (num_resamples, 3)."""
    blocks = resample_weights(len(power), num_resamples=num_resamples, seed=seed)
    return np.concatenate([weights @ power for weights in blocks]) / len(power)
