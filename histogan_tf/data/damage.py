"""Finds damage in image files by what their formats record for it: checksums, lengths, sizes and end marks.

Decoders are more lenient: of a file whose second half was lost, they may return an image whose second half is black.
"""

from __future__ import annotations

import re
import zlib
from collections.abc import Callable, Iterable, Iterator

from PIL import Image

_PNG_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # by colour type
_ADAM7 = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
_INFLATED_AT_ONCE = 2**20

# A marker of a JPEG file. Within a scan, 0xff is followed by 0 where it is data, and by d0 to d7 where it is a restart.
_JPEG_MARKER = re.compile(rb"\xff+([^\x00\xff])")
_JPEG_MARKER_AFTER_SCAN = re.compile(rb"\xff+([^\x00\xff\xd0-\xd7])")
_JPEG_END, _JPEG_SCAN = 0xD9, 0xDA
_JPEG_WITHOUT_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})

_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_COMPRESSION = 256, 257, 259
_TIFF_OFFSETS_AND_SIZES = ((273, 279), (324, 325))  # of strips and of tiles
_TIFF_DEFLATED = (8, 32946)
_MOST_BYTES_PER_PIXEL = 32

# WebP has no checksum. Encoders end a file with few zeros: of images of one colour, the most were 5.4 % of the file.
_MOST_WEBP_ZEROS, _MOST_WEBP_ZERO_FRACTION = 16, 0.125


def find_damage(content: bytes, image: Image.Image) -> str | None:
    """Returns what is damaged in an image file, in words; None if its format's own checks find nothing.

    Args:
        content: the file.
        image: the same file, opened by Pillow; its pixels need not have been decoded.
    """
    check = _CHECKS.get(image.format)
    return check and check(content, image)


def find_png_chunk_damage(content: bytes) -> str | None:
    """Returns what is wrong with the chunks of a PNG file; None if each is complete and has the right checksum.

    The compressed pixels in the chunks are not looked at.

    Args:
        content: a file that begins with the signature of PNG.
    """
    for kind, data, checksum in _png_chunks(content):
        if checksum is None:
            return "it is truncated: its end is missing"
        if checksum != zlib.crc32(data, zlib.crc32(kind)):
            return f"it is damaged: its chunk {kind.decode('latin-1')!r} has another checksum than it records"
    return None


def _png_chunks(content: bytes) -> Iterator[tuple[bytes, memoryview, int | None]]:
    """Yields (type, data, checksum) of each chunk up to IEND; the checksum is None where the file ends too early."""
    view, position, kind = memoryview(content), 8, b""
    while kind != b"IEND":
        kind = content[position + 4 : position + 8]
        end = position + 8 + int.from_bytes(content[position : position + 4])
        is_whole = len(kind) == 4 and end + 4 <= len(content)
        yield kind, view[position + 8 : end], int.from_bytes(view[end : end + 4]) if is_whole else None
        if not is_whole:
            return
        position = end + 4


def _find_png_damage(content: bytes, image: Image.Image) -> str | None:
    if damage := find_png_chunk_damage(content):
        return damage
    depth, colour_type, interlaced = content[24], content[25], content[28]
    wanted = _num_png_bytes(*image.size, depth * _PNG_CHANNELS.get(colour_type, 0), bool(interlaced))
    return _find_stream_damage((data for kind, data, _ in _png_chunks(content) if kind == b"IDAT"), wanted, wanted)


