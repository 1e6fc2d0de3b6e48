"""A loss, a penalty, a dataset or a model family that a newcomer adds to its table works from the command line on."""

from __future__ import annotations

import functools
import json
import math
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import load_file

import histogan_tf as hg
from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.config.families import FAMILIES, GENERATOR, Family
from histogan_tf.config.family_rules import fill_in
from histogan_tf.data import pipeline
from histogan_tf.data.decoding import decode_image
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.sources import READERS, Reader
from histogan_tf.errors import UserError
from histogan_tf.machine import replicas
from histogan_tf.machine.randomness import Purpose, stateless_seed, weight_seeds
from histogan_tf.models.latents import draw_latents
from histogan_tf.runs.checkpoints import Restorable
from histogan_tf.runs.run_directory import read_metrics
from histogan_tf.training.jobs import TrainingJob, dataset_record, train_network
from histogan_tf.training.loop import StepResult
from histogan_tf.training.losses import DISCRIMINATOR_PENALTIES, LOSSES, AdversarialLoss, Penalty
from histogan_tf.training.optimizers import make_adam
from histogan_tf.training.sampling import Sampler

TINY = ("--gf_dim=2", "--df_dim=2", "--z_dim=3", "--batch_size=4", "--output_height=16", "--train_size=8")


def run_program(tmp_path: Path, *flags: str) -> None:
    """Runs one command line as main.py does, on phantom patches of 16x16 unless the flags say otherwise."""
    config = command_line.parse(["main.py", f"--checkpoint_dir={tmp_path}", "--run=toy", *TINY, *flags])
    commands.run_command(config)


def trained_two_steps(tmp_path: Path, *flags: str) -> list[dict[str, float]]:
    """The logged losses of two steps of training."""
    run_program(tmp_path, "--max_steps=2", "--sample_num=2", *flags)
    rows = read_metrics(tmp_path / "toy")
    assert [row.pop("step") for row in rows] == [1, 2]
    assert (tmp_path / "toy" / "samples" / "samples_00000002.png").exists()
    return rows


# A loss is two functions and a line.


def toy_discriminator_loss(real_logits: tf.Tensor, fake_logits: tf.Tensor) -> dict[str, tf.Tensor]:
    return {
        "d_loss": tf.reduce_mean(fake_logits) - tf.reduce_mean(real_logits),
        "toy_real": tf.reduce_mean(real_logits),
    }


def toy_generator_loss(real_logits: tf.Tensor | None, fake_logits: tf.Tensor) -> tf.Tensor:
    return tf.reduce_mean(real_logits) - tf.reduce_mean(fake_logits)


def test_a_loss_and_a_penalty_are_lines_in_their_tables(tmp_path, monkeypatch):
    def toy_penalty(discriminate, real_images, fake_images):
        return tf.reduce_mean(tf.abs(fake_images)) + 0.0 * tf.reduce_mean(discriminate(fake_images))

    toy = AdversarialLoss(toy_discriminator_loss, toy_generator_loss, generator_sees_real=True)
    monkeypatch.setitem(LOSSES, "toy", toy)
    monkeypatch.setitem(DISCRIMINATOR_PENALTIES, "toy_penalty", Penalty(toy_penalty, weight_flag="r1_gamma"))
    assert "hinge, relativistic, toy." in " ".join(command_line.help_text(columns=80).split())
    with pytest.raises(UserError, match="the toy loss has no target to smooth"):
        command_line.parse(["main.py", "--adversarial_loss=toy", "--label_smoothing=0.9"])

    rows = trained_two_steps(tmp_path, "--model=dcgan1", "--adversarial_loss=toy", "--r1_gamma=100")

    assert [set(row) for row in rows] == [{"d_loss", "toy_real", "r1_penalty", "toy_penalty", "g_loss"}] * 2
    # 100 times the mean absolute pixel of an untrained generator, which makes grey images; real ones are bright.
    assert 0 < rows[0]["toy_penalty"] < 10
    run_program(tmp_path, "--mode=generate", "--model=dcgan1", "--num_images=3")
    assert len(list((tmp_path / "toy" / "generated" / "images").iterdir())) == 3


# A dataset reader is a function and an entry.


def load_toy(*, name: str, root: str, prepare) -> ImageSet:
    """A dark and a bright image of each patient in a list."""
    patients = (Path(root) / "patients.txt").read_text().split()
    images = [prepare(np.full((20, 20, 3), value, np.uint8)) for _ in patients for value in (32, 224)]
    return ImageSet(
        images=np.stack(images),
        labels=np.tile(np.array([0, 1], np.int32), len(patients)),
        ids=np.array([f"{patient}-{label}" for patient in patients for label in (0, 1)]),
        groups=np.repeat(patients, 2),
        name=name,
        class_names=("dark", "bright"),
    )


