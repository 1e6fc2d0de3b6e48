"""Decodes image files into uint8 arrays on all cores, in order, and crops and resizes them as the original does."""

from __future__ import annotations

import contextlib
import io
import logging
import os
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from histogan_tf.config import Config
from histogan_tf.data.damage import find_damage, find_png_chunk_damage
from histogan_tf.data.file_remarks import FileRemarks
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.memory import DECODING
from histogan_tf.machine.parallel import map_in_order

logger = logging.getLogger("histogan_tf")

# Crops and resizes one image: uint8 (height, width, channels) in and out; raises UnusableImageError if it cannot.
Prepare = Callable[[np.ndarray], np.ndarray]

SUFFIXES = (".bmp", ".jfif", ".jif", ".jpe", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_SIGNATURES = (_PNG_SIGNATURE, b"\xff\xd8\xff", b"II*\0", b"MM\0*")  # long enough to say that a file is meant as such
_PLAIN_PNGS = {b"\x08\x00": 1, b"\x08\x02": 3}  # bit depth and colour type -> channels
# Chunks that change how a PNG is shown: transparency, animation, EXIF orientation (which ImageMagick stores as text).
_PNG_EXTRAS = (b"tRNS", b"acTL", b"eXIf", b"Raw profile")

_BYTES_PER_PIXEL = 22  # at the peak: of all formats and kinds, WebP and PNGs with transparency took the most, 21
_BYTES_PER_PIXEL_OF_PLAIN_PNGS = 8  # OpenCV took 6
_SMALL_PIXELS = 2**20
_MOST_PIXELS_A_SIDE = 65_535  # as many as a JPEG may have

_TIFF_PHOTOMETRIC, _TIFF_MIN_IS_WHITE = 262, 0
_MOST_IN_16_BITS = 2**16 - 1


class UnusableImageError(Exception):
    """Raised when one image cannot be used. `gather` skips the image with a warning, or stops if it is strict."""


class UnwantedImageError(UnusableImageError):
    """Raised for an image that a flag leaves out; `gather` skips it without a warning, also if it is strict."""


def decode_image(file: str | os.PathLike[str] | BinaryIO, remarks: FileRemarks | None = None) -> np.ndarray:
    """Returns the first page or frame of a PNG, JPEG, TIFF, BMP or WebP file, turned upright by its EXIF orientation.

    Transparent pixels become white, the colour of an empty slide. 16-bit grey is scaled to 8 bits, and inverted if the
    file says that its smallest value is white. Palette, CMYK and 16-bit colour images become 8-bit RGB: of 16 bits, the
    upper 8 are taken.

    Args:
        file: the path, or a file opened for reading bytes.
        remarks: takes the largest value in a 16-bit grey or RGB file, before it is scaled or inverted, and the path of
            a TIFF, PNG or WebP with several pages or frames. Only for a file that is given as a path.

    Returns:
        uint8 (height, width, channels): one channel if the file is grey, else three (RGB).

    Raises:
        UnusableImageError: if the file is not such an image, is damaged by the checks of its format (see `damage`), or
            exceeds Pillow's limit of 89 megapixels, 65,535 pixels a side, or the memory of --memory_budget_gb.
    """
    try:
        content = file.read() if hasattr(file, "read") else _read_file(file)
        if (pixels := _decode_plain_png(content)) is not None:
            return pixels
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"more than {Image.MAX_IMAGE_PIXELS} pixels")
            with _memory_for(*image.size):
                return _decode_opened(image, content, file, remarks)
    except UnidentifiedImageError as error:
        is_known = content.startswith(_SIGNATURES)
        reason = "it is damaged: its header cannot be read" if is_known else "not a PNG, JPEG, TIFF, BMP or WebP image"
        raise UnusableImageError(reason) from error
    except (MemoryError, UnusableImageError):
        raise
    except Exception as error:  # damaged files make Pillow raise nearly everything, from OSError to struct.error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnusableImageError(reason) from error


