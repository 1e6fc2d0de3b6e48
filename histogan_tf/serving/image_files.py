"""Decodes PNG and JPEG files inside the graph of an exported model, so that clients can send files to a server."""

from __future__ import annotations

import tensorflow as tf

from histogan_tf.data.sources import reader_of
from histogan_tf.trained.load import TrainedNetwork

MAX_PIXELS = 2**22
"""The most pixels that a sent image may have, so that no client can fill the server's memory."""

_PNG_START = b"\x89PNG\r\n\x1a\n"
_JPEG_START = b"\xff\xd8\xff"
_PNG_HEADER_BYTES = 26
_PNG_DEEP_GREY = (16, 0)  # bit depth and colour type
_JPEG_EXIF, _PNG_EXIF = b"Exif\0\0", b"eXIf"  # what stands before the TIFF header of the EXIF data
_SEARCHED_BYTES = 2**16  # of the file's begin: a segment of a JPEG is no longer
_ORIENTATION_TAG, _MOST_TAGS = 0x0112, 64
_GREY_WEIGHTS = (19595, 38470, 7471)  # ITU-R 601-2 luma in units of 2**-16, as in Pillow


def checked(value: tf.Tensor, condition: tf.Tensor, message: str, *details: tf.Tensor) -> tf.Tensor:
    """Returns `value`, but fails with an InvalidArgumentError in the server if `condition` is false.

    Args:
        value: any tensor.
        condition: bool ().
        message: says what is wrong and what is allowed; the client reads it in the error.
        details: tensors whose values are shown after the message.
    """
    with tf.control_dependencies([tf.debugging.Assert(condition, [message, *details])]):
        return tf.identity(value)


def decode_bytes(file: tf.Tensor, channels: int) -> tf.Tensor:
    """Decodes a PNG or JPEG file as `data.decoding.decode_image` does, turned upright by its EXIF orientation.

    Args:
        file: string (), the content of the file.
        channels: 1 for a grey image, 3 for RGB.

    Returns:
        uint8 (height, width, channels); transparent pixels show white.

    Raises:
        InvalidArgumentError: in the server, if it is another kind of file, is damaged, or has more than MAX_PIXELS
            pixels.
    """
    is_png = tf.strings.substr(file, 0, len(_PNG_START)) == _PNG_START
    is_jpeg = tf.strings.substr(file, 0, len(_JPEG_START)) == _JPEG_START
    is_long = tf.strings.length(file) >= _PNG_HEADER_BYTES
    file = checked(file, is_long & (is_png | is_jpeg), "image_bytes must be a whole PNG or JPEG file")
    size = tf.cond(is_png, lambda: _png_size(file), lambda: tf.image.extract_jpeg_shape(file, tf.int64)[:2])
    is_small = tf.reduce_prod(size) <= MAX_PIXELS
    file = checked(file, is_small, f"an image may have at most {MAX_PIXELS} pixels; height and width are", size)
    image = tf.cond(is_png, lambda: _decode_png(file), lambda: _decode_jpeg(file))
    marks = tf.where(is_png, _PNG_EXIF, _JPEG_EXIF)
    image = _turned_upright(image, _orientation(tf.strings.substr(file, 0, _SEARCHED_BYTES), marks))
    return image if channels == 3 else _to_grey(image)


def fit(image: tf.Tensor, trained: TrainedNetwork) -> tf.Tensor:
    """Prepares a decoded image as the run did its training images: by their reader, then by --crop and a new size.

    Args:
        image: uint8 (height, width, channels).
        trained: the network, with the settings of its run.

    Returns:
        uint8, in the shape of the training images.

    Raises:
        InvalidArgumentError: in the server, if the result does not have the size of the training images.
    """
    config, (height, width, _) = trained.config, trained.image_shape
    if before_sizing := reader_of(config.dataset).tensor_before_sizing:
        image = before_sizing(image)
    if config.crop:
        image = _center_crop(image, config.input_height, config.input_width)
    if config.output_height:
        resized = tf.image.resize(image, (height, width), antialias=True)
        image = tf.cast(tf.round(resized), tf.uint8)
    size = tf.shape(image)[:2]
    message = (
        f"images must have {height}x{width} pixels, as in training: cut or resize them to that, at the same "
        f"magnification; height and width are"
    )
    image = checked(image, tf.reduce_all(size == (height, width)), message, size)
    image.set_shape(trained.image_shape)
    return image


def _png_size(file: tf.Tensor) -> tf.Tensor:
    """Reads height and width, int64 (2,), from the header of a PNG file."""
    width_and_height = tf.io.decode_raw(tf.strings.substr(file, 16, 8), tf.int32, little_endian=False)
    return tf.cast(width_and_height[::-1], tf.int64)


