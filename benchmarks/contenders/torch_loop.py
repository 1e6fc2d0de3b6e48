"""Makes the same training steps in PyTorch, plain or tuned."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from benchmarks.contenders.torch_networks import (
    copy_weights,
    cyclegan_discriminator,
    cyclegan_generator,
    dcgan_discriminator,
    dcgan_generator,
)
from histogan_tf.config import Config


@dataclasses.dataclass(frozen=True)
class Tuning:
    """Ways to make a PyTorch step faster without changing its mathematics.

    Attributes:
        compiled: whether the networks are compiled by torch.compile.
        channels_last: whether activations and weights are stored channels-last.
        fused_adam: whether Adam updates all parameters in one kernel.
        shared: whether passes are shared. In a DCGAN, the discriminator's update and the first update of the generator
            use one forward pass of the generator; in a projected GAN, also one pass of the frozen network. In CycleGAN,
            translation and identity go through the generator in one pass, and real and fake images through the
            discriminator.
        frozen_discriminator: whether the generator's update leaves out gradients of the discriminator's weights.
    """

    compiled: bool = False
    channels_last: bool = False
    fused_adam: bool = False
    shared: bool = False
    frozen_discriminator: bool = False


class TorchLoop:
    """Networks, optimizers, and one batch that they are trained on in every step."""

    def __init__(self, config: Config, networks: dict[str, nn.Module], batch: list[Tensor], tuning: Tuning) -> None:
        self._config, self._tuning = config, tuning
        self._random = torch.Generator().manual_seed(0)
        self._format = torch.channels_last if tuning.channels_last else torch.contiguous_format
        self._networks = {name: network.to(memory_format=self._format) for name, network in networks.items()}
        self._batch = [images.contiguous(memory_format=self._format) for images in batch]
        if tuning.compiled:
            for network in networks.values():
                network.compile()

    def check(self, material: dict[str, Any]) -> list[dict[str, float]]:
        """Returns the losses of the first steps with the weights, images and random draws of `material`."""
        for name, weights in material["weights"].items():
            self._take_over(name, weights)
        batch = [_channels_first(images).contiguous(memory_format=self._format) for images in material["batch"]]
        draws = map(_channels_first, material["draws"])
        steps = [self._step(batch, draws) for _ in range(material["num_steps"])]
        return [{name: loss.item() for name, loss in losses.items()} for losses in steps]

    def run(self, count: int) -> None:
        """Makes `count` steps."""
        for _ in range(count):
            self._step(self._batch, None)

    def flops(self) -> int:
        """Returns the operations of a step, as PyTorch counts them."""
        with torch.compiler.set_stance("force_eager"), FlopCounterMode(display=False) as counter:
            self.run(1)
        return counter.get_total_flops()

    def _take_over(self, name: str, weights: dict[str, np.ndarray]) -> None:
        """Sets a network's weights to those of our network of the same name."""
        copy_weights(self._networks[name], weights)

    def _adam(
        self, parameters: list[nn.Parameter], *, learning_rate: float | None = None, beta_2: float = 0.999
    ) -> torch.optim.Adam:
        rate, betas = learning_rate or self._config.learning_rate, (self._config.beta1, beta_2)
        return torch.optim.Adam(parameters, rate, betas, 1e-8, fused=self._tuning.fused_adam or None)

    def _autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast("cpu", torch.bfloat16, enabled=self._config.precision == "bfloat16")

    @contextlib.contextmanager
    def _freezing(self, *networks: nn.Module) -> Iterator[None]:
        for network in networks:
            network.requires_grad_(not self._tuning.frozen_discriminator)
        yield
        for network in networks:
            network.requires_grad_(True)


