from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.reporting import pictures


def test_tile_puts_images_row_by_row():
    images = np.arange(5, dtype=np.uint8)[:, None, None, None] * np.ones((1, 2, 3, 1), np.uint8)
    sheet = pictures.tile(images, gap_pixels=1)
    assert sheet.shape == (2 * 2 + 1, 3 * 3 + 2, 1)
    assert sheet[0, [0, 4, 8], 0].tolist() == [0, 1, 2]
    assert sheet[3, [0, 4], 0].tolist() == [3, 4]
    assert (sheet[2] == 255).all()
    assert (sheet[:, 3] == 255).all()
    assert (sheet[3:, 8:] == 255).all()


@pytest.mark.parametrize("num_images", [1, 2, 17, 20, 64])
@pytest.mark.parametrize("channels", [1, 3])
def test_any_number_of_images_of_any_size_fits(num_images: int, channels: int):
    images = np.random.default_rng(0).integers(0, 255, (num_images, 33, 57, channels), np.uint8)
    sheet = pictures.tile(images, gap_pixels=0)
    num_columns = sheet.shape[1] // 57
    for number, image in enumerate(images):
        row, column = divmod(number, num_columns)
        np.testing.assert_array_equal(sheet[33 * row : 33 * row + 33, 57 * column : 57 * column + 57], image)


@pytest.mark.parametrize("channels", [1, 3])
def test_a_png_holds_the_same_pixels(tmp_path: Path, channels: int):
    image = np.random.default_rng(0).integers(0, 256, (8, 9, channels), np.uint8)
    pictures.save_png(tmp_path / "image.png", image)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "image.png")).reshape(image.shape), image)


def test_a_gif_has_all_frames_and_its_duration(tmp_path: Path):
    frames = [np.full((8, 8, 3), 30 * number, np.uint8) for number in range(8)]
    pictures.save_gif(tmp_path / "walk.gif", frames, seconds=2.0)
    with Image.open(tmp_path / "walk.gif") as gif:
        assert (gif.n_frames, gif.info["duration"], gif.info["loop"]) == (8, 250, 0)


def test_the_loss_plot_is_drawn_even_of_one_step(tmp_path: Path):
    for num_steps in (1, 200):
        metrics = [{"step": step, "d_loss": 1.0, "g_loss": step / 10} for step in range(1, num_steps + 1)]
        pictures.plot_losses(tmp_path / "losses.png", metrics, ("d_loss", "g_loss"), "a title")
        with Image.open(tmp_path / "losses.png") as plot:
            assert min(plot.size) > 400
            assert len(plot.convert("RGB").getcolors(1 << 20)) > 10


def test_the_loss_plot_shows_each_step_and_the_mean_of_a_fiftieth_of_them(tmp_path: Path, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "save_figure", lambda path, figure: figures.append(figure))
    losses = np.random.default_rng(0).normal(size=200)
    metrics = [{"step": step, "d_loss": loss} for step, loss in enumerate(losses, start=1)]
    pictures.plot_losses(tmp_path / "losses.png", metrics, ("d_loss",), "a title")
    each, mean = figures[0].axes[0].lines
    np.testing.assert_array_equal(each.get_xydata(), np.stack([np.arange(1, 201), losses], axis=1))
    means = [losses[end - 4 : end].mean() for end in range(4, 201)]
    np.testing.assert_allclose(mean.get_xydata(), np.stack([np.arange(4, 201), means], axis=1))


def test_a_peak_of_the_first_steps_does_not_flatten_the_other_losses(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "save_figure", lambda path, figure: figures.append(figure))
    metrics = [{"step": step, "d_loss": 1000.0 if step == 1 else 1.0 + step % 2} for step in range(1, 2001)]
    pictures.plot_losses(tmp_path / "losses.png", metrics, ("d_loss",), "a title")
    (axes,) = figures[0].axes
    low, high = axes.get_ylim()
    assert low < 1.0
    assert 26.0 < high < 50.0  # the highest mean of 40 steps is shown, the peak is not


@pytest.mark.parametrize("channels", [1, 3])
def test_a_caption_takes_as_many_lines_as_it_needs(channels):
    narrow, wide = (np.full((10, width, channels), 99, np.uint8) for width in (90, 900))
    caption = "A sentence that is wider than ninety pixels."
    shown = [pictures.with_caption(sheet, caption) for sheet in (narrow, wide)]
    heights = [len(image) - 10 for image in shown]
    assert heights[0] >= 3 * heights[1] > 0
    for image, sheet in zip(shown, (narrow, wide), strict=True):
        np.testing.assert_array_equal(image[-10:], sheet)
        assert (image[:-10] == 0).any() and (image[:-10, -1] == 255).all()
