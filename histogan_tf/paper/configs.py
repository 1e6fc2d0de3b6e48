"""Makes the Config of each command that the study runs, from the flags that --mode=paper was given."""

from __future__ import annotations

import dataclasses
import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from histogan_tf.config import Config, flag_fields, resolve
from histogan_tf.config.families import family_of, flags_unused_by
from histogan_tf.config.paper_flags import OWN_FLAGS, TRAINING_STAGES
from histogan_tf.config.parsing import is_list, parse_values
from histogan_tf.errors import UserError, listing
from histogan_tf.paper.rows import STAIN, SYNTHETIC, Row
from histogan_tf.paper.study_images import LABELS
from histogan_tf.runs.run_directory import run_directory

_NOT_PASSED_ON = ("mode", "run", "checkpoint_dir", "restart", "seed", "epoch", "batch_size")
_NO_PART_OF_THE_COMMAND = ("restart", "stages", "dry_run", "checkpoint_dir")
_ENLARGED_SETS = ("dcgan", "tissue")
MOST_SYNTHETIC = 4  # synthetic images for each real training image, in the curve over their number
FEW = "few"
TISSUE_KINDS = ("tissue", FEW)  # the kinds of the stages that train tissue GANs
FEW_STEPS = 2000  # of a tissue GAN on few patients; more steps on few patches make the discriminators overfit
_EPOCHS = {"figure5": 25, "dcgan": 50, "small": 400, "conditional": 50, "tissue": 50, FEW: 1000, "cyclegan": 25}


@dataclasses.dataclass(frozen=True)
class StudyGenerator:
    """How the study makes a set of synthetic images from noise; a key of SYNTHETIC names the set.

    Attributes:
        prefix: what the names of its runs begin with.
        settings: flags that differ from those of the study's DCGAN3.
    """

    prefix: str
    settings: Mapping[str, Any]

    def run(self, label: int) -> str:
        """Returns the name of the run that makes the images of a label."""
        return self.prefix if self.settings.get("conditional") else f"{self.prefix}-{label}"

    @property
    def runs(self) -> dict[str, str | None]:
        """The names of its runs, each with the label that it is trained on; None for both labels."""
        return {self.run(label): None if self.settings.get("conditional") else str(label) for label in LABELS}


# The settings are those of the recipes flags/dcgan_small.cfg and flags/tissue.cfg. The study's batch size, learning
# rate and beta1 are for DCGANs; the projected GAN has its own.
TISSUE = {"model": "projected", "conditional": True, "batch_size": None, "learning_rate": None, "beta1": None}
STUDY_GENERATORS = {
    "dcgan": StudyGenerator("dcgan3", {}),
    "small": StudyGenerator("small", {"model": "dcgan1", "diffaugment": ("dihedral",), "ema_decay": 0.99}),
    "conditional": StudyGenerator("dcgan3-conditional", {"conditional": True}),
    "tissue": StudyGenerator("tissue", TISSUE),
}
_TISSUE_BACKBONE = "resnet18"
_OF_ANY_NETWORK = ("random", "imagenet")  # values of --weights that every network has
_SET_BY_THE_STUDY = {*OWN_FLAGS, *_NOT_PASSED_ON} - {"epoch", "batch_size"} | {
    field.name for field in flag_fields() if field.metadata["section"] in ("paper", "data")
}
# These flags can change while a run goes on, yet they decide what a finished run has made.
_DECISIVE = ("epoch", "max_steps", "decay_epoch")