def _num_png_bytes(width: int, height: int, bits_per_pixel: int, interlaced: bool) -> int:
    """Returns the number of bytes of all rows before compression, each with the byte that names its filter."""
    passes = _ADAM7 if interlaced else ((0, 0, 1, 1),)
    total = 0
    for left, top, step_x, step_y in passes:
        columns, rows = -(-(width - left) // step_x), -(-(height - top) // step_y)
        if columns > 0 and rows > 0:
            total += rows * (1 + -(-columns * bits_per_pixel // 8))
    return total


def _find_stream_damage(parts: Iterable[memoryview], fewest: int, most: int) -> str | None:
    """Returns what is wrong with a zlib stream, of which at most a megabyte is held in memory.

    Args:
        parts: the compressed stream.
        fewest: the number of bytes that it has to hold.
        most: the number of bytes after which to stop: a decoder, too, ignores what follows.
    """
    stream, found = zlib.decompressobj(), 0
    try:
        for part in parts:
            while len(part) and not stream.eof:
                found += len(stream.decompress(part, _INFLATED_AT_ONCE))
                part = stream.unconsumed_tail
                if found > most:
                    return None
    except zlib.error as error:
        return f"it is damaged: its pixels cannot be decompressed ({error})"
    if found < fewest:
        return f"it is truncated: {found} of {fewest} bytes of pixels are there"
    return None if stream.eof else "it is truncated: the checksum of its pixels is missing"


def _find_jpeg_damage(content: bytes, image: Image.Image) -> str | None:
    position, num_scans = 2, 0
    marker = _JPEG_MARKER.search(content, position)
    while marker:
        kind, position = marker[1][0], marker.end()
        if kind == _JPEG_END:
            return None if num_scans else "it is damaged: it holds no pixels"
        if kind not in _JPEG_WITHOUT_LENGTH:
            position += int.from_bytes(content[position : position + 2])
        num_scans += kind == _JPEG_SCAN
        marker = (_JPEG_MARKER_AFTER_SCAN if kind == _JPEG_SCAN else _JPEG_MARKER).search(content, position)
    return "it is truncated: its end is missing"


def _find_tiff_damage(content: bytes, image: Image.Image) -> str | None:
    tags = image.tag_v2
    width, height = int(tags[_TIFF_WIDTH]), int(tags[_TIFF_HEIGHT])
    for offsets_tag, sizes_tag in _TIFF_OFFSETS_AND_SIZES:
        blocks = list(zip(tags.get(offsets_tag, ()), tags.get(sizes_tag, ()), strict=False))
        if any(offset <= 0 or size <= 0 or offset + size > len(content) for offset, size in blocks):
            return "it is truncated: a part of its pixels is not in the file"
        if tags.get(_TIFF_COMPRESSION) in _TIFF_DEFLATED:
            for offset, size in blocks:
                block = memoryview(content)[offset : offset + size]
                if damage := _find_stream_damage([block], 0, _MOST_BYTES_PER_PIXEL * width * height):
                    return damage
    return None


def _find_bmp_damage(content: bytes, image: Image.Image) -> str | None:
    return _find_missing_bytes(content, int.from_bytes(content[2:6], "little"))


def _find_webp_damage(content: bytes, image: Image.Image) -> str | None:
    num_bytes = 8 + int.from_bytes(content[4:8], "little")
    if damage := _find_missing_bytes(content, num_bytes):
        return damage
    num_zeros = num_bytes - len(content[:num_bytes].rstrip(b"\0"))
    is_lost = num_zeros > max(_MOST_WEBP_ZEROS, _MOST_WEBP_ZERO_FRACTION * num_bytes)
    return f"it is damaged: its last {num_zeros} bytes are zeros, which no encoder writes" if is_lost else None


def _find_missing_bytes(content: bytes, num_bytes: int) -> str | None:
    if len(content) >= num_bytes:
        return None
    return f"it is truncated: its header says {num_bytes} bytes, and {len(content)} are there"


_CHECKS: dict[str, Callable[[bytes, Image.Image], str | None]] = {
    "BMP": _find_bmp_damage,
    "JPEG": _find_jpeg_damage,
    "MPO": _find_jpeg_damage,  # Pillow's name of a JPEG file with several pictures
    "PNG": _find_png_damage,
    "TIFF": _find_tiff_damage,
    "WEBP": _find_webp_damage,
}
