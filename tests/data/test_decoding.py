import io
import struct
import zlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from histogan_tf.config import Config, resolve
from histogan_tf.data import decoding
from histogan_tf.data.decoding import (
    UnusableImageError,
    center_crop,
    decode_image,
    prepare_array,
    read_images,
    resize,
    sizing,
)
from histogan_tf.errors import UserError
from histogan_tf.machine import memory, parallel

RAMP = np.arange(4 * 6, dtype=np.uint8).reshape(4, 6) * 10


def keep(image: np.ndarray) -> np.ndarray:
    return image


def encoded(image: Image.Image, file_format: str = "PNG", **options) -> io.BytesIO:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    file.seek(0)
    return file


def colour_noise(height: int, width: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)


class TestDecode:
    @pytest.mark.parametrize(
        ("file_format", "options"), [("PNG", {}), ("TIFF", {}), ("BMP", {}), ("WEBP", {"lossless": True})]
    )
    def test_lossless_formats_give_the_pixels_that_were_written(self, file_format, options):
        pixels = colour_noise(5, 7)
        np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels), file_format, **options)), pixels)

    def test_jpeg_is_close_to_what_was_written(self):
        pixels = np.full((16, 16, 3), (200, 120, 160), np.uint8)
        difference = decode_image(encoded(Image.fromarray(pixels), "JPEG", quality=95)).astype(int) - pixels
        assert np.abs(difference).max() <= 2

    def test_grey_stays_one_channel(self):
        np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(RAMP))), RAMP[..., np.newaxis])

    def test_bilevel_becomes_black_and_white(self):
        bits = Image.fromarray(RAMP > 100)
        assert bits.mode == "1"
        np.testing.assert_array_equal(decode_image(encoded(bits))[..., 0], np.where(RAMP > 100, 255, 0))

    def test_palette_becomes_its_colours(self):
        image = Image.new("P", (2, 1))
        image.putpalette([10, 20, 30, 40, 50, 60])
        image.putpixel((1, 0), 1)
        np.testing.assert_array_equal(decode_image(encoded(image)), [[[10, 20, 30], [40, 50, 60]]])

    def test_transparent_pixels_show_white(self):
        pixels = np.array([[[200, 0, 0, 255], [200, 0, 0, 0]]], np.uint8)
        np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels))), [[[200, 0, 0], [255, 255, 255]]])

    def test_transparent_grey_shows_white_and_stays_grey(self):
        pixels = np.array([[[90, 255], [90, 0]]], np.uint8)
        np.testing.assert_array_equal(decode_image(encoded(Image.fromarray(pixels, "LA"))), [[[90], [255]]])

    @pytest.mark.parametrize("file_format", ["PNG", "TIFF"])
    def test_16_bit_grey_is_scaled_to_8(self, file_format):
        pixels = np.array([[0, 128, 129, 257 * 100, 65535]], np.uint16)
        np.testing.assert_array_equal(
            decode_image(encoded(Image.fromarray(pixels), file_format))[..., 0], [[0, 0, 1, 100, 255]]
        )

    @pytest.mark.parametrize(("photometric", "expected"), [(0, [255, 155, 0]), (1, [0, 100, 255])])
    def test_16_bit_tiff_whose_smallest_value_is_white_is_inverted(self, photometric, expected):
        pixels = Image.fromarray(np.array([[0, 257 * 100, 65535]], np.uint16))
        content = bytearray(encoded(pixels, "TIFF").getvalue())
        entry = content.index(struct.pack("<HHI", 262, 3, 1))  # the tag, its type and its count
        content[entry + 8 : entry + 10] = struct.pack("<H", photometric)
        assert decode_image(io.BytesIO(bytes(content)))[0, :, 0].tolist() == expected

    @pytest.mark.parametrize("dtype", [np.int32, np.float32])
    def test_32_bit_pixels_have_no_known_range(self, dtype):
        with pytest.raises(UnusableImageError, match="32-bit"):
            decode_image(encoded(Image.fromarray(np.ones((2, 2), dtype)), "TIFF"))

    def test_cmyk_becomes_rgb(self):
        image = decode_image(encoded(Image.new("CMYK", (8, 8), (0, 0, 0, 0)), "TIFF"))
        np.testing.assert_array_equal(image, np.full((8, 8, 3), 255))

    def test_exif_orientation_6_is_turned_clockwise(self):
        exif = Image.Exif()
        exif[0x0112] = 6
        image = decode_image(encoded(Image.fromarray(RAMP), "PNG", exif=exif))
        np.testing.assert_array_equal(image[..., 0], np.rot90(RAMP, -1))

    @pytest.mark.parametrize("content", [b"", b"not an image", b"GIF89a" + bytes(20), b"PK\x03\x04" + bytes(30)])
    def test_anything_else_is_unusable(self, content):
        with pytest.raises(UnusableImageError, match="not a PNG, JPEG, TIFF, BMP or WebP image"):
            decode_image(io.BytesIO(content))

    @pytest.mark.parametrize("file_format", ["PNG", "JPEG"])
    def test_truncated_is_unusable(self, file_format):
        content = encoded(Image.fromarray(colour_noise(40, 40)), file_format).getvalue()
        with pytest.raises(UnusableImageError, match="truncated"):
            decode_image(io.BytesIO(content[: len(content) // 2]))

    @pytest.mark.parametrize("size", [(1, 65_536), (65_536, 1)])
    @pytest.mark.parametrize("mode", ["L", "P"])  # read by OpenCV and by Pillow
    def test_too_long_a_strip_is_unusable(self, mode, size):
        with pytest.raises(UnusableImageError, match="pixels are more than 65535 a side"):
            decode_image(encoded(Image.new(mode, size)))

    @pytest.mark.parametrize("mode", ["L", "P"])
    def test_an_image_that_takes_more_than_the_budget_is_unusable(self, monkeypatch, mode):
        content = encoded(Image.new(mode, (1100, 1000)))
        assert decode_image(io.BytesIO(content.getvalue())).shape[:2] == (1000, 1100)
        monkeypatch.setattr(memory.DECODING, "num_bytes", 8_000_000)
        with pytest.raises(
            UnusableImageError, match="takes about 0.0 GB of memory, and --memory_budget_gb allows 0.008"
        ):
            decode_image(content)

    @pytest.mark.filterwarnings("ignore::PIL.Image.DecompressionBombWarning")
    @pytest.mark.parametrize("limit", [30, 10])  # where Pillow itself warns, and where it raises
    def test_decompression_bomb_is_unusable(self, monkeypatch, limit):
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
        with pytest.raises(UnusableImageError, match="pixels"):
            decode_image(encoded(Image.new("L", (6, 6))))

    @pytest.mark.filterwarnings("ignore")  # of Pillow, about the damage
    @pytest.mark.fuzz
    @given(data=st.data(), file_format=st.sampled_from(["PNG", "JPEG", "TIFF", "BMP", "WEBP"]))
    def test_mutated_bytes_decode_or_are_unusable(self, data, file_format):
        exif = Image.Exif()
        exif[0x0112] = 3
        content = bytearray(encoded(Image.fromarray(colour_noise(9, 8)), file_format, exif=exif).getvalue())
        positions = st.integers(0, len(content) - 1)
        for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=6)):
            content[position] = value
        end = data.draw(st.one_of(st.just(len(content)), positions))
        try:
            image = decode_image(io.BytesIO(bytes(content[:end])))
        except UnusableImageError:
            return
        assert image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] in (1, 3)


