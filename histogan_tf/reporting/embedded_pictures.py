"""Puts pictures into a page, small: a report shows tens of sheets of patches, and patches hardly compress as PNG.

A page shows a sheet about as large as it is, where a JPEG of high quality looks the same. The files of the study stay
as they are; the page names them.
"""

from __future__ import annotations

import base64
import io
import re
import urllib.parse
from pathlib import Path

import numpy as np
from PIL import Image

# Smaller pictures stay as they are: patches and maps that a page enlarges, so that each pixel is seen.
_SHEET_BYTES = 40_000
_QUALITY = 87  # of JPEG
_LARGE_SHARE = 0.5  # of the PNG's bytes; where a JPEG takes more, the picture is of enlarged pixels, and stays lossless
_UNQUOTED = " :/,;=()-.!*@+[]{}|^~?"  # characters that a data URI may hold as they are, inside double quotes
_PATH = re.compile(r' d="[^"]*"')
_MORE_DIGITS = re.compile(r"(\.\d\d)\d+")


def data_uri(path: Path) -> str:
    """Returns a PNG or SVG file as a URI that holds all of it.

    A PNG of a sheet becomes a JPEG of the same size in pixels, or a lossless WebP where a JPEG is hardly smaller than
    the PNG. The lines of an SVG are cut off at a hundredth of its unit.

    Args:
        path: the file.
    """
    if path.suffix == ".svg":
        text = _PATH.sub(lambda found: _MORE_DIGITS.sub(r"\1", found[0]), path.read_text(encoding="utf-8"))
        return f"data:image/svg+xml,{urllib.parse.quote(text, safe=_UNQUOTED)}"
    data, kind = path.read_bytes(), "png"
    if len(data) > _SHEET_BYTES:
        data, kind = _smaller(data)
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def _smaller(png: bytes) -> tuple[bytes, str]:
    """Returns a PNG's picture and its format, jpeg or webp; transparent places are white, as the page behind them."""
    with Image.open(io.BytesIO(png)) as opened:
        picture = opened.convert("RGBA")
    white = Image.new("RGBA", picture.size, "white")
    picture = Image.alpha_composite(white, picture).convert("RGB")
    lossy = _jpeg(np.asarray(picture))
    if len(lossy) <= _LARGE_SHARE * len(png):
        return lossy, "jpeg"
    stream = io.BytesIO()
    picture.save(stream, "WEBP", lossless=True)
    return stream.getvalue(), "webp"


def _jpeg(pixels: np.ndarray) -> bytes:
    """Returns a JPEG that keeps the colour of each pixel: the checkerboards of a GAN are made of colours, too.

    Pillow cannot write every such picture to memory, so OpenCV does.

    Args:
        pixels: uint8 (height, width, 3), RGB.
    """
    import cv2

    options = {
        cv2.IMWRITE_JPEG_QUALITY: _QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR: cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_OPTIMIZE: 1,
        cv2.IMWRITE_JPEG_PROGRESSIVE: 1,
    }
    flat = [number for option in options.items() for number in option]
    return cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), flat)[1].tobytes()
