from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.training.cyclegan_step import ConstantThenLinear, CycleGANTrainer, Translator
from histogan_tf.training.jobs import train_cyclegan

SHAPE = (32, 32, 3)
TINY = ("--model=cyclegan", "--gf_dim=2", "--df_dim=2", "--num_blocks=1", "--output_height=32")


def make_config(*flags):
    return command_line.parse(["main.py", *TINY, *flags])


def random_images(count, seed, shape=SHAPE):
    return np.random.default_rng(seed).integers(0, 256, (count, *shape), np.uint8)


def make_trainer(*flags, steps_per_epoch=10):
    return CycleGANTrainer(make_config(*flags), SHAPE, steps_per_epoch, (random_images(3, 100), random_images(2, 200)))


def take_step(trainer, step, batch_size=2):
    images_a, images_b = (tf.constant(random_images(batch_size, [domain, step])) for domain in range(2))
    losses = trainer.train_step(tf.constant(step, tf.int64), images_a, images_b).losses
    return {name: float(value) for name, value in losses.items()}


def all_variables(trainer):
    """The variables of every network, optimizer and pool, by name."""
    parts = trainer.state().items()
    return {f"{name}/{number}": variable for name, part in parts for number, variable in enumerate(part.variables)}


def all_values(trainer):
    return {name: variable.numpy() for name, variable in all_variables(trainer).items()}


@pytest.fixture(scope="module")
def trained_trainer():
    """A trainer whose compiled step is shared by the tests of this module, and its values at the start."""
    trainer = make_trainer("--batch_size=2", "--epoch=3", "--decay_epoch=1", "--pool_size=2", steps_per_epoch=2)
    return trainer, all_values(trainer)


@pytest.fixture
def trainer(trained_trainer):
    """That trainer, at its start again."""
    trainer, values = trained_trainer
    for name, variable in all_variables(trainer).items():
        variable.assign(values[name])
    return trainer


def mean(values):
    return float(np.mean(np.asarray(values, np.float64)))


class Recomputation:
    """The losses of a step, term by term as published, from one pass of one image through one network at a time."""

    def __init__(self, trainer, images_a, images_b):
        self.trainer = trainer
        self.real_a, self.real_b = (images.astype(np.float32) / 127.5 - 1 for images in (images_a, images_b))

    def each(self, network, images):
        return tf.concat([network(images[number : number + 1]) for number in range(len(images))], axis=0)

    def images(self):
        A2B, B2A = self.trainer.generator_A2B, self.trainer.generator_B2A
        fake_b, fake_a = self.each(A2B, self.real_a), self.each(B2A, self.real_b)
        cycled_a, cycled_b = self.each(B2A, fake_b), self.each(A2B, fake_a)
        return fake_a, fake_b, cycled_a, cycled_b, self.each(B2A, self.real_a), self.each(A2B, self.real_b)

    def numpy_losses(self):
        judge_a, judge_b = self.trainer.discriminator_A, self.trainer.discriminator_B
        fake_a, fake_b, cycled_a, cycled_b, same_a, same_b = (np.array(images) for images in self.images())
        on_fake_a, on_fake_b = np.array(self.each(judge_a, fake_a)), np.array(self.each(judge_b, fake_b))
        on_real_a, on_real_b = np.array(self.each(judge_a, self.real_a)), np.array(self.each(judge_b, self.real_b))
        return {
            "G_A2B": mean((on_fake_b - 1) ** 2),
            "G_B2A": mean((on_fake_a - 1) ** 2),
            "cycle_A": mean(abs(cycled_a - self.real_a)),
            "cycle_B": mean(abs(cycled_b - self.real_b)),
            "identity_A": mean(abs(same_a - self.real_a)),
            "identity_B": mean(abs(same_b - self.real_b)),
            "D_A": (mean((on_real_a - 1) ** 2) + mean(on_fake_a**2)) / 2,
            "D_B": (mean((on_real_b - 1) ** 2) + mean(on_fake_b**2)) / 2,
        }

    def generator_gradients(self):
        variables = self.trainer.generator_A2B.trainable_variables + self.trainer.generator_B2A.trainable_variables
        with tf.GradientTape() as tape:
            fake_a, fake_b, cycled_a, cycled_b, same_a, same_b = self.images()
            adversarial = tf.reduce_mean((self.each(self.trainer.discriminator_B, fake_b) - 1) ** 2)
            adversarial += tf.reduce_mean((self.each(self.trainer.discriminator_A, fake_a) - 1) ** 2)
            cycle = tf.reduce_mean(abs(cycled_a - self.real_a)) + tf.reduce_mean(abs(cycled_b - self.real_b))
            identity = tf.reduce_mean(abs(same_a - self.real_a)) + tf.reduce_mean(abs(same_b - self.real_b))
            loss = adversarial + 10 * cycle + 5 * identity
        return variables, tape.gradient(loss, variables)

    def discriminator_gradients(self):
        variables = self.trainer.discriminator_A.trainable_variables + self.trainer.discriminator_B.trainable_variables
        fake_a, fake_b, *_ = self.images()
        with tf.GradientTape() as tape:
            loss = 0.0
            for network, real, fake in (
                (self.trainer.discriminator_A, self.real_a, fake_a),
                (self.trainer.discriminator_B, self.real_b, fake_b),
            ):
                loss += tf.reduce_mean((self.each(network, real) - 1) ** 2) / 2
                loss += tf.reduce_mean(self.each(network, fake) ** 2) / 2
        return variables, tape.gradient(loss, variables)


