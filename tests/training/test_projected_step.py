"""The projected GAN's step, written out once more without its shortcuts, and its runs."""

from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.cli import command_line, commands
from histogan_tf.data.pipeline import to_float
from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose, stateless_seed
from histogan_tf.models.latents import draw_latents
from histogan_tf.models.modes import pool
from histogan_tf.runs.run_directory import read_metrics
from histogan_tf.training.augmentation import Augmentation
from histogan_tf.training.losses import LOSSES
from histogan_tf.training.projected_step import ProjectedTrainer

SHAPE = (16, 16, 3)
PROJECTED = ("--model=projected", "--weights=random", "--feature_size=32", "--max_gf_dim=4", "--num_modes=3")


def random_images(num_images: int = 24) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    return rng.integers(0, 256, (num_images, *SHAPE), np.uint8), (np.arange(num_images) % 2).astype(np.int32)


def trainer_of(config) -> ProjectedTrainer:
    return ProjectedTrainer(config, *random_images(), 2 if config.conditional else 0)


def step_written_out(trainer: ProjectedTrainer, config, images: tf.Tensor, labels: tf.Tensor) -> dict[str, float]:
    """Makes the first step with a pass of every network wherever one is needed; returns the losses."""
    augment, loss = Augmentation(config.diffaugment), LOSSES[config.adversarial_loss]

    def features(images: tf.Tensor, purpose: Purpose, part: int = 0) -> list[tf.Tensor]:
        return trainer.projector(augment(images, stateless_seed(config.seed, purpose, 0, part)))

    def logits(features: list[tf.Tensor]) -> list[tf.Tensor]:
        named = {f"features_{number}": values for number, values in enumerate(features, start=1)}
        return list(trainer.discriminator({**named, "condition": conditions}, training=True).values())

    real = features(to_float(images), Purpose.REAL_AUGMENTATION)
    conditions = trainer.mode_of_features(pool(real), labels)
    latents = draw_latents(len(images), config.z_dim, config.z_dist, stateless_seed(config.seed, Purpose.LATENTS, 0))
    inputs = {"z": trainer.generator.get_layer("mode").moved_to(conditions, latents), "label": labels}
    inputs = {name: inputs[name] for name in trainer.generator.input}
    fake = features(trainer.generator(inputs, training=True), Purpose.FAKE_AUGMENTATION)
    # Both halves go through the discriminators before the power iteration of the next pass.
    both = [tf.concat(pair, axis=0) for pair in zip(real, fake, strict=True)]
    conditions = tf.concat([conditions, conditions], axis=0)
    with tf.GradientTape() as tape:
        halves = [tf.split(of_scale, 2) for of_scale in logits(both)]
        terms = [loss.discriminator_terms(*pair)["d_loss"] for pair in halves]
        d_loss = sum(terms) / len(terms)
    conditions = conditions[: len(images)]
    variables = trainer.discriminator.trainable_variables
    trainer.d_optimizer.apply(tape.gradient(d_loss, variables), variables)
    for update in range(config.generator_updates):
        real_logits = logits(real) if loss.generator_sees_real else [None] * len(real)
        with tf.GradientTape() as tape:
            made = features(trainer.generator(inputs, training=True), Purpose.FAKE_AUGMENTATION, update)
            terms = [loss.generator(*pair) for pair in zip(real_logits, logits(made), strict=True)]
            g_loss = sum(terms) / len(terms)
        variables = trainer.generator.trainable_variables
        trainer.g_optimizer.apply(tape.gradient(g_loss, variables), variables)
    return {"d_loss": float(d_loss), "g_loss": float(g_loss)}


