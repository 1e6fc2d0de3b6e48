"""--eval_freq: the KID in metrics.jsonl is that of the run's samples, and the best generator can be chosen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from histogan_tf.cli import commands
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError
from histogan_tf.machine.randomness import Purpose
from histogan_tf.metrics.generative import manifold_metrics, squared_mmd
from histogan_tf.models.feature_extractors import random_extractor
from histogan_tf.runs.checkpoints import Checkpoints, checkpoint_folders
from histogan_tf.runs.run_directory import read_metrics
from histogan_tf.trained.generate import sampler_of
from histogan_tf.trained.load import load_networks
from histogan_tf.training import loop
from histogan_tf.training.best_checkpoint import MeasuredTrainer, Measures
from histogan_tf.training.dcgan_step import dcgan_generator
from histogan_tf.training.generator_trainer import sampled_state
from histogan_tf.training.sampling import Sampler

NAME = "kid-random-n14"


def kept(run: Path) -> list[str]:
    return [folder.name for folder in checkpoint_folders(run / "ckpt" / "best")]


@pytest.mark.parametrize("flags", [[], ["--ema_decay=0.9"]])
def test_the_best_generator_is_kept_with_the_kid_that_was_logged(tiny_config, tmp_path: Path, flags):
    small = ("--model=dcgan1", "--generator_updates=1", "--run=run")
    config = tiny_config(*small, "--max_steps=9", "--eval_freq=2", *flags)
    commands.run_command(config)
    found = {row["step"]: row[NAME] for row in read_metrics(tmp_path / "run") if NAME in row}
    assert list(found) == [2, 4, 6, 8]
    best = min(found, key=found.get)
    assert kept(tmp_path / "run") == [f"step-{best:08d}"]

    real = load_dataset(config)
    generator = dcgan_generator(config, real.image_shape, 0)
    state = sampled_state(config, generator)
    assert Checkpoints(tmp_path / "run" / "ckpt" / "best", state).restore() == best
    images = Sampler(generator, config, 0).numbered(0, 14, config.seed, Purpose.EVALUATED_LATENTS)
    features = random_extractor()
    assert found[best] == pytest.approx(squared_mmd(features(real.images), features(images)), rel=1e-5)


class FakeTrainer:
    """Makes steps; its samples are as bad as `kids` says."""

    networks = ()
    sampler = None

    def __init__(self, generator) -> None:
        self._generator = generator

    def state(self):
        return {}

    def sampled_state(self):
        return {"generator": self._generator}

    def train_step(self, step):
        return loop.StepResult({"loss": 1.0}, {})


@pytest.fixture
def measure(tiny_config, monkeypatch: pytest.MonkeyPatch):
    """Trains from a step on with given KIDs, one a step."""
    generator = dcgan_generator(tiny_config("--model=dcgan1"), (16, 16, 3), 0)

    def go(kids: list[float], first_step: int = 0, recalls: list[float] | None = None, min_recall: float = 0.0) -> None:
        config = tiny_config("--model=dcgan1", "--run=run", "--eval_freq=1", f"--min_recall={min_recall}")
        values = map(Measures, kids, recalls or [0.5] * len(kids))
        monkeypatch.setattr(MeasuredTrainer, "_measure", lambda self: next(values))
        trainer = MeasuredTrainer(FakeTrainer(generator), config, np.zeros((14, 16, 16, 3), np.uint8))
        for step, kid in enumerate(kids, first_step):
            assert float(trainer.train_step(step).losses[NAME]) == pytest.approx(kid)

    return go


def test_only_a_better_one_takes_the_place_of_the_best(measure, tmp_path: Path):
    measure([3.0, 1.0, 2.0, 1.0])
    assert kept(tmp_path / "run") == ["step-00000002"]


def test_a_run_that_goes_on_remembers_its_best(measure, tmp_path: Path):
    measure([3.0, 1.0])
    (tmp_path / "run" / "metrics.jsonl").write_text(f'{{"step": 1, "{NAME}": 3.0}}\n{{"step": 2, "{NAME}": 1.0}}\n')
    measure([2.0, 1.5], first_step=2)
    assert kept(tmp_path / "run") == ["step-00000002"]
    measure([0.5], first_step=4)
    assert kept(tmp_path / "run") == ["step-00000005"]


def test_a_best_one_of_steps_that_were_lost_gives_way(measure, tmp_path: Path):
    # Killed after step 2 was found best, but before a checkpoint: the run goes on from the start.
    measure([3.0, 1.0])
    measure([2.0])
    assert kept(tmp_path / "run") == ["step-00000001"]


def test_a_best_one_needs_enough_recall_also_after_a_stop(measure, tmp_path: Path):
    measure([3.0, 1.0, 2.0], recalls=[0.5, 0.1, 0.4], min_recall=0.3)
    assert kept(tmp_path / "run") == ["step-00000003"]
    rows = ((1, 3.0, 0.5), (2, 1.0, 0.1), (3, 2.0, 0.4))
    lines = [f'{{"step": {step}, "{NAME}": {kid}, "recall-random-n14": {recall}}}' for step, kid, recall in rows]
    (tmp_path / "run" / "metrics.jsonl").write_text("\n".join(lines) + "\n")
    measure([1.5], first_step=3, recalls=[0.35], min_recall=0.3)
    assert kept(tmp_path / "run") == ["step-00000004"]


def test_the_log_tells_when_recall_has_fallen(measure, caplog):
    measure([3.0, 2.0, 1.0], recalls=[0.5, 0.41, 0.39])
    fallen = [record.getMessage() for record in caplog.records if "recall has fallen" in record.getMessage()]
    assert len(fallen) == 1 and fallen[0].startswith("step 3: recall has fallen to 0.39 from 0.50")


@pytest.mark.parametrize("flags", [(), ("--conditional",)])
def test_the_measures_are_those_of_samples_with_the_labels_of_real_images(tiny_config, tmp_path: Path, flags):
    commands.run_command(tiny_config("--model=dcgan1", "--run=run", "--max_steps=1", "--eval_freq=1", *flags))
    (row,) = read_metrics(tmp_path / "run")
    config = tiny_config("--model=dcgan1", "--run=run", "--mode=generate")
    (source,) = load_networks(config)
    real = load_dataset(source.config)
    images = sampler_of(source).numbered(0, 14, config.seed, Purpose.EVALUATED_LATENTS, real.labels)
    assert real.labels.tolist() != [0, 1] * 7  # the labels that would take turns
    real_features, synthetic = map(random_extractor(), (real.images, images))
    assert row["recall-random-n14"] == pytest.approx(manifold_metrics(real_features, synthetic).recall)
    assert row["kid-random-n14"] == pytest.approx(squared_mmd(real_features, synthetic), rel=1e-4)


def test_generate_takes_the_checkpoint_that_was_chosen(tiny_config, tmp_path: Path, monkeypatch, caplog):
    values = iter([Measures(1.0, 0.5), Measures(2.0, 0.5)])
    monkeypatch.setattr(MeasuredTrainer, "_measure", lambda self: next(values))
    commands.run_command(tiny_config("--model=dcgan1", "--run=run", "--max_steps=4", "--eval_freq=2"))
    pixels = {}
    for choice, step in (("last", 4), ("best", 2)):
        output = tmp_path / choice
        flags = [
            "--mode=generate",
            f"--checkpoint={choice}",
            "--format=npz",
            "--num_images=5",
            f"--output_dir={output}",
        ]
        commands.run_command(tiny_config("--model=dcgan1", "--run=run", *flags))
        assert f"trained for {step} steps" in caplog.text
        with np.load(output / "images.npz") as images:
            pixels[choice] = images["images"]
    assert not np.array_equal(pixels["best"], pixels["last"])


def test_a_run_without_a_best_checkpoint_says_so(tiny_config):
    commands.run_command(tiny_config("--model=dcgan1", "--run=run", "--max_steps=1"))
    with pytest.raises(UserError, match="no best checkpoint: train it with --eval_freq"):
        commands.run_command(tiny_config("--model=dcgan1", "--run=run", "--mode=generate", "--checkpoint=best"))