class TorchDCGAN(TorchLoop):
    """Trains a DCGAN in PyTorch.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
        tuning: values of the attributes of `Tuning`, by name.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], tuning: Mapping[str, bool]) -> None:
        self._generator = dcgan_generator(config, image_shape)
        self._discriminator = dcgan_discriminator(config, image_shape)
        batch = [random_images(config.batch_size, image_shape, 0)]
        super().__init__(
            config, {"generator": self._generator, "discriminator": self._discriminator}, batch, Tuning(**tuning)
        )
        self._g_optimizer, self._d_optimizer = (
            self._adam(list(network.parameters())) for network in (self._generator, self._discriminator)
        )

    def _step(self, batch: list[Tensor], draws: Iterator[Tensor] | None) -> dict[str, Tensor]:
        config, tuning = self._config, self._tuning
        images = batch[0].float() / 127.5 - 1.0
        z = next(draws) if draws else torch.rand((len(images), config.z_dim), generator=self._random) * 2.0 - 1.0
        with self._autocast():
            with contextlib.nullcontext() if tuning.shared else torch.no_grad():
                fake = self._generator(z)
            real_logits = self._discriminator(self._noisy(images, draws))
            d_loss_real = _entropy(real_logits, config.label_smoothing)
            d_loss_fake = _entropy(self._discriminator(self._noisy(fake.detach(), draws)), 0.0)
        self._d_optimizer.zero_grad()
        (d_loss_real + d_loss_fake).backward()
        self._d_optimizer.step()
        for update in range(config.generator_updates):
            with self._freezing(self._discriminator):
                with self._autocast():
                    if update or not tuning.shared:
                        fake = self._generator(z)
                    g_loss = _entropy(self._discriminator(self._noisy(fake, draws)), 1.0)
                self._g_optimizer.zero_grad()
                g_loss.backward()
                self._g_optimizer.step()
        return {"d_loss_real": d_loss_real, "d_loss_fake": d_loss_fake, "g_loss": g_loss}

    def _noisy(self, images: Tensor, draws: Iterator[Tensor] | None) -> Tensor:
        if not self._config.instance_noise:
            return images
        if draws:
            return images + next(draws)
        return images + self._config.instance_noise * torch.randn(images.shape, generator=self._random)


class TorchCycleGAN(TorchLoop):
    """Trains CycleGAN in PyTorch, in the order of its authors' code.

    Args:
        config: the Config of the run.
        image_shape: (height, width, channels).
        tuning: values of the attributes of `Tuning`, by name.
    """

    def __init__(self, config: Config, image_shape: tuple[int, int, int], tuning: Mapping[str, bool]) -> None:
        self._g_ab, self._g_ba = (cyclegan_generator(config, image_shape) for _ in range(2))
        self._d_a, self._d_b = (cyclegan_discriminator(config, image_shape) for _ in range(2))
        names = ("generator_A2B", "generator_B2A", "discriminator_A", "discriminator_B")
        networks = dict(zip(names, (self._g_ab, self._g_ba, self._d_a, self._d_b), strict=True))
        super().__init__(
            config,
            networks,
            [random_images(config.batch_size, image_shape, seed) for seed in range(2)],
            Tuning(**tuning),
        )
        self._g_optimizer = self._adam([*self._g_ab.parameters(), *self._g_ba.parameters()])
        self._d_optimizer = self._adam([*self._d_a.parameters(), *self._d_b.parameters()])
        self._pools = [_ImagePool(config.pool_size, seed) for seed in range(2)]

    def _step(self, batch: list[Tensor], draws: None) -> dict[str, Tensor]:
        real_a, real_b = (images.float() / 127.5 - 1.0 for images in batch)
        cycle = self._config.lambda_cycle
        identity = cycle * self._config.lambda_identity
        with self._freezing(self._d_a, self._d_b):
            with self._autocast():
                fake_b, same_b = self._pair(self._g_ab, real_a, real_b)
                fake_a, same_a = self._pair(self._g_ba, real_b, real_a)
                cycled_a, cycled_b = self._g_ba(fake_b), self._g_ab(fake_a)
                terms = {
                    "G_A2B": F.mse_loss(*_against(self._d_b(fake_b), 1.0)),
                    "G_B2A": F.mse_loss(*_against(self._d_a(fake_a), 1.0)),
                    "cycle_A": F.l1_loss(cycled_a.float(), real_a),
                    "cycle_B": F.l1_loss(cycled_b.float(), real_b),
                    "identity_A": F.l1_loss(same_a.float(), real_a),
                    "identity_B": F.l1_loss(same_b.float(), real_b),
                }
            weights = (1.0, 1.0, cycle, cycle, identity, identity)
            self._g_optimizer.zero_grad()
            sum(weight * term for weight, term in zip(weights, terms.values(), strict=True)).backward()
            self._g_optimizer.step()
        self._d_optimizer.zero_grad()
        for name, judge, real, fake, pool in (
            ("D_A", self._d_a, real_a, fake_a, self._pools[0]),
            ("D_B", self._d_b, real_b, fake_b, self._pools[1]),
        ):
            with self._autocast():
                judged_real, judged_fake = self._pair(judge, real, pool.query(fake.detach().float()))
                terms[name] = 0.5 * (F.mse_loss(*_against(judged_real, 1.0)) + F.mse_loss(*_against(judged_fake, 0.0)))
            terms[name].backward()
        self._d_optimizer.step()
        return terms

    def _pair(self, network: nn.Module, first: Tensor, second: Tensor) -> tuple[Tensor, Tensor]:
        """Applies a network to two batches, in one pass if `shared`: instance norm keeps images apart."""
        if self._tuning.shared:
            return network(torch.cat([first, second])).chunk(2)
        return network(first), network(second)


class _ImagePool:
    """The pool of earlier translations (Shrivastava et al. 2017), as in the authors' code."""

    def __init__(self, capacity: int, seed: int) -> None:
        self._capacity, self._random = capacity, np.random.default_rng(seed)
        self._images: list[Tensor] = []

    def query(self, images: Tensor) -> Tensor:
        returned = []
        for image in images:
            if len(self._images) < self._capacity:
                self._images.append(image)
            elif self._capacity and self._random.random() < 0.5:
                place = self._random.integers(self._capacity)
                self._images[place], image = image, self._images[place]
            returned.append(image)
        return torch.stack(returned)


def random_images(num_images: int, image_shape: tuple[int, int, int], seed: int) -> Tensor:
    """Returns random pixels, uint8 (num_images, channels, height, width)."""
    images = np.random.default_rng(seed).integers(0, 256, (num_images, *image_shape), np.uint8)
    return _channels_first(images)


def _channels_first(array: np.ndarray) -> Tensor:
    """Returns images with channels first; latents are returned as they are, because their last axis is the second."""
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 1)))


def _entropy(logits: Tensor, target: float) -> Tensor:
    return F.binary_cross_entropy_with_logits(*_against(logits, target))


def _against(logits: Tensor, target: float) -> tuple[Tensor, Tensor]:
    return logits.float(), torch.full_like(logits, target, dtype=torch.float32)
