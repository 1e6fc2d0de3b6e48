"""Pictures inside a page: as sharp as their files where pixels are seen, and smaller where they are not."""

from __future__ import annotations

import base64
import io
import urllib.parse
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.reporting import pictures
from histogan_tf.reporting.embedded_pictures import data_uri


def embedded(path: Path) -> tuple[str, bytes]:
    """The kind and the content of the picture in a URI."""
    head, _, content = data_uri(path).partition(",")
    assert head.endswith(";base64")
    return head.removeprefix("data:image/").removesuffix(";base64"), base64.b64decode(content)


def pixels_of(content: bytes) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(content)).convert("RGB"), float)


@pytest.fixture
def noise() -> np.ndarray:
    """A sheet like one of patches, which PNG does not make smaller: neighbours differ, in colour too."""
    rng = np.random.default_rng(0)
    return np.clip(rng.normal((200, 130, 180), (16, 16, 16), (200, 210, 3)), 0, 255).astype(np.uint8)


def test_a_small_picture_stays_as_it_is(tmp_path):
    pictures.save_png(tmp_path / "map.png", np.eye(60, dtype=np.uint8)[..., None] * 200)
    kind, content = embedded(tmp_path / "map.png")
    assert (kind, content) == ("png", (tmp_path / "map.png").read_bytes())


def test_a_sheet_of_patches_is_a_jpeg_of_the_same_size_that_keeps_colours(tmp_path, noise):
    pictures.save_png(tmp_path / "sheet.png", noise)
    kind, content = embedded(tmp_path / "sheet.png")
    assert kind == "jpeg" and len(content) < 0.5 * (tmp_path / "sheet.png").stat().st_size
    shown = pixels_of(content)
    assert shown.shape == noise.shape
    assert np.sqrt(np.mean((shown - noise) ** 2)) < 12
    # The red of neighbours differs from their green as it does in the file: colour is not smeared over pixels.
    was, now = (sheet[..., 0] - sheet[..., 1] for sheet in (noise.astype(float), shown))
    assert np.corrcoef(was.ravel(), now.ravel())[0, 1] > 0.8


def test_a_sheet_of_enlarged_pixels_is_lossless(tmp_path):
    rng = np.random.default_rng(1)
    sheet = np.repeat(np.repeat(rng.integers(0, 255, (130, 130, 3), np.uint8), 4, axis=0), 4, axis=1)
    pictures.save_png(tmp_path / "sheet.png", sheet)
    kind, content = embedded(tmp_path / "sheet.png")
    assert kind == "webp" and len(content) < (tmp_path / "sheet.png").stat().st_size
    np.testing.assert_array_equal(pixels_of(content), sheet)


def test_transparent_places_are_white_and_grey_is_grey(tmp_path, noise):
    sheet = np.dstack([noise, np.full(noise.shape[:2], 255, np.uint8)])
    sheet[:40, :40] = 0
    Image.fromarray(sheet).save(tmp_path / "sheet.png")
    assert pixels_of(embedded(tmp_path / "sheet.png")[1])[5:30, 5:30].min() > 245
    pictures.save_png(tmp_path / "grey.png", np.dstack([noise[..., :1]]).repeat(2, axis=0))
    shown = pixels_of(embedded(tmp_path / "grey.png")[1])
    assert np.abs(shown[..., 0] - shown[..., 2]).max() <= 3


def test_a_plot_is_the_same_picture_with_fewer_digits(tmp_path):
    svg = '<svg width="9.123456"><path d="M 1.123456 2 L -30.98765 4.5"/><text>50 % of "é" & more #1</text></svg>'
    (tmp_path / "plot.svg").write_text(svg, encoding="utf-8")
    uri = data_uri(tmp_path / "plot.svg")
    assert not set('"<>#&\n').intersection(uri)
    shown = urllib.parse.unquote(uri.removeprefix("data:image/svg+xml,"))
    assert shown == svg.replace("1.123456", "1.12").replace("30.98765", "30.98")