def first_adam_step(weights, gradient, learning_rate=0.0002, beta1=0.5, beta2=0.999, epsilon=1e-8):
    """Kingma & Ba 2015, section 2, with epsilon where TensorFlow has it."""
    rate = learning_rate * np.sqrt(1 - beta2) / (1 - beta1)
    return weights - rate * (1 - beta1) * gradient / (np.sqrt((1 - beta2) * gradient**2) + epsilon)


@pytest.mark.slow
def test_a_step_has_the_losses_and_makes_the_updates_of_a_plain_recomputation(trainer):
    images_a, images_b = random_images(2, [0, 0]), random_images(2, [1, 0])
    recomputation = Recomputation(trainer, images_a, images_b)
    expected = recomputation.numpy_losses()
    updates = []
    for variables, gradients in (recomputation.generator_gradients(), recomputation.discriminator_gradients()):
        for variable, gradient in zip(variables, gradients, strict=True):
            gradient = gradient.numpy()
            updates.append((variable, gradient, first_adam_step(variable.numpy(), gradient)))

    losses = take_step(trainer, 0)

    assert set(losses) == set(expected)
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=1e-5), name
    num_compared = 0
    for variable, gradient, updated in updates:
        # The first step of Adam is the gradient's sign: what is nearly 0, such as that of a bias before an instance
        # normalization, has none that is sure.
        is_sure = np.abs(gradient) > 1e-4
        num_compared += is_sure.sum()
        np.testing.assert_allclose(variable.numpy()[is_sure], updated[is_sure], atol=2e-7)
    assert num_compared > 2000


def first_layer_images(step_function):
    """Images that the first layers of both generators see in a step, counted in its compiled graph."""
    kernels = (7, 7, SHAPE[-1], 2)
    operations = step_function.graph.get_operations()
    convolutions = [op for op in operations if op.type == "Conv2D" and op.inputs[1].shape == kernels]
    return sum(op.inputs[0].shape[0] for op in convolutions)


def compiled_step(trainer):
    images = tf.TensorSpec((2, *SHAPE), tf.uint8)
    return trainer.train_step.get_concrete_function(tf.TensorSpec((), tf.int64), images, images)


@pytest.mark.slow
def test_identity_passes_are_skipped_at_weight_0(trainer):
    assert first_layer_images(compiled_step(trainer)) == 6 * 2
    without = compiled_step(make_trainer("--lambda_identity=0"))
    assert first_layer_images(without) == 4 * 2
    names = {"G_A2B", "G_B2A", "cycle_A", "cycle_B", "D_A", "D_B"}
    assert without.structured_outputs.losses.keys() == names


