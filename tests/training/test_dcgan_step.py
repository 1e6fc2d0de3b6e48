"""The DCGAN step against a plain one that shares nothing: as many forward passes as the original makes."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.data.pipeline import to_float
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.latents import draw_latents
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.losses import sigmoid_cross_entropy

SHAPE = (16, 16, 3)
LABELS = tf.constant([0, 1, 1, 0])


@pytest.fixture
def images() -> tf.Tensor:
    return tf.constant(np.random.default_rng(0).integers(0, 256, (4, *SHAPE), np.uint8))


@pytest.fixture
def without_graphs():
    """Runs steps operation by operation, as the plain ones run.

    A graph rounds in other places, and batch norm of four images multiplies that.
    """
    tf.config.run_functions_eagerly(True)
    yield
    tf.config.run_functions_eagerly(False)


def plain_steps(trainer: DCGANTrainer, config, num_steps: int, images: tf.Tensor) -> dict[str, float]:
    """What the original does: a discriminator update, then generator updates, each with forwards of its own."""
    generator, discriminator = trainer.generator, trainer.discriminator
    d_optimizer, g_optimizer = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)

    def generate(latents):
        return generator(named_inputs(generator, latents, LABELS), training=True)

    def discriminate(batch, purpose, step, part=0):
        if config.instance_noise:
            seed = stateless_seed(config.seed, purpose, step, part)
            batch += tf.random.stateless_normal(batch.shape, seed, stddev=config.instance_noise)
        return discriminator(named_inputs(discriminator, batch, LABELS), training=True)

    for step in range(num_steps):
        seed = stateless_seed(config.seed, Purpose.LATENTS, step)
        latents = draw_latents(4, config.z_dim, config.z_dist, seed)
        with tf.GradientTape() as tape:
            real_logits = discriminate(to_float(images), Purpose.REAL_NOISE, step)
            fake_logits = discriminate(generate(latents), Purpose.FAKE_NOISE, step)
            d_loss_real = sigmoid_cross_entropy(real_logits, config.label_smoothing)
            d_loss_fake = sigmoid_cross_entropy(fake_logits, 0.0)
            d_loss = d_loss_real + d_loss_fake
        variables = discriminator.trainable_variables
        d_optimizer.apply_gradients(zip(tape.gradient(d_loss, variables), variables, strict=True))
        for update in range(config.generator_updates):
            with tf.GradientTape() as tape:
                fake_logits = discriminate(generate(latents), Purpose.FAKE_NOISE, step, update + 1)
                g_loss = sigmoid_cross_entropy(fake_logits, 1.0)
            variables = generator.trainable_variables
            g_optimizer.apply_gradients(zip(tape.gradient(g_loss, variables), variables, strict=True))
    return {"d_loss_real": float(d_loss_real), "d_loss_fake": float(d_loss_fake), "g_loss": float(g_loss)}


@pytest.mark.parametrize(
    "flags",
    [
        ["--model=dcgan1"],
        ["--model=dcgan2"],
        ["--model=dcgan3", "--generator_updates=3"],
        ["--model=dcgan2", "--conditional", "--z_dist=normal01"],
        ["--model=dcgan1", "--generator_updates=1"],
    ],
)
@pytest.mark.usefixtures("without_graphs")
def test_the_shared_step_equals_the_plain_one(tiny_config, images, flags):
    config = tiny_config(*flags)
    num_classes = 2 if config.conditional else 0
    trainer, plain = (DCGANTrainer(config, SHAPE, num_classes) for _ in range(2))
    # Adam turns the rounding of a gradient that is all but zero into a whole step; plain descent does not.
    trainer.d_optimizer, trainer.g_optimizer = keras.optimizers.SGD(0.1), keras.optimizers.SGD(0.1)
    initial = [weight.numpy() for network in plain.networks for weight in network.weights]
    for step in range(2):
        result = trainer.train_step(tf.constant(step, tf.int64), images, LABELS)
    expected = plain_steps(plain, config, 2, images)
    for name, value in expected.items():
        assert float(result.losses[name]) == pytest.approx(value, rel=1e-5), name
    assert float(result.losses["d_loss"]) == pytest.approx(expected["d_loss_real"] + expected["d_loss_fake"], rel=1e-5)
    ours = [weight for network in trainer.networks for weight in network.weights]
    theirs = [weight for network in plain.networks for weight in network.weights]
    for our, their, begin in zip(ours, theirs, initial, strict=True):
        has_no_gradient = their.path.endswith("bias") and np.linalg.norm(their.numpy() - begin) < 1e-6
        if not has_no_gradient:  # as that of a bias before batch norm
            change = np.linalg.norm(their.numpy() - begin)
            assert np.linalg.norm(our.numpy() - their.numpy()) < 1e-3 * change, their.path


def test_each_network_has_the_originals_adam(tiny_config):
    trainer = DCGANTrainer(tiny_config("--model=dcgan1", "--learning_rate=0.001", "--beta1=0.4"), SHAPE, 0)
    for optimizer in (trainer.d_optimizer, trainer.g_optimizer):
        assert float(optimizer.learning_rate) == pytest.approx(0.001)
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.4, 0.999, 1e-8)
    assert trainer.d_optimizer is not trainer.g_optimizer


def test_moving_averages_count_the_shared_forward_twice(tiny_config, images):
    config = tiny_config("--model=dcgan1", "--generator_updates=1")
    trainer, plain = (DCGANTrainer(config, SHAPE, 0) for _ in range(2))
    latents = draw_latents(4, config.z_dim, config.z_dist, stateless_seed(config.seed, Purpose.LATENTS, 0))
    for _ in range(2):
        plain.generator({"z": latents}, training=True)
    trainer.train_step(tf.constant(0, tf.int64), images, LABELS)
    for ours, theirs in zip(
        trainer.generator.non_trainable_weights, plain.generator.non_trainable_weights, strict=True
    ):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-7)
    assert trainer.generator.get_layer("g_bn0").momentum == 0.9


def test_a_generator_update_leaves_the_discriminator_alone(tiny_config, images):
    one, many = (DCGANTrainer(tiny_config("--model=dcgan1", f"--generator_updates={n}"), SHAPE, 0) for n in (1, 4))
    for trainer in (one, many):
        trainer.train_step(tf.constant(0, tf.int64), images, LABELS)
    for weight, same in zip(one.discriminator.trainable_weights, many.discriminator.trainable_weights, strict=True):
        np.testing.assert_array_equal(weight, same)
    assert not np.array_equal(one.generator.trainable_weights[0], many.generator.trainable_weights[0])


def test_noise_is_new_in_every_step_and_pass(tiny_config):
    trainer = DCGANTrainer(tiny_config("--model=dcgan2"), SHAPE, 0)
    blank = tf.zeros((2, *SHAPE))
    draws = [
        trainer._with_noise(blank, purpose, tf.constant(step, tf.int64), part).numpy()
        for purpose, step, part in [
            (Purpose.REAL_NOISE, 0, 0),
            (Purpose.REAL_NOISE, 1, 0),
            (Purpose.FAKE_NOISE, 0, 0),
            (Purpose.FAKE_NOISE, 0, 1),
        ]
    ]
    assert np.std(draws) == pytest.approx(0.2, rel=0.05)
    assert np.abs(np.corrcoef([draw.ravel() for draw in draws]) - np.eye(4)).max() < 0.1


def test_16_bits_train_close_to_float32_and_keep_float32_weights(tiny_config, images):
    results = {}
    for precision in ("float32", "bfloat16", "float16"):
        trainer = DCGANTrainer(tiny_config("--model=dcgan2", f"--precision={precision}"), SHAPE, 0)
        results[precision] = trainer.train_step(tf.constant(0, tf.int64), images, LABELS).losses
        assert {weight.dtype for weight in trainer.generator.weights} == {"float32"}
    for name, value in results["float32"].items():
        assert float(results["bfloat16"][name]) == pytest.approx(float(value), rel=0.05)
        assert float(results["float16"][name]) == pytest.approx(float(value), rel=0.01)


def test_samples_of_one_run_are_always_of_the_same_latents(tiny_config):
    trainer = DCGANTrainer(tiny_config("--model=dcgan1", "--sample_num=5"), SHAPE, 0)
    first, again = trainer.draw_samples()["samples"], trainer.draw_samples()["samples"]
    assert (first.shape, first.dtype) == ((5, *SHAPE), np.uint8)
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("flags", [[], ["--conditional"], ["--upsampling=resize", "--spectral_norm"]])
def test_every_layer_of_deeper_networks_learns(tiny_config, flags):
    shape, num_classes = (32, 40, 3), 2 if "--conditional" in flags else 0
    config = tiny_config("--model=dcgan2", "--strides=2,2,2,1,2", "--gf_dim=1", "--df_dim=1", *flags)
    trainer = DCGANTrainer(config, shape, num_classes)
    names = {layer.name for network in trainer.networks for layer in network.layers}
    assert {"g_h5", "d_h4_conv"} <= names and "d_h5_conv" not in names
    # The bias before a batch norm has no gradient but for rounding.
    kernels = [
        weight for network in trainer.networks for weight in network.trainable_weights if "kernel" in weight.path
    ]
    before = [kernel.numpy() for kernel in kernels]
    images = tf.constant(np.random.default_rng(0).integers(0, 256, (4, *shape), np.uint8))
    trainer.train_step(tf.constant(0, tf.int64), images, LABELS)
    assert len(kernels) == 6 + 6 + (2 if num_classes else 0)
    for kernel, value in zip(kernels, before, strict=True):
        assert not np.array_equal(kernel, value), kernel.path
