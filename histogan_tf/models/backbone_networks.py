"""Builds the backbones' networks from keras-hub's, with the padding with which their weights were trained."""

from __future__ import annotations

import importlib

import keras
from keras import layers, ops

from histogan_tf.models.backbones import Backbone


def build_network(entry: Backbone, size: int | tuple[int, int], precision: str) -> keras.Model:
    """Builds a backbone's network; its weights are Keras's initial ones.

    Args:
        entry: the backbone.
        size: the side of the input images, or their height and width, in pixels.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`.

    Returns:
        A model from RGB images, float (batch, height, width, 3), to feature maps. Its layers have keras-hub's names.
    """
    import keras_hub

    height, width = (size, size) if isinstance(size, int) else size
    converter = importlib.import_module(f"keras_hub.src.utils.timm.{entry.converter}")
    options = converter.convert_backbone_config({"architecture": entry.architecture.removeprefix("tf_")})
    options |= {**entry.options, entry.shape_argument: (height, width, 3)}
    # EfficientNet's layers take no precision from the network's argument, so it is set for all that are built.
    policy = keras.config.dtype_policy()
    keras.config.set_dtype_policy(precision)
    try:
        network = getattr(keras_hub.models, entry.network)(**options, dtype=precision)
    finally:
        keras.config.set_dtype_policy(policy)
    if entry.same_padding or entry.network == "DenseNetBackbone":
        _pad_as_trained(network, entry.same_padding)
    return network


def stages_of_weights(entry: Backbone, network: keras.Model) -> dict[int, int]:
    """Returns the number of the stage, from 1, that each weight of a backbone's network is in, by the weight's id."""
    stage, stages = 1, {}
    for layer in network.layers:  # in the order of computation
        stages |= {id(variable): stage for variable in layer.variables}
        if layer.name in entry.stage_ends:
            stage = 2 + entry.stage_ends.index(layer.name)
    return stages


def stage_outputs(entry: Backbone, network: keras.Model, stages: tuple[int, ...]) -> list[keras.KerasTensor]:
    """Returns the feature maps at the ends of some stages of a backbone's network, numbered from 1."""
    names = [*entry.stage_ends, network.layers[-1].name]
    return [network.get_layer(names[stage - 1]).output for stage in stages]


def _pad_as_trained(network: keras.Model, is_same: bool) -> None:
    """Changes a network's padding: to TensorFlow's where keras-hub has PyTorch's, or the other way round.

    The layers are changed in place, as their outputs keep their shapes, and keras-hub's converter asks for its network.
    """
    for layer in network.layers:
        if is_same and isinstance(layer, layers.ZeroPadding2D):
            layer.padding = _same_padding(layer, layer._outbound_nodes[0].operation)
        elif not is_same and getattr(layer, "padding", None) == "same" and tuple(layer.strides) == (2, 2):
            layer.__class__ = EvenlyPaddedConv if isinstance(layer, layers.Conv2D) else EvenlyPaddedPooling
            layer.padding = "valid"


def _same_padding(padding: layers.ZeroPadding2D, conv: keras.Layer) -> tuple[tuple[int, int], ...]:
    """Returns the rows and columns before and behind that TensorFlow's padding SAME adds for a convolution."""
    sides = []
    for pixels, kernel, stride in zip(padding.input.shape[1:3], conv.kernel_size, conv.strides, strict=True):
        total = max((-(-pixels // stride) - 1) * stride + kernel - pixels, 0)
        sides.append((total // 2, total - total // 2))
    return tuple(sides)


@keras.saving.register_keras_serializable("histogan_tf")
class EvenlyPaddedConv(layers.Conv2D):
    """A convolution without padding of its own, whose inputs get kernel_size // 2 zeros on each side, as in PyTorch."""

    def call(self, inputs):
        return super().call(_evenly_padded(inputs, self.kernel_size))

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(_evenly_padded_shape(input_shape, self.kernel_size))


@keras.saving.register_keras_serializable("histogan_tf")
class EvenlyPaddedPooling(layers.MaxPooling2D):
    """A max pooling without padding of its own, whose inputs, none below 0, get pool_size // 2 zeros on each side."""

    def call(self, inputs):
        return super().call(_evenly_padded(inputs, self.pool_size))

    def compute_output_shape(self, input_shape):
        return super().compute_output_shape(_evenly_padded_shape(input_shape, self.pool_size))


def _evenly_padded(maps: keras.KerasTensor, window: tuple[int, int]) -> keras.KerasTensor:
    rows, columns = (side // 2 for side in window)
    return ops.pad(maps, ((0, 0), (rows, rows), (columns, columns), (0, 0)))


def _evenly_padded_shape(shape: tuple[int | None, ...], window: tuple[int, int]) -> tuple[int | None, ...]:
    height, width = (
        None if side is None else side + 2 * (size // 2) for side, size in zip(shape[1:3], window, strict=True)
    )
    return (shape[0], height, width, shape[3])
