"""Builds the same networks from Keras's own layers, as its guide does; the layers have the same names as ours."""

from __future__ import annotations

import keras
import numpy as np
from keras import layers, ops

from histogan_tf.config import Config
from histogan_tf.models.dcgan import feature_sizes


def dcgan_generator(config: Config, image_shape: tuple[int, int, int], policy: str) -> keras.Model:
    """Returns the generator: latents z, float32 (batch, z_dim), to images in [-1, 1]."""
    height, width, channels = image_shape
    sizes = list(zip(feature_sizes(height, config.strides), feature_sizes(width, config.strides), strict=True))
    filters = [8 * config.gf_dim, 4 * config.gf_dim, 2 * config.gf_dim, config.gf_dim, channels]
    z = keras.Input((config.z_dim,))
    x = layers.Dense(sizes[0][0] * sizes[0][1] * filters[0], name="g_h0_lin", dtype=policy)(z)
    x = layers.Reshape((*sizes[0], filters[0]), dtype=policy)(x)
    for number, stride in enumerate(config.strides, start=1):
        x = layers.ReLU(dtype=policy)(_batch_norm(f"g_bn{number - 1}", policy)(x))
        padding = tuple(
            out - (before - 1) * stride - 1 for before, out in zip(sizes[number - 1], sizes[number], strict=True)
        )
        x = layers.Conv2DTranspose(
            filters[number],
            5,
            strides=stride,
            padding="same",
            output_padding=padding if stride > 1 else None,
            name=f"g_h{number}",
            dtype=policy,
        )(x)
    return keras.Model(z, layers.Activation("tanh", dtype="float32")(x), name="generator")


def dcgan_discriminator(config: Config, image_shape: tuple[int, int, int], policy: str) -> keras.Model:
    """Returns the discriminator: images in [-1, 1] to logits, float32 (batch, 1)."""
    images = keras.Input(image_shape)
    x = images
    for number in range(4):
        filters = config.df_dim * 2**number
        x = layers.Conv2D(filters, 5, strides=2, padding="same", name=f"d_h{number}_conv", dtype=policy)(x)
        x = _batch_norm(f"d_bn{number}", policy)(x) if number else x
        x = layers.LeakyReLU(0.2, dtype=policy)(x)
    x = layers.Flatten(dtype=policy)(x)
    return keras.Model(images, layers.Dense(1, name="d_h4_lin", dtype="float32")(x), name="discriminator")


def cyclegan_generator(config: Config, image_shape: tuple[int, int, int], policy: str, name: str) -> keras.Model:
    """Returns a generator: images in [-1, 1] to images in [-1, 1]."""
    margins = [(missing // 2, missing - missing // 2) for missing in (-size % 4 for size in image_shape[:2])]
    first, filters = config.gf_dim, 4 * config.gf_dim
    image = keras.Input(image_shape)
    x = _reflect(image, [(3 + before, 3 + after) for before, after in margins])
    x = layers.Conv2D(first, 7, name=f"c7s1-{first}-conv", dtype=policy)(x)
    x = layers.ReLU(dtype=policy)(_instance_norm(f"c7s1-{first}", policy)(x))
    for width in (2 * first, filters):
        x = layers.ZeroPadding2D(1, dtype=policy)(x)
        x = layers.Conv2D(width, 3, strides=2, name=f"d{width}-conv", dtype=policy)(x)
        x = layers.ReLU(dtype=policy)(_instance_norm(f"d{width}", policy)(x))
    for block in range(1, config.num_blocks + 1):
        name_of = f"R{filters}-{block}"
        y = layers.Conv2D(filters, 3, name=f"{name_of}a-conv", dtype=policy)(_reflect(x, [(1, 1)] * 2))
        y = layers.ReLU(dtype=policy)(_instance_norm(f"{name_of}a", policy)(y))
        y = layers.Conv2D(filters, 3, name=f"{name_of}b-conv", dtype=policy)(_reflect(y, [(1, 1)] * 2))
        x = layers.Add(dtype=policy)([x, _instance_norm(f"{name_of}b", policy)(y)])
    for width in (2 * first, first):
        x = layers.Conv2DTranspose(width, 3, strides=2, name=f"u{width}-conv", dtype=policy)(x)
        x = layers.Cropping2D(((1, 0), (1, 0)), dtype=policy)(x)
        x = layers.ReLU(dtype=policy)(_instance_norm(f"u{width}", policy)(x))
    channels = image_shape[-1]
    x = layers.Conv2D(channels, 7, name=f"c7s1-{channels}-conv", dtype="float32")(_reflect(x, [(3, 3)] * 2))
    x = layers.Cropping2D(margins)(layers.Activation("tanh", dtype="float32")(x))
    return keras.Model(image, x, name=name)


def cyclegan_discriminator(config: Config, image_shape: tuple[int, int, int], policy: str, name: str) -> keras.Model:
    """Returns a discriminator: images in [-1, 1] to a logit for each patch."""
    image = keras.Input(image_shape)
    x = image
    for number, stride in enumerate((2, 2, 2, 1)):
        filters = config.df_dim * 2**number
        x = layers.ZeroPadding2D(1, dtype=policy)(x)
        x = layers.Conv2D(filters, 4, strides=stride, name=f"C{filters}-conv", dtype=policy)(x)
        x = _instance_norm(f"C{filters}", policy)(x) if number else x
        x = layers.LeakyReLU(0.2, dtype=policy)(x)
    x = layers.Conv2D(1, 4, name="logits-conv", dtype="float32")(layers.ZeroPadding2D(1, dtype=policy)(x))
    return keras.Model(image, x, name=name)


def copy_weights(network: keras.Model, weights: dict[str, np.ndarray]) -> None:
    """Sets every weight of the network to the array of the same name."""
    assert {weight.path for weight in network.weights} == set(weights), network.name
    for weight in network.weights:
        weight.assign(weights[weight.path])


def _batch_norm(name: str, policy: str) -> layers.Layer:
    return layers.BatchNormalization(momentum=0.9, epsilon=1e-5, name=name, dtype=policy)


def _instance_norm(name: str, policy: str) -> layers.Layer:
    return layers.GroupNormalization(groups=-1, epsilon=1e-5, name=f"{name}-norm", dtype=policy)


def _reflect(x, margins: list[tuple[int, int]]):
    return ops.pad(x, [(0, 0), *margins, (0, 0)], mode="reflect")
