"""Makes the Config of each command that the study runs, from the flags that --mode=paper was given."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from histogan_tf.config import Config, flag_fields, resolve
from histogan_tf.paper.rows import PERTURBATION_ROW, Row
from histogan_tf.runs.run_directory import run_directory

_NOT_PASSED_ON = ("mode", "run", "checkpoint_dir", "restart", "seed", "epoch", "batch_size")
_NO_PART_OF_THE_COMMAND = ("restart", "stages", "dry_run", "checkpoint_dir")
_EPOCHS = {"figure5": 25, "dcgan": 50, "small": 400, "conditional": 50, "tissue": 100, "cyclegan": 25}
# The settings of the recipes flags/dcgan_small.cfg and flags/tissue.cfg, one network a label. The study's batch size,
# learning rate and beta1 are for DCGANs; the projected GAN has its own.
SMALL_DATA = {"model": "dcgan1", "diffaugment": ("dihedral",), "ema_decay": 0.99}
TISSUE = {"model": "projected", "batch_size": None, "learning_rate": None, "beta1": None}
# These flags can change while a run goes on, yet they decide what a finished run has made.
_DECISIVE = ("epoch", "max_steps", "decay_epoch")


class StudyConfigs:
    """Makes the Config of every command of one study.

    Args:
        config: the resolved Config of --mode=paper.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.directory = run_directory(config)
        paper = [field.name for field in flag_fields() if field.metadata["section"] == "paper"]
        self._given = {name: getattr(config, name) for name in config.given.difference(_NOT_PASSED_ON, paper)}

    @property
    def seeds(self) -> range:
        """The seeds of the repeats, one each."""
        return range(self._config.seed, self._config.seed + self._config.repeats)

    def folder(self, seed: int) -> Path:
        """Returns the folder of everything that a repeat makes; it is the --checkpoint_dir of the repeat's runs."""
        return self.directory / f"seed-{seed}"

    def data(self, **changes: Any) -> Config:
        """Returns the Config of a command that reads the dataset."""
        return self._make(seed=self._config.seed, **changes)

    def generator(self, kind: str, seed: int, **changes: Any) -> Config:
        """Returns the Config that trains a generator, a DCGAN3 unless `changes` say otherwise.

        The kind of the stage, `kind`, decides the number of epochs.
        """
        batch_size = {"batch_size": self._config.batch_size}
        return self._train(kind, seed, **{"model": "dcgan3", **batch_size, **changes})

    def cyclegan(self, seed: int) -> Config:
        """Returns the Config that trains the CycleGAN."""
        return self._train("cyclegan", seed, model="cyclegan", run="cyclegan")

    def classifier(self, row: Row, seed: int, *, synthetic_dir: Path | None) -> Config:
        """Returns the Config that trains a row's classifier: on real images alone if `synthetic_dir` is None."""
        return self._make(
            model="resnet18",
            run=f"classifier-{row.name}",
            checkpoint_dir=str(self.folder(seed)),
            seed=seed,
            epoch=self._config.epoch,
            batch_size=self._config.batch_size,
            train_on="real" if synthetic_dir is None else row.train_on,
            synthetic_dir=None if synthetic_dir is None else str(synthetic_dir),
            perturbations=PERTURBATION_ROW if row.is_perturbed else None,
        )

    def command(self, mode: str, seed: int, **changes: Any) -> Config:
        """Returns the Config of a command that reads a repeat's runs; settings missing in `changes` come from those."""
        return self._make(mode=mode, checkpoint_dir=str(self.folder(seed)), seed=seed, **changes)

    def _train(self, kind: str, seed: int, **changes: Any) -> Config:
        epoch = self._config.epoch if "epoch" in self._config.given else _EPOCHS[kind]
        return self._make(checkpoint_dir=str(self.folder(seed)), seed=seed, epoch=epoch, **changes)

    def _make(self, **changes: Any) -> Config:
        return dataclasses.replace(resolve(Config(**{**self._given, **changes})), given=frozenset(changes))


def decisive_settings(config: Config, *sections: str) -> dict[str, Any]:
    """Returns the settings that decide what a run makes; paths of files are left out.

    Args:
        config: the Config of the run.
        sections: sections of flags to look at, beside `command` and `data`.
    """
    return {
        field.name: getattr(config, field.name)
        for field in flag_fields()
        if field.metadata["section"] in ("command", "data", *sections)
        and (field.metadata["fixed"] or field.name in _DECISIVE)
        and field.name not in ("clusters", "restart")
        and getattr(config, field.name) is not None
    }


def command_line(config: Config) -> str:
    """Returns the command line that repeats a study."""
    shown = {name: getattr(config, name) for name in sorted(config.given.difference(_NO_PART_OF_THE_COMMAND))}
    words = []
    for name, value in shown.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no{name}")
        else:
            words.append(f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
    return " ".join(["python main.py", *words])
