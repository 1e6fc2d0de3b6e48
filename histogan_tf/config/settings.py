"""The frozen Config, which holds every flag, and `resolve`, which checks the flags and fills in those left out."""

from __future__ import annotations

import dataclasses
import os
import re
from collections.abc import Mapping
from typing import Any

from histogan_tf.config.classifier_flags import ClassifierFlags, EvaluationFlags
from histogan_tf.config.cluster_flags import ClusterFlags
from histogan_tf.config.cyclegan_flags import CycleGANFlags, TranslateFlags
from histogan_tf.config.data_flags import DataFlags
from histogan_tf.config.export_flags import ExportFlags
from histogan_tf.config.families import (
    CLASSIFIER,
    FAMILIES,
    MODELS,
    TRANSLATOR,
    Family,
    family_of,
    flags_unused_by,
    models_of_kind,
    models_that_heed,
)
from histogan_tf.config.family_rules import fill_in
from histogan_tf.config.feature_layers import stage_numbers
from histogan_tf.config.flag import Table, check, check_recorded
from histogan_tf.config.paper_flags import OWN_FLAGS, QUICK, REPEATS, PaperFlags
from histogan_tf.config.projected_flags import BackboneFlags, ProjectedFlags
from histogan_tf.config.quiz_flags import QuizFlags
from histogan_tf.config.run_flags import (
    EXPORT_FORMATS,
    FORMATS,
    PRETRAINED_PREFIX,
    CommandFlags,
    ResultFlags,
    WatchingFlags,
)
from histogan_tf.config.training_flags import NetworkFlags, TrainingFlags
from histogan_tf.errors import UserError

_READERS = Table("histogan_tf.data.sources:READERS")
# The flags that name files and folders.
_PATHS = (
    *("checkpoint_dir", "data_dir", "data_path", "dataset", "output_dir", "export_dir", "synthetic_dir", "clusters"),
    *("vocabulary", "weights", "init_from", "labels_csv"),
)
# Where the results of the modes go that take no --output_dir.
_FOLDERS = {
    "train": "--run in --checkpoint_dir",
    "export": "--export_dir",
    "download": "--data_path, or <dataset> in --data_dir",
}
_BACKBONES = Table("histogan_tf.models.backbones:BACKBONES")
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://")


@dataclasses.dataclass(frozen=True)
class Config(
    PaperFlags,
    ExportFlags,
    QuizFlags,
    ClusterFlags,
    EvaluationFlags,
    TranslateFlags,
    ResultFlags,
    WatchingFlags,
    ClassifierFlags,
    CycleGANFlags,
    ProjectedFlags,
    BackboneFlags,
    TrainingFlags,
    NetworkFlags,
    DataFlags,
    CommandFlags,
):
    """All settings of one command: the values that were given, or those that `resolve` filled in."""

    given: frozenset[str] = frozenset()  # the names of the flags on the command line or in a flagfile

    def run_name(self) -> str:
        """Returns the name of the run directory: --run, or a name made from model, dataset and label."""
        # A translator is trained on two labels, so its run is named after neither; --label may choose its inputs.
        label = None if family_of(self.model).kind == TRANSLATOR else self.label
        kind = "paper" if self.mode == "paper" else self.model
        return self.run or "-".join([kind, self._set_name(), *([label] if label else [])])

    def _set_name(self) -> str:
        """Returns the name of --dataset; of medmnist, which stands for several sets, the name of the one set."""
        reader = _READERS.get(self.dataset)
        chosen = reader.chosen_set(self) if reader is not None and reader.chosen_set is not None else None
        return chosen or os.path.basename(self.dataset)

    def dataset_folder(self) -> str:
        """Returns the path of the dataset's folder, whether it exists or not."""
        given = self.data_path or os.path.join(self.data_dir, self.dataset)
        return os.path.expandvars(os.path.expanduser(given))

    def to_json(self) -> dict[str, Any]:
        """Returns all settings except `given`, as values that JSON can hold."""
        return {field.name: getattr(self, field.name) for field in flag_fields()}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Config:
        """Returns the Config that `to_json` wrote, in this version or an earlier one; unknown settings are left out.

        Raises:
            UserError: if a setting is not of the type of its flag, or has a value that the flag does not allow.
        """
        settings, values = _as_written_today(settings), {}
        for field in flag_fields():
            if field.name in settings:
                value = settings[field.name]
                values[field.name] = tuple(value) if isinstance(value, list) else value
                check_recorded(field, values[field.name])
        config = cls(**values)
        return fill_in(config, family_of(config.model).presets[config.model])