def _decode_opened(
    image: Image.Image, content: bytes, file: str | os.PathLike[str] | BinaryIO, remarks: FileRemarks | None
) -> np.ndarray:
    if damage := find_damage(content, image):
        raise ValueError(damage)
    if remarks:
        remarks.look_at(image, content, file)
    is_inverted = image.format == "TIFF" and image.tag_v2.get(_TIFF_PHOTOMETRIC) == _TIFF_MIN_IS_WHITE
    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        pixels = np.asarray(image)
        if remarks:
            remarks.note_brightest(int(pixels.max()))
        return _scale_to_8_bits(pixels, is_inverted)
    return _to_array(image)


def _memory_for(
    width: int, height: int, bytes_per_pixel: int = _BYTES_PER_PIXEL
) -> contextlib.AbstractContextManager[None]:
    """Waits until an image may be decoded; one of up to a megapixel does not wait.

    Raises:
        UnusableImageError: if it is too long a strip, or takes more memory than --memory_budget_gb allows.
    """
    if max(width, height) > _MOST_PIXELS_A_SIDE:  # decoders take memory and time for each row
        raise UnusableImageError(f"its {height}x{width} pixels are more than {_MOST_PIXELS_A_SIDE} a side")
    if width * height <= _SMALL_PIXELS:
        return contextlib.nullcontext()
    return DECODING.taking(bytes_per_pixel * width * height)


