"""Checkerboards of known amplitude give the derived score; real images against real ones give none."""

import numpy as np
import pytest

from histogan_tf.errors import UserError
from histogan_tf.metrics.artefacts import checkerboard_floor, checkerboard_score, fitting_periods


def stripes(height, width, period, along_y, along_x):
    y, x = np.indices((height, width))
    return np.cos(2 * np.pi * (along_y * y + along_x * x) / period)[..., None]


def grains(seed, num_images, deviation, size=32, channels=3):
    rng = np.random.default_rng(seed)
    return 128 + deviation * rng.standard_normal((num_images, size, size, channels))


def to_uint8(pixels):
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def window_squares(height, width):
    windows = [np.hanning(size + 2)[1:-1] for size in (height, width)]
    return np.prod([np.sum(window**2) / np.sum(window) ** 2 for window in windows])


@pytest.mark.parametrize(("height", "width"), [(32, 32), (16, 48), (50, 50)])
@pytest.mark.parametrize("channels", [1, 3])
def test_pure_checkerboards_give_the_quotient_of_their_powers(height, width, channels):
    # On the diagonal power is amplitude² and what rounding is counted for, 1/12 of the window's squares; along rows and
    # columns there is nothing but the latter on both sides. So the mean of three decades is a third of the diagonal's.
    board = np.repeat(stripes(height, width, 2, 1, 1), channels, axis=-1)
    weak, strong = to_uint8(128 + 3 * board)[None], to_uint8(128 + 30 * board)[None]
    rounding = window_squares(height, width) / 12
    expected = np.log10((30**2 + rounding) / (3**2 + rounding)) / 3
    assert checkerboard_score(weak, strong).score == pytest.approx(expected, abs=1e-5)
    assert checkerboard_score(strong, weak).score == pytest.approx(-expected, abs=1e-5)


@pytest.mark.parametrize(
    ("along_y", "along_x", "share"),
    # A wave of period 4 along one axis is seen by that axis alone. A diagonal one is half of the power of the mean of
    # both diagonals.
    [(1, 0, 1.0), (0, 1, 1.0), (1, 1, 0.5)],
)
@pytest.mark.parametrize("amplitude", [4, 12])
def test_a_planted_wave_in_noise_gives_the_derived_score(along_y, along_x, share, amplitude):
    deviation = 10.0
    real = to_uint8(grains(1, 400, deviation))
    wave = amplitude * stripes(32, 32, 4, along_y, along_x)
    synthetic = to_uint8(grains(2, 400, deviation) + wave)
    # A cosine's transform has half of its amplitude; rounding is in the images, and counted once more on both sides.
    noise = (deviation**2 + 2 / 12) * window_squares(32, 32)
    expected = np.log10(1 + share * (amplitude / 2) ** 2 / noise) / 3
    found = checkerboard_score(real, synthetic, period=4)
    assert found.score == pytest.approx(expected, abs=0.04)
    assert found.low < expected < found.high
    assert found.high - found.low < 0.12
    assert found.low > 0.1


def test_a_wave_of_another_period_is_not_counted():
    real, synthetic = grains(1, 300, 10.0), grains(2, 300, 10.0) + 12 * stripes(32, 32, 4, 1, 1)
    low, high = checkerboard_score(to_uint8(real), to_uint8(synthetic), period=2)[1:]
    assert low < 0 < high


def test_real_against_real_contains_zero_as_often_as_it_says():
    # Images whose contrast varies as much as that of real patches.
    num_zero, num_trials = 0, 100
    for seed in range(num_trials):
        rng = np.random.default_rng((9, seed))
        contrasts = np.exp(0.5 * rng.standard_normal((80, 1, 1, 1)))
        images = to_uint8(128 + 8 * contrasts * rng.standard_normal((80, 8, 8, 1)))
        found = checkerboard_score(images[:40], images[40:], num_resamples=300, seed=seed)
        num_zero += found.low <= 0 <= found.high
    assert 86 <= num_zero <= 100  # of 100 at a nominal 95 %; percentile intervals of 40 images are a little narrow


def test_identical_sets_and_flat_images_score_zero():
    images = to_uint8(grains(3, 20, 20.0))
    found = checkerboard_score(images, images)
    assert found.score == 0.0
    assert found.low < -0.01 and found.high > 0.01  # the two sets are resampled independently
    flat = np.full((3, 16, 16, 3), 7, np.uint8)
    assert checkerboard_score(flat, flat) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    assert np.isfinite(checkerboard_score(flat, images[:, :16, :16]).score)


def test_brightness_and_the_order_of_images_do_not_matter():
    images = to_uint8(grains(3, 20, 10.0))
    score = checkerboard_score(images, images[::-1] + np.uint8(40)).score
    assert score == pytest.approx(0.0, abs=1e-9)


def test_seeds_change_the_interval_and_not_the_score():
    real, synthetic = to_uint8(grains(1, 12, 10.0)), to_uint8(grains(2, 15, 12.0))
    first, again, other = (checkerboard_score(real, synthetic, num_resamples=50, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first.score == other.score and first.low != other.low


def test_floor_is_the_range_of_scores_of_random_halves():
    images = to_uint8(grains(4, 60, 10.0, size=16))
    floor = checkerboard_floor(images, num_splits=4000)
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(300):
        order = rng.permutation(60)
        scores.append(checkerboard_score(images[order[:30]], images[order[30:]], num_resamples=1).score)
    assert floor.score == pytest.approx(0.0, abs=0.01)
    np.testing.assert_allclose(floor[1:], np.quantile(scores, (0.025, 0.975)), atol=0.2 * (floor.high - floor.low))
    assert floor.low < 0 < floor.high


def test_single_images_have_a_score_and_no_interval():
    images = to_uint8(grains(5, 2, 10.0))
    found = checkerboard_score(images[:1], images[1:])
    assert np.isfinite(found.score)
    assert np.isnan(found.low) and np.isnan(found.high)


@pytest.mark.parametrize(("size", "periods"), [(50, (2, 4, 8)), (16, (2, 4, 8)), (15, (2, 4)), (5, (2,)), (3, ())])
def test_fitting_periods(size, periods):
    assert fitting_periods((size, size + 9, 3)) == periods


def test_what_cannot_be_compared_is_the_users_mistake():
    images = to_uint8(grains(1, 3, 10.0, size=16))
    with pytest.raises(UserError, match="no synthetic images"):
        checkerboard_score(images, images[:0])
    with pytest.raises(UserError, match="real images are 16x16 RGB and synthetic ones 16x14 RGB"):
        checkerboard_score(images, images[:, :, :14])
    with pytest.raises(UserError, match="synthetic ones 16x16 grey"):
        checkerboard_score(images, images[..., :1])
    for period in (1, 9):
        with pytest.raises(UserError, match=f"period {period} does not fit into images of 16 pixels"):
            checkerboard_score(images, images, period)
    with pytest.raises(UserError, match="at least two"):
        checkerboard_floor(images[:1])