def _as_written_today(settings: Mapping[str, Any]) -> Mapping[str, Any]:
    """Returns the settings of a run, with values that had another meaning in earlier versions replaced.

    Before --cpu_kernels existed, only DCGANs used --adversarial_loss. The other models recorded its default,
    cross_entropy, although CycleGAN trained with least squares and the classifier with no adversarial loss.
    """
    model = settings.get("model")
    if not isinstance(model, str):
        return settings
    if "cpu_kernels" in settings or model in FAMILIES["dcgan"].presets or model not in MODELS:
        return settings
    return {**settings, "adversarial_loss": family_of(model).presets[model].get("adversarial_loss")}


def flag_fields() -> list[dataclasses.Field]:
    """Returns the fields of Config that are flags."""
    return [field for field in dataclasses.fields(Config) if field.metadata]


def resolve(config: Config) -> Config:
    """Returns the Config with every flag checked, and with the values that depend on the model or on another flag.

    Raises:
        UserError: if a value is not allowed, or flags contradict each other.
    """
    for field in flag_fields():
        check(field, getattr(config, field.name))
    _check_not_empty(config)
    config = dataclasses.replace(config, dataset=_known_dataset(config.dataset))
    _check_names(config)
    if (config.run or "").startswith(PRETRAINED_PREFIX) and config.mode in ("train", "paper"):
        raise UserError(
            f"--run={config.run} comes with the program and stays as it is: give your training a --run of its own, and "
            f"--init_from={config.run} to start it from there"
        )
    if config.init_from is not None and config.mode == "paper":
        raise UserError(f"--init_from={config.init_from}: the study trains every network from its start; leave it out")
    if (config.clusters is None) != (config.cluster is None):
        raise UserError("--clusters=FILE and --cluster=NUMBER belong together: give both or neither")
    if config.conditional and config.label and config.mode == "train":
        raise UserError(f"--label={config.label}: a --conditional network learns every label; leave --label out")
    if config.mode == "paper":
        config = _resolve_paper(config)
    family = family_of(config.model)
    _check_heeded(config, family)
    _check_distribution(config)
    check_precision(config)
    _check_quiz(config)
    stage_numbers(config.feature_layer, _BACKBONES[config.backbone].num_stages)
    config = _resolve_format(_resolve_sizes(config))
    return family.check(config, family.presets[config.model])


def _check_not_empty(config: Config) -> None:
    """Refuses a text that is empty, as a variable of the shell that nobody has set leaves it."""
    for field in flag_fields():
        if field.name in config.given and getattr(config, field.name) == "":
            raise UserError(f"--{field.name}= is empty: give a value, or leave --{field.name} out")


def _check_names(config: Config) -> None:
    """Refuses addresses where a file or folder is meant, and paths where a plain name is."""
    for name in _PATHS:
        value = getattr(config, name)
        if value is not None and _URL.match(value):
            raise UserError(
                f"--{name}={value} is an address, and this program reads and writes files of this machine only: give "
                f"a folder, into which the storage can be mounted or copied"
            )
    for name in ("checkpoint_dir", "sample_dir", "export_dir", "init_from"):
        _require_utf8(name, getattr(config, name))
    if config.mode in ("train", "paper"):
        _require_utf8("run", config.run_name())
    for name in ("run", "sample_dir"):
        value = getattr(config, name)
        if value is not None and (value in ("", ".", "..") or value != os.path.basename(value)):
            raise UserError(f"--{name}={value!r}: give a plain folder name, without a path")


def _require_utf8(name: str, value: str | None) -> None:
    """Refuses a name that TensorFlow could not write to."""
    try:
        (value or "").encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"--{name}={value!r} is not in UTF-8: give another name") from None


def _known_dataset(name: str) -> str:
    """Returns the name of a dataset that has a reader of its own as this program spells it: idc for IDC."""
    lower = name.lower()
    return lower if lower != name and lower in _READERS else name


def _resolve_paper(config: Config) -> Config:
    """Refuses the flags that the study sets itself, and fills in the values of --quick, the repeats and the draws."""
    for name in OWN_FLAGS:
        if name in config.given:
            raise UserError(f"--{name}: --mode=paper sets this flag itself in each of its stages; leave it out")
    if config.quick:
        filled = {name: value for name, value in QUICK.items() if name not in config.given}
        config = dataclasses.replace(config, **filled, given=config.given | filled.keys())
    repeats = config.repeats or REPEATS
    gan_repeats = config.gan_repeats or repeats
    if gan_repeats > repeats:
        raise UserError(f"--gan_repeats={gan_repeats} is more than --repeats={repeats}: give at most as many")
    few_draws = config.few_draws or gan_repeats
    return dataclasses.replace(config, repeats=repeats, gan_repeats=gan_repeats, few_draws=few_draws)