def _read_file(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _decode_plain_png(content: bytes) -> np.ndarray | None:
    """Returns the pixels of a plain PNG (8-bit grey or RGB, no extra chunks); None for any other file.

    OpenCV takes half of Pillow's time and runs on all cores. A damaged PNG gives None too: `find_damage` then says what
    is wrong with it.
    """
    channels = _PLAIN_PNGS.get(content[24:26])
    if channels is None or not content.startswith(_PNG_SIGNATURE) or any(extra in content for extra in _PNG_EXTRAS):
        return None
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    if not 0 < width * height <= Image.MAX_IMAGE_PIXELS:
        return None
    if find_png_chunk_damage(content):  # OpenCV would print it, and Pillow would not always notice
        return None
    import cv2

    with _memory_for(width, height, _BYTES_PER_PIXEL_OF_PLAIN_PNGS):
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if pixels is None or pixels.size != height * width * channels:
            return None
        return pixels[..., np.newaxis] if channels == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _scale_to_8_bits(pixels: np.ndarray, is_inverted: bool) -> np.ndarray:
    """Returns 16-bit grey pixels, (height, width), as uint8 (height, width, 1), rounded to the nearest."""
    pixels = pixels.astype(np.uint32)
    if is_inverted:
        pixels = _MOST_IN_16_BITS - pixels
    return ((pixels + 128) // 257).astype(np.uint8)[..., np.newaxis]


def _to_array(image: Image.Image) -> np.ndarray:
    """Returns the pixels of an image that Pillow has opened: uint8 (height, width, 1 or 3)."""
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers, which do not say what value is black and what is white")
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    array = np.asarray(image.convert("L" if is_grey else "RGB"))
    return array[..., np.newaxis] if is_grey else array


def center_crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns the middle height x width pixels of an image, (image_height, image_width, channels).

    The crop starts at round((image size - crop size) / 2), as in DCGAN-tensorflow's utils.center_crop.

    Raises:
        UnusableImageError: if the image is smaller than the crop.
    """
    image_height, image_width = image.shape[:2]
    if image_height < height or image_width < width:
        raise UnusableImageError(f"its {image_height}x{image_width} pixels are too few for a {height}x{width} crop")
    top, left = round((image_height - height) / 2), round((image_width - width) / 2)
    return image[top : top + height, left : left + width]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns an image, uint8 (any height, any width, channels), resized bilinearly, antialiased where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    is_grey = image.shape[-1] == 1
    resized = Image.fromarray(image[..., 0] if is_grey else image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)[..., np.newaxis] if is_grey else np.asarray(resized)


def sizing(config: Config) -> Prepare:
    """Returns the function that crops and resizes one image as the flags --crop, --input_* and --output_* say."""

    def prepare(image: np.ndarray) -> np.ndarray:
        if config.crop:
            image = center_crop(image, config.input_height, config.input_width)
        if config.output_height:
            image = resize(image, config.output_height, config.output_width)
        return image

    return prepare


def prepare_array(images: np.ndarray, prepare: Prepare) -> np.ndarray:
    """Returns the images after `prepare`; the array itself, without a copy, if `prepare` changes nothing.

    Args:
        images: uint8 (num_images, height, width, channels), at least one image.
        prepare: crops and resizes one image.

    Raises:
        UserError: if the images are too small to be cropped.
    """
    first = images[0]
    try:
        if prepare(first) is first:
            return images
        return np.stack([prepare(image) for image in images])
    except UnusableImageError as error:
        raise UserError(f"cannot use the images: {error}") from error


def read_images(
    root: str, names: Sequence[str], *, prepare: Prepare, strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Decodes files on all cores. Skips files that cannot be used, with a warning that names them.

    Args:
        root: the folder of the files.
        names: the paths of the files below `root`.
        prepare: crops and resizes one image, so that all have one size; runs in the worker threads.
        strict: stop at the first file that cannot be used.

    Returns:
        The images and the indices of the files used, as `gather` returns them.

    Raises:
        UserError: for the reasons for which `gather` raises it.
    """
    return gather(lambda index: prepare(decode_image(os.path.join(root, names[index]))), names, strict=strict)


def gather(
    read: Callable[[int], np.ndarray], names: Sequence[str], *, strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Reads images on all cores into one array. Skips images that cannot be used, with a warning that names them.

    Args:
        read: a function from an index into `names` to the image, uint8 (height, width, channels); it raises
            UnusableImageError if the image cannot be used. It is called in worker threads.
        names: the names of the images, for messages.
        strict: stop at the first image that cannot be used.

    Returns:
        The images, uint8 (num_kept, height, width, channels), in the order of `names`: one channel if every image is
        grey, else three. Then their indices into `names`, int64 (num_kept,).

    Raises:
        UserError: if no image can be used, if images differ in size, or, with `strict`, if one image cannot be used.
    """
    images, kept, reason, num_unwanted = np.empty((0, 0, 0, 0), np.uint8), [], "there is none", 0
    with contextlib.closing(map_in_order(lambda index: _read_or_error(read, index), range(len(names)))) as results:
        for index, result in enumerate(results):
            if isinstance(result, UnusableImageError):
                reason = f"{str(names[index])!r}: {result}"
                num_unwanted += isinstance(result, UnwantedImageError)
                report_unusable(str(names[index]), result, strict=strict)
                continue
            if not kept:
                images = np.empty((len(names), *result.shape), np.uint8)
            elif result.shape[:2] != images.shape[1:3]:
                raise UserError(different_sizes(names[kept[0]], images.shape[1:3], names[index], result.shape[:2]))
            elif result.shape[2] > images.shape[3]:
                images = np.repeat(images, result.shape[2], axis=3)
            images[len(kept)] = result
            kept.append(index)
    if not kept:
        raise UserError(f"none of {counted(len(names), 'image')} can be used; the last of them, {reason}")
    if num_unwanted:
        logger.info("left out %d of %s because of the flags", num_unwanted, counted(len(names), "image"))
    return images[: len(kept)], np.array(kept)


def _read_or_error(read: Callable[[int], np.ndarray], index: int) -> np.ndarray | UnusableImageError:
    try:
        return read(index)
    except UnusableImageError as error:
        return error


def report_unusable(name: str, error: UnusableImageError, *, strict: bool = False) -> None:
    """Warns that an image is skipped.

    Args:
        name: the image's name.
        error: the reason why it cannot be used.
        strict: raise an error instead of a warning.

    Raises:
        UserError: if `strict`.
    """
    if isinstance(error, UnwantedImageError):
        return
    if strict:
        raise UserError(f"cannot use {name!r}: {error} (without --strict it would be skipped)") from error
    logger.warning("skipped %r: %s", name, error)


def different_sizes(name: str, size: tuple[int, int], other_name: str, other_size: tuple[int, int]) -> str:
    """Returns the message for a user whose images differ in size; sizes are (height, width)."""
    return (
        f"images differ in size (height x width): {str(name)!r} is {size[0]}x{size[1]}, {str(other_name)!r} "
        f"{other_size[0]}x{other_size[1]}; resize all with --output_height=64, or cut the centre out first with "
        f"--crop --input_height={min(*size, *other_size)}"
    )
