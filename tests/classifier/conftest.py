"""A small set of patches by patient, and runs on it that several tests look at."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.classifier.predictions_file import Predictions
from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config

NUM_PATIENTS, PER_LABEL = 4, 8


@pytest.fixture(scope="session", autouse=True)
def _log_as_on_the_command_line() -> None:
    logging.getLogger("histogan_tf").setLevel(logging.INFO)


def make_patches(num_images: int, label: int, seed: int, size: int = 20) -> np.ndarray:
    """Noise, a little darker for label 1, so that the labels can be told apart but not always."""
    generator = np.random.default_rng([seed, label])
    level = generator.normal(150 - 25 * label, 15, (num_images, 1, 1, 1))
    return np.clip(generator.normal(level, 30, (num_images, size, size, 3)), 0, 255).astype(np.uint8)


def write_patients(root: Path) -> Path:
    """PATIENT/LABEL/*.png: four patients with eight patches of each label."""
    for patient in range(NUM_PATIENTS):
        for label in range(2):
            folder = root / f"p{patient}" / str(label)
            folder.mkdir(parents=True)
            for number, image in enumerate(make_patches(PER_LABEL, label, seed=patient)):
                Image.fromarray(image).save(folder / f"{number}.png")
    return root


@pytest.fixture(scope="session")
def patients(tmp_path_factory) -> Path:
    return write_patients(tmp_path_factory.mktemp("patients"))


@pytest.fixture(scope="session")
def runs(tmp_path_factory) -> Path:
    """The --checkpoint_dir of `real` and `both`; nobody changes what is in it."""
    return tmp_path_factory.mktemp("runs")


@pytest.fixture(scope="session")
def make_config(patients: Path, runs: Path):
    """Makes the Config of a classifier of 32 pixels with random weights on the patients, 20 pixels wide."""

    def make(*flags: str) -> Config:
        defaults = ("--dataset=idc", f"--data_path={patients}", f"--checkpoint_dir={runs}")
        return command_line.parse(["main.py", *defaults, *flags])

    return make


@pytest.fixture(scope="session")
def train_config(make_config):
    def make(*flags: str) -> Config:
        network = ("--model=resnet18", "--weights=random", "--classifier_size=32", "--output_height=20")
        return make_config(*network, *flags)

    return make


@pytest.fixture(scope="session")
def real_run(runs: Path, train_config) -> Path:
    """A run on real images, views and an operating point included."""
    flags = ("--run=real", "--perturbations=rotation,noise", "--views=2", "--recall_at_least=0.9")
    commands.run_command(train_config(*flags))
    return runs / "real"


@pytest.fixture(scope="session")
def synthetic_dir(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("synthetic")
    for label in range(2):
        np.savez(folder / f"{label}.npz", images=make_patches(6, label, seed=100))
    return folder


@pytest.fixture(scope="session")
def both_run(runs: Path, train_config, synthetic_dir) -> Path:
    commands.run_command(train_config("--run=both", "--train_on=both", f"--synthetic_dir={synthetic_dir}"))
    return runs / "both"


@pytest.fixture
def make_predictions() -> Callable[..., Predictions]:
    """Makes predictions that are right more often than not, of images whose names hold a comma."""

    def make(groups: np.ndarray | None = None, num_images: int = 40) -> Predictions:
        generator = np.random.default_rng(0)
        labels = (np.arange(num_images) % 2).astype(np.int32)
        probabilities = np.clip(0.4 * labels + generator.uniform(0, 0.6, num_images), 0, 1).round(6)
        return Predictions(np.array([f"image, {n}.png" for n in range(num_images)]), groups, labels, probabilities)

    return make
