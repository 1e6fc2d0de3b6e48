"""Grids score high and everything else that changes sharpness scores none, as do real images against real ones."""

import functools
import io

import numpy as np
import pytest
from PIL import Image, ImageFilter

from histogan_tf.data.sources.phantom import make_phantom
from histogan_tf.errors import UserError
from histogan_tf.metrics.artefacts import checkerboard_floor, checkerboard_score, fitting_periods, repeated_pixels

SIZE = 32


@functools.cache
def phantom_halves():
    """Two disjoint halves of 360 phantom patches."""
    images = make_phantom(360, SIZE, seed=7).images
    images = images[np.random.default_rng(0).permutation(len(images))]
    return images[:180], images[180:]


def to_uint8(pixels):
    return np.clip(np.rint(pixels), 0, 255).astype(np.uint8)


def filtered(images, image_filter):
    return np.stack([np.asarray(Image.fromarray(image).filter(image_filter)) for image in images])


def compressed(images, quality):
    decoded = []
    for image in images:
        file = io.BytesIO()
        Image.fromarray(image).save(file, "JPEG", quality=quality)
        decoded.append(np.asarray(Image.open(file)))
    return np.stack(decoded)


def two_toned(images):
    brightness = images.mean(axis=-1)
    is_bright = brightness > np.median(brightness, axis=(1, 2), keepdims=True)
    return np.where(is_bright[..., None], np.uint8([240, 200, 220]), np.uint8([120, 60, 140]))


