"""Defines the functions of a trained network that a server offers; each checks the tensors that clients send."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.data.pipeline import to_float, to_uint8
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.cyclegan import MIN_CYCLEGAN_SIZE
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.latents import LATENT_CHUNK_SIZE, draw_latents
from histogan_tf.serving.image_files import MAX_PIXELS, checked, decode_bytes, fit
from histogan_tf.trained.load import TrainedNetwork

MAX_COUNT = 256
"""The most images that one request may ask for."""

Z_RANGES = {"normal01": "N(0, 1)", "uniform_signed": "[-1, 1]", "uniform_unsigned": "[0, 1]"}
"""Where each number of z lies, in words, for each value of --z_dist."""

_BATCHED_FILES = tf.TensorSpec((None,), tf.string)
_STATUS_MEANING = "the status of a file that cannot be used says what to send instead"


@dataclasses.dataclass(frozen=True)
class Signature:
    """One function that a server offers.

    Attributes:
        function: takes named tensors and returns named tensors.
        inputs: types and shapes of its inputs, by name.
        meaning: what its inputs and outputs mean, in words.
        request: example inputs, by name.
    """

    function: tf.types.experimental.ConcreteFunction
    inputs: Mapping[str, tf.TensorSpec]
    meaning: str
    request: Mapping[str, np.ndarray]


def signatures_of(trained: TrainedNetwork) -> dict[str, Signature]:
    """Returns the signatures of a network, by name.

    Their functions raise InvalidArgumentError for inputs out of range; image_bytes gives files a status instead.
    """
    makers = {
        "generator": _generator_signatures,
        "translator": _translator_signatures,
        "classifier": _classifier_signatures,
    }
    return makers[trained.kind](trained)


def _signature(function: Callable, meaning: str, request: dict[str, np.ndarray], **inputs: tf.TensorSpec) -> Signature:
    concrete = tf.function(function, autograph=False).get_concrete_function(**inputs)
    return Signature(concrete, inputs, meaning, request)


def _generator_signatures(trained: TrainedNetwork) -> dict[str, Signature]:
    config, network, num_classes = trained.config, trained.network, trained.num_classes

    def images_of(z: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        if label is not None:
            message = f"label must be from 0 to {num_classes - 1}"
            label = checked(label, tf.reduce_all((label >= 0) & (label < num_classes)), message)
        return network(named_inputs(network, z, label), training=False)

    def serving_default(z: tf.Tensor, label: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        z = _checked_latents(z, config.z_dist)
        if label is not None:
            is_even = tf.shape(z)[0] == tf.shape(label)[0]
            label = checked(label, is_even, "give one label for each z; z, label:", tf.shape(z)[0], tf.shape(label)[0])
        return {"images": images_of(z, label)}

    def drawn(count: tf.Tensor, seed: tf.Tensor, label: tf.Tensor | None) -> tf.Tensor:
        in_range = (count >= 1) & (count <= MAX_COUNT)
        count = checked(count, in_range, f"count must be from 1 to {MAX_COUNT}; it is", count)
        in_range = (seed >= 0) & (seed < 2**31)
        seed = checked(seed, in_range, f"seed must be from 0 to {2**31 - 1}; it is", seed)
        # Does what `stateless_seed` does, but the seed is a tensor of the request.
        key = stateless_seed(0, Purpose.GENERATED_LATENTS, 0) + tf.stack([tf.bitwise.left_shift(seed, 32), 0])
        z = draw_latents(LATENT_CHUNK_SIZE, config.z_dim, config.z_dist, key)[:count]
        return images_of(z, None if label is None else tf.repeat(label, count))

    def generate(count: tf.Tensor, seed: tf.Tensor, label: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"images": drawn(count, seed, label)}

    def png_bytes(count: tf.Tensor, seed: tf.Tensor, label: tf.Tensor | None = None) -> dict[str, tf.Tensor]:
        return {"png_bytes": tf.io.encode_png(to_uint8(drawn(count, seed, label)))}

    latents = draw_latents(1, config.z_dim, config.z_dist, stateless_seed(0, Purpose.GENERATED_LATENTS, 0)).numpy()
    batch = {"z": tf.TensorSpec((None, config.z_dim), tf.float32)}
    draw = {"count": tf.TensorSpec((), tf.int32), "seed": tf.TensorSpec((), tf.int64)}
    batch_request, draw_request = {"z": latents}, {"count": np.int32(1), "seed": np.int64(0)}
    of_label = ""
    if num_classes:
        batch |= {"label": tf.TensorSpec((None,), tf.int32)}
        draw |= {"label": tf.TensorSpec((), tf.int32)}
        batch_request |= {"label": np.zeros(1, np.int32)}
        draw_request |= {"label": np.int32(0)}
        of_label = f"; label is from 0 to {num_classes - 1}"
    same = f"the same as --mode=generate makes with that --seed; count is at most {MAX_COUNT}{of_label}"
    return {
        "serving_default": _signature(
            serving_default,
            f"latents z in {Z_RANGES[config.z_dist]} to images in [-1, 1]{of_label}",
            batch_request,
            **batch,
        ),
        "generate": _signature(generate, f"images in [-1, 1], {same}", draw_request, **draw),
        "png_bytes": _signature(png_bytes, f"PNG files, {same}", draw_request, **draw),
    }


def _checked_latents(z: tf.Tensor, z_dist: str) -> tf.Tensor:
    if z_dist == "normal01":
        return checked(z, tf.reduce_all(tf.math.is_finite(z)), "z must be finite")
    lowest = {"uniform_signed": -1.0, "uniform_unsigned": 0.0}[z_dist]
    return checked(z, tf.reduce_all((z >= lowest) & (z <= 1.0)), f"z must lie in [{lowest:g}, 1], as in training")


def _translator_signatures(trained: TrainedNetwork) -> dict[str, Signature]:
    translate, (height, width, channels) = _of_any_size(trained.network), trained.image_shape

    def sized(images: tf.Tensor) -> tf.Tensor:
        size = tf.shape(images)[1:3]
        fits = tf.reduce_all(size >= MIN_CYCLEGAN_SIZE) & (tf.reduce_prod(size) <= MAX_PIXELS)
        limits = f"at least {MIN_CYCLEGAN_SIZE} pixels a side and at most {MAX_PIXELS} in all"
        message = f"images must have {limits}; their sides are"
        return checked(images, fits, message, size)

    def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
        in_range = tf.reduce_all(tf.abs(images) <= 1.0)
        return {"images": translate(sized(checked(images, in_range, "images must lie in [-1, 1]")))}

    def read(file: tf.Tensor) -> tf.Tensor:
        return sized(decode_bytes(file, channels)[tf.newaxis])[0]

    def translate_file(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        in_its_place = tf.zeros((MIN_CYCLEGAN_SIZE, MIN_CYCLEGAN_SIZE, channels), tf.uint8)
        image, is_usable = _attempted(read, file, in_its_place)
        image.set_shape((None, None, channels))
        png = tf.io.encode_png(to_uint8(translate(to_float(image)[tf.newaxis]))[0])
        return tf.where(is_usable, png, b""), is_usable

    size = f"any size from {MIN_CYCLEGAN_SIZE}x{MIN_CYCLEGAN_SIZE} pixels up"

    def image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        results = tf.TensorSpec((), tf.string), tf.TensorSpec((), tf.bool)
        png_bytes, is_usable = _for_each(translate_file, image_bytes, results)
        return {"png_bytes": png_bytes, "status": _status(is_usable, f"of {size}")}

    zeros = np.zeros((1, height, width, channels), np.float32)
    return {
        "serving_default": _signature(
            serving_default,
            f"images in [-1, 1], of {size}, to translations in [-1, 1]",
            {"images": zeros},
            images=tf.TensorSpec((None, None, None, channels), tf.float32),
        ),
        "image_bytes": _signature(
            image_bytes,
            f"PNG or JPEG files, of {size} each, to PNG files; {_STATUS_MEANING}, and its PNG file is empty",
            {"image_bytes": _png_request(zeros)},
            image_bytes=_BATCHED_FILES,
        ),
    }


def _of_any_size(generator: keras.Model) -> Callable[[tf.Tensor], tf.Tensor]:
    """Returns a CycleGAN's generator as a function that takes images of any size.

    The generator pads its input by reflection, with 3 pixels for its first convolution and up to a multiple of 4, and
    crops its output. Both depend on the size, so they are done outside the network here.

    Returns:
        A function that takes and returns float32 (batch, height, width, channels) in [-1, 1].
    """
    first_convolution, crop = generator.layers[1], generator.layers[-1]
    channels = generator.input_shape[-1]
    inside = keras.models.clone_model(
        keras.Model(first_convolution.input, crop.input),
        input_tensors=keras.Input((None, None, channels)),
        clone_function=lambda layer: layer,
    )

    def translate(images: tf.Tensor) -> tf.Tensor:
        size = tf.shape(images)[1:3]
        missing = -size % 4
        before = missing // 2
        margins = 3 + tf.stack([before, missing - before], axis=1)
        padded = tf.pad(images, tf.concat([[[0, 0]], margins, [[0, 0]]], axis=0), mode="REFLECT")
        translations = inside(padded, training=False)
        (top, left), (height, width) = tf.unstack(before), tf.unstack(size)
        return translations[:, top : top + height, left : left + width]

    return translate


def _classifier_signatures(trained: TrainedNetwork) -> dict[str, Signature]:
    network, (height, width, channels) = trained.network, trained.image_shape
    is_of_two = len(trained.class_names) == 2

    def serving_default(images: tf.Tensor) -> dict[str, tf.Tensor]:
        logits = network(images, training=False)
        if not is_of_two:
            return {"probability": tf.nn.softmax(logits), "label": tf.argmax(logits, axis=1, output_type=tf.int32)}
        probability = tf.sigmoid(logits[:, 0])
        return {"probability": probability, "label": tf.cast(probability >= THRESHOLD, tf.int32)}

    def read(file: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        blank = tf.zeros(trained.image_shape, tf.uint8)
        return _attempted(lambda file: fit(decode_bytes(file, channels), trained), file, blank)

    def image_bytes(image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        results = tf.TensorSpec(trained.image_shape, tf.uint8), tf.TensorSpec((), tf.bool)
        images, is_usable = _for_each(read, image_bytes, results)
        outputs = {
            name: tf.where(is_usable if values.shape.rank == 1 else is_usable[:, tf.newaxis], values, -1)
            for name, values in serving_default(images).items()
        }
        return outputs | {"status": _status(is_usable, "of the size and magnification of the training images")}

    zeros = np.zeros((1, height, width, channels), np.uint8)
    if is_of_two:
        positive = trained.class_names[1]
        outputs = f"the probability of {positive}, the positive class, and label 1 where it is {THRESHOLD} or more"
    else:
        outputs = f"the probabilities of {', '.join(trained.class_names)}, in this order, and the most probable label"
    return {
        "serving_default": _signature(
            serving_default,
            f"pixels in [0, 255] to {outputs}",
            {"images": zeros},
            images=tf.TensorSpec((None, height, width, channels), tf.uint8),
        ),
        "image_bytes": _signature(
            image_bytes,
            f"PNG or JPEG files, of the size and magnification of the training images, to {outputs}; "
            f"{_STATUS_MEANING}, and its probability and label are -1",
            {"image_bytes": _png_request(to_float(zeros).numpy())},
            image_bytes=_BATCHED_FILES,
        ),
    }


def _attempted(read: Callable, file: tf.Tensor, otherwise: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """Reads a file whose failure must not fail the whole batch, which may hold the images of other clients.

    A graph can catch the error of an operation only inside a dataset. The server's log names the error.

    Args:
        read: a function from the content of a file, string (), to an image, uint8 (height, width, channels).
        file: string ().
        otherwise: the image in its place, if it cannot be read.

    Returns:
        The image, and whether it is that of the file, bool ().
    """
    attempts = tf.data.Dataset.from_tensors(file).map(read).ignore_errors(log_warning=True)
    # To optimize a dataset of one file anew for each file would take longer than to read it.
    options = tf.data.Options()
    options.autotune.enabled = options.experimental_optimization.apply_default_optimizations = False
    return attempts.with_options(options).reduce((otherwise, False), lambda _, image: (image, True))


def _status(is_usable: tf.Tensor, size: str) -> tf.Tensor:
    """Returns the status of each file, string (batch,): "" if it was used, or else what it should have been."""
    reason = f"not used: send a whole PNG or JPEG file, {size}, of at most {MAX_PIXELS} pixels"
    return tf.where(is_usable, "", reason)


def _for_each(function: Callable, files: tf.Tensor, result: Any) -> Any:
    """Applies the function to one file at a time: sizes differ, and a batch of large images might not fit in memory."""
    return tf.map_fn(function, files, fn_output_signature=result, parallel_iterations=1)


def _png_request(images: np.ndarray) -> np.ndarray:
    return np.array(tf.io.encode_png(to_uint8(images)).numpy(), object)
