"""Image files become uint8 arrays: decoded on all cores, kept in order, cropped and resized as the original does."""

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
from histogan_tf.errors import UserError
from histogan_tf.machine.parallel import map_in_order

logger = logging.getLogger("histogan_tf")

Prepare = Callable[[np.ndarray], np.ndarray]  # uint8 HWC in and out; raises UnusableImageError

SUFFIXES = (".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")
_FORMATS = ("BMP", "JPEG", "PNG", "TIFF", "WEBP")

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PLAIN_PNGS = {b"\x08\x00": 1, b"\x08\x02": 3}  # bit depth and colour type -> channels
# What makes Pillow change the pixels: transparency, animation, and the orientation in EXIF, also as ImageMagick has it.
_PNG_EXTRAS = (b"tRNS", b"acTL", b"eXIf", b"Raw profile")


class UnusableImageError(Exception):
    """Why one image cannot be used. `gather` names it and goes on, or stops if it has to be strict."""


class UnwantedImageError(UnusableImageError):
    """An image that a flag leaves out: no reason to stop, nor to name it."""


def decode_image(file: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """The first frame of a PNG, JPEG, TIFF, BMP or WebP file, upright (EXIF orientation).

    Transparent pixels show white, the colour of an empty slide. 16-bit grey is scaled to 8 bits; the palette, CMYK and
    16-bit colour become RGB.

    Returns:
        uint8 (height, width, channels): one channel if the file is grey, else RGB.

    Raises:
        UnusableImageError: if the file is no such image, is damaged, or has more than Pillow's limit of 89 megapixels.
    """
    try:
        content = file.read() if hasattr(file, "read") else _read_file(file)
        if (pixels := _decode_plain_png(content)) is not None:
            return pixels
        with Image.open(io.BytesIO(content), formats=_FORMATS) as image:
            if image.width * image.height > Image.MAX_IMAGE_PIXELS:
                raise Image.DecompressionBombError(f"more than {Image.MAX_IMAGE_PIXELS} pixels")
            ImageOps.exif_transpose(image, in_place=True)
            return _to_array(image)
    except UnidentifiedImageError as error:
        raise UnusableImageError("not a PNG, JPEG, TIFF, BMP or WebP image") from error
    except MemoryError:
        raise
    except Exception as error:  # damaged files make Pillow raise nearly everything, from OSError to struct.error
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UnusableImageError(reason) from error


def _read_file(path: str | os.PathLike[str]) -> bytes:
    with open(path, "rb", buffering=0) as file:
        return file.read()


def _decode_plain_png(content: bytes) -> np.ndarray | None:
    """A PNG of 8-bit grey or RGB without extras, in half of Pillow's time and on all cores; None of anything else.

    A damaged one is None too, so that Pillow says what is wrong.
    """
    channels = _PLAIN_PNGS.get(content[24:26])
    if channels is None or not content.startswith(_PNG_SIGNATURE) or any(extra in content for extra in _PNG_EXTRAS):
        return None
    width, height = int.from_bytes(content[16:20]), int.from_bytes(content[20:24])
    if not 0 < width * height <= Image.MAX_IMAGE_PIXELS:
        return None
    import cv2

    pixels = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if pixels is None or pixels.size != height * width * channels:
        return None
    return pixels[..., np.newaxis] if channels == 1 else cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB)