def _decode_png(file: tf.Tensor) -> tf.Tensor:
    """Decodes a PNG to uint8 (height, width, 3); transparent pixels show white, 16-bit grey is rounded to 8 bits."""
    depth_and_type = tf.io.decode_raw(tf.strings.substr(file, 24, 2), tf.uint8)
    is_deep_grey = tf.reduce_all(depth_and_type == _PNG_DEEP_GREY)
    depth = tf.cast(depth_and_type[0], tf.int32)
    return tf.cond(is_deep_grey, lambda: _decode_deep_grey(file), lambda: _decode_8_bits(file, depth))


def _decode_deep_grey(file: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(tf.io.decode_png(file, channels=1, dtype=tf.uint16), tf.int32)
    return tf.cast(tf.repeat((pixels + 128) // 257, 3, axis=-1), tf.uint8)


def _decode_8_bits(file: tf.Tensor, depth: tf.Tensor) -> tf.Tensor:
    pixels = tf.cast(tf.io.decode_png(file, channels=4), tf.int32)
    colours, opacity = pixels[..., :3], pixels[..., 3:]
    # TensorFlow fills in the greatest value of the file's own depth as the opacity of a file that has none.
    is_filled_in = (depth < 8) & (tf.reduce_max(opacity) < tf.bitwise.left_shift(1, depth))
    opacity = tf.where(is_filled_in, 255, opacity)
    return tf.cast((colours * opacity + 255 * (255 - opacity) + 127) // 255, tf.uint8)


def _decode_jpeg(file: tf.Tensor) -> tf.Tensor:
    """Decodes a JPEG file to uint8 (height, width, 3)."""
    return tf.io.decode_jpeg(file, channels=3, dct_method="INTEGER_ACCURATE")


def _orientation(start: tf.Tensor, mark: tf.Tensor) -> tf.Tensor:
    """Returns the EXIF orientation, int32 () from 1 to 8, from the begin of a file; 1 if it says none.

    Args:
        start: string (), the first bytes of the file.
        mark: string (), what stands before the TIFF header that the EXIF data begin with.
    """
    pieces = tf.strings.split(start, mark, maxsplit=1)
    header = tf.cond(tf.size(pieces) > 1, lambda: pieces[1], lambda: tf.constant(b""))
    values = tf.cast(tf.io.decode_raw(header, tf.uint8), tf.int32)
    values = tf.concat([values, tf.zeros(8, tf.int32)], axis=0)  # so that there is always something to look at
    is_little = values[0] == ord("I")

    def number(places: tf.Tensor, num_bytes: int) -> tf.Tensor:
        """Reads unsigned numbers of 2 or 4 bytes; whatever lies outside reads as the last bytes."""
        total = tf.zeros_like(places)
        for index in range(num_bytes):
            place = places + tf.where(is_little, num_bytes - 1 - index, index)
            total = 256 * total + tf.gather(values, tf.clip_by_value(place, 0, tf.size(values) - 1))
        return total

    directory = number(tf.constant(4), 4)
    entries = directory + 2 + 12 * tf.range(tf.minimum(number(directory, 2), _MOST_TAGS))
    found = tf.boolean_mask(number(entries + 8, 2), number(entries, 2) == _ORIENTATION_TAG)
    orientation = tf.concat([found, [1]], axis=0)[0]
    return tf.where((orientation >= 1) & (orientation <= 8), orientation, 1)


def _turned_upright(image: tf.Tensor, orientation: tf.Tensor) -> tf.Tensor:
    """Undoes an EXIF orientation: 2 to 4 mirror and turn by 180 degrees, 5 to 8 also swap rows and columns."""
    image = tf.cond(orientation >= 5, lambda: tf.transpose(image, (1, 0, 2)), lambda: image)
    for axis, orientations in ((1, (2, 3, 6, 7)), (0, (3, 4, 7, 8))):
        is_mirrored = tf.reduce_any(orientation == orientations)
        image = tf.cond(
            is_mirrored, lambda image=image, axis=axis: tf.reverse(image, [axis]), lambda image=image: image
        )
    return image


def _to_grey(image: tf.Tensor) -> tf.Tensor:
    """Converts an RGB image to grey, uint8 (height, width, 1)."""
    grey = tf.reduce_sum(tf.cast(image, tf.int32) * _GREY_WEIGHTS, axis=-1, keepdims=True)
    return tf.cast((grey + 2**15) // 2**16, tf.uint8)


def _center_crop(image: tf.Tensor, height: int, width: int) -> tf.Tensor:
    """Does what `data.decoding.center_crop` does."""
    size = tf.shape(image)[:2]
    message = f"images must have at least {height}x{width} pixels; height and width are"
    image = checked(image, tf.reduce_all(size >= (height, width)), message, size)
    top_left = tf.cast(tf.round((tf.cast(size, tf.float32) - (height, width)) / 2.0), tf.int32)
    return image[top_left[0] : top_left[0] + height, top_left[1] : top_left[1] + width]
