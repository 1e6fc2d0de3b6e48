"""Makes the training step of a projected GAN without labels in PyTorch, plain or tuned."""

from __future__ import annotations

import contextlib
import copy
import math
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.contenders.torch_loop import TorchLoop, Tuning, random_images
from benchmarks.contenders.torch_projected_networks import Discriminators, Generator, Projector, copy_weights
from histogan_tf.config import Config

_BETA_2 = 0.99
_LARGEST_QUANTILE = 1.0 - 1e-6
_MARGIN = 0.01  # of a mode's interval, where no latent is moved to
_NUM_COMPONENTS = 64  # dimensions in which features are compared with the modes' centres
_POLICIES = ("dihedral", "reflected_translation")


class TorchProjected(TorchLoop):
    """Trains a projected GAN in PyTorch.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels); images must be square, with three channels.
        tuning: values of the attributes of `Tuning`, by name.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], tuning: Mapping[str, bool]) -> None:
        assert config.diffaugment == _POLICIES and config.num_modes > 1 and not config.conditional, config
        assert (config.adversarial_loss, config.z_dist, config.ada_target) == ("hinge", "normal01", 0), config
        self._size = image_shape[0]
        self._num_shifts = min(16, 2 ** int(math.log2(max(1, self._size // 6))))
        self._generator = Generator(config, image_shape, self._num_shifts)
        self._projector = Projector(config.feature_stages, (config.feature_size, config.feature_size))
        with torch.no_grad():
            features = self._projector(torch.zeros(1, 3, self._size, self._size))
        shapes = [(*feature.shape[2:], feature.shape[1]) for feature in features]
        self._discriminators = Discriminators(shapes, config.df_dim, config.num_modes)
        self._average = copy.deepcopy(self._generator).requires_grad_(False)
        self._modes = Modes(sum(channels for *_, channels in shapes), config.num_modes)
        networks = {
            "generator": self._generator,
            "generator_average": self._average,
            "discriminators": self._discriminators,
            "feature_projector": self._projector,
            "modes": self._modes,
        }
        super().__init__(config, networks, [random_images(config.batch_size, image_shape, 0)], Tuning(**tuning))
        discriminator_rate = config.discriminator_learning_rate or config.learning_rate
        self._g_optimizer = self._adam(list(self._generator.parameters()), beta_2=_BETA_2)
        self._d_optimizer = self._adam(
            list(self._discriminators.parameters()), learning_rate=discriminator_rate, beta_2=_BETA_2
        )
        self._num_steps = 0

    def weights(self, network: str) -> list[Tensor]:
        """Returns the trained weights of a network."""
        return list(self._networks[network].parameters())

    def _take_over(self, name: str, weights: Mapping[str, Any]) -> None:
        if name == "modes":
            self._modes.take_over(weights)
        else:
            copy_weights(self._networks[name], weights)

    def _step(self, batch: list[Tensor], draws: Iterator[Tensor] | None) -> dict[str, Tensor]:
        config, tuning = self._config, self._tuning
        images = batch[0].float() / 127.5 - 1.0
        z = next(draws) if draws else torch.randn((len(images), config.z_dim), generator=self._random)
        with torch.no_grad(), self._autocast():
            real_features = self._projector(self._augmented(images, draws))
            pooled = torch.cat([feature.float().mean(dim=(2, 3)) for feature in real_features], dim=1)
            conditions = self._modes.of_features(pooled)
            z = self._modes.moved_to(conditions, z)
            places = self._modes.places(z)
        fake_draws = [next(draws) for _ in _POLICIES] if draws else None
        with contextlib.nullcontext() if tuning.shared else torch.no_grad():
            fake_features = self._fake_features(z, places, fake_draws)
        with self._autocast():
            both = [torch.cat([real, fake.detach()]) for real, fake in zip(real_features, fake_features, strict=True)]
            logits = self._discriminators(both, torch.cat([conditions, conditions]))
            halves = [of_scale.float().chunk(2) for of_scale in logits]
            d_loss_real = torch.stack([F.relu(1.0 - real).mean() for real, _ in halves]).mean()
            d_loss_fake = torch.stack([F.relu(1.0 + fake).mean() for _, fake in halves]).mean()
        self._d_optimizer.zero_grad()
        (d_loss_real + d_loss_fake).backward()
        self._d_optimizer.step()
        for update in range(config.generator_updates):
            with self._freezing(self._discriminators):
                if update or not tuning.shared:
                    update_draws = [next(draws) for _ in _POLICIES] if update and draws else fake_draws
                    fake_features = self._fake_features(z, places, update_draws)
                with self._autocast():
                    logits = self._discriminators(fake_features, conditions)
                    g_loss = torch.stack([-of_scale.float().mean() for of_scale in logits]).mean()
                self._g_optimizer.zero_grad()
                g_loss.backward()
                self._g_optimizer.step()
        self._update_average()
        return {"d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake, "g_loss": g_loss}

    def _fake_features(self, z: Tensor, places: tuple[Tensor, Tensor], draws: list[Tensor] | None) -> list[Tensor]:
        conditions, place = places
        with self._autocast():
            images = self._generator(z, conditions)
            images = placed(images.float(), place, self._num_shifts)
            return self._projector(self._augmented(images, iter(draws) if draws else None))

    def _augmented(self, images: Tensor, draws: Iterator[Tensor] | None) -> Tensor:
        """Returns images turned and mirrored by three draws for each, then shifted by two."""
        count = len(images)
        turned, shifted = (
            next(draws) if draws else torch.rand((number, count), generator=self._random) for number in (3, 2)
        )
        furthest = int(self._size / 8 + 0.5)
        shifts = (shifted * (2 * furthest + 1)).floor().long() - furthest
        last = self._size - 1
        rows, columns = (last - (last - (torch.arange(self._size) - shift[:, None]).abs()).abs() for shift in shifts)
        is_mirrored, is_upside_down, is_transposed = (turned < 0.5)[..., None]
        rows, columns = torch.where(is_transposed, columns, rows), torch.where(is_transposed, rows, columns)
        rows = torch.where(is_upside_down, last - rows, rows)
        columns = torch.where(is_mirrored, last - columns, columns)
        return rearranged(images, rows, columns, is_transposed)

    @torch.no_grad()
    def _update_average(self) -> None:
        kept = min(self._config.ema_decay, (1.0 + self._num_steps) / (10.0 + self._num_steps))
        self._num_steps += 1
        pairs = [
            (average, weight)
            for network in ("parameters", "buffers")
            for average, weight in zip(*(getattr(g, network)() for g in (self._average, self._generator)), strict=True)
            if weight.is_floating_point()
        ]
        if self._tuning.fused_adam:
            averages, weights = zip(*pairs, strict=True)
            torch._foreach_lerp_(averages, weights, 1.0 - kept)
        else:
            for average, weight in pairs:
                average.lerp_(weight, 1.0 - kept)


class Modes(nn.Module):
    """The modes of the images: of their features, and of the first number of z.

    Args:
        num_channels: the number of channels of the features of all scales.
        num_modes: the number of modes.
    """

    def __init__(self, num_channels: int, num_modes: int) -> None:
        super().__init__()
        num_axes = min(_NUM_COMPONENTS, num_channels)
        self.register_buffer("ends", torch.arange(1, num_modes + 1) / num_modes)
        self.register_buffer("mean", torch.zeros(num_channels))
        self.register_buffer("axes", torch.randn(num_channels, num_axes))
        self.register_buffer("centres", torch.randn(num_modes, num_axes))

    def take_over(self, weights: Mapping[str, Any]) -> None:
        """Sets all buffers to arrays of their names."""
        for name, buffer in self.named_buffers():
            buffer.copy_(torch.from_numpy(weights[name]).reshape(buffer.shape))

    def of_features(self, pooled: Tensor) -> Tensor:
        """Returns the number of the nearest centre for pooled features, int64 (batch,)."""
        coordinates = (pooled - self.mean) @ self.axes
        return (coordinates[:, None] - self.centres).square().sum(dim=-1).argmin(dim=1)

    def moved_to(self, modes: Tensor, z: Tensor) -> Tensor:
        """Returns z with its first number moved to the interval of a mode."""
        begins, ends = self._interval(modes)
        quantile = begins + (ends - begins) * _quantile(z[:, 0]).clamp(_MARGIN, 1.0 - _MARGIN)
        return torch.cat([math.sqrt(2.0) * torch.erfinv(2.0 * quantile - 1.0)[:, None], z[:, 1:]], dim=1)

    def places(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mode of each z, int64 (batch,), and where in its interval the first number of z lies."""
        quantile = _quantile(z[:, 0])
        modes = (quantile[:, None] >= self.ends[:-1]).sum(dim=1)
        begins, ends = self._interval(modes)
        return modes, ((quantile - begins) / (ends - begins).clamp(min=1e-9)).clamp(0.0, _LARGEST_QUANTILE)

    def _interval(self, modes: Tensor) -> tuple[Tensor, Tensor]:
        return F.pad(self.ends[:-1], (1, 0))[modes], self.ends[modes]