def test_a_dataset_reader_is_an_entry_in_its_table(tmp_path, monkeypatch):
    folder = tmp_path / "patches"
    folder.mkdir()
    (folder / "patients.txt").write_text("ada bob cem dan eve fay")
    monkeypatch.setitem(READERS, "toy", Reader("dark and bright images of a list of patients", load_toy))
    assert "list of patients" in " ".join(command_line.help_text(columns=80).split())

    flags = ("--dataset=toy", f"--data_path={folder}", "--label=bright", "--part=all", "--train_size=6")
    trained_two_steps(tmp_path, "--model=dcgan1", *flags)

    record = json.loads((tmp_path / "toy" / "config.json").read_text())["dataset"]
    assert (record["image_shape"], record["images_per_class"]) == ([16, 16, 3], {"dark": 0, "bright": 6})
    assert set(decode_image(tmp_path / "toy" / "samples" / "reals.png")[:, :16].flat) == {224}  # the first of them


# A model family is its networks, its trainer and an entry.


def toy_generator(config: Config, image_shape: tuple[int, int, int]) -> keras.Model:
    seed = weight_seeds(config.seed, Purpose.GENERATOR_WEIGHTS, 1)[0]
    latents = keras.Input((config.z_dim,), name="z")
    layer = keras.layers.Dense(
        math.prod(image_shape), "tanh", kernel_initializer=keras.initializers.GlorotUniform(seed), name="pixels"
    )
    return keras.Model({"z": latents}, keras.layers.Reshape(image_shape)(layer(latents)), name="generator")


def toy_discriminator(image_shape: tuple[int, int, int]) -> keras.Model:
    logit = keras.layers.Dense(1, kernel_initializer="zeros", name="logit")
    return keras.Sequential([keras.Input(image_shape), keras.layers.Flatten(), logit], name="discriminator")


class ToyTrainer:
    """The shortest trainer there is: one dense layer against another."""

    def __init__(self, config: Config, image_shape: tuple[int, int, int]) -> None:
        self._config = config
        self._loss = LOSSES[config.adversarial_loss]
        self._generator = toy_generator(config, image_shape)
        self._discriminator = toy_discriminator(image_shape)
        self._g_optimizer, self._d_optimizer = (
            make_adam(config.learning_rate, config.beta1, cpu_kernels=config.cpu_kernels) for _ in range(2)
        )
        self._g_optimizer.build(self._generator.trainable_variables)
        self._d_optimizer.build(self._discriminator.trainable_variables)

    @property
    def networks(self) -> list[keras.Model]:
        return [self._generator, self._discriminator]

    def state(self) -> dict[str, object]:
        optimizers = {"g_optimizer": self._g_optimizer, "d_optimizer": self._d_optimizer}
        return {"generator": self._generator, "discriminator": self._discriminator, **optimizers}

    @replicas.on_all_replicas
    def train_step(self, step: tf.Tensor, images: tf.Tensor, labels: tf.Tensor) -> StepResult:
        seed = stateless_seed(self._config.seed, Purpose.LATENTS, step)
        latents = draw_latents(images.shape[0], self._config.z_dim, self._config.z_dist, seed)
        with tf.GradientTape(persistent=True) as tape:
            real_logits = self._discriminator(pipeline.to_float(images))
            fake_logits = self._discriminator(self._generator({"z": latents}))
            terms = self._loss.discriminator_terms(real_logits, fake_logits)
            g_loss = self._loss.generator(real_logits, fake_logits)
        for loss, optimizer, network in (
            (terms["d_loss"], self._d_optimizer, self._discriminator),
            (g_loss, self._g_optimizer, self._generator),
        ):
            optimizer.apply(tape.gradient(loss, network.trainable_variables), network.trainable_variables)
        return StepResult(terms | {"g_loss": g_loss}, {"z": latents})

    def draw_samples(self) -> dict[str, np.ndarray]:
        sampler = Sampler(self._generator, self._config, num_classes=0)
        return {"samples": sampler.numbered(0, self._config.sample_num, self._config.seed, Purpose.SAMPLE_LATENTS)}


def train_toy(config: Config, images: ImageSet | None = None) -> None:
    train_network(config, functools.partial(_toy_job, images=images))