@pytest.mark.parametrize(
    "flags",
    [
        (),
        ("--conditional", "--adversarial_loss=relativistic"),
        ("--generator_updates=2", "--adversarial_loss=least_squares", "--nocpu_kernels"),
    ],
)
def test_the_step_equals_the_one_written_out(tiny_config, flags):
    config = tiny_config(*PROJECTED, "--ema_decay=0", *flags)
    images, labels = (values[:4] for values in random_images())
    one, other = trainer_of(config), trainer_of(config)
    for _ in range(3):  # power iterations, so that the spectral norms are about right
        for trainer in (one, other):
            inputs = {
                tensor.name: tf.ones([2, *tensor.shape[1:]], tensor.dtype) for tensor in trainer.discriminator.inputs
            }
            trainer.discriminator(inputs, training=True)
    before = [weight.numpy() for weight in one.discriminator.trainable_weights]
    losses = one.train_step(tf.constant(0, tf.int64), tf.constant(images), tf.constant(labels)).losses
    expected = step_written_out(other, config, images, tf.constant(labels))
    assert {name: float(losses[name]) for name in expected} == pytest.approx(expected, rel=2e-3, abs=1e-4)
    assert any(not np.array_equal(was, now) for was, now in zip(before, one.discriminator.get_weights(), strict=False))
    # Adam's first step is the learning rate times the gradient's sign, so only clear gradients are compared.
    for network, rate in (("generator", 0.002), ("discriminator", 0.0002)):
        pairs = zip(*(getattr(trainer, network).trainable_weights for trainer in (one, other)), strict=True)
        differences = np.concatenate([np.abs(here.numpy() - there.numpy()).ravel() for here, there in pairs])
        assert np.mean(differences < 0.02 * rate) > 0.9, network


def test_the_frozen_network_stays_what_it_was(tiny_config):
    trainer = trainer_of(tiny_config(*PROJECTED))
    before = trainer.projector.get_weights() + trainer.mode_of_features.get_weights()
    images, labels = (tf.constant(values[:4]) for values in random_images())
    trainer.train_step(tf.constant(0, tf.int64), images, labels)
    for was, now in zip(before, trainer.projector.get_weights() + trainer.mode_of_features.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)


def test_the_average_has_the_average_of_the_moving_statistics(tiny_config):
    trainer = trainer_of(tiny_config(*PROJECTED, "--ema_decay=0.5"))
    images, labels = (tf.constant(values[:4]) for values in random_images())
    average = np.zeros_like(trainer.generator.get_layer("first_norm").moving_mean)
    for step in range(3):
        trainer.train_step(tf.constant(step, tf.int64), images, labels)
        moving_mean = trainer.generator.get_layer("first_norm").moving_mean.numpy()
        decay = min(0.5, (1 + step) / (10 + step))
        average = decay * average + (1 - decay) * moving_mean
    np.testing.assert_allclose(trainer.sampled_generator.get_layer("first_norm").moving_mean, average, rtol=1e-5)
    assert np.any(average != 0)


def run(tmp_path, *flags: str):
    tiny = ("--gf_dim=2", "--df_dim=4", "--z_dim=5", "--batch_size=4", "--output_height=16", "--train_size=14")
    config = command_line.parse(["main.py", f"--checkpoint_dir={tmp_path}", "--run=p", *PROJECTED, *tiny, *flags])
    commands.run_command(config)
    return tmp_path / "p"


@pytest.mark.parametrize("of_network", [(), ("--backbone=efficientnet_lite0", "--feature_stages=1,3")])
def test_two_halves_equal_the_whole_to_the_byte(tmp_path, of_network):
    flags = ("--sample_num=2", "--conditional", *of_network)
    whole = run(tmp_path / "whole", *flags, "--max_steps=4")
    run(tmp_path / "halves", *flags, "--max_steps=2")
    halves = run(tmp_path / "halves", *flags, "--max_steps=4")
    assert read_metrics(whole) == read_metrics(halves)
    sheet = "samples/samples_00000004.png"
    assert (whole / sheet).read_bytes() == (halves / sheet).read_bytes()


@pytest.mark.parametrize("flags", [("--conditional",), ("--num_modes=1", "--z_dist=uniform_signed", "--eval_freq=1")])
def test_a_run_generates_draws_and_is_exported(tmp_path, flags):
    run(tmp_path, "--max_steps=2", "--sample_num=2", *flags)
    command = ["main.py", f"--checkpoint_dir={tmp_path}", "--run=p"]
    made = tmp_path / "made"
    commands.run_command(
        command_line.parse([*command, "--mode=generate", "--num_images=5", f"--output_dir={made}", "--format=npz"])
    )
    images = np.load(made / "images.npz")["images"]
    assert images.shape == (5, 16, 16, 3) and len(np.unique(images.reshape(5, -1), axis=0)) == 5
    commands.run_command(command_line.parse([*command, "--mode=visualize", "--visualize=grid", "--num_images=4"]))
    commands.run_command(command_line.parse([*command, "--mode=export", f"--export_dir={tmp_path / 'e'}"]))
    served = tf.saved_model.load(str(tmp_path / "e" / "p" / "1")).signatures["generate"]
    request = {"count": tf.constant(5), "seed": tf.constant(42, tf.int64)}
    if "--conditional" in flags:
        request["label"] = tf.constant(1)
        chosen = ["--label=1", f"--output_dir={tmp_path / 'one'}", "--format=npz", "--num_images=5"]
        commands.run_command(command_line.parse([*command, "--mode=generate", *chosen]))
        images = np.load(tmp_path / "one" / "1.npz")["images"]
    levels = np.clip(np.rint((served(**request)["images"].numpy() + 1) * 127.5), 0, 255)
    assert np.abs(levels - images.astype(float)).max() <= 1