class StudyConfigs:
    """Makes the Config of every command of one study.

    Args:
        config: the resolved Config of --mode=paper.

    Raises:
        UserError: if --stage_flags make no sense, or it is not told where the weights of the network come from that the
            tissue GANs are trained against.
    """

    def __init__(self, config: Config) -> None:
        self._config = config
        self.directory = run_directory(config)
        self._stage_flags = _stage_flags(config.stage_flags or ())
        self._check_tissue_weights()
        paper = [field.name for field in flag_fields() if field.metadata["section"] == "paper"]
        self._given = {name: getattr(config, name) for name in config.given.difference(_NOT_PASSED_ON, paper)}

    def _check_tissue_weights(self) -> None:
        """Refuses a folder of another network's weights for the network that the tissue GANs are trained against."""
        config = self._config
        if "tissue" not in config.generators or config.weights in _OF_ANY_NETWORK:
            return
        own = {kind: self._stage_flags.get(kind, {}) for kind in TISSUE_KINDS}
        networks = {
            kind: flags.get("backbone", _TISSUE_BACKBONE) for kind, flags in own.items() if "weights" not in flags
        }
        others = {kind: network for kind, network in networks.items() if network != config.backbone}
        if others:
            flags = ",".join(f"{kind}.weights=imagenet" for kind in others)
            names = listing(dict.fromkeys(others.values()))
            raise UserError(
                f"--weights={config.weights} is of --backbone={config.backbone}, and the tissue GAN is trained against "
                f"{names}: add --stage_flags={flags} (or a folder of {names}), or leave tissue out of --generators"
            )

    @property
    def seeds(self) -> range:
        """The seeds of the repeats, one each."""
        return range(self._config.seed, self._config.seed + self._config.repeats)

    @property
    def gan_seeds(self) -> range:
        """The seeds of the repeats in which GANs are trained: the first --gan_repeats of all."""
        return self.seeds[: self._config.gan_repeats]

    @property
    def draw_seeds(self) -> range:
        """The seeds of the draws of few patients, one each, and of the tissue GAN that each draw trains."""
        return range(self._config.seed, self._config.seed + self._config.few_draws)

    def gan_seed(self, seed: int) -> int:
        """Returns the seed of the repeat whose synthetic images the classifiers of a repeat are trained on."""
        return self.gan_seeds[self.seeds.index(seed) % len(self.gan_seeds)]

    @property
    def synthetic(self) -> list[str]:
        """The sets of synthetic images that the study makes, keys of SYNTHETIC in its order."""
        return [name for name in SYNTHETIC if name in (*self._config.generators, STAIN)]

    @property
    def gan_runs(self) -> list[str]:
        """The runs of all GANs of a repeat, without those of Figure 5 and those of few patients."""
        made = [run for name in self.synthetic if name in STUDY_GENERATORS for run in STUDY_GENERATORS[name].runs]
        return [*made, *(["cyclegan"] if "ccan" in self.synthetic else [])]

    @property
    def enlarged_sets(self) -> list[str]:
        """The sets of which the first repeat makes more images than there are real ones, for the curves."""
        return [name for name in _ENLARGED_SETS if name in self.synthetic]

    def folder(self, seed: int) -> Path:
        """Returns the folder of everything that a repeat makes; it is the --checkpoint_dir of the repeat's runs."""
        return self.directory / f"seed-{seed}"

    def few_folder(self, seed: int) -> Path:
        """Returns the folder of the tissue GANs that are trained on the few patients drawn with a seed."""
        return self.folder(seed) / "few"

    def data(self, **changes: Any) -> Config:
        """Returns the Config of a command that reads the dataset."""
        return self._make(seed=self._config.seed, **changes)

    def generator(self, kind: str, seed: int, **changes: Any) -> Config:
        """Returns the Config that trains a generator, a DCGAN3 unless `changes` say otherwise.

        The kind of the stage, `kind`, decides the number of epochs.
        """
        batch_size = {"batch_size": self._config.batch_size}
        settings = STUDY_GENERATORS[kind].settings if kind in STUDY_GENERATORS else {}
        if kind == FEW:
            settings = {**TISSUE, "max_steps": min(self._config.max_steps or FEW_STEPS, FEW_STEPS)}
        if kind in TISSUE_KINDS and self._config.backbone != _TISSUE_BACKBONE:
            # Its discriminators see a ResNet-18 beside any classifier, unless --stage_flags name another network.
            settings = {**settings, "backbone": _TISSUE_BACKBONE, "feature_layer": None}
        return self._train(kind, seed, **{"model": "dcgan3", **batch_size, **settings, **changes})

    def cyclegan(self, seed: int) -> Config:
        """Returns the Config that trains the CycleGAN."""
        return self._train("cyclegan", seed, model="cyclegan", run="cyclegan")

    def classifier(self, row: Row, seed: int, *, synthetic_dir: Path | None) -> Config:
        """Returns the Config that trains a row's classifier: on real images alone if `synthetic_dir` is None."""
        fine_tune = row.fine_tune or self._config.fine_tune
        jit_compile = {"jit_compile": None} if fine_tune == "none" else {}  # there is no step to compile
        return self._make(
            model="resnet18",
            run=f"classifier-{row.name}",
            checkpoint_dir=str(self.folder(seed)),
            seed=seed,
            epoch=self._config.epoch,
            batch_size=self._config.batch_size,
            train_on="real" if synthetic_dir is None else row.train_on,
            synthetic_dir=None if synthetic_dir is None else str(synthetic_dir),
            perturbations=row.perturbations,
            fine_tune=fine_tune,
            **jit_compile,
        )

    def command(self, mode: str, seed: int, **changes: Any) -> Config:
        """Returns the Config of a command that reads a repeat's runs; settings missing in `changes` come from those."""
        return self._make(**{"mode": mode, "checkpoint_dir": str(self.folder(seed)), "seed": seed, **changes})

    def generation(self, run: str, seed: int, label: int, num_images: int, **where: str) -> Config:
        """Returns the Config of the command that makes images of a label; `where` holds the flags of folders."""
        settings = {"label": str(label), "num_images": num_images, "format": "npz"}
        return self.command("generate", seed, run=run, **settings, **where)

    def _train(self, kind: str, seed: int, **changes: Any) -> Config:
        epoch = self._config.epoch if "epoch" in self._config.given else _EPOCHS[kind]
        own = self._stage_flags.get(kind, {})
        of_run = {"checkpoint_dir": str(self.folder(seed)), "seed": seed, "epoch": epoch, "center_crop": False}
        return self._make(**{**of_run, **changes, **own})

    def _make(self, **changes: Any) -> Config:
        """Returns a Config of the study's flags, as far as the model uses them, and of `changes`."""
        unused = flags_unused_by(family_of(changes.get("model", Config.model)))
        passed_on = {name: value for name, value in self._given.items() if name not in unused}
        return dataclasses.replace(resolve(Config(**{**passed_on, **changes})), given=frozenset(changes))