def test_learning_rate_is_constant_then_falls_linearly_to_0():
    schedule = ConstantThenLinear(0.5, decay_step=10, total_steps=20)
    rates = [float(schedule(tf.constant(step, tf.int64))) for step in (0, 9, 10, 11, 15, 19, 20, 25)]
    assert rates == pytest.approx([0.5, 0.5, 0.5, 0.45, 0.25, 0.05, 0, 0])
    forever = ConstantThenLinear(0.5, decay_step=30, total_steps=20)
    assert [float(forever(tf.constant(step))) for step in (0, 19)] == [0.5, 0.5]


def test_the_optimizers_follow_the_schedule_and_training_goes_on_exactly(trainer, tmp_path):
    rates = []
    for step in range(6):
        rates.append([float(trainer.state()[name].learning_rate) for name in ("g_optimizer", "d_optimizer")])
        take_step(trainer, step)
        if step == 2:
            Checkpoints(tmp_path, trainer.state()).save(3)
    np.testing.assert_allclose(rates, 2e-4 * np.array([[1, 1, 1, 0.75, 0.5, 0.25]] * 2).T, rtol=1e-6)
    expected = all_values(trainer)
    assert trainer.pool_A.count.numpy() == trainer.pool_B.count.numpy() == 2

    for variable in all_variables(trainer).values():
        variable.assign(np.full(variable.shape, 7))
    assert Checkpoints(tmp_path, trainer.state()).restore() == 3
    for step in range(3, 6):
        take_step(trainer, step)
    resumed = all_values(trainer)
    assert [name for name in expected if expected[name].tobytes() != resumed[name].tobytes()] == []


def test_pools_hold_the_translations_that_the_discriminators_judge(trainer):
    images_a, images_b = (random_images(2, [domain, 0]) for domain in range(2))
    A2B = trainer.generator_A2B(images_a.astype(np.float32) / 127.5 - 1)
    B2A = trainer.generator_B2A(images_b.astype(np.float32) / 127.5 - 1)
    take_step(trainer, 0)
    np.testing.assert_allclose(trainer.pool_A.images, B2A, atol=1e-5)
    np.testing.assert_allclose(trainer.pool_B.images, A2B, atol=1e-5)


def test_the_four_networks_start_differently_and_by_the_seed():
    def first_kernels(trainer):
        names = ["c7s1-2-conv", "c7s1-2-conv", "C2-conv", "C2-conv"]
        layers = [network.get_layer(name) for network, name in zip(trainer.networks, names, strict=True)]
        return [layer.kernel.numpy().tobytes() for layer in layers]

    first, same, other = (first_kernels(make_trainer(f"--seed={seed}")) for seed in (0, 0, 1))
    assert first == same
    assert len({*first, *other}) == 8


@pytest.mark.slow
@pytest.mark.parametrize("name", ["hinge", "relativistic"])
def test_the_adversarial_loss_is_that_of_the_table(name):
    trainer = make_trainer("--batch_size=2", "--pool_size=0", f"--adversarial_loss={name}")
    images = random_images(2, [0, 0]), random_images(2, [1, 0])
    recomputation = Recomputation(trainer, *images)
    fake_a, fake_b, *_ = recomputation.images()
    expected = {}
    for domain, opposite, network, real_images, fake_images in (
        ("A", "G_B2A", trainer.discriminator_A, recomputation.real_a, fake_a),
        ("B", "G_A2B", trainer.discriminator_B, recomputation.real_b, fake_b),
    ):
        real, fake = (np.array(recomputation.each(network, images)) for images in (real_images, fake_images))
        if name == "hinge":
            expected[f"D_{domain}"] = (mean(np.maximum(0, 1 - real)) + mean(np.maximum(0, 1 + fake))) / 2
            expected[opposite] = -mean(fake)
        else:
            expected[f"D_{domain}"] = mean(np.log1p(np.exp(fake - real))) / 2
            expected[opposite] = mean(np.log1p(np.exp(real - fake)))
    losses = take_step(trainer, 0)
    assert {term: losses[term] for term in expected} == pytest.approx(expected, rel=1e-5)


