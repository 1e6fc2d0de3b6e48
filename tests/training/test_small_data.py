"""The DCGAN step with what goes beyond the original, against a plain one that shares nothing but the pure functions."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.data.pipeline import to_float
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.latents import draw_latents
from histogan_tf.training.augmentation import color, cutout
from histogan_tf.training.dcgan_step import DCGANTrainer, dcgan_generator
from histogan_tf.training.generator_trainer import sampled_state

SHAPE = (16, 16, 3)
LABELS = tf.constant([0, 1, 1, 0])
STEP = tf.constant(0, tf.int64)


@pytest.fixture
def images() -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8))


def plain_step(trainer: DCGANTrainer, config, images: tf.Tensor) -> dict[str, float]:
    """Hinge loss, R1, and color and cutout before the discriminator; each pass written out."""
    generator, discriminator = trainer.generator, trainer.discriminator
    latents = draw_latents(4, config.z_dim, config.z_dist, stateless_seed(config.seed, Purpose.LATENTS, 0))

    def seen(batch, purpose, part=0):
        seed = stateless_seed(config.seed, purpose, 0, part)
        return cutout(color(batch, tf.random.fold_in(seed, 0)), tf.random.fold_in(seed, 1))

    def discriminate(batch):
        return discriminator({"image": batch}, training=True)

    with tf.GradientTape() as tape:
        real = seen(to_float(images), Purpose.REAL_AUGMENTATION)
        real_logits = discriminate(real)
        fake_logits = discriminate(seen(generator({"z": latents}, training=True), Purpose.FAKE_AUGMENTATION))
        unchanged = to_float(images)
        with tf.GradientTape() as inner:
            inner.watch(unchanged)
            logits = discriminate(seen(unchanged, Purpose.REAL_AUGMENTATION))
        squares = tf.reduce_sum(inner.gradient(logits, unchanged) ** 2, axis=(1, 2, 3))
        penalty = config.r1_gamma / 2 * tf.reduce_mean(squares)
        d_loss = tf.reduce_mean(tf.maximum(0.0, 1 - real_logits)) + tf.reduce_mean(tf.maximum(0.0, 1 + fake_logits))
        total = d_loss + penalty
    variables = discriminator.trainable_variables
    keras.optimizers.SGD(0.1).apply(tape.gradient(total, variables), variables)
    for update in range(config.generator_updates):
        with tf.GradientTape() as tape:
            fakes = generator({"z": latents}, training=True)
            g_loss = -tf.reduce_mean(discriminate(seen(fakes, Purpose.FAKE_AUGMENTATION, update + 1)))
        variables = generator.trainable_variables
        keras.optimizers.SGD(0.1).apply(tape.gradient(g_loss, variables), variables)
    return {"d_loss": float(d_loss), "r1_penalty": float(penalty), "g_loss": float(g_loss)}


@pytest.mark.parametrize("normalization", ["--nospectral_norm", "--spectral_norm"])
def test_the_step_with_all_options_equals_the_plain_one(tiny_config, images, normalization):
    flags = ["--adversarial_loss=hinge", "--r1_gamma=0.5", "--diffaugment=color,cutout", "--upsampling=resize"]
    config = tiny_config("--model=dcgan1", normalization, *flags)
    trainer, plain = (DCGANTrainer(config, SHAPE, 0) for _ in range(2))
    trainer.d_optimizer, trainer.g_optimizer = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)
    initial = [weight.numpy() for network in plain.networks for weight in network.trainable_weights]
    found = trainer.train_step(STEP, images, LABELS).losses
    expected = plain_step(plain, config, images)
    assert expected["r1_penalty"] > 0
    for name, value in expected.items():
        assert float(found[name]) == pytest.approx(value, rel=1e-3), name
    ours = [weight for network in trainer.networks for weight in network.trainable_weights]
    theirs = [weight for network in plain.networks for weight in network.trainable_weights]
    for our, their, begin in zip(ours, theirs, initial, strict=True):
        change = np.linalg.norm(their.numpy() - begin)
        is_bias_before_norm = their.path.endswith("bias") and change < 1e-5
        if not is_bias_before_norm:
            assert np.linalg.norm(our.numpy() - their.numpy()) < 0.02 * change, their.path


def plain_relativistic_step(trainer: DCGANTrainer, config, images: tf.Tensor) -> dict[str, float]:
    """A step by the relativistic loss, whose generator updates judge real images by the discriminator as it is then."""
    generator, discriminator = trainer.generator, trainer.discriminator
    latents = draw_latents(4, config.z_dim, config.z_dist, stateless_seed(config.seed, Purpose.LATENTS, 0))

    def logits(batch, purpose, part):
        noise = tf.random.stateless_normal(batch.shape, stateless_seed(config.seed, purpose, 0, part), stddev=0.2)
        return discriminator({"image": batch + noise}, training=True)

    def real_and_fake(part):
        fakes = generator({"z": latents}, training=True)
        return logits(to_float(images), Purpose.REAL_NOISE, part), logits(fakes, Purpose.FAKE_NOISE, part)

    with tf.GradientTape() as tape:
        real, fake = real_and_fake(0)
        d_loss = tf.reduce_mean(-tf.math.log_sigmoid(real - fake))
    variables = discriminator.trainable_variables
    keras.optimizers.SGD(0.1).apply(tape.gradient(d_loss, variables), variables)
    for update in range(config.generator_updates):
        with tf.GradientTape() as tape:
            real, fake = real_and_fake(update + 1)
            g_loss = tf.reduce_mean(-tf.math.log_sigmoid(fake - real))
        variables = generator.trainable_variables
        keras.optimizers.SGD(0.1).apply(tape.gradient(g_loss, variables), variables)
    return {"d_loss": float(d_loss), "g_loss": float(g_loss)}


def test_the_relativistic_step_equals_the_plain_one(tiny_config, images):
    config = tiny_config("--model=dcgan2", "--adversarial_loss=relativistic")
    trainer, plain = (DCGANTrainer(config, SHAPE, 0) for _ in range(2))
    trainer.d_optimizer, trainer.g_optimizer = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)
    initial = [weight.numpy() for network in plain.networks for weight in network.trainable_weights]
    found = trainer.train_step(STEP, images, LABELS).losses
    expected = plain_relativistic_step(plain, config, images)
    assert {name: float(value) for name, value in found.items()} == pytest.approx(expected, rel=1e-3)
    ours = [weight for network in trainer.networks for weight in network.trainable_weights]
    theirs = [weight for network in plain.networks for weight in network.trainable_weights]
    for our, their, begin in zip(ours, theirs, initial, strict=True):
        change = np.linalg.norm(their.numpy() - begin)
        is_bias_before_norm = their.path.endswith("bias") and change < 1e-5
        if not is_bias_before_norm:
            assert np.linalg.norm(our.numpy() - their.numpy()) < 0.02 * change, their.path


@pytest.mark.parametrize(("name", "num_passes"), [("cross_entropy", 4), ("hinge", 4), ("relativistic", 6)])
def test_real_images_pass_in_a_generator_update_only_if_the_loss_sees_them(
    tiny_config, images, monkeypatch, name, num_passes
):
    trainer = DCGANTrainer(tiny_config("--model=dcgan1", f"--adversarial_loss={name}"), SHAPE, 0)
    passes = []
    discriminate = trainer._discriminate
    monkeypatch.setattr(
        trainer, "_discriminate", lambda images, labels: passes.append(0) or discriminate(images, labels)
    )
    trainer.train_step(STEP, images, LABELS)
    assert len(passes) == num_passes  # real and fake for the discriminator; then fake, or both, in two updates


def test_samples_are_of_the_average_and_training_does_not_heed_it(tiny_config, images):
    plain, averaged = (
        DCGANTrainer(tiny_config("--model=dcgan1", "--generator_updates=1", *flags), SHAPE, 0)
        for flags in ([], ["--ema_decay=0.9"])
    )
    decays = [min(0.9, (1 + step) / (10 + step)) for step in range(3)]
    expected = [weight.numpy() for weight in averaged.generator.trainable_weights]
    for step, decay in enumerate(decays):
        for trainer in (plain, averaged):
            trainer.train_step(tf.constant(step, tf.int64), images, LABELS)
        expected = [
            decay * average + (1 - decay) * weight.numpy()
            for average, weight in zip(expected, averaged.generator.trainable_weights, strict=True)
        ]
    for weight, value in zip(averaged.sampled_generator.trainable_weights, expected, strict=True):
        np.testing.assert_allclose(weight, value, atol=1e-6)
    for network, same in zip(plain.networks, averaged.networks, strict=True):
        for weight, other in zip(network.weights, same.weights, strict=True):
            np.testing.assert_array_equal(weight, other)
    assert not np.array_equal(plain.draw_samples()["samples"], averaged.draw_samples()["samples"])
    assert plain.sampled_generator is plain.generator


def test_checkpoints_hold_what_each_option_needs(tiny_config):
    plain = DCGANTrainer(tiny_config("--model=dcgan1"), SHAPE, 0)
    assert set(plain.state()) == {"generator", "discriminator", "g_optimizer", "d_optimizer"}
    config = tiny_config("--model=dcgan1", "--ema_decay=0.9", "--diffaugment=color", "--ada_target=0.6")
    trainer = DCGANTrainer(config, SHAPE, 0)
    assert set(trainer.state()) - set(plain.state()) == {"generator_average", "ada_probability", "ada_sum_of_signs"}
    assert trainer.state()["generator_average"] is trainer.sampled_generator
    assert list(sampled_state(config, dcgan_generator(config, SHAPE, 0))) == ["generator_average"]


def test_ada_augments_more_while_real_images_are_told_from_fakes_and_less_when_they_are_not(tiny_config, images):
    flags = ["--generator_updates=1", "--diffaugment=translation", "--ada_target=0.6"]
    trainer = DCGANTrainer(tiny_config("--model=dcgan1", *flags), SHAPE, 0)
    (bias,) = (weight for weight in trainer.discriminator.weights if weight.path == "d_h4_lin/bias")
    found = []
    for step in range(12):
        sign = 1.0 if step < 8 else -1.0
        bias.assign([9.0 * sign])  # it decides the sign of every logit
        result = trainer.train_step(tf.constant(step, tf.int64), images, LABELS)
        np.testing.assert_array_equal(result.histograms["D(x)"].numpy() > 0.5, sign > 0)
        assert float(result.losses["ada_sign"]) == sign
        found.append(float(result.losses["ada_p"]))
    increment = 4 * 4 / 100_000  # four steps of four images, of the 100,000 in which p can go from 0 to 1
    assert found == pytest.approx([increment * moves for moves in (0, 0, 0, 1, 1, 1, 1, 2, 2, 2, 2, 1)])


def test_ada_looks_at_the_logits_of_real_images(tiny_config, images):
    config = tiny_config("--model=dcgan1", "--generator_updates=1", "--diffaugment=translation", "--ada_target=0.6")
    trainer = DCGANTrainer(config, SHAPE, 0)
    signs = {}
    for step in range(4):
        result = trainer.train_step(tf.constant(step, tf.int64), images, LABELS)
        for name in ("D(x)", "D(G(z))"):
            signs.setdefault(name, []).append(np.sign(result.histograms[name].numpy() - 0.5).mean())
        assert float(result.losses["ada_sign"]) == pytest.approx(signs["D(x)"][-1])
    assert signs["D(x)"] != signs["D(G(z))"]


def test_options_train_in_bfloat16_close_to_float32(tiny_config, images):
    flags = ["--generator_updates=1", "--spectral_norm", "--r1_gamma=1", "--diffaugment=color,translation,dihedral"]
    found = {}
    for precision in ("float32", "bfloat16"):
        config = tiny_config("--model=dcgan1", "--conditional", *flags, f"--precision={precision}")
        trainer = DCGANTrainer(config, SHAPE, 2)
        found[precision] = trainer.train_step(STEP, images, LABELS).losses
    for name, value in found["float32"].items():
        assert float(found["bfloat16"][name]) == pytest.approx(float(value), rel=0.1), name