def png_chunks(content: bytes) -> list[tuple[bytes, bytes]]:
    chunks, position = [], 8
    while position < len(content):
        end = position + 8 + int.from_bytes(content[position : position + 4])
        chunks.append((content[position + 4 : position + 8], content[position + 8 : end]))
        position = end + 4
    return chunks


def png_of(chunks: list[tuple[bytes, bytes]]) -> bytes:
    parts = (
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in chunks
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


class TestPlainPngs:
    """The fast path must give what Pillow gives, or nothing."""

    @pytest.mark.parametrize("channels", [1, 3])
    @pytest.mark.parametrize("options", [{}, {"compress_level": 0}, {"dpi": (72, 72)}, {"icc_profile": b"profile"}])
    def test_same_pixels_as_pillow(self, channels, options):
        pixels = colour_noise(50, 31)[..., :channels]
        content = encoded(Image.fromarray(pixels[..., 0] if channels == 1 else pixels), **options).getvalue()
        with_extras = png_of(
            [
                png_chunks(content)[0],
                (b"gAMA", struct.pack(">I", 90000)),
                (b"sBIT", bytes([5] * channels)),
                *png_chunks(content)[1:],
            ]
        )
        for plain in (content, with_extras):
            found = decoding._decode_plain_png(plain)
            np.testing.assert_array_equal(found, pixels)
            assert found.flags.c_contiguous

    @pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (3, 257)])
    def test_odd_sizes(self, size):
        pixels = colour_noise(*size)
        np.testing.assert_array_equal(decoding._decode_plain_png(encoded(Image.fromarray(pixels)).getvalue()), pixels)

    @pytest.mark.parametrize("mode", ["1", "P", "LA", "RGBA", "I;16"])
    def test_other_colour_types_are_left_to_pillow(self, mode):
        assert decoding._decode_plain_png(encoded(Image.new(mode, (4, 4))).getvalue()) is None

    @pytest.mark.parametrize(
        "chunk",
        [(b"tRNS", bytes(6)), (b"eXIf", b"II*\0"), (b"zTXt", b"Raw profile type exif\0\0"), (b"acTL", bytes(8))],
    )
    def test_extras_that_change_the_pixels_are_left_to_pillow(self, chunk):
        first, *rest = png_chunks(encoded(Image.new("RGB", (4, 4))).getvalue())
        assert decoding._decode_plain_png(png_of([first, *rest])) is not None
        assert decoding._decode_plain_png(png_of([first, chunk, *rest])) is None

    def test_damage_is_left_to_pillow(self):
        content = encoded(Image.fromarray(colour_noise(20, 18))).getvalue()
        header, (_, data), end = png_chunks(content)
        pixels = zlib.decompress(data)
        for damaged in (
            data[:-4],
            data[: len(data) // 2],
            zlib.compress(pixels[:-1]),
            zlib.compress(b"\t" + pixels[1:]),
        ):
            assert decoding._decode_plain_png(png_of([header, (b"IDAT", damaged), end])) is None
        for number in range(0, len(content) - 12, 7):
            found = decoding._decode_plain_png(content[:number])
            assert found is None, number

    def test_too_many_pixels_are_left_to_pillow(self, monkeypatch):
        content = encoded(Image.new("RGB", (6, 6))).getvalue()
        monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 35)
        assert decoding._decode_plain_png(content) is None

    @pytest.mark.filterwarnings("ignore")  # of Pillow, about the damage
    @pytest.mark.fuzz
    @given(data=st.data(), channels=st.sampled_from([1, 3]))
    def test_mutated_pngs_give_pillows_pixels_or_nothing(self, data, channels):
        pixels = colour_noise(9, 8)
        content = bytearray(encoded(Image.fromarray(pixels[..., 0] if channels == 1 else pixels)).getvalue())
        positions = st.one_of(st.integers(8, 40), st.integers(0, len(content) - 1))
        for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=3)):
            content[position] = value
        found = decoding._decode_plain_png(bytes(content))
        if found is None:
            return
        with Image.open(io.BytesIO(bytes(content))) as image:
            np.testing.assert_array_equal(found, decoding._to_array(image))