def reduced(images, factor):
    """Means of blocks of factor x factor pixels."""
    num_images, height, width, channels = images.shape
    return images.reshape(num_images, height // factor, factor, width // factor, factor, channels).mean(axis=(2, 4))


def transposed_convolution(images, kernel_size, seed=3):
    """Halves the images and enlarges them by a transposed convolution of stride 2 with a random kernel of one sum."""
    kernel = np.random.default_rng(seed).random((kernel_size, kernel_size))
    small = reduced(images, 2)
    height, width = images.shape[1:3]
    canvas = np.zeros((len(images), height + kernel_size, width + kernel_size, images.shape[3]))
    for row in range(kernel_size):
        for column in range(kernel_size):
            canvas[:, row : row + height : 2, column : column + width : 2] += kernel[row, column] * small
    inner = slice(kernel_size // 2, kernel_size // 2 + height), slice(kernel_size // 2, kernel_size // 2 + width)
    enlarged = canvas[:, inner[0], inner[1]]
    return to_uint8(enlarged * images.mean() / enlarged.mean())


def enlarged(images, factor, shift=0):
    """Reduces the images by the factor and repeats each pixel; the grid begins `shift` pixels before the edge."""
    repeated = np.repeat(np.repeat(reduced(images, factor), factor, axis=1), factor, axis=2)
    return to_uint8(np.roll(repeated, (-shift, -shift), axis=(1, 2)))


HARMLESS = {
    "other real images": lambda images: images,
    "white noise": lambda images: np.random.default_rng(2).integers(0, 256, images.shape, dtype=np.uint8),
    "added noise": lambda images: to_uint8(images + np.random.default_rng(1).normal(0, 20, images.shape)),
    "sharpened": lambda images: filtered(images, ImageFilter.SHARPEN),
    "unsharp mask": lambda images: filtered(images, ImageFilter.UnsharpMask(2, 150, 0)),
    "blurred by a pixel": lambda images: filtered(images, ImageFilter.GaussianBlur(1)),
    "blurred by two pixels": lambda images: filtered(images, ImageFilter.GaussianBlur(2)),
    "JPEG 90": lambda images: compressed(images, 90),
    "JPEG 75": lambda images: compressed(images, 75),
    "two tones": two_toned,
}
GRIDS = {
    "transposed convolution, kernel 5, stride 2": (2, lambda images: transposed_convolution(images, 5)),
    "transposed convolution, kernel 4, stride 2": (2, lambda images: transposed_convolution(images, 4)),
    "nearest enlargement by 2": (2, lambda images: enlarged(images, 2)),
    "nearest enlargement by 4": (4, lambda images: enlarged(images, 4)),
    "nearest enlargement by 2, shifted": (2, lambda images: enlarged(images, 2, shift=1)),
    "nearest enlargement by 4, shifted": (4, lambda images: enlarged(images, 4, shift=3)),
}


@pytest.mark.parametrize("period", [2, 4])
@pytest.mark.parametrize("kind", HARMLESS)
def test_noise_sharpness_jpeg_and_two_tones_are_no_grid(kind, period):
    real, others = phantom_halves()
    assert -0.2 < checkerboard_score(real, HARMLESS[kind](others), period, num_resamples=1).score < 0.2


@pytest.mark.parametrize("kind", GRIDS)
def test_grids_of_upsampling_are_found(kind):
    period, upsample = GRIDS[kind]
    real, others = phantom_halves()
    found = checkerboard_score(real, upsample(others), period, num_resamples=100)
    assert found.score > 0.8
    assert 0.6 < found.low < found.score < found.high


@pytest.mark.parametrize(("height", "width"), [(16, 16), (16, 32), (24, 17)])
def test_grids_are_found_in_small_and_oblong_images(height, width):
    real, others = (images[:, :height, :width] for images in phantom_halves())
    assert checkerboard_score(real, others, 4, num_resamples=1).score < 0.2
    for period in (2, 4):
        assert checkerboard_score(real, repeated_pixels(others, period), period, num_resamples=1).score > 0.8


def grains(seed, num_images, deviation, size=32, channels=3):
    rng = np.random.default_rng(seed)
    return 128 + deviation * rng.standard_normal((num_images, size, size, channels))


def stripes(period, along_y, along_x, offset=0.0):
    y, x = np.indices((SIZE, SIZE))
    return np.cos(2 * np.pi * (along_y * y + along_x * x + offset) / period)[..., None]


@pytest.mark.parametrize("offset", [0.0, 0.7])
@pytest.mark.parametrize(
    ("along_y", "along_x", "share"),
    # A wave along one axis is one line. A diagonal one is in one of the two diagonals, which are averaged.
    [(1, 0, 1.0), (0, 1, 1.0), (1, 1, 0.5), (1, -1, 0.5)],
)
def test_a_planted_wave_in_noise_gives_the_derived_score(along_y, along_x, share, offset):
    deviation, amplitude = 10.0, 8
    real = to_uint8(grains(1, 400, deviation))
    synthetic = to_uint8(grains(2, 400, deviation) + amplitude * stripes(4, along_y, along_x, offset))
    # A cosine's transform has half of its amplitude. The noise is the grain, and what nobody sees is 1 grey level.
    window = np.hanning(SIZE + 2)[1:-1]
    noise = (deviation**2 + 1) * (np.sum(window**2) / np.sum(window) ** 2) ** 2
    expected = np.log10(1 + share * (amplitude / 2) ** 2 / noise)
    found = checkerboard_score(real, synthetic, period=4)
    assert found.score == pytest.approx(expected, abs=0.06)
    assert found.low < expected < found.high < found.low + 0.4


def test_a_wave_of_another_period_is_not_counted():
    real, synthetic = grains(1, 300, 10.0), grains(2, 300, 10.0) + 12 * stripes(4, 1, 1)
    low, high = checkerboard_score(to_uint8(real), to_uint8(synthetic), period=2)[1:]
    assert low < 0 < high < 0.25


def test_real_against_real_contains_zero_as_often_as_it_says():
    # Images whose contrast varies as much as that of real patches.
    num_zero, num_trials = 0, 60
    for seed in range(num_trials):
        rng = np.random.default_rng((9, seed))
        contrasts = np.exp(0.5 * rng.standard_normal((80, 1, 1, 1)))
        images = to_uint8(128 + 8 * contrasts * rng.standard_normal((80, 8, 8, 1)))
        found = checkerboard_score(images[:40], images[40:], num_resamples=300, seed=seed)
        num_zero += found.low <= 0 <= found.high
    assert num_zero >= 55  # at a nominal 95 % or more, for Bonferroni's bounds are wide


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
    floor = checkerboard_floor(images, num_splits=2000)
    rng = np.random.default_rng(0)
    scores = []
    for _ in range(80):
        order = rng.permutation(60)
        scores.append(checkerboard_score(images[order[:30]], images[order[30:]], num_resamples=1).score)
    spread = floor.high - floor.low
    assert floor.score == pytest.approx(np.mean(scores), abs=0.1 * spread)
    np.testing.assert_allclose(floor[1:], np.quantile(scores, (0.025, 0.975)), atol=0.3 * spread)


def test_single_images_have_a_score_and_no_interval():
    images = to_uint8(grains(5, 2, 10.0))
    found = checkerboard_score(images[:1], images[1:])
    assert np.isfinite(found.score)
    assert np.isnan(found.low) and np.isnan(found.high)


def test_repeated_pixels_are_blocks_of_one_colour():
    image = np.arange(30, dtype=np.uint8).reshape(1, 5, 6, 1)
    expected = [[0, 0, 2, 2, 4, 4]] * 2 + [[12, 12, 14, 14, 16, 16]] * 2 + [[24, 24, 26, 26, 28, 28]]
    np.testing.assert_array_equal(repeated_pixels(image, 2)[0, :, :, 0], expected)


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
