import io

import cv2
import numpy as np
import pytest
from PIL import Image

from histogan_tf.data import file_remarks
from histogan_tf.data.decoding import decode_image
from histogan_tf.data.file_remarks import FileRemarks


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def remarks_on(tmp_path, caplog, content: bytes) -> list[str]:
    """The warnings about a file that was read twice."""
    (tmp_path / "a").write_bytes(content)
    remarks = FileRemarks("folder")
    for _ in range(2):
        decode_image(tmp_path / "a", remarks)
        remarks.warn_if_dark()
        remarks.warn_of_frames()
    return [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(("brightest", "bits"), [(4095, 12), (1000, 10), (40000, None)])
def test_16_bit_colour_whose_upper_bits_are_unused_is_told(tmp_path, caplog, capfd, suffix, channels, brightest, bits):
    pixels = np.full((4, 5, channels), 65535, np.uint16)  # transparency, if any, is always bright
    pixels[..., :3] = 7
    pixels[2, 1, 1] = brightest
    found = remarks_on(tmp_path, caplog, cv2.imencode(suffix, pixels)[1].tobytes())
    assert len(found) == (bits is not None)
    assert bits is None or f"use only {bits} of their 16 bits" in found[0]
    assert bits is None or f"multiply their pixels by {2 ** (16 - bits)} and" in found[0]
    assert capfd.readouterr().err == ""


def test_8_bit_colour_and_16_bits_that_are_known_to_be_used_are_decoded_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(file_remarks, "_brightest_colour", lambda content: read.append(content) or 65535)
    remarks = FileRemarks("folder")
    for name, dtype in (("8.tiff", np.uint8), ("a.png", np.uint16), ("b.png", np.uint16), ("c.tiff", np.uint16)):
        cv2.imwrite(str(tmp_path / name), np.ones((2, 3, 3), dtype))
        decode_image(tmp_path / name, remarks)
    assert read == [(tmp_path / "a.png").read_bytes()]


def test_what_opencv_cannot_read_is_not_told():
    assert file_remarks._brightest_colour(b"II*\0junk") == 0 and file_remarks._brightest_colour(b"\0") == 0


@pytest.mark.parametrize("file_format", ["TIFF", "PNG", "WEBP"])
def test_several_pages_or_frames_are_told_and_the_first_is_read(tmp_path, caplog, file_format):
    first, second = (Image.fromarray(np.full((4, 5, 3), level, np.uint8)) for level in (20, 200))
    content = encoded(first, file_format, save_all=True, append_images=[second], lossless=True)
    assert remarks_on(tmp_path, caplog, content) == [
        "found 1 file in 'folder' with several pages or frames, of which only the first is read"
    ]
    assert set(decode_image(tmp_path / "a").flat) == {20}


@pytest.mark.parametrize("file_format", ["TIFF", "PNG", "WEBP", "BMP", "JPEG"])
def test_one_page_is_not_told(tmp_path, caplog, file_format):
    assert remarks_on(tmp_path, caplog, encoded(Image.new("RGB", (4, 5)), file_format)) == []
