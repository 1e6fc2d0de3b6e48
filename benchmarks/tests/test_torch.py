"""PyTorch's networks and steps are ours."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.agreement import check_agreement
from benchmarks.contenders.ours import weights_of
from histogan_tf.training.dcgan_step import dcgan_discriminator, dcgan_generator

torch = pytest.importorskip("torch")

from benchmarks.contenders import torch_networks  # noqa: E402 - only where torch is
from benchmarks.contenders.torch_loop import TorchCycleGAN, TorchDCGAN  # noqa: E402

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
