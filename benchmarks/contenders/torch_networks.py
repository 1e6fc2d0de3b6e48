"""Builds the same networks in PyTorch; with the same weights they compute the same as Keras's.

Where the padding of an even size is uneven, TensorFlow puts the extra pixel at the end, torch at the beginning. So the
DCGANs here work on images turned by 180 degrees, with kernels turned by 180 degrees too. Then torch's own padding is
right, and nothing is padded or cut by hand.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from histogan_tf.config import Config

Weights = dict[str, np.ndarray]


class _Turned(nn.Module):
    """Layers that work on images turned by 180 degrees.

    Args:
        layers: the layers, in order; those with weights have the same names as in Keras.
        is_turned_in: whether the input is an image, which is turned first.
        is_turned_out: whether the output is an image, which is turned back.
        map_shape: (channels, height, width) of the feature map that the linear layer makes or takes; None if there is
            no linear layer.
    """

    def __init__(
        self,
        layers: nn.Sequential,
        *,
        is_turned_in: bool = False,
        is_turned_out: bool = False,
        map_shape: tuple[int, int, int] | None = None,
    ) -> None:
        super().__init__()
        self.layers, self.map_shape = layers, map_shape
        self._is_turned_in, self._is_turned_out = is_turned_in, is_turned_out
        self.is_turned = is_turned_in or is_turned_out

    def forward(self, x: Tensor) -> Tensor:
        x = self.layers(_turn(x) if self._is_turned_in else x)
        return _turn(x) if self._is_turned_out else x


class _Residual(nn.Module):
    def __init__(self, layers: nn.Sequential) -> None:
        super().__init__()
        self.layers = layers

    def forward(self, x: Tensor) -> Tensor:
        return x + self.layers(x)


class _Crop(nn.Module):
    def __init__(self, margin: int) -> None:
        super().__init__()
        self._margin = margin

    def forward(self, x: Tensor) -> Tensor:
        return x[..., self._margin : -self._margin, self._margin : -self._margin]


def dcgan_generator(config: Config, image_shape: tuple[int, int, int]) -> _Turned:
    """Returns the generator: float32 (batch, z_dim) to (batch, channels, height, width) in [-1, 1]."""
    height, width, channels = image_shape
    heights, widths = _sizes(height, config.strides), _sizes(width, config.strides)
    filters = [8 * config.gf_dim, 4 * config.gf_dim, 2 * config.gf_dim, config.gf_dim, channels]
    layers = nn.Sequential()
    map_shape = (filters[0], heights[0], widths[0])
    layers.add_module("g_h0_lin", nn.Linear(config.z_dim, math.prod(map_shape)))
    layers.add_module("map", nn.Unflatten(1, map_shape))
    for number, stride in enumerate(config.strides, start=1):
        layers.add_module(f"g_bn{number - 1}", nn.BatchNorm2d(filters[number - 1]))
        layers.add_module(f"relu{number}", nn.ReLU(inplace=True))
        # With kernel 5 and padding 2, an output of even size needs one more pixel.
        added = tuple((sizes[number] - 1) % stride for sizes in (heights, widths))
        conv = nn.ConvTranspose2d(filters[number - 1], filters[number], 5, stride, padding=2, output_padding=added)
        layers.add_module(f"g_h{number}", conv)
    layers.add_module("tanh", nn.Tanh())
    return _Turned(layers, is_turned_out=True, map_shape=map_shape)


def dcgan_discriminator(config: Config, image_shape: tuple[int, int, int]) -> _Turned:
    """Returns the discriminator: (batch, channels, height, width) to logits (batch, 1)."""
    height, width, channels = image_shape
    layers = nn.Sequential()
    for number in range(4):
        filters = config.df_dim * 2**number
        layers.add_module(f"d_h{number}_conv", nn.Conv2d(channels, filters, 5, 2, padding=2))
        if number:
            layers.add_module(f"d_bn{number}", nn.BatchNorm2d(filters))
        layers.add_module(f"relu{number}", nn.LeakyReLU(0.2, inplace=True))
        height, width, channels = -(-height // 2), -(-width // 2), filters
    layers.add_module("flatten", nn.Flatten())
    map_shape = (channels, height, width)
    layers.add_module("d_h4_lin", nn.Linear(math.prod(map_shape), 1))
    return _Turned(layers, is_turned_in=True, map_shape=map_shape)


def cyclegan_generator(config: Config, image_shape: tuple[int, int, int]) -> _Turned:
    """Returns a generator: (batch, channels, height, width) in [-1, 1] to the same shape and range."""
    height, width, channels = image_shape
    assert height == width and height % 2 == 0, image_shape  # so the margins are equal on all sides
    margin = -height % 4 // 2
    first, filters = config.gf_dim, 4 * config.gf_dim
    layers = nn.Sequential()
    layers.add_module("reflect-first", nn.ReflectionPad2d(3 + margin))
    _add_normalized(layers, f"c7s1-{first}", nn.Conv2d(channels, first, 7), nn.ReLU(inplace=True))
    for width_in, width_out in ((first, 2 * first), (2 * first, filters)):
        _add_normalized(layers, f"d{width_out}", nn.Conv2d(width_in, width_out, 3, 2, padding=1), nn.ReLU(inplace=True))
    for block in range(1, config.num_blocks + 1):
        branch = nn.Sequential()
        branch.add_module("reflect-a", nn.ReflectionPad2d(1))
        _add_normalized(branch, f"R{filters}-{block}a", nn.Conv2d(filters, filters, 3), nn.ReLU(inplace=True))
        branch.add_module("reflect-b", nn.ReflectionPad2d(1))
        _add_normalized(branch, f"R{filters}-{block}b", nn.Conv2d(filters, filters, 3), None)
        layers.add_module(f"block{block}", _Residual(branch))
    for width_in, width_out in ((filters, 2 * first), (2 * first, first)):
        conv = nn.ConvTranspose2d(width_in, width_out, 3, 2, padding=1, output_padding=1)
        _add_normalized(layers, f"u{width_out}", conv, nn.ReLU(inplace=True))
    layers.add_module("reflect-last", nn.ReflectionPad2d(3))
    layers.add_module(f"c7s1-{channels}-conv", nn.Conv2d(first, channels, 7))
    layers.add_module("tanh", nn.Tanh())
    if margin:
        layers.add_module("crop", _Crop(margin))
    return _Turned(layers)  # ours pads as the authors' code in PyTorch does, so nothing is turned


def cyclegan_discriminator(config: Config, image_shape: tuple[int, int, int]) -> _Turned:
    """Returns a discriminator: (batch, channels, height, width) to (batch, 1, height // 8 - 2, width // 8 - 2)."""
    channels, layers = image_shape[-1], nn.Sequential()
    for number, stride in enumerate((2, 2, 2, 1)):
        filters = config.df_dim * 2**number
        conv = nn.Conv2d(channels, filters, 4, stride, padding=1)
        if number:
            _add_normalized(layers, f"C{filters}", conv, nn.LeakyReLU(0.2, inplace=True))
        else:
            layers.add_module(f"C{filters}-conv", conv)
            layers.add_module(f"C{filters}-relu", nn.LeakyReLU(0.2, inplace=True))
        channels = filters
    layers.add_module("logits-conv", nn.Conv2d(channels, 1, 4, padding=1))
    return _Turned(layers)  # it pads evenly, one zero on every side, so nothing is turned


def copy_weights(network: _Turned, weights: Weights) -> None:
    """Sets all parameters to Keras's weights, by the names of their layers; moving statistics stay as they are.

    Args:
        network: a network made by a function of this module.
        weights: arrays, by layer and name, such as `g_h1/kernel`.
    """
    modules = {name.rpartition(".")[2]: module for name, module in network.named_modules()}
    parameters = []
    with torch.no_grad():
        for path, value in weights.items():
            layer, _, kind = path.partition("/")
            if kind.startswith("moving"):
                continue
            module = modules[layer]
            if isinstance(module, nn.Conv2d | nn.ConvTranspose2d) and kind == "kernel":
                value = value.transpose(3, 2, 0, 1)
                value = value[:, :, ::-1, ::-1] if network.is_turned else value
            elif isinstance(module, nn.Linear):
                value = _linear_as_torch(value, kind, network.map_shape)
            parameters.append(module.bias if kind in ("bias", "beta") else module.weight)
            parameters[-1].copy_(torch.from_numpy(np.ascontiguousarray(value)))
    assert {id(parameter) for parameter in parameters} == {id(parameter) for parameter in network.parameters()}


def _linear_as_torch(value: np.ndarray, kind: str, map_shape: tuple[int, int, int]) -> np.ndarray:
    """Reorders the weights of a linear layer.

    Keras flattens maps as (height, width, channel), torch as (channel, height, width), and here maps are turned too.
    """
    if value.size == 1:
        return value
    channels, height, width = map_shape
    makes_map = value.shape[-1] == math.prod(map_shape)
    value = value if makes_map else value.T
    maps = value.reshape(*value.shape[:-1], height, width, channels)[..., ::-1, ::-1, :]
    value = np.moveaxis(maps, -1, -3).reshape(value.shape)
    return value.T if makes_map and kind == "kernel" else value


def _sizes(size: int, strides: Sequence[int]) -> list[int]:
    """Returns the sizes of feature maps, from projection to output; the package's function would load TensorFlow."""
    sizes = itertools.accumulate(reversed(strides), lambda out_size, stride: -(-out_size // stride), initial=size)
    return list(sizes)[::-1]


def _turn(images: Tensor) -> Tensor:
    return torch.flip(images, (2, 3))


def _add_normalized(layers: nn.Sequential, name: str, conv: nn.Module, activation: nn.Module | None) -> None:
    layers.add_module(f"{name}-conv", conv)
    layers.add_module(f"{name}-norm", nn.InstanceNorm2d(conv.out_channels, eps=1e-5, affine=True))
    if activation is not None:
        layers.add_module(f"{name}-relu", activation)
