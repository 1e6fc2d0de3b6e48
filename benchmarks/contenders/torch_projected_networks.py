"""Builds the networks of a projected GAN without labels in PyTorch; with the same weights they compute what ours do.

All layers that have weights are named as in Keras, so that weights can be copied by their names. Images and maps are
(batch, channels, height, width).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from histogan_tf.config import Config

_FIRST_SIZE = 4  # pixels of the generator's first map along its shorter side, at most
_EXCITED_FROM = 2  # scales between the map that excites channels and the map whose channels are excited
_EMBEDDING_DIM = 64
_MOST_NOISE_LATENTS = 32
_MOST_LOGITS = 8  # along a side of a discriminator's output
_STAGE_CHANNELS = (64, 128, 256, 512)
_MEAN, _STDDEV = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's channels


class EqualizedLinear(nn.Linear):
    """A fully connected layer with an equalized learning rate."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns (batch, out_features) of (batch, in_features)."""
        return F.linear(x, self.weight / math.sqrt(self.in_features), self.bias)


class EqualizedConv2d(nn.Conv2d):
    """A convolution with an equalized learning rate."""

    def forward(self, x: Tensor) -> Tensor:
        """Returns maps of the same size."""
        return self._conv_forward(x, self.weight / math.sqrt(math.prod(self.weight.shape[1:])), self.bias)


class Noise(nn.Module):
    """Adds a fixed random projection of z, with a learned weight, to all channels of maps of one size."""

    def __init__(self, size: tuple[int, int], z_dim: int) -> None:
        super().__init__()
        self._size, num_latents = size, min(_MOST_NOISE_LATENTS, z_dim)
        self.weight = nn.Parameter(torch.zeros(()))
        self.register_buffer("vectors", torch.randn(num_latents, math.prod(size)) / math.sqrt(num_latents))

    def forward(self, maps: Tensor, z: Tensor) -> Tensor:
        """Returns the maps with noise."""
        noise = z[:, -len(self.vectors) :] @ self.vectors
        return maps + noise.view(-1, 1, *self._size) * self.weight


