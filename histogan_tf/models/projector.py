"""The frozen part of a projected discriminator: a pretrained backbone whose features are mixed by random convolutions.

Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, sections 3.1 and 3.2: the discriminators do not see images
but features of a pretrained network, mixed at random across channels (1x1 convolutions) and, from coarse to fine,
across scales (3x3 convolutions). The mixing keeps the discriminators from looking at a few of the features only.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import keras
import numpy as np
import tensorflow as tf
from keras import layers, ops

from histogan_tf.machine.gpu import has_gpu
from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models.backbone_networks import build_network, stage_outputs
from histogan_tf.models.backbone_weights import load_backbone, preparation_of
from histogan_tf.models.backbones import BACKBONES, Backbone, Preparation
from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.enlargement import EnlargedConv2D

_SEED = 42  # the same for all runs, so that discriminators can start from those of another run
_CUBIC = -0.5  # the parameter of the kernel of bicubic interpolation (Keys 1981), TensorFlow's


class FeatureProjector(keras.Model):
    """Maps images to mixed features of a backbone, one map for each stage that is used; nothing in it is trained.

    Its weights are the backbone's, with batch normalization merged into the convolutions, and the random mixing's.

    Attributes:
        stages: the backbone's stages, as networks that follow one another.
        feature_shapes: the (height, width, channels) of each map, from fine to coarse.

    Args:
        image_shape: the (height, width, channels) of the images, with 1 or 3 channels.
        feature_size: the shorter side in pixels to which images are resized for the backbone.
        stages: the numbers of the backbone's stages, from 1, in rising order.
        weights: the backbone's weights: `imagenet`, `random` or a folder, see `backbone_weights.load_backbone`.
        backbone: a name in `BACKBONES`.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.

    Raises:
        UserError: if the weights cannot be loaded.
    """

    def __init__(
        self,
        image_shape: tuple[int, int, int],
        *,
        feature_size: int,
        stages: Sequence[int],
        weights: str,
        backbone: str,
        precision: str = "float32",
        cpu_kernels: bool = False,
    ) -> None:
        super().__init__(name="feature_projector", dtype=precision, trainable=False)
        entry, sides = BACKBONES[backbone], _resized_sides(image_shape, feature_size)
        self._sizes = list(zip(image_shape[:2], sides, strict=True))
        seeds = iter(weight_seeds(_SEED, Purpose.PROJECTOR_WEIGHTS, 1 + 2 * entry.num_stages))
        network = load_backbone(
            weights, seed=next(seeds), size=sides, precision=precision, backbone=backbone, last_stage=max(stages)
        )
        self._preparation = preparation_of(weights, backbone)
        conv = functools.partial(layer_classes(cpu_kernels).conv, dtype=precision)
        first_conv = functools.partial(BlockConv2D, dtype=precision) if cpu_kernels and not has_gpu() else conv
        self.stages = _stages_of(entry, network, max(stages), conv, first_conv)
        self._is_used = [number in stages for number in range(1, max(stages) + 1)]
        used = [stage for stage, is_used in zip(self.stages, self._is_used, strict=True) if is_used]
        self._channel_mixing, self._scale_mixing = (
            [
                _random_conv(stage.output.shape[-1], kernel_size, f"{across}_mixing_{number}", next(seeds), conv)
                for number, stage in zip(stages, used, strict=True)
            ]
            for across, kernel_size in (("channel", 1), ("scale", 3))
        )
        self._scale_mixing.pop()  # nothing is coarser than the last stage
        self(np.zeros((1, *image_shape), np.float32))  # builds the mixing's kernels
        self.feature_shapes = _shapes_of([stage.output for stage in used])
        self.trainable = False

    def call(self, images: tf.Tensor) -> list[tf.Tensor]:
        """Returns the mixed features of images.

        Args:
            images: float32 (batch, height, width, channels) in [-1, 1].

        Returns:
            For each used stage, from fine to coarse, a map of the precision's type, (batch, height, width, channels):
            the last three as in `feature_shapes`.
        """
        hidden = _normalized(_resized(images, self._sizes, self._preparation.interpolation), self._preparation)
        features = []
        for stage, is_used in zip(self.stages, self._is_used, strict=True):
            hidden = stage(hidden, training=True)
            if is_used:
                features.append(hidden)
            # The next stage uses its input twice. Its gradient must be added up before that of the mixing: TensorFlow
            # adds three or more tensors in an order that depends on the moment.
            hidden = tf.identity(hidden)
        mixed = [mix(feature, training=True) for mix, feature in zip(self._channel_mixing, features, strict=True)]
        for index in reversed(range(len(mixed) - 1)):
            coarser = self._scale_mixing[index](mixed[index + 1], training=True)
            sizes = zip(coarser.shape[1:3], mixed[index].shape[1:3], strict=True)
            mixed[index] = mixed[index] + _resized(coarser, list(sizes))
        return mixed


@functools.lru_cache
def feature_shapes(
    image_shape: tuple[int, int, int], feature_size: int, stages: tuple[int, ...], backbone: str
) -> tuple[tuple[int, int, int], ...]:
    """Returns the (height, width, channels) of a projector's features, from fine to coarse.

    The backbone's network is built for them, because each network rounds the sizes of its maps in its own way.

    Args:
        image_shape: the (height, width, channels) of the images.
        feature_size: the shorter side in pixels to which images are resized.
        stages: the numbers of the backbone's stages, from 1.
        backbone: a name in `BACKBONES`.
    """
    entry = BACKBONES[backbone]
    network = build_network(entry, _resized_sides(image_shape, feature_size), "float32")
    return tuple(_shapes_of(stage_outputs(entry, network, stages)))


def _shapes_of(maps: Sequence[keras.KerasTensor]) -> list[tuple[int, int, int]]:
    return [tuple(of_stage.shape[1:]) for of_stage in maps]


def _resized_sides(image_shape: tuple[int, int, int], feature_size: int) -> tuple[int, int]:
    """Returns the height and the width in pixels of images resized for the backbone."""
    height, width, _ = image_shape
    shorter = min(height, width)
    return round(height * feature_size / shorter), round(width * feature_size / shorter)


def _stages_of(
    entry: Backbone,
    network: keras.Model,
    num_stages: int,
    conv: Callable[..., layers.Conv2D],
    first_conv: Callable[..., layers.Conv2D],
) -> list[keras.Model]:
    """Returns the first stages of a backbone as networks that follow one another, frozen, as `_merge_batch_norms` does.

    Args:
        entry: the backbone.
        network: its network.
        num_stages: the number of stages, counted from the image.
        conv: makes a convolution from the arguments of Keras's.
        first_conv: makes the first one, which the images enter, if it has a stride of 2 and no padding.
    """
    outputs = stage_outputs(entry, network, tuple(range(1, num_stages + 1)))
    image, clones = _merge_batch_norms(keras.Model(network.inputs[0], outputs[-1]), conv, first_conv)
    ends = [clones[output._keras_history.operation.name].output for output in outputs]
    return [keras.Model(begin, end) for begin, end in zip([image, *ends[:-1]], ends, strict=True)]


def _merge_batch_norms(
    network: keras.Model, conv: Callable[..., layers.Conv2D], first_conv: Callable[..., layers.Conv2D]
) -> tuple[keras.KerasTensor, dict[str, keras.Layer]]:
    """Returns the input and the layers of a network that computes what `network` does in inference.

    With fixed statistics, a batch normalization multiplies each channel by a number and adds another. Where it follows
    a convolution, both are merged into the convolution's kernel and bias, which saves a pass over all activations. The
    other batch normalizations, and those within blocks that keras-hub made one layer, keep their fixed statistics.

    Args:
        network: a functional network.
        conv: makes a convolution from the arguments of Keras's.
        first_conv: makes the first one, which the images enter, if it has a stride of 2 and no padding.

    Returns:
        The input, and the layers by the names that they have in `network`. Nothing in them is trained.
    """
    norms = {
        layer.input._keras_history.operation.name: layer
        for layer in network.layers
        if isinstance(layer, layers.BatchNormalization) and _is_linear_conv(layer.input._keras_history.operation)
    }
    left_out = {norm.name for norm in norms.values()}
    clones: dict[str, keras.Layer] = {}

    def cloned(layer: keras.Layer) -> keras.Layer:
        config = layer.get_config()
        if layer.name in left_out or isinstance(layer, layers.Dropout):
            clone = _Unchanged(name=layer.name, dtype=layer.dtype_policy)
        elif type(layer) is layers.Conv2D:
            is_first = layer.kernel.shape[2] == network.input.shape[-1]
            is_plain = layer.padding == "valid" and layer.strides == (2, 2)
            make = first_conv if is_first and is_plain else conv
            clone = make(**{**config, "use_bias": layer.use_bias or layer.name in norms})
        elif layer.name in norms:
            clone = type(layer).from_config({**config, "use_bias": True})
        else:
            clone = type(layer).from_config(config)
        clones[layer.name] = clone
        return clone

    image = keras.Input(network.input.shape[1:])
    keras.models.clone_model(network, input_tensors=image, clone_function=cloned)
    for name, clone in clones.items():
        layer = network.get_layer(name)
        if name in norms:
            clone.set_weights(_merged_weights(layer, norms[name]))
        elif name not in left_out:
            clone.set_weights(layer.get_weights())
        clone.trainable = False
    return image, clones


def _is_linear_conv(layer: keras.Operation) -> bool:
    return isinstance(layer, layers.Conv2D | layers.DepthwiseConv2D) and layer.activation is keras.activations.linear


def _merged_weights(conv: keras.Layer, norm: layers.BatchNormalization) -> list[np.ndarray]:
    """Returns the kernel and the bias of a convolution that does what `conv` and then `norm` do in inference."""
    scale = ops.convert_to_numpy(norm.gamma) / np.sqrt(ops.convert_to_numpy(norm.moving_variance) + norm.epsilon)
    bias = ops.convert_to_numpy(conv.bias) if conv.use_bias else 0.0
    offset = ops.convert_to_numpy(norm.beta) + (bias - ops.convert_to_numpy(norm.moving_mean)) * scale
    kernel = ops.convert_to_numpy(conv.kernel)
    # The last two axes of a depthwise kernel are the channels of the inputs and the filters of each of them.
    of_kernel = scale.reshape(kernel.shape[2:]) if isinstance(conv, layers.DepthwiseConv2D) else scale
    return [kernel * of_kernel, offset]


class BlockConv2D(EnlargedConv2D):
    """The first convolution of a backbone, of images of 3 channels, with a stride of 2, such as a ResNet's of 7x7.

    In training it takes each block of 2x2 pixels for one pixel of 12 channels, so that its stride becomes 1. On a CPU,
    TensorFlow's gradient by images of 3 channels takes several times as long as all else that the layer does.
    """

    def call(self, inputs: tf.Tensor, training: bool = False) -> tf.Tensor:
        """Returns the convolution of inputs, float (batch, height, width, channels), the same up to rounding."""
        if not training or None in inputs.shape:
            return super().call(inputs)
        (side, *_), (stride, _) = self.kernel_size, self.strides
        num_blocks = -(-side // stride)  # along a side of the kernel
        missing = num_blocks * stride - side
        *_, channels, filters = self.kernel.shape
        kernel = tf.pad(self.kernel, [(0, missing), (0, missing), (0, 0), (0, 0)])
        kernel = tf.reshape(kernel, (num_blocks, stride, num_blocks, stride, channels, filters))
        kernel = tf.transpose(kernel, (0, 2, 1, 3, 4, 5))
        kernel = tf.reshape(kernel, (num_blocks, num_blocks, stride**2 * channels, filters))
        behind = [
            (out_pixels + num_blocks - 1) * stride - pixels
            for out_pixels, pixels in zip(self.compute_output_shape(inputs.shape)[1:3], inputs.shape[1:3], strict=True)
        ]
        if any(behind):
            inputs = tf.pad(inputs, [(0, 0), *((0, pixels) for pixels in behind), (0, 0)])
        outputs = tf.nn.conv2d(tf.nn.space_to_depth(inputs, stride), kernel, 1, "VALID")
        return self.activation(tf.nn.bias_add(outputs, self.bias))


class _Unchanged(layers.Layer):
    """Takes the place of a batch normalization that was merged into a convolution; takes the same arguments."""

    def call(self, inputs, training: bool | None = None, mask: object = None):
        return inputs


def _random_conv(
    filters: int, kernel_size: int, name: str, seed: int, conv: Callable[..., layers.Conv2D]
) -> layers.Conv2D:
    """Returns a convolution whose kernel is drawn from He's normal distribution, as in the authors' code."""
    return conv(
        filters,
        kernel_size,
        padding="same",
        use_bias=False,
        kernel_initializer=keras.initializers.HeNormal(seed),
        name=name,
    )


def _normalized(images: tf.Tensor, preparation: Preparation) -> tf.Tensor:
    """Returns RGB images, normalized as ImageNet's in the backbone's training, of images in [-1, 1]."""
    # Grey images become RGB by the broadcasting.
    mean, stddev = (np.array(values, np.float32) for values in (preparation.mean, preparation.stddev))
    return images * (0.5 / stddev) + (0.5 - mean) / stddev


def _resized(maps: tf.Tensor, sizes: Sequence[tuple[int, int]], interpolation: str = "bilinear") -> tf.Tensor:
    """Returns maps (batch, height, width, channels) resized, with antialiasing where they shrink.

    Resizing is a product with a matrix for each axis, because the gradient of TensorFlow's own resizing is not
    deterministic on a GPU.

    Args:
        maps: the maps.
        sizes: the old and the new size, in pixels, of height and width.
        interpolation: one of those of `Preparation`.
    """
    rows, columns = (tf.constant(_resizing_matrix(*pixels, interpolation), maps.dtype) for pixels in sizes)
    (height, new_height), (width, new_width) = sizes
    channels = maps.shape[-1]
    # Two products in this layout move no axis, as an einsum of all three factors would.
    maps = tf.matmul(rows, tf.reshape(maps, (-1, height, width * channels)))
    maps = tf.matmul(columns, tf.reshape(maps, (-1, width, channels)))
    return tf.reshape(maps, (-1, new_height, new_width, channels))


def _resizing_matrix(size: int, new_size: int, interpolation: str) -> np.ndarray:
    """Returns the matrix (new_size, size) that resizes one axis by interpolation between pixel centres."""
    ratio = size / new_size
    centres = (np.arange(new_size)[:, None] + 0.5) * ratio - 0.5
    if interpolation == "nearest":  # without antialiasing, as in TensorFlow
        return (np.arange(size) == np.floor(centres + 0.5)).astype(float)
    distances = np.abs(np.arange(size) - centres) / max(1.0, ratio)
    if interpolation == "bicubic":
        weights = np.where(
            distances < 1,
            (_CUBIC + 2) * distances**3 - (_CUBIC + 3) * distances**2 + 1,
            np.where(distances < 2, _CUBIC * (distances**3 - 5 * distances**2 + 8 * distances - 4), 0.0),
        )
    else:
        weights = np.maximum(0.0, 1.0 - distances)
    return weights / weights.sum(axis=1, keepdims=True)
