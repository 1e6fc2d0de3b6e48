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
    """Decodes a PNG or JPEG file as `data.decoding.decode_image` does, but ignores its EXIF orientation.

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