def placed(images: Tensor, place: Tensor, num_shifts: int) -> Tensor:
    """Returns images cut out of larger ones, turned and mirrored, as numbers (batch,) in [0, 1) say."""
    last = images.shape[-1] - num_shifts
    number = (place * (8 * num_shifts**2)).long()[:, None]
    top, left, symmetry = number % num_shifts, number // num_shifts % num_shifts, number // num_shifts**2
    is_flipped_left, is_flipped_up, is_transposed = (symmetry // bit % 2 == 1 for bit in (1, 2, 4))
    pixels = torch.arange(last + 1).expand(len(images), -1)
    rows = torch.where(torch.where(is_transposed, is_flipped_left, is_flipped_up), last - pixels, pixels)
    columns = torch.where(torch.where(is_transposed, is_flipped_up, is_flipped_left), last - pixels, pixels)
    return rearranged(images, top + rows, left + columns, is_transposed)


def rearranged(images: Tensor, rows: Tensor, columns: Tensor, is_transposed: Tensor) -> Tensor:
    """Returns images of some rows and columns of others, some of them transposed after that.

    Args:
        images: float (batch, channels, height, width).
        rows, columns: the numbers of the rows and columns to take, int64 (batch, new size).
        is_transposed: bool (batch, 1).
    """
    # Products with rows of a unit matrix, whose gradients are faster than those of a gather.
    of_rows, of_columns = (
        F.one_hot(numbers, size).to(images.dtype)[:, None]
        for numbers, size in zip((rows, columns), images.shape[2:], strict=True)
    )
    images = of_rows @ images @ of_columns.transpose(2, 3)
    return torch.where(is_transposed[..., None, None], images.transpose(2, 3), images)


def _quantile(numbers: Tensor) -> Tensor:
    """Returns the probability that a standard normal number is smaller."""
    return (0.5 * (1.0 + torch.erf(numbers / math.sqrt(2.0)))).clamp(max=_LARGEST_QUANTILE)