def _to_array(image: Image.Image) -> np.ndarray:
    """uint8 (height, width, 1 or 3)."""
    if image.mode.startswith("I;16"):
        return ((np.asarray(image).astype(np.uint32) + 128) // 257).astype(np.uint8)[..., np.newaxis]
    if image.mode in ("I", "F"):
        raise ValueError("its pixels are 32-bit numbers, whose black and white are unknown")
    is_grey = image.mode in ("1", "L", "LA", "La")
    if image.has_transparency_data:
        white = Image.new("RGBA", image.size, "white")
        image = Image.alpha_composite(white, image.convert("RGBA"))
    array = np.asarray(image.convert("L" if is_grey else "RGB"))
    return array[..., np.newaxis] if is_grey else array


def center_crop(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """The middle height x width pixels of (image_height, image_width, channels).

    Offsets are round((image - crop) / 2), as in DCGAN-tensorflow's utils.center_crop.

    Raises:
        UnusableImageError: if the image is smaller than that.
    """
    image_height, image_width = image.shape[:2]
    if image_height < height or image_width < width:
        raise UnusableImageError(f"its {image_height}x{image_width} pixels are too few for a {height}x{width} crop")
    top, left = round((image_height - height) / 2), round((image_width - width) / 2)
    return image[top : top + height, left : left + width]


def resize(image: np.ndarray, height: int, width: int) -> np.ndarray:
    """uint8 (height, width, channels) from uint8 HWC of any size: bilinear, with antialiasing where it shrinks."""
    if image.shape[:2] == (height, width):
        return image
    is_grey = image.shape[-1] == 1
    resized = Image.fromarray(image[..., 0] if is_grey else image).resize((width, height), Image.Resampling.BILINEAR)
    return np.asarray(resized)[..., np.newaxis] if is_grey else np.asarray(resized)


def sizing(config: Config) -> Prepare:
    """What --crop, --input_height, --input_width, --output_height and --output_width ask for, as a function."""

    def prepare(image: np.ndarray) -> np.ndarray:
        if config.crop:
            image = center_crop(image, config.input_height, config.input_width)
        if config.output_height:
            image = resize(image, config.output_height, config.output_width)
        return image

    return prepare


def prepare_array(images: np.ndarray, prepare: Prepare) -> np.ndarray:
    """`prepare` on each image of uint8 NHWC with at least one; the array itself, uncopied, if that changes nothing.

    Raises:
        UserError: if the images are too small for it.
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
    """Decodes files on all cores. Files that cannot be used are named in a warning and left out.

    Args:
        root: folder of the files.
        names: paths of the files below `root`.
        prepare: makes the images one size; runs in the worker threads.
        strict: stop at the first file that cannot be used.

    Returns:
        What `gather` returns.

    Raises:
        UserError: as `gather` does.
    """
    return gather(lambda index: prepare(decode_image(os.path.join(root, names[index]))), names, strict=strict)


def gather(
    read: Callable[[int], np.ndarray], names: Sequence[str], *, strict: bool = False
) -> tuple[np.ndarray, np.ndarray]:
    """Reads images on all cores into one array. Those that cannot be used are named in a warning and left out.

    Args:
        read: the uint8 HWC of an index among `names`, or UnusableImageError; called in worker threads.
        names: of the images, for messages.
        strict: stop at the first image that cannot be used.

    Returns:
        uint8 (num_kept, height, width, channels), in the order of `names`; one channel if every image is grey, else 3.
        int64 (num_kept,): the indices of the kept among `names`.

    Raises:
        UserError: if no image can be used, if images differ in size, or, being strict, if one image cannot be used.
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
        raise UserError(f"none of the {len(names)} images can be used; the last of them, {reason}")
    if num_unwanted:
        logger.info("left out %d of %d images, as the flags say", num_unwanted, len(names))
    return images[: len(kept)], np.array(kept)


def _read_or_error(read: Callable[[int], np.ndarray], index: int) -> np.ndarray | UnusableImageError:
    try:
        return read(index)
    except UnusableImageError as error:
        return error


def report_unusable(name: str, error: UnusableImageError, *, strict: bool = False) -> None:
    """Warns of an image that is skipped.

    Raises:
        UserError: instead, being strict.
    """
    if isinstance(error, UnwantedImageError):
        return
    if strict:
        raise UserError(f"cannot use {name!r}: {error} (without --strict it would be skipped)") from error
    logger.warning("skipped %r: %s", name, error)


def different_sizes(name: str, size: tuple[int, int], other_name: str, other_size: tuple[int, int]) -> str:
    """What to tell the user whose images are of two sizes, (height, width)."""
    return (
        f"images differ in size (height x width): {str(name)!r} is {size[0]}x{size[1]}, {str(other_name)!r} "
        f"{other_size[0]}x{other_size[1]}; resize all with --output_height=64, or cut the centre out first with "
        f"--crop --input_height={min(*size, *other_size)}"
    )
