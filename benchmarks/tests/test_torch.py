"""PyTorch's networks and steps are ours."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.agreement import check_agreement
from benchmarks.contenders.ours import weights_of
from histogan_tf.models.placement import Placement
from histogan_tf.training.dcgan_step import dcgan_discriminator, dcgan_generator

torch = pytest.importorskip("torch")

from benchmarks.contenders import torch_networks, torch_projected_networks  # noqa: E402 - only where torch is
from benchmarks.contenders.torch_loop import TorchCycleGAN, TorchDCGAN  # noqa: E402
from benchmarks.contenders.torch_projected import TorchProjected, placed  # noqa: E402

PLAIN = {}
TUNED = {"fused_adam": True, "shared": True, "frozen_discriminator": True}
CHANNELS_LAST = {**TUNED, "channels_last": True}


@pytest.mark.parametrize(("name", "tunings"), [("dcgan1", (PLAIN, CHANNELS_LAST)), ("dcgan3", (CHANNELS_LAST,))])
def test_dcgan_steps_end_in_equal_losses(our_step, name, tunings):
    ours = our_step(name)
    for tuning in tunings:
        other = TorchDCGAN(**ours.arguments, tuning=tuning)
        check_agreement("torch", "float32", ours.losses, other.check(ours.material))
        is_shared, has_fewer_products = tuning is CHANNELS_LAST, name == "dcgan3"
        assert (other.flops() == ours.flops) == (is_shared and not has_fewer_products)
        assert other.flops() >= ours.flops


def test_cyclegan_steps_end_in_equal_losses(our_step):
    ours = our_step("cyclegan_b1")
    for tuning in (PLAIN, TUNED):
        check_agreement(
            "torch", "float32", ours.losses, TorchCycleGAN(**ours.arguments, tuning=tuning).check(ours.material)
        )


@pytest.mark.parametrize("tuning", [PLAIN, CHANNELS_LAST])
def test_projected_steps_end_in_equal_losses_and_weights(our_step, tuning):
    ours = our_step("tissue")
    other = TorchProjected(**ours.arguments, tuning=tuning)
    theirs = other.check(ours.material)
    assert len(theirs) == 2 and theirs[0].keys() == {"d_loss_real", "d_loss_fake", "g_loss"}
    check_agreement("torch", "float32", ours.losses, theirs)
    expected = TorchProjected(**ours.arguments, tuning=PLAIN)
    for network in ("generator", "discriminators", "generator_average"):
        before, after = (
            _weights_like_ours(expected, network, weights) for weights in (ours.material["weights"], ours.updated)
        )
        made = _in_a_row(other.weights(network))
        # Adam makes a whole step of a gradient that is only a rounding error, so a few weights are far apart.
        assert (made - after).norm() < 0.2 * (after - before).norm(), network


def test_images_are_placed_as_ours_are():
    images = np.random.default_rng(0).standard_normal((128, 23, 23, 3), np.float32)
    place = ((np.arange(128) + 0.5) / 128).astype(np.float32)  # each of the 8 * 4 * 4 placements
    expected = Placement(4, is_turned=True)(images, place)
    made = placed(torch.from_numpy(images).permute(0, 3, 1, 2), torch.from_numpy(place), 4)
    np.testing.assert_array_equal(made.permute(0, 2, 3, 1).numpy(), expected)


@pytest.mark.parametrize("shape", [(16, 16, 3), (25, 18, 1), (50, 50, 3)])
def test_networks_are_equal_as_functions_at_any_size(our_step, shape):
    config = our_step("dcgan1").arguments["config"]
    generator, discriminator = dcgan_generator(config, shape, 0), dcgan_discriminator(config, shape, 0)
    other_generator = torch_networks.dcgan_generator(config, shape)
    other_discriminator = torch_networks.dcgan_discriminator(config, shape)
    torch_networks.copy_weights(other_generator, weights_of(generator))
    torch_networks.copy_weights(other_discriminator, weights_of(discriminator))
    z = np.random.default_rng(0).standard_normal((3, config.z_dim), np.float32)
    with torch.no_grad():
        images = other_generator(torch.from_numpy(z))
        logits = other_discriminator(images)
    expected = generator({"z": z}, training=True)
    np.testing.assert_allclose(images.permute(0, 2, 3, 1).numpy(), expected, atol=1e-5)
    np.testing.assert_allclose(logits.numpy(), discriminator({"image": expected}, training=True), atol=1e-4)


def _weights_like_ours(other: TorchProjected, network: str, weights: dict[str, dict[str, np.ndarray]]) -> torch.Tensor:
    """All trained weights of one of PyTorch's networks, in a row, after it has taken over ours."""
    torch_projected_networks.copy_weights(other._networks[network], weights[network])
    return _in_a_row(other.weights(network))


def _in_a_row(weights: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([weight.detach().reshape(-1) for weight in weights])
