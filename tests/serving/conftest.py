"""Runs of every kind of network, as training leaves them, with random weights that make its outputs differ."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import keras
import numpy as np
import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.models.resnet import build_classifier
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_directory import begin_run
from histogan_tf.trained.load import TrainedNetwork, load_networks
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer

TINY_FLAGS = ("--gf_dim=4", "--df_dim=4")
IMAGES = {"images_per_class": {"non-idc": 3, "idc": 5}, "num_images": 8, "fingerprint": "0123456789abcdef0123"}


def scatter_weights(networks: Iterable[keras.Model]) -> None:
    """Kernels keep the size of what flows through them; scales, offsets and variances are near 1."""
    rng = np.random.default_rng(7)
    for network in networks:
        for weight in network.weights:
            if len(weight.shape) > 1:
                weight.assign(rng.normal(0.0, np.prod(weight.shape[:-1]) ** -0.5, weight.shape))
            else:
                weight.assign(rng.uniform(0.5, 1.5, weight.shape))


def dataset(image_shape: tuple[int, int, int]) -> dict[str, object]:
    return {"name": "phantom", "image_shape": list(image_shape), "class_names": ["non-idc", "idc"]}


def save(config: Config, record: dict[str, object], state: dict[str, object]) -> None:
    Checkpoints(begin_run(config, record) / "ckpt", state).save(6)


@pytest.fixture(scope="session")
def runs(made_once) -> Path:
    """A --checkpoint_dir with the runs `plain`, `conditional`, `translator` and `classifier`, and `untrained`."""
    return made_once("served_runs", write_runs)


def write_runs(directory: Path) -> None:
    """Writes a run of each kind, with a checkpoint of scattered weights but for `untrained`."""

    def config_of(run: str, *flags: str) -> Config:
        return command_line.parse(["main.py", f"--checkpoint_dir={directory}", f"--run={run}", *flags])

    dcgan = ("--model=dcgan1", *TINY_FLAGS, "--gfc_dim=8", "--dfc_dim=8", "--z_dim=5", "--batch_size=4")
    for run, shape, flags in [
        ("plain", (16, 19, 3), ["--z_dist=normal01"]),
        ("conditional", (17, 16, 1), ["--conditional"]),
        ("untrained", (16, 16, 3), []),
    ]:
        config = config_of(run, *dcgan, *flags)
        trainer = DCGANTrainer(config, shape, 2)
        scatter_weights(trainer.networks)
        record = {**dataset(shape), **IMAGES}
        if run == "untrained":
            begin_run(config, record)
        else:
            save(config, record, trainer.state())

    config = config_of("translator", "--model=cyclegan", *TINY_FLAGS, "--num_blocks=1")
    samples = [np.zeros((1, 34, 41, 3), np.uint8)] * 2
    trainer = CycleGANTrainer(config, (34, 41, 3), 5, samples)
    scatter_weights(trainer.networks)
    domains = [{"label": label, **IMAGES} for label in (0, 1)]
    save(config, {**dataset((34, 41, 3)), "domains": domains}, trainer.state())

    # Two stages of four have all kinds of layers, and take a fraction of the time to convert.
    flags = ("--model=resnet18", "--weights=random", "--classifier_size=32", "--feature_layer=stage2")
    config = config_of("classifier", *flags)
    classifier = build_classifier((40, 36, 3), size=32, weights="random", seed=3, feature_layer="stage2")
    classifier.head.set_weights([np.random.default_rng(0).normal(0, 0.05, (128, 1)), np.zeros(1)])
    save(config, {**dataset((40, 36, 3)), "parts": {"training": IMAGES}}, classifier.state())


@pytest.fixture(scope="session")
def networks(runs: Path) -> dict[str, TrainedNetwork]:
    """What the runs hold, by name."""
    found = {}
    for run in ("plain", "conditional", "translator", "classifier"):
        for trained in load_networks(export_config(runs, run)):
            found[trained.name] = trained
    return found


@pytest.fixture(scope="session")
def do_export(runs: Path) -> Callable[..., None]:
    """Runs --mode=export: `do_export(run, export_dir, *flags)`."""

    def run_export(run: str, export_directory: Path, *flags: str) -> None:
        commands.run_command(export_config(runs, run, f"--export_dir={export_directory}", *flags))

    return run_export


@pytest.fixture(scope="session")
def saved_models(do_export, made_once) -> Path:
    """An --export_dir with version 1 of a SavedModel of each."""

    def export_all(directory: Path) -> None:
        for run in ("plain", "conditional", "translator", "classifier"):
            do_export(run, directory)

    return made_once("saved_models", export_all)


def export_config(runs: Path, run: str, *flags: str) -> Config:
    return command_line.parse(["main.py", "--mode=export", f"--checkpoint_dir={runs}", f"--run={run}", *flags])