class Generator(nn.Module):
    """The generator: z, (batch, z_dim), to images in [-1, 1], larger than the final ones by `num_shifts - 1` pixels.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels) of the final images.
        num_shifts: the number of places at which an image is cut out, along each axis.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], num_shifts: int) -> None:
        super().__init__()
        sizes = _map_sizes(*image_shape[:2], num_shifts - 1)
        widths = [min(config.max_gf_dim, config.gf_dim * 2**exponent) for exponent in reversed(range(len(sizes)))]
        self._first_shape = (*sizes[0], 2 * widths[0])
        self.condition_dense = nn.Embedding(config.num_modes, _EMBEDDING_DIM)
        self.condition_bias = nn.Parameter(torch.zeros(_EMBEDDING_DIM))
        self.first_dense = EqualizedLinear(config.z_dim - 1 + _EMBEDDING_DIM, math.prod(self._first_shape))
        self.first_norm = _batch_norm(2 * widths[0])
        self._blocks: list[_Block] = []
        for number, (size, width) in enumerate(zip(sizes[1:], widths[1:], strict=True), start=1):
            excited_by = widths[number - _EXCITED_FROM] if number > _EXCITED_FROM else None
            block = _Block(widths[number - 1], width, size, config.z_dim, excited_by)
            self.add_module(f"block{number}", block)
            self._blocks.append(block)
        self.image_conv = EqualizedConv2d(widths[-1], image_shape[-1], 3, padding=1)

    def forward(self, z: Tensor, condition: Tensor) -> Tensor:
        """Returns images of z and of the numbers of their modes, int64 (batch,)."""
        embedding = self.condition_dense(condition) + self.condition_bias
        hidden = self.first_dense(torch.cat([z[:, 1:], embedding], dim=1))
        hidden = hidden.view(-1, *self._first_shape).permute(0, 3, 1, 2)
        hidden = F.glu(self.first_norm(hidden), dim=1)
        scales = [hidden]
        for number, block in enumerate(self._blocks, start=1):
            made = block(hidden, z)
            scales.append(made)
            hidden = block.excited(made, scales[number - _EXCITED_FROM]) if number > _EXCITED_FROM else made
        return torch.tanh(self.image_conv(hidden))


class _Block(nn.Module):
    def __init__(
        self, width_in: int, width: int, size: tuple[int, int], z_dim: int, excited_by: int | None = None
    ) -> None:
        super().__init__()
        self._size = size
        self.conv_a, self.conv_b = (
            EqualizedConv2d(channels, 2 * width, 3, padding=1) for channels in (width_in, width)
        )
        self.noise_a, self.noise_b = Noise(size, z_dim), Noise(size, z_dim)
        self.norm_a, self.norm_b = _batch_norm(2 * width), _batch_norm(2 * width)
        if excited_by:
            self.squeeze_dense, self.excite_dense = EqualizedLinear(excited_by, width), EqualizedLinear(width, width)

    def forward(self, hidden: Tensor, z: Tensor) -> Tensor:
        hidden = F.interpolate(hidden, scale_factor=2, mode="bilinear")[..., : self._size[0], : self._size[1]]
        hidden = F.glu(self.norm_a(self.noise_a(self.conv_a(hidden), z)), dim=1)
        return F.glu(self.norm_b(self.noise_b(self.conv_b(hidden), z)), dim=1)

    def excited(self, hidden: Tensor, coarse: Tensor) -> Tensor:
        gates = F.leaky_relu(self.squeeze_dense(coarse.mean(dim=(2, 3))), 0.2)
        return hidden * torch.sigmoid(self.excite_dense(gates))[:, :, None, None]


class Projector(nn.Module):
    """The frozen ResNet-18, its batch norms merged into its convolutions, and the random mixing of its features.

    Args:
        stages: the numbers of the stages whose features are used, from 1, in rising order.
        size: the height and width to which images are resized.
    """

    def __init__(self, stages: Sequence[int], size: tuple[int, int]) -> None:
        super().__init__()
        self._stages, self._size = stages, size
        self.conv1_conv = nn.Conv2d(3, 64, 7, 2, padding=3)
        for stage in range(max(stages)):
            channels, before = _STAGE_CHANNELS[stage], _STAGE_CHANNELS[max(stage - 1, 0)]
            for block, (width_in, stride) in enumerate([(before, 1 if stage == 0 else 2), (channels, 1)]):
                name = f"stack{stage}_block{block}"
                self.add_module(f"{name}_1_conv", nn.Conv2d(width_in, channels, 3, stride, padding=1))
                self.add_module(f"{name}_2_conv", nn.Conv2d(channels, channels, 3, padding=1))
                if stride == 2:
                    self.add_module(f"{name}_0_conv", nn.Conv2d(width_in, channels, 1, stride))
        used = [_STAGE_CHANNELS[stage - 1] for stage in stages]
        self.channel_mixing = nn.ModuleList(nn.Conv2d(width, width, 1, bias=False) for width in used)
        self.scale_mixing = nn.ModuleList(
            nn.Conv2d(coarse, fine, 3, padding=1, bias=False) for fine, coarse in itertools.pairwise(used)
        )
        mean, stddev = (torch.tensor(values).view(3, 1, 1) for values in (_MEAN, _STDDEV))
        self.register_buffer("factor", 0.5 / stddev)
        self.register_buffer("offset", (0.5 - mean) / stddev)
        self.requires_grad_(False)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Returns the mixed features of images in [-1, 1], from fine to coarse."""
        hidden = F.interpolate(images, self._size, mode="bilinear") * self.factor + self.offset
        hidden = F.max_pool2d(F.relu(self.conv1_conv(hidden)), 3, 2, padding=1)
        features = []
        for stage in range(max(self._stages)):
            for block in range(2):
                hidden = self._residual(hidden, f"stack{stage}_block{block}")
            if stage + 1 in self._stages:
                features.append(hidden)
        mixed = [mix(feature) for mix, feature in zip(self.channel_mixing, features, strict=True)]
        for index in reversed(range(len(mixed) - 1)):
            coarser = F.interpolate(self.scale_mixing[index](mixed[index + 1]), mixed[index].shape[2:], mode="bilinear")
            mixed[index] = mixed[index] + coarser
        return mixed

    def _residual(self, hidden: Tensor, name: str) -> Tensor:
        shortcut = getattr(self, f"{name}_0_conv")(hidden) if hasattr(self, f"{name}_0_conv") else hidden
        hidden = F.relu(getattr(self, f"{name}_1_conv")(hidden))
        return F.relu(shortcut + getattr(self, f"{name}_2_conv")(hidden))


class _Spectral(nn.Module):
    """A mixin that divides the weight by its spectral norm; see `histogan_tf.models.spectral` for the iteration."""

    def normalized(self) -> Tensor:
        matrix = self.weight.flatten(1)
        with torch.no_grad():
            unit = _unit(matrix @ _unit(self.u @ matrix))
            self.u.copy_(unit)
            other = _unit(unit @ matrix)
        return self.weight / (unit @ (matrix @ other))


class SpectralConv2d(_Spectral, nn.Conv2d):
    """A convolution with a spectrally normalized weight."""

    def __init__(self, *args: int, **kwargs: int) -> None:
        super().__init__(*args, **kwargs)
        self.register_buffer("u", _unit(torch.ones(self.out_channels)))

    def forward(self, x: Tensor) -> Tensor:
        """Makes a step of power iteration, and returns the convolution."""
        return self._conv_forward(x, self.normalized(), self.bias)


