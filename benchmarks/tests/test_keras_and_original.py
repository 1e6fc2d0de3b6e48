"""Other ways to make the same step end in the same losses."""

from __future__ import annotations

import math

import pytest

from benchmarks.agreement import check_agreement
from benchmarks.contenders.keras_loop import KerasCycleGAN, KerasDCGAN
from benchmarks.contenders.original import OriginalDCGAN


@pytest.mark.parametrize(("name", "num_draws"), [("dcgan1", 1), ("dcgan3", 5)])
def test_dcgan_steps_end_in_equal_losses(our_step, name, num_draws):
    ours = our_step(name)
    assert len(ours.material["draws"]) == num_draws  # z, and noise for four passes
    assert ours.losses[0].keys() == {"d_loss", "d_loss_real", "d_loss_fake", "g_loss"}
    for other in (KerasDCGAN(**ours.arguments, is_eager=True), OriginalDCGAN(**ours.arguments)):
        theirs = other.check(ours.material)
        assert theirs[0].keys() == {"d_loss_real", "d_loss_fake", "g_loss"}
        check_agreement(type(other).__name__, "float32", ours.losses, theirs)
        other.run(1)


@pytest.mark.slow
def test_cyclegan_steps_end_in_equal_losses(our_step):
    ours = our_step("cyclegan_b1")
    theirs = KerasCycleGAN(**ours.arguments, is_eager=True).check(ours.material)
    assert [losses.keys() for losses in theirs] == [losses.keys() for losses in ours.losses] and len(theirs) == 2
    check_agreement("Keras", "float32", ours.losses, theirs)


def test_the_original_computes_what_we_share_its_log_line_and_gradients_nobody_asks_for(our_step):
    ours = our_step("dcgan1")
    generator, discriminator = _layers_flops(**ours.arguments)
    shared, log_line = sum(generator), 2 * sum(generator) + 3 * sum(discriminator)
    # Its optimizer waits for all gradients of an operation: in both updates of the generator those by the
    # discriminator's weights and by z, in that of the discriminator those by real and fake images.
    unasked = 2 * sum(discriminator) + 2 * generator[0] + 2 * discriminator[0]
    assert OriginalDCGAN(**ours.arguments).flops() - ours.flops == shared + log_line + unasked


def _layers_flops(config, image_shape) -> tuple[list[int], list[int]]:
    """The operations of each layer's forward pass, counted by hand for 4 images of 20x20.

    The maps have sides of 2, 3, 5, 10 and 20.
    """
    assert (config.batch_size, config.z_dim, config.gf_dim, config.df_dim) == (4, 5, 4, 4)
    assert image_shape == (20, 20, 3)
    generator = [(1, 5, 2 * 2 * 32), (2, 25 * 32, 16), (3, 25 * 16, 8), (5, 25 * 8, 4), (10, 25 * 4, 3)]
    discriminator = [(10, 25 * 3, 4), (5, 25 * 4, 8), (3, 25 * 8, 16), (2, 25 * 16, 32), (1, 2 * 2 * 32, 1)]
    return tuple(
        [2 * 4 * side**2 * math.prod(ends) for side, *ends in network] for network in (generator, discriminator)
    )
