import io
import struct
import warnings
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from histogan_tf.data import damage
from histogan_tf.data.decoding import UnusableImageError, decode_image

FORMATS = [
    ("PNG", {}),
    ("JPEG", {}),
    ("JPEG", {"progressive": True, "quality": 95}),
    ("TIFF", {}),
    ("TIFF", {"compression": "tiff_deflate"}),
    ("TIFF", {"compression": "tiff_lzw"}),
    ("BMP", {}),
    ("WEBP", {}),
    ("WEBP", {"lossless": True}),
]


def noise(height: int = 40, width: int = 30) -> Image.Image:
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8))


def encoded(image: Image.Image, file_format: str, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def png_of(header: bytes, stream: bytes) -> bytes:
    chunks = [(b"IHDR", header), (b"IDAT", stream), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )


def reason_of(content: bytes) -> str:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Pillow's, about the damage
        with pytest.raises(UnusableImageError) as raised:
            decode_image(io.BytesIO(content))
    return str(raised.value)


@pytest.mark.parametrize(("file_format", "options"), FORMATS)
class TestEveryFormat:
    def test_a_sound_file_is_read_whatever_follows_it(self, file_format, options):
        content = encoded(noise(), file_format, **options)
        np.testing.assert_array_equal(
            decode_image(io.BytesIO(content)), decode_image(io.BytesIO(content + bytes(3) + b"\n"))
        )

    @pytest.mark.parametrize("left", [0.5, 0.9, 0.99])
    def test_a_file_that_was_cut_off_is_unusable(self, file_format, options, left):
        content = encoded(noise(), file_format, **options)
        reason = reason_of(content[: int(left * len(content))])
        assert reason.startswith(("it is truncated: ", "it is damaged: ", "could not create decoder"))


@pytest.mark.parametrize(
    ("file_format", "options"), [format_ for format_ in FORMATS if format_ not in (("TIFF", {}), ("BMP", {}))]
)
def test_a_file_whose_second_half_is_zeros_is_unusable(file_format, options):
    content = encoded(noise(), file_format, **options)
    half = len(content) // 2
    assert reason_of(content[:half] + bytes(len(content) - half)).startswith(("it is truncated: ", "it is damaged: "))


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")  # of Pillow, about the damage
@given(data=st.data(), chosen=st.sampled_from(FORMATS), is_filled=st.booleans())
def test_files_cut_off_anywhere_are_unusable_or_give_all_their_pixels(data, chosen, is_filled):
    file_format, options = chosen
    content = encoded(noise(9, 8), file_format, **options)
    expected = decode_image(io.BytesIO(content))
    length = data.draw(st.integers(0, len(content) - 1))
    # Zeros in place of pixels that have no checksum cannot be told from black, nor can few of them from an encoder's.
    is_filled = is_filled and file_format in ("PNG", "JPEG")
    try:
        found = decode_image(io.BytesIO(content[:length] + bytes(len(content) - length if is_filled else 0)))
    except UnusableImageError:
        return
    np.testing.assert_array_equal(found, expected)


@pytest.mark.fuzz
@pytest.mark.filterwarnings("ignore")
@given(data=st.data(), mode=st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16"]))
def test_pngs_damaged_anywhere_are_unusable_or_give_the_same_pixels(data, mode):
    image = noise(9, 8)
    image = (
        Image.fromarray(np.asarray(image)[..., 0].astype(np.uint16) * 257) if mode == "I;16" else image.convert(mode)
    )
    content = bytearray(encoded(image, "PNG"))
    expected = decode_image(io.BytesIO(bytes(content)))
    positions = st.integers(0, len(content) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=6)):
        content[position] = value
    try:
        found = decode_image(io.BytesIO(bytes(content)))
    except UnusableImageError:
        return
    np.testing.assert_array_equal(found, expected)


class TestPng:
    HEADER = struct.pack(">IIBBBBB", 32, 32, 8, 2, 0, 0, 0)
    ROWS = bytes(32 * (1 + 32 * 3))

    def test_any_changed_byte_of_any_chunk_is_found(self):
        content = encoded(noise(), "PNG")
        for position in range(12, len(content), 97):
            changed = bytearray(content)
            changed[position] ^= 0x10
            assert reason_of(bytes(changed)), position

    def test_a_missing_end_is_found_though_all_pixels_are_there(self):
        assert reason_of(encoded(noise(), "PNG")[:-12]) == "it is truncated: its end is missing"

    def test_fewer_rows_than_the_header_says_are_found_though_all_checksums_are_right(self):
        content = png_of(self.HEADER, zlib.compress(self.ROWS[: 16 * 97]))
        assert reason_of(content) == "it is truncated: 1552 of 3104 bytes of pixels are there"

    def test_a_wrong_checksum_of_the_pixels_is_found(self):
        stream = zlib.compress(self.ROWS)
        assert "incorrect data check" in reason_of(png_of(self.HEADER, stream[:-1] + bytes([stream[-1] ^ 1])))
        assert reason_of(png_of(self.HEADER, stream[:-4])) == "it is truncated: the checksum of its pixels is missing"

    @pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGBA", "I;16"])
    @pytest.mark.parametrize("size", [(1, 1), (9, 5), (2, 33)])
    def test_sound_files_of_all_kinds_are_sound(self, mode, size):
        assert decode_image(io.BytesIO(encoded(Image.new(mode, size), "PNG"))).shape[:2] == size[::-1]

    @pytest.mark.parametrize(
        ("width", "height", "bits", "expected"), [(8, 8, 8, 15 + 64), (5, 3, 24, 7 + 45), (1, 1, 1, 2)]
    )
    def test_bytes_of_an_interlaced_file(self, width, height, bits, expected):
        # The passes of 8x8 have 1, 1, 1, 2, 2, 4 and 4 rows; those of 5x3 have 1, 1, 0, 1, 1, 2 and 1.
        assert damage._num_png_bytes(width, height, bits, interlaced=True) == expected

    def test_a_bomb_is_counted_in_little_memory(self):
        # 200 MB in a file of 200 KB; the header says 4 pixels, so that counting stops soon.
        stream = zlib.compress(bytes(200_000_000), 1)
        assert damage._find_stream_damage([memoryview(stream)], 14, 14) is None


class TestJpeg:
    def test_the_end_of_a_thumbnail_is_not_that_of_the_picture(self):
        exif = b"Exif\0\0" + encoded(noise(8, 8), "JPEG")
        content = encoded(noise(), "JPEG", exif=exif)
        half = len(content) * 3 // 4
        assert content.index(b"\xff\xd9") < half
        assert "its end is missing" in reason_of(content[:half] + bytes(len(content) - half))

    def test_restart_marks_within_a_scan_do_not_end_it(self):
        content = encoded(noise(64, 64), "JPEG", restart_marker_blocks=2)
        assert b"\xff\xd3" in content
        assert decode_image(io.BytesIO(content)).shape == (64, 64, 3)


@pytest.mark.parametrize("side", [50, 2000])
@pytest.mark.parametrize("options", [{}, {"lossless": True}, {"quality": 10}])
def test_webp_images_of_one_colour_are_sound(side, options):
    content = encoded(Image.new("RGB", (side, side)), "WEBP", **options)
    assert decode_image(io.BytesIO(content)).shape == (side, side, 3)


def test_a_bmp_that_is_shorter_than_it_says_is_named_with_both_sizes():
    content = encoded(noise(4, 4), "BMP")
    assert (
        reason_of(content[:-1])
        == f"it is truncated: its header says {len(content)} bytes, and {len(content) - 1} are there"
    )


def test_a_header_that_cannot_be_read_is_damage_and_no_other_kind_of_file():
    assert reason_of(b"II*\0" + bytes(40)) == "it is damaged: its header cannot be read"