class SpectralEmbedding(_Spectral, nn.Module):
    """The vectors of conditions: the columns of a spectrally normalized weight, (dim, num_conditions)."""

    def __init__(self, num_conditions: int, dim: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(0.02 * torch.randn(dim, num_conditions))
        self.register_buffer("u", _unit(torch.ones(dim)))

    def forward(self, condition: Tensor) -> Tensor:
        """Makes a step of power iteration, and returns (batch, dim)."""
        return F.embedding(condition, self.normalized().t())


class Discriminators(nn.Module):
    """One discriminator for each scale of features, told the mode of each image.

    Args:
        shapes: (height, width, channels) of the features of each scale.
        df_dim: the largest number of channels.
        num_conditions: the number of modes.
    """

    def __init__(self, shapes: Sequence[tuple[int, int, int]], df_dim: int, num_conditions: int) -> None:
        super().__init__()
        self._num_strided = []
        for scale, (height, width, channels) in enumerate(shapes, start=1):
            number = 0
            while max(height, width) > _MOST_LOGITS:
                # With an even size, TensorFlow's padding adds one pixel on each side, as PyTorch's does.
                assert height % 2 == width % 2 == 0, shapes
                number += 1
                filters = min(df_dim, 2 * channels)
                self.add_module(f"scale{scale}_conv{number}", SpectralConv2d(channels, filters, 4, 2, padding=1))
                height, width, channels = height // 2, width // 2, filters
            self._num_strided.append(number)
            self.add_module(f"scale{scale}_last", SpectralConv2d(channels, df_dim, 3, padding=1))
            self.add_module(f"scale{scale}_logits", SpectralConv2d(df_dim, 1, 1))
            self.add_module(f"scale{scale}_condition", SpectralEmbedding(num_conditions, df_dim))

    def forward(self, features: list[Tensor], condition: Tensor) -> list[Tensor]:
        """Returns the logits of each scale, (batch, patches)."""
        logits = []
        for scale, (hidden, num_strided) in enumerate(zip(features, self._num_strided, strict=True), start=1):
            layers = [f"scale{scale}_conv{number}" for number in range(1, num_strided + 1)]
            for name in (*layers, f"scale{scale}_last"):
                hidden = F.leaky_relu(getattr(self, name)(hidden), 0.2)
            embedding = getattr(self, f"scale{scale}_condition")(condition)
            judged = getattr(self, f"scale{scale}_logits")(hidden)
            judged = judged + (hidden * embedding[:, :, None, None]).sum(dim=1, keepdim=True)
            logits.append(judged.flatten(1))
        return logits


def copy_weights(network: nn.Module, weights: dict[str, np.ndarray]) -> None:
    """Sets all parameters, spectral vectors and noise vectors of a network to Keras's.

    Args:
        network: a `Generator`, `Projector` or `Discriminators`.
        weights: arrays by Keras's paths, such as `block1a_conv/kernel`; those of moving statistics and of the modes'
            intervals are not read. `block1a_noise/vectors` are the vectors of noise.
    """
    found = dict(network.named_parameters()) | dict(network.named_buffers())
    missing = {name for name in found if not name.endswith(("factor", "offset", "num_batches_tracked"))}
    missing -= {name for name in missing if "running_" in name}
    with torch.no_grad():
        for path, value in weights.items():
            if "moving_" in path or path.startswith("mode/"):
                continue
            name = _name_of(path)
            if value.ndim == 4:
                value = value.transpose(3, 2, 0, 1)
            elif value.ndim == 2 and path.endswith("kernel") and name != "condition_dense.weight":
                value = value.T
            target = found[name]
            assert value.size == target.numel(), (path, value.shape, target.shape)
            target.copy_(torch.from_numpy(np.ascontiguousarray(value)).reshape(target.shape))
            missing.remove(name)
    assert not missing, missing


def _name_of(path: str) -> str:
    """Returns the name that a weight of Keras has here: `block1a_conv/kernel` is `block1.conv_a.weight`."""
    layer, kind = path.split("/")[-2:]
    if (layer, kind) == ("condition_dense", "bias"):
        return "condition_bias"
    for across in ("channel_mixing", "scale_mixing"):
        if layer.startswith(across):
            layer = f"{across}.{int(layer.rpartition('_')[2]) - 1}"
    if layer.startswith("block"):
        block, _, rest = layer.partition("_")
        half = block[-1] if block[-1] in "ab" else None
        layer = f"{block[:-1]}.{rest}_{half}" if half else f"{block}.{rest}"
    kind = {"kernel": "weight", "gamma": "weight", "beta": "bias"}.get(kind, kind)
    return f"{layer}.{kind}"


def _map_sizes(height: int, width: int, margin: int) -> list[tuple[int, int]]:
    """Returns the sizes of the generator's maps; the package's function would load TensorFlow."""
    sizes, shorter = [(height + margin, width + margin)], min(height, width)
    while shorter > _FIRST_SIZE:
        shorter = -(-shorter // 2)
        sizes.insert(0, (-(-sizes[0][0] // 2), -(-sizes[0][1] // 2)))
    return sizes


def _batch_norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.01)


def _unit(vector: Tensor) -> Tensor:
    return vector / (torch.linalg.vector_norm(vector) + 1e-12)