def _check_heeded(config: Config, family: Family) -> None:
    """Refuses flags that have no effect on the chosen model, so that nobody believes that they had one."""
    unused = flags_unused_by(family)
    for field in flag_fields():
        name, value = field.name, getattr(config, field.name)
        if name in unused and value != field.default:
            shown = ",".join(map(str, value)) if isinstance(value, tuple) else value
            heeding = ", ".join(models_that_heed(name))
            raise UserError(f"--{name}={shown} is for {heeding}, not for {config.model}: leave --{name} out")
    if config.center_crop and config.mode == "train" and family.kind != CLASSIFIER:
        raise UserError(
            f"--center_crop is for {', '.join(models_of_kind(CLASSIFIER))}, and for --features=backbone with "
            f"--mode=evaluate, not for {config.model}: leave --center_crop out"
        )
    if config.output_dir is not None and config.mode in _FOLDERS:
        raise UserError(
            f"--output_dir has no effect with --mode={config.mode}, whose results go to {_FOLDERS[config.mode]}: "
            f"leave --output_dir out"
        )
    if config.checkpoint == "best" and config.mode not in ("generate", "visualize", "evaluate", "export", "quiz"):
        raise UserError(
            f"--checkpoint=best is for generate, visualize, evaluate, export and quiz, not --mode={config.mode}"
        )


def _check_distribution(config: Config) -> None:
    """Refuses flags about replicas where they would have no effect: only training uses replicas."""
    if config.distribution != "none" and config.mode != "train":
        reason = ", which trains a CycleGAN on one pair of images at a time" if config.mode == "paper" else ""
        raise UserError(
            f"--distribution={config.distribution} works only with --mode=train, not with --mode={config.mode}{reason}"
            f": leave --distribution out"
        )
    if config.num_replicas and config.distribution != "mirrored":
        raise UserError(
            f"--num_replicas={config.num_replicas} works only with --distribution=mirrored, not with "
            f"--distribution={config.distribution}: leave --num_replicas out"
        )
    if config.sync_batch_norm and config.distribution == "none":
        raise UserError(
            "--sync_batch_norm needs several replicas: add --distribution=mirrored or --distribution=multi_worker, or "
            "leave --sync_batch_norm out"
        )


def check_precision(config: Config) -> None:
    """Refuses what float16 cannot do, and XLA on several devices.

    Raises:
        UserError: if a flag cannot be combined with --precision=float16, or --jit_compile with --distribution.
    """
    if config.jit_compile and config.distribution != "none":
        raise UserError(
            f"--jit_compile works on one device, not with --distribution={config.distribution}: leave one of them out"
        )
    if config.precision != "float16" or config.mode not in ("train", "paper"):
        return
    remedy = "take --precision=bfloat16 or --precision=float32"
    if config.distribution != "none":
        raise UserError(
            f"--precision=float16 trains on one device, not with --distribution={config.distribution}: {remedy}"
        )
    if config.r1_gamma:
        raise UserError(
            f"--r1_gamma={config.r1_gamma}: the gradient of its gradient leaves the range of --precision=float16: "
            f"{remedy}"
        )


def _check_quiz(config: Config) -> None:
    """Refuses lists that name nothing, and readers' answers with a command that does not read them."""
    for name, example in (("quiz", "a.csv,b.csv"), ("quiz_sizes", "100,200,300")):
        if getattr(config, name) == ():
            raise UserError(f"--{name}= is empty: name one or more, such as --{name}={example}, or leave it out")
    if config.quiz and config.mode != "evaluate":
        raise UserError(
            f"--quiz={','.join(config.quiz)} names readers' answers, which --mode=evaluate reads, not "
            f"--mode={config.mode}; --mode=quiz, without --quiz, writes the page"
        )


def _resolve_format(config: Config) -> Config:
    """Checks and fills in --format, whose allowed values for --mode=export differ from those for other modes."""
    formats = EXPORT_FORMATS if config.mode == "export" else FORMATS
    if config.format not in (None, *formats):
        raise UserError(f"--format={config.format}: with --mode={config.mode}, choose one of {', '.join(formats)}")
    return dataclasses.replace(config, format=config.format or formats[0])


def _resolve_sizes(config: Config) -> Config:
    """Checks the sizes of the crop and the output, and sets widths left out to the heights, as the original does."""
    if config.crop and not config.input_height:
        raise UserError("--crop needs the height of the centre crop in pixels, such as --input_height=108")
    if config.input_height and not config.crop:
        raise UserError(f"--input_height={config.input_height} is the size of a centre crop: add --crop")
    for side in ("input", "output"):
        if getattr(config, f"{side}_width") and not getattr(config, f"{side}_height"):
            raise UserError(f"--{side}_width={getattr(config, f'{side}_width')} needs --{side}_height too")
    return dataclasses.replace(
        config,
        input_width=config.input_width or config.input_height,
        output_width=config.output_width or config.output_height,
    )