def _stage_flags(texts: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Returns the values of --stage_flags by kind of stage and name of flag.

    Raises:
        UserError: if one has another form, or names no kind, no flag, or one that the study sets itself.
    """
    found: dict[str, dict[str, Any]] = {}
    for text in _with_whole_lists(texts):
        kind, dot, rest = text.partition(".")
        name, equals, value = rest.partition("=")
        if not dot or not equals:
            raise UserError(f"--stage_flags={text}: give KIND.FLAG=VALUE, such as cyclegan.epoch=5")
        if kind not in TRAINING_STAGES:
            raise UserError(f"--stage_flags={text}: {kind} trains no GAN; choose among {listing(TRAINING_STAGES)}")
        if name in _SET_BY_THE_STUDY:
            raise UserError(f"--stage_flags={text}: the study sets --{name} itself in each of its stages; leave it out")
        found.setdefault(kind, {}).update(parse_values({name: value}))
    return found


def _with_whole_lists(texts: Sequence[str]) -> list[str]:
    """Joins the items of lists, since commas separate them as well as flags: tissue.feature_stages=2,3 is one flag."""
    whole: list[str] = []
    for text in texts:
        name = whole[-1].partition("=")[0].partition(".")[2] if whole else ""
        if "=" not in text and is_list(name):
            whole[-1] += f",{text}"
        else:
            whole.append(text)
    return whole


def decisive_settings(config: Config, *sections: str) -> dict[str, Any]:
    """Returns the settings that decide what a run makes; paths of files and the network of --backbone are left out.

    Args:
        config: the Config of the run.
        sections: sections of flags to look at, beside `command` and `data`.
    """
    return {
        field.name: getattr(config, field.name)
        for field in flag_fields()
        if field.metadata["section"] in ("command", "data", *sections)
        and (field.metadata["fixed"] or field.name in _DECISIVE)
        and field.name not in ("clusters", "restart", "backbone")
        and getattr(config, field.name) is not None
    }


def command_line(config: Config) -> str:
    """Returns the command line that repeats a study, quoted for a shell."""
    shown = {name: getattr(config, name) for name in sorted(config.given.difference(_NO_PART_OF_THE_COMMAND))}
    words = []
    for name, value in shown.items():
        if isinstance(value, bool):
            words.append(f"--{name}" if value else f"--no{name}")
        else:
            words.append(f"--{name}={','.join(map(str, value)) if isinstance(value, tuple) else value}")
    return " ".join(["python main.py", *map(shlex.quote, words)])