class TestCenterCrop:
    def test_middle_of_odd_margins(self):
        # (4 - 3) / 2 = 0.5 rounds to 0 and (6 - 3) / 2 = 1.5 to 2: Python rounds halves to even, as the original does.
        np.testing.assert_array_equal(center_crop(RAMP[..., np.newaxis], 3, 3)[..., 0], RAMP[0:3, 2:5])

    def test_celeba(self):
        image = np.arange(218 * 178).reshape(218, 178, 1)
        np.testing.assert_array_equal(center_crop(image, 108, 108), image[55:163, 35:143])

    def test_too_small_an_image(self):
        with pytest.raises(UnusableImageError, match="4x6 pixels are too few for a 5x6 crop"):
            center_crop(RAMP[..., np.newaxis], 5, 6)


class TestResize:
    def test_halving_a_row_by_hand(self):
        # Triangle filter of support 2 around x = 1 and 3 (pixel centres at 0.5, 1.5, …), weights 3:3:1 within the row.
        row = np.array([[0, 80, 160, 240]], np.uint8)[..., np.newaxis]
        expected = [[[round((3 * 0 + 3 * 80 + 160) / 7)], [round((80 + 3 * 160 + 3 * 240) / 7)]]]
        np.testing.assert_array_equal(resize(row, 1, 2), expected)

    def test_doubling_a_row_by_hand(self):
        row = np.array([[0, 100]], np.uint8)[..., np.newaxis]
        np.testing.assert_array_equal(resize(row, 1, 4), [[[0], [25], [75], [100]]])

    def test_height_and_width_are_not_swapped(self):
        assert resize(colour_noise(5, 7), 20, 30).shape == (20, 30, 3)

    def test_own_size_changes_nothing(self):
        image = colour_noise(5, 7)
        assert resize(image, 5, 7) is image


class TestSizing:
    def test_crop_then_resize(self):
        image = colour_noise(40, 60)
        prepare = sizing(resolve(Config(crop=True, input_height=20, output_height=16, output_width=18)))
        np.testing.assert_array_equal(prepare(image), resize(image[10:30, 20:40], 16, 18))

    def test_crop_alone(self):
        image = colour_noise(40, 60)
        prepare = sizing(resolve(Config(crop=True, input_height=20, input_width=30)))
        np.testing.assert_array_equal(prepare(image), image[10:30, 15:45])

    def test_resize_alone_takes_the_whole_image(self):
        image = colour_noise(40, 60)
        np.testing.assert_array_equal(sizing(resolve(Config(output_height=16)))(image), resize(image, 16, 16))

    def test_without_sizes_nothing_changes(self):
        image = colour_noise(40, 60)
        assert sizing(resolve(Config()))(image) is image