@pytest.mark.slow
def test_bfloat16_keeps_weights_pools_and_losses_in_float32(trainer):
    mixed = make_trainer("--precision=bfloat16", "--pool_size=2")
    assert {variable.dtype for network in mixed.networks for variable in network.variables} == {"float32"}
    assert mixed.generator_A2B.get_layer("R8-1a-conv").compute_dtype == "bfloat16"
    expected, losses = take_step(trainer, 0), take_step(mixed, 0)
    for name, value in expected.items():
        assert losses[name] == pytest.approx(value, rel=0.05), name
    assert mixed.pool_A.images.dtype == tf.float32


def test_sample_strips_show_image_translation_and_translation_back(trainer):
    sheets = trainer.draw_samples()
    images = random_images(3, 100)
    A2B = Translator(trainer.generator_A2B).images(images)
    A2B2A = Translator(trainer.generator_B2A).images(A2B)
    np.testing.assert_array_equal(sheets["A2B2A"], np.concatenate([images, A2B, A2B2A], axis=2))
    assert sheets["B2A2B"].shape == (2, 32, 96, 3)
    np.testing.assert_array_equal(sheets["B2A2B"][:, :, :32], random_images(2, 200))


def test_translator_rounds_to_8_bits_and_takes_any_number_of_images(trainer, monkeypatch):
    monkeypatch.setattr("histogan_tf.training.cyclegan_step._PIXELS_A_BATCH", 2 * 32 * 32)
    images = random_images(5, 0)
    exact = (trainer.generator_B2A(images.astype(np.float32) / 127.5 - 1).numpy() + 1) * 127.5
    translations = Translator(trainer.generator_B2A).images(images)
    assert translations.dtype == np.uint8
    assert np.abs(translations - exact).max() <= 0.501


@pytest.mark.slow
def test_a_run_logs_every_loss_and_draws_both_sheets(tmp_path):
    config = make_config(f"--checkpoint_dir={tmp_path}", "--train_size=9", "--max_steps=2", "--sample_num=2")
    train_cyclegan(config)
    run = tmp_path / "cyclegan-phantom"
    names = {path.name for path in (run / "samples").iterdir()}
    sheets = {f"{name}_{step:08d}.png" for name in ("A2B2A", "B2A2B") for step in (0, 2)}
    assert names == sheets | {"reals_A.png", "reals_B.png"}
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    adversarial = {"G_A2B", "G_B2A", "D_A", "D_B"}
    distances = {"cycle_A", "cycle_B", "identity_A", "identity_B"}
    assert [set(row) for row in rows] == [adversarial | distances | {"step"}] * 2
    dataset = json.loads((run / "config.json").read_text())["dataset"]
    assert [domain["label"] for domain in dataset["domains"]] == [0, 1]
    assert sum(domain["num_images"] for domain in dataset["domains"]) == 9


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--train_size=1"], ["no image of", "--train_size"]),
        (["--train_size=12", "--batch_size=20"], ["cannot fill a batch of 20"]),
        (["--output_height=31"], ["31x31", "at least 32"]),
        (["--domain_b=2"], ["--domain_b=2", "0 (non-idc), 1 (idc)"]),
        (["--domain_a=idc"], ["--domain_a and --domain_b are both idc"]),
    ],
)
def test_bad_input_is_told_and_nothing_is_written(tmp_path, flags, words):
    config = make_config(f"--checkpoint_dir={tmp_path}", *flags)
    with pytest.raises(UserError) as caught:
        train_cyclegan(config)
    assert all(word in str(caught.value) for word in words), str(caught.value)
    assert list(tmp_path.iterdir()) == []