def _toy_job(config: Config, images: ImageSet | None) -> TrainingJob:
    image_set = load_dataset(config, images)
    return TrainingJob(
        trainer=ToyTrainer(config, image_set.image_shape),
        dataset=dataset_record(image_set),
        reals={"reals": image_set.images[: config.sample_num]},
        steps_per_epoch=pipeline.steps_per_epoch(len(image_set), config.batch_size),
        batches=functools.partial(pipeline.batches, image_set, config.batch_size, config.seed),
        plotted_losses=("d_loss", "g_loss"),
    )


def toy_networks(config: Config, dataset, **_) -> list[Restorable]:
    generator = toy_generator(config, tuple(dataset["image_shape"]))
    return [Restorable("", generator, {"generator": generator})]


def toy_discriminators(config: Config, dataset) -> dict[str, keras.Model]:
    return {"discriminator": toy_discriminator(tuple(dataset["image_shape"]))}


TOY_FAMILY = Family(
    title="a toy",
    kind=GENERATOR,
    presets={"toy_gan": {"batch_size": 4, "sample_num": 2, "adversarial_loss": "hinge"}},
    train=f"{__name__}:train_toy",
    networks=f"{__name__}:toy_networks",
    discriminators=f"{__name__}:toy_discriminators",
    check=fill_in,
    section=None,
    heeds=frozenset({"adversarial_loss", "df_dim", "gf_dim", "z_dim", "z_dist"}),
    description="a toy's generator of synthetic images",
    use="Tests.",
    card_sections=("network", "training"),
)


def test_a_model_family_is_an_entry_in_its_table(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="--model=toy_gan: choose one of dcgan1, .* resnet18$"):
        command_line.parse(["main.py", "--model=toy_gan"])
    monkeypatch.setitem(FAMILIES, "toy", TOY_FAMILY)
    with pytest.raises(UserError, match="--ema_decay=0.9 is for dcgan1, dcgan2, dcgan3, projected, not for toy_gan"):
        command_line.parse(["main.py", "--model=toy_gan", "--ema_decay=0.9"])

    rows = trained_two_steps(tmp_path, "--model=toy_gan")

    assert [set(row) for row in rows] == [{"d_loss", "d_loss_real", "d_loss_fake", "g_loss"}] * 2
    # A discriminator of zeros gives both hinges a loss of 1, and then learns.
    assert (rows[0]["d_loss"], rows[0]["g_loss"]) == (2.0, 0.0)
    assert rows[1]["d_loss"] < 2.0
    run_program(tmp_path, "--model=toy_gan", "--max_steps=4")  # goes on
    assert [row["step"] for row in read_metrics(tmp_path / "toy")] == [1, 2, 3, 4]


def test_what_a_new_family_trained_can_be_asked_for_what_its_kind_can(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "toy", TOY_FAMILY)
    trained_two_steps(tmp_path, "--model=toy_gan")
    run_program(tmp_path, "--mode=generate", "--num_images=5")
    paths = sorted((tmp_path / "toy" / "generated" / "images").iterdir())
    images = np.stack([decode_image(path) for path in paths])
    assert (images.shape, images.dtype) == ((5, 16, 16, 3), np.uint8)
    assert len({image.tobytes() for image in images}) == 5
    with pytest.raises(UserError, match=r"is a run of toy_gan; --mode=translate needs a translator \(cyclegan\)"):
        run_program(tmp_path, "--mode=translate")


def test_python_trains_a_new_family_and_samples_from_it(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "toy", TOY_FAMILY)
    pixels = np.random.default_rng(0).integers(0, 256, (9, 16, 16, 3), np.uint8)
    run = hg.train(pixels, model="toy_gan", z_dim=3, max_steps=2, run="toy", checkpoint_dir=tmp_path)
    assert (run.kind, run.step, run.sample(3).shape) == ("generator", 2, (3, 16, 16, 3))


def test_a_new_family_is_passed_on_and_starts_from_another_run(tmp_path, monkeypatch):
    monkeypatch.setitem(FAMILIES, "toy", TOY_FAMILY)
    trained_two_steps(tmp_path, "--model=toy_gan")
    run_program(tmp_path, "--mode=export", "--format=safetensors")
    exported = tmp_path / "toy" / "exported" / "toy-safetensors" / "1"
    names = {
        "generator/pixels/kernel",
        "generator/pixels/bias",
        "discriminator/logit/kernel",
        "discriminator/logit/bias",
    }
    assert set(load_file(exported / "weights.safetensors")) == names
    run_program(
        tmp_path, "--model=toy_gan", "--run=other", f"--init_from={exported}", "--max_steps=1", "--sample_num=2"
    )
    (row,) = read_metrics(tmp_path / "other")
    assert row["d_loss"] < 2.0  # its discriminator does not begin with zeros