class TestPrepareArray:
    IMAGES = np.random.default_rng(0).integers(0, 256, (3, 20, 30, 3), np.uint8)

    def test_each_image(self):
        np.testing.assert_array_equal(prepare_array(self.IMAGES, lambda image: image[:5, :7]), self.IMAGES[:, :5, :7])

    def test_nothing_to_change(self):
        assert prepare_array(self.IMAGES, keep) is self.IMAGES

    def test_too_small(self):
        prepare = sizing(resolve(Config(crop=True, input_height=25)))
        with pytest.raises(UserError, match="20x30 pixels are too few for a 25x25 crop"):
            prepare_array(self.IMAGES, prepare)


class TestReadImages:
    @pytest.fixture
    def write(self, tmp_path):
        def write_image(name: str, pixels: np.ndarray) -> str:
            Image.fromarray(pixels).save(tmp_path / name)
            return name

        return write_image

    def test_order_is_that_of_the_names(self, tmp_path, write):
        names = [write(f"{number}.png", np.full((2, 3, 3), number, np.uint8)) for number in range(200)][::-1]
        images, kept = read_images(str(tmp_path), names, prepare=keep)
        assert images.shape == (200, 2, 3, 3) and images.dtype == np.uint8
        np.testing.assert_array_equal(images[:, 0, 0, 0], np.arange(200)[::-1])
        np.testing.assert_array_equal(kept, np.arange(200))

    def test_grey_set_has_one_channel(self, tmp_path, write):
        images, _ = read_images(str(tmp_path), [write("a.png", RAMP), write("b.png", RAMP)], prepare=keep)
        np.testing.assert_array_equal(images[..., 0], [RAMP, RAMP])

    def test_one_colour_image_makes_all_rgb(self, tmp_path, write):
        colour = colour_noise(4, 6)
        names = [write("a.png", RAMP), write("b.png", colour), write("c.png", RAMP)]
        images, _ = read_images(str(tmp_path), names, prepare=keep)
        grey_as_rgb = np.stack([RAMP] * 3, axis=-1)
        np.testing.assert_array_equal(images, [grey_as_rgb, colour, grey_as_rgb])

    def test_bad_files_are_named_and_skipped(self, tmp_path, write, caplog):
        (tmp_path / "b é.png").write_bytes(b"junk")
        names = ["b é.png", write("a.png", RAMP), "missing.png", write("c.png", RAMP + 1)]
        images, kept = read_images(str(tmp_path), names, prepare=keep)
        np.testing.assert_array_equal(images[..., 0], [RAMP, RAMP + 1])
        np.testing.assert_array_equal(kept, [1, 3])
        assert [record.args[0] for record in caplog.records] == ["b é.png", "missing.png"]

    def test_strict_stops_at_the_first_bad_file(self, tmp_path, write):
        (tmp_path / "b.png").write_bytes(b"junk")
        with pytest.raises(UserError, match=r"'b\.png': not a PNG"):
            read_images(str(tmp_path), [write("a.png", RAMP), "b.png", "missing.png"], prepare=keep, strict=True)

    def test_strict_does_not_decode_the_rest(self, tmp_path, write, monkeypatch):
        (tmp_path / "bad.png").write_bytes(b"junk")
        decoded = []
        monkeypatch.setattr(parallel, "num_usable_cores", lambda: 1)

        def count(image):
            decoded.append(1)
            return image

        names = ["bad.png", *[write("a.png", colour_noise(300, 300))] * 500]
        with pytest.raises(UserError, match="bad"):
            read_images(str(tmp_path), names, prepare=count, strict=True)
        assert len(decoded) <= 3 * 16  # the task of the bad one, and two ahead

    def test_too_small_for_the_crop_is_skipped(self, tmp_path, write):
        names = [write("a.png", colour_noise(30, 30)), write("b.png", colour_noise(30, 10))]
        prepare = sizing(resolve(Config(crop=True, input_height=20)))
        images, kept = read_images(str(tmp_path), names, prepare=prepare)
        assert images.shape == (1, 20, 20, 3) and kept.tolist() == [0]

    def test_mixed_sizes_name_two_files_and_the_remedy(self, tmp_path, write):
        names = [write("a.png", colour_noise(30, 40)), write("b.png", colour_noise(30, 50))]
        with pytest.raises(UserError, match=r"'a\.png' is 30x40, 'b\.png' 30x50; resize all with --output_height"):
            read_images(str(tmp_path), names, prepare=keep)

    def test_no_usable_file(self, tmp_path):
        (tmp_path / "a.png").write_bytes(b"junk")
        with pytest.raises(UserError, match=r"none of 1 image .* 'a\.png': not a PNG"):
            read_images(str(tmp_path), ["a.png"], prepare=keep)