def test_a_run_starts_from_another_and_keeps_its_modes(tmp_path):
    source = run(tmp_path, "--max_steps=2", "--sample_num=2")
    (tmp_path / "p").rename(tmp_path / "source")
    run(tmp_path, "--max_steps=1", "--sample_num=2", "--init_from=source", "--seed=7")
    record = json.loads((source / "config.json").read_text())
    assert record["initialized_from"]["run"] == "source"
    log = (source / "log.txt").read_text()
    assert "start: the weights of source" in log and "start anew" not in log
    with pytest.raises(UserError, match="features of resnet18, untrained, and this training has resnet34, untrained"):
        run(tmp_path, "--run=q", "--max_steps=1", "--init_from=source", "--backbone=resnet34")


def test_generated_images_have_the_modes_of_few_images_after_a_start_from_another_run(tiny_config):
    config = tiny_config(*PROJECTED, "--num_modes=6")
    images, labels = random_images()
    flat = np.repeat(np.uint8([0, 100, 255]), 16 * 16 * 3).reshape(3, *SHAPE)  # however they are turned
    source, few = ProjectedTrainer(config, images, labels, 0), ProjectedTrainer(config, flat, labels[:3], 0)
    for name in ("mean", "axes", "centres"):
        getattr(few.mode_of_features, name).assign(getattr(source.mode_of_features, name))
    few.after_start()
    conditions = few.mode_of_features(pool(few.projector(to_float(images))), None)  # of other images than the three
    assert len(set(conditions.numpy())) <= 3
    mode = few.generator.get_layer("mode")
    latents = draw_latents(len(images), config.z_dim, config.z_dist, (1, 2))
    np.testing.assert_array_equal(mode(mode.moved_to(conditions, latents))[0], conditions)


def test_flags_of_other_models_are_refused():
    for flag in (
        "--r1_gamma=1",
        "--spectral_norm",
        "--gfc_dim=8",
        "--strides=2",
        "--kernel_size=3,5",
        "--upsampling=resize",
    ):
        with pytest.raises(UserError, match="not for projected"):
            command_line.parse(["main.py", "--model=projected", flag])
    with pytest.raises(UserError, match="--feature_stages=3,1: give one or more stages in rising order"):
        command_line.parse(["main.py", "--model=projected", "--feature_stages=3,1"])
    with pytest.raises(UserError, match="--feature_stages=2,5: --backbone=resnet18 has 4 stages; give .* from 1 to 4"):
        command_line.parse(["main.py", "--model=projected", "--feature_stages=2,5"])
    deep = ["--feature_stages=2,5", "--backbone=vgg16"]
    assert command_line.parse(["main.py", "--model=projected", *deep]).feature_stages == (2, 5)
    for backbone, stages in (("resnet18", (1, 2, 3)), ("vgg16", (2, 3, 4))):
        config = command_line.parse(["main.py", "--model=projected", f"--backbone={backbone}"])
        assert config.feature_stages == stages
    # Here, --backbone is the network that measures the images.
    command_line.parse(["main.py", "--model=projected", "--mode=evaluate", "--feature_stages=2,5"])
    with pytest.raises(UserError, match="the hinge loss has no target to smooth"):
        command_line.parse(["main.py", "--model=projected", "--label_smoothing=0.9"])
    with pytest.raises(UserError, match="--instance_noise=0.1 is for dcgan1, dcgan2, dcgan3, not for projected"):
        command_line.parse(["main.py", "--model=projected", "--instance_noise=0.1"])
