"""Builds the generator and the discriminator of carpedm20's DCGAN-tensorflow (model.py) for any image size and depth.

The original has four transposed convolutions in its generator and four strided convolutions in its discriminator, or
two of each if it is conditional. Here there are as many as there are strides: five make 128x128 images from 4x4 feature
maps, four make 64x64 images. Channels double from layer to layer, away from the image.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import keras
from keras import layers, ops

from histogan_tf.errors import UserError, counted
from histogan_tf.machine.randomness import Purpose
from histogan_tf.models.dcgan_layers import DCGANLayers, SpectralLayers


def feature_sizes(size: int, strides: Sequence[int]) -> list[int]:
    """Returns the sizes in pixels of a generator's feature maps, from the projection to the output.

    Args:
        size: the height or width of the output in pixels.
        strides: the strides of the transposed convolutions, first to last.

    Raises:
        UserError: when the output is too small for the strides.
    """
    num_layers, least = len(strides), 2 ** len(strides)
    if size < least:
        raise UserError(
            f"images of {size} pixels are too small: the discriminator halves them {counted(num_layers, 'time')}, once "
            f"for each number in --strides={_listed(strides)}, so they need {least} pixels or more; set "
            f"--output_height={least} or more, or give --strides fewer numbers"
        )
    sizes = [size]
    for stride in reversed(strides):
        sizes.insert(0, -(-sizes[0] // stride))
        if stride > 1 and sizes[0] == sizes[1]:
            raise UserError(
                f"{size} pixels are too small for --strides={_listed(strides)}: a layer would start from one pixel "
                f"and stay there; choose smaller strides or a larger --output_height"
            )
    return sizes


def _listed(strides: Sequence[int]) -> str:
    return ",".join(map(str, strides))


def build_dcgan_generator(
    image_shape: tuple[int, int, int],
    *,
    z_dim: int = 100,
    gf_dim: int = 64,
    strides: Sequence[int] = (2, 2, 2, 2),
    kernel_size: Sequence[int] = (5, 5, 5, 5),
    num_classes: int = 0,
    gfc_dim: int = 1024,
    upsampling: str = "transposed",
    precision: str = "float32",
    sync_batch_norm: bool = False,
    cpu_kernels: bool = False,
    seed: int = 42,
) -> keras.Model:
    """Builds the original's `generator`, which maps z, and labels if it is conditional, to images.

    Args:
        image_shape: the (height, width, channels) of the images.
        z_dim: the number of dimensions of z.
        gf_dim: the number of channels of the last hidden layer; doubled if `num_classes`, as in the original.
        strides: the stride of each transposed convolution, first to last. The original has four, or two if it is
            conditional.
        kernel_size: the side in pixels of each transposed convolution's kernel, first to last.
        num_classes: the number of labels of the label-conditioned network; 0 for a network without labels.
        gfc_dim: the number of units of the conditional network's fully connected layer.
        upsampling: `transposed`, or `resize` to replace each transposed convolution by a resizing and a convolution.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        sync_batch_norm: whether batch norm uses the statistics of all replicas' batches together.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
        seed: the seed of the initial weights.

    Returns:
        A model with the inputs `z`, float32 (batch, z_dim), and, if conditional, `label`, int32 (batch,). Its output is
        float32 (batch, height, width, channels) in [-1, 1].

    Raises:
        UserError: when the images are too small for the strides.
    """
    height, width, channels = image_shape
    sizes = list(zip(feature_sizes(height, strides), feature_sizes(width, strides), strict=True))
    network = DCGANLayers(precision, seed, Purpose.GENERATOR_WEIGHTS, sync_batch_norm, cpu_kernels)
    latents = keras.Input((z_dim,), name="z")
    inputs, condition, hidden = {"z": latents}, None, latents
    last = len(strides) - 1
    channels_of_maps = [gf_dim * 2 ** (last - layer) for layer in range(len(strides))]
    if num_classes:
        inputs["label"] = keras.Input((), dtype="int32", name="label")
        condition = _Condition(inputs["label"], num_classes)
        hidden = network.linear(condition.join(latents), gfc_dim, "g_h0_lin")
        hidden = condition.join(network.relu(network.batch_norm(hidden, "g_bn0")))
        channels_of_maps[last] = 2 * gf_dim
    first = len(inputs) - 1  # the conditional network has a layer before its projection
    hidden = _project(hidden, (*sizes[0], channels_of_maps[0]), condition, first, network)

    upsample = _UPSAMPLINGS[upsampling]
    for layer, (stride, kernel, out_size) in enumerate(zip(strides, kernel_size, sizes[1:], strict=True)):
        number = first + layer + 1
        filters = channels if layer == last else channels_of_maps[layer + 1]
        hidden = upsample(network, hidden, filters, kernel, stride, out_size, f"g_h{number}")
        if layer < last:
            hidden = network.relu(network.batch_norm(hidden, f"g_bn{number}"))
            hidden = condition.join(hidden) if condition else hidden
    images = layers.Activation("tanh", dtype="float32", name="image")(hidden)
    return keras.Model(inputs, images, name="generator")


def build_dcgan_discriminator(
    image_shape: tuple[int, int, int],
    *,
    num_layers: int = 4,
    df_dim: int = 64,
    num_classes: int = 0,
    dfc_dim: int = 1024,
    spectral_norm: bool = False,
    precision: str = "float32",
    sync_batch_norm: bool = False,
    cpu_kernels: bool = False,
    seed: int = 42,
) -> keras.Model:
    """Builds the original's `discriminator`, which maps images, and labels if it is conditional, to logits.

    Args:
        image_shape: the (height, width, channels) of the images.
        num_layers: the number of strided convolutions; as many as the generator has transposed ones, so that both
            networks work at the same scales.
        df_dim: the number of channels of the first layer, or of the second if `num_classes`.
        num_classes: the number of labels of the label-conditioned network; 0 for a network without labels.
        dfc_dim: the number of units of the conditional network's fully connected layer.
        spectral_norm: whether to normalize kernels instead of using batch norm, which would undo the normalization
            (Miyato et al. 2018).
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        sync_batch_norm: whether batch norm uses the statistics of all replicas' batches together.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
        seed: the seed of the initial weights.

    Returns:
        A model with the inputs `image`, float32 (batch, height, width, channels) in [-1, 1], and, if conditional,
        `label`, int32 (batch,). Its output is the logit of "this image is real", float32 (batch, 1).
    """
    make = SpectralLayers if spectral_norm else DCGANLayers
    network = make(precision, seed, Purpose.DISCRIMINATOR_WEIGHTS, sync_batch_norm, cpu_kernels)
    images = keras.Input(image_shape, name="image")
    if not num_classes:
        hidden = images
        for layer in range(num_layers):
            hidden = network.conv(hidden, df_dim * 2**layer, f"d_h{layer}_conv")
            hidden = network.batch_norm(hidden, f"d_bn{layer}") if layer else hidden
            hidden = network.leaky_relu(hidden)
        logits = network.linear(network.flatten(hidden), 1, f"d_h{num_layers}_lin", "float32")
        return keras.Model({"image": images}, logits, name="discriminator")

    labels = keras.Input((), dtype="int32", name="label")
    condition, hidden = _Condition(labels, num_classes), images
    for layer in range(num_layers):
        filters = df_dim * 2 ** (layer - 1) if layer else image_shape[-1]
        hidden = network.conv(condition.join(hidden), filters + num_classes, f"d_h{layer}_conv")
        hidden = network.batch_norm(hidden, f"d_bn{layer}") if layer else hidden
        hidden = network.leaky_relu(hidden)
    hidden = condition.join(network.flatten(hidden))
    hidden = network.linear(hidden, dfc_dim, f"d_h{num_layers}_lin")
    hidden = condition.join(network.leaky_relu(network.batch_norm(hidden, f"d_bn{num_layers}")))
    logits = network.linear(hidden, 1, f"d_h{num_layers + 1}_lin", "float32")
    return keras.Model({"image": images, "label": labels}, logits, name="discriminator")


class _Condition:
    """The one-hot labels, the original's y, which are joined to vectors or to every pixel (`conv_cond_concat`)."""

    def __init__(self, labels: keras.KerasTensor, num_classes: int) -> None:
        self._one_hot = ops.one_hot(labels, num_classes)
        self._num_classes = num_classes

    def join(self, hidden: keras.KerasTensor) -> keras.KerasTensor:
        one_hot = ops.cast(self._one_hot, hidden.dtype)
        if len(hidden.shape) == 4:
            one_hot = ops.reshape(one_hot, (-1, 1, 1, self._num_classes))
            one_hot = ops.tile(one_hot, (1, hidden.shape[1], hidden.shape[2], 1))
        return ops.concatenate([hidden, one_hot], axis=-1)


def _project(
    hidden: keras.KerasTensor,
    map_shape: tuple[int, int, int],
    condition: _Condition | None,
    number: int,
    network: DCGANLayers,
) -> keras.KerasTensor:
    """Returns the first feature map, projected from vectors.

    Batch norm treats each unit by itself in the conditional network, and each channel by itself in the other.
    """
    reshape = layers.Reshape(map_shape, dtype=network.precision)
    hidden = network.linear(hidden, math.prod(map_shape), f"g_h{number}_lin")
    hidden = hidden if condition else reshape(hidden)
    hidden = network.relu(network.batch_norm(hidden, f"g_bn{number}"))
    return condition.join(reshape(hidden)) if condition else hidden


_UPSAMPLINGS: Mapping[str, Callable[..., keras.KerasTensor]] = {
    "transposed": DCGANLayers.transposed_conv,
    "resize": DCGANLayers.resized_conv,
}
