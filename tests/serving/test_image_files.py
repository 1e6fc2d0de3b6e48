"""What a server makes of files, against what the program itself makes of them."""

from __future__ import annotations

import dataclasses
import io

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from histogan_tf.data.decoding import UnusableImageError, sizing
from histogan_tf.data.decoding import decode_image as decode_file
from histogan_tf.data.sources.idc import pad_to_patch
from histogan_tf.serving import image_files


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, shape, np.uint8)


def file_of(pixels: np.ndarray, kind: str) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, kind)
    return buffer.getvalue()


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decode_colour(file):
    return image_files.decode_bytes(file, 3)


@tf.function(input_signature=[tf.TensorSpec((), tf.string)])
def decode_grey(file):
    return image_files.decode_bytes(file, 1)


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("shape", [(9, 7, 3), (9, 7)])
def test_files_are_decoded_as_elsewhere_in_the_program(kind, shape):
    file = file_of(noise(*shape), kind)
    expected = decode_file(io.BytesIO(file))
    np.testing.assert_array_equal(decode_colour(file), np.broadcast_to(expected, (9, 7, 3)))
    if len(shape) == 2:
        np.testing.assert_array_equal(decode_grey(file), expected)
    else:
        grey = np.asarray(Image.open(io.BytesIO(file)).convert("L"))
        np.testing.assert_array_equal(decode_grey(file)[..., 0], grey)


@pytest.mark.parametrize("num_values", [2**16, 2**12])
def test_16_bit_grey_is_rounded_as_elsewhere(num_values):
    pixels = np.random.default_rng(2).integers(0, num_values, (9, 7)).astype(np.uint16)
    file = file_of(pixels, "PNG")
    expected = ((pixels.astype(int) + 128) // 257)[..., np.newaxis]
    np.testing.assert_array_equal(decode_file(io.BytesIO(file)), expected)
    np.testing.assert_array_equal(decode_grey(file), expected)
    np.testing.assert_array_equal(decode_colour(file), np.repeat(expected, 3, axis=-1))


@pytest.mark.parametrize("num_colours", [2, 4, 16, 200])
def test_palettes_and_black_and_white_are_decoded_as_elsewhere(num_colours):
    buffer = io.BytesIO()
    Image.fromarray(noise(9, 7, 3)).quantize(num_colours).save(buffer, "PNG")
    np.testing.assert_array_equal(decode_colour(buffer.getvalue()), decode_file(io.BytesIO(buffer.getvalue())))
    bits = file_of(noise(9, 7) > num_colours, "PNG")
    np.testing.assert_array_equal(decode_grey(bits), decode_file(io.BytesIO(bits)))


def test_transparent_colours_of_a_small_palette_show_white():
    image = Image.new("P", (2, 1))
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.putpixel((1, 0), 1)
    buffer = io.BytesIO()
    image.save(buffer, "PNG", bits=1, transparency=1)
    np.testing.assert_array_equal(decode_colour(buffer.getvalue()), [[[10, 20, 30], [255, 255, 255]]])


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
@pytest.mark.parametrize("filling", [b"", b"\0"])
def test_files_that_have_lost_their_end_are_refused_as_elsewhere(kind, filling):
    file = file_of(noise(40, 40, 3), kind)
    for length in (len(file) // 2, len(file) - 2):
        damaged = file[:length] + filling * (len(file) - length)
        with pytest.raises(UnusableImageError):
            decode_file(io.BytesIO(damaged))
        with pytest.raises(tf.errors.InvalidArgumentError):
            decode_colour(damaged)


def test_transparent_pixels_show_white():
    pixels = noise(6, 5, 4)
    pixels[0, :, 3], pixels[1, :, 3] = 0, 255
    file = file_of(pixels, "PNG")
    got, expected = decode_colour(file).numpy(), decode_file(io.BytesIO(file))
    assert (got[0] == 255).all()
    np.testing.assert_array_equal(got[1], pixels[1, :, :3])
    assert np.abs(got.astype(int) - expected).max() <= 1


def test_an_image_that_would_fill_the_memory_is_not_decoded():
    header = file_of(noise(2, 2, 3), "PNG")
    claims = header[:16] + (60000).to_bytes(4, "big") + (50000).to_bytes(4, "big") + header[24:]
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"4194304 pixels; height and width are.*50000 60000"):
        decode_colour(claims)


@pytest.fixture
def trained(networks):
    """Makes a network whose run had other settings."""

    def change(image_shape, **settings):
        classifier = networks["classifier"]
        config = dataclasses.replace(classifier.config, **settings)
        record = {**classifier.dataset, "image_shape": image_shape}
        return dataclasses.replace(classifier, config=config, dataset=record)

    return change


def fit(image: np.ndarray, trained) -> tf.Tensor:
    of_any_size = [tf.TensorSpec((None, None, 3), tf.uint8)]
    return tf.function(lambda pixels: image_files.fit(pixels, trained), of_any_size, autograph=False)(image)


@pytest.mark.parametrize("dataset", ["idc", "idc-full"])
@pytest.mark.parametrize("size", [(50, 31), (49, 50), (20, 11), (26, 25), (2, 50), (1, 1), (50, 50)])
def test_a_patch_that_a_slides_edge_cut_off_is_padded(trained, dataset, size):
    image = noise(*size, 3)
    fitted = fit(image, trained((50, 50, 3), dataset=dataset))
    np.testing.assert_array_equal(fitted, pad_to_patch(image))


@pytest.mark.parametrize("size", [(31, 40), (32, 37), (33, 36)])
def test_images_are_cropped_and_resized_as_the_run_did(trained, size):
    image = noise(*size, 3)
    cropped = trained((30, 36, 3), crop=True, input_height=30, input_width=36)
    np.testing.assert_array_equal(fit(image, cropped), sizing(cropped.config)(image))
    resized = trained((20, 44, 3), output_height=20, output_width=44)
    got = fit(image, resized).numpy()
    assert np.abs(got.astype(int) - sizing(resized.config)(image)).max() <= 1  # Pillow rounds once for each side


def test_images_smaller_than_the_crop_are_refused(trained):
    cropped = trained((30, 36, 3), crop=True, input_height=30, input_width=36)
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 30x36 pixels"):
        fit(noise(29, 40, 3), cropped)
