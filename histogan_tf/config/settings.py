"""All flags together: the frozen Config, what each model fills in, and which flags contradict each other."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping
from typing import Any

from histogan_tf.config.classifier_flags import ClassifierFlags, EvaluationFlags
from histogan_tf.config.cluster_flags import ClusterFlags
from histogan_tf.config.cyclegan_flags import CycleGANFlags, TranslateFlags
from histogan_tf.config.data_flags import DataFlags
from histogan_tf.config.export_flags import ExportFlags
from histogan_tf.config.flag import check
from histogan_tf.config.paper_flags import OWN_FLAGS, QUICK, REPEATS, PaperFlags
from histogan_tf.config.run_flags import EXPORT_FORMATS, FORMATS, CommandFlags, ResultFlags, WatchingFlags
from histogan_tf.config.training_flags import DIFFAUGMENT_POLICIES, NetworkFlags, TrainingFlags
from histogan_tf.errors import UserError

# What each model fills in where a flag is left out. dcgan3 makes its projection at output size, so at the width of the
# other two its generator costs about 83 times theirs at 50x50; a quarter of the width brings that to about 5 times.
_DCGAN = {"batch_size": 64, "sample_num": 64}
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "dcgan1": {**_DCGAN, "strides": (2,), "gf_dim": 64, "label_smoothing": 1.0, "instance_noise": 0.0},
    "dcgan2": {**_DCGAN, "strides": (2,), "gf_dim": 64, "label_smoothing": 0.9, "instance_noise": 0.2},
    "dcgan3": {**_DCGAN, "strides": (1,), "gf_dim": 16, "label_smoothing": 0.9, "instance_noise": 0.2},
    "cyclegan": {"batch_size": 1, "sample_num": 16, "gf_dim": 64},
    "resnet18": {"batch_size": 64},
}

# Training of a DCGAN beyond the paper's: silence would let a user believe that another model heeds them.
_DCGAN_ONLY = (
    "spectral_norm",
    "adversarial_loss",
    "ema_decay",
    "diffaugment",
    "ada_target",
    "r1_gamma",
    "eval_freq",
    "checkpoint",
)


@dataclasses.dataclass(frozen=True)
class Config(
    PaperFlags,
    ExportFlags,
    ClusterFlags,
    EvaluationFlags,
    TranslateFlags,
    ResultFlags,
    WatchingFlags,
    ClassifierFlags,
    CycleGANFlags,
    TrainingFlags,
    NetworkFlags,
    DataFlags,
    CommandFlags,
):
    """All settings of one invocation, as given or as `resolve` filled them in."""

    given: frozenset[str] = frozenset()  # names of the flags that stood on the command line or in a flagfile

    def run_name(self) -> str:
        """Name of the run directory: --run, or made from model, dataset and label."""
        # What a CycleGAN translates may have one label; what it was trained on has two.
        label = None if self.model == "cyclegan" else self.label
        kind = "paper" if self.mode == "paper" else self.model
        return self.run or "-".join([kind, os.path.basename(self.dataset), *([label] if label else [])])

    def to_json(self) -> dict[str, Any]:
        """All settings but `given`, as JSON can hold them."""
        return {field.name: getattr(self, field.name) for field in flag_fields()}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> Config:
        """The Config that `to_json` wrote; settings of another version that are unknown here are left out."""
        known = {field.name for field in flag_fields()}
        values = {name: tuple(value) if isinstance(value, list) else value for name, value in settings.items()}
        return cls(**{name: value for name, value in values.items() if name in known})


def flag_fields() -> list[dataclasses.Field]:
    """The fields of Config that are flags."""
    return [field for field in dataclasses.fields(Config) if field.metadata]


def resolve(config: Config) -> Config:
    """Checks every value, and fills in those that the model or another flag decides.

    Raises:
        UserError: for a value out of its range, or flags that contradict each other.
    """
    for field in flag_fields():
        check(field, getattr(config, field.name))
    for name in ("run", "sample_dir"):
        value = getattr(config, name)
        if value is not None and (value in ("", ".", "..") or value != os.path.basename(value)):
            raise UserError(f"--{name}={value!r}: give a plain folder name, without a path")
    if (config.clusters is None) != (config.cluster is None):
        raise UserError("--clusters=FILE and --cluster=NUMBER belong together: give both or neither")
    if config.conditional and config.label and config.mode == "train":
        raise UserError(f"--label={config.label}: a --conditional network learns every label; leave --label out")
    if config.mode == "paper":
        config = _resolve_paper(config)
    _check_small_data(config)
    _check_distribution(config)
    preset = {name: value for name, value in PRESETS[config.model].items() if getattr(config, name) is None}
    if config.adversarial_loss == "hinge":
        preset["label_smoothing"] = 1.0
    config = _resolve_format(_resolve_sizes(dataclasses.replace(config, **preset)))
    if config.model == "resnet18":
        return _resolve_classifier(config)
    return _resolve_cyclegan(config) if config.model == "cyclegan" else _resolve_layers(config)


def _resolve_paper(config: Config) -> Config:
    """What --quick fills in; and the flags that the study sets itself are refused."""
    for name in OWN_FLAGS:
        if name in config.given:
            raise UserError(f"--{name}: --mode=paper sets it itself, stage by stage; leave it out")
    if config.quick:
        filled = {name: value for name, value in QUICK.items() if name not in config.given}
        config = dataclasses.replace(config, **filled, given=config.given | filled.keys())
    return dataclasses.replace(config, repeats=config.repeats or REPEATS)


def _check_small_data(config: Config) -> None:
    """What goes beyond the paper's DCGANs must reach a DCGAN, and fit together."""
    defaults = {field.name: field.default for field in flag_fields()}
    for name in _DCGAN_ONLY:
        value = getattr(config, name)
        if not config.model.startswith("dcgan") and value != defaults[name]:
            shown = ",".join(value) if isinstance(value, tuple) else value
            raise UserError(f"--{name}={shown} is of the DCGANs, not of {config.model}: leave --{name} out")
    if config.checkpoint == "best" and config.mode not in ("generate", "visualize", "evaluate", "export"):
        raise UserError(f"--checkpoint=best is for generate, visualize, evaluate and export, not --mode={config.mode}")
    if config.ada_target and not config.diffaugment:
        policies = ",".join(DIFFAUGMENT_POLICIES)
        raise UserError(f"--ada_target={config.ada_target} needs something to adapt: --diffaugment={policies}, or some")
    if config.adversarial_loss == "hinge" and config.label_smoothing not in (None, 1.0):
        raise UserError(
            f"--label_smoothing={config.label_smoothing}: the hinge loss has no target to smooth; leave it out"
        )


def _check_distribution(config: Config) -> None:
    """Replicas are of training, and flags about them must reach some."""
    if config.distribution != "none" and config.mode != "train":
        reason = ", for it trains a CycleGAN on one pair at a time" if config.mode == "paper" else ""
        raise UserError(
            f"--distribution={config.distribution} is of --mode=train, not of --mode={config.mode}{reason}: leave "
            f"--distribution out"
        )
    if config.num_replicas and config.distribution != "mirrored":
        raise UserError(
            f"--num_replicas={config.num_replicas} is of --distribution=mirrored, not of "
            f"--distribution={config.distribution}: leave --num_replicas out"
        )
    if config.sync_batch_norm and config.distribution == "none":
        raise UserError("--sync_batch_norm needs --distribution=mirrored or multi_worker: one replica has all images")
    if config.sync_batch_norm and not config.model.startswith("dcgan"):
        raise UserError(f"--sync_batch_norm is of the DCGANs, {config.model} has no batch norm to train: leave it out")


def _resolve_classifier(config: Config) -> Config:
    """Images of both labels, split as the study does, and synthetic ones where they are asked for."""
    if config.mode != "train":
        return config
    for name in ("label", "part"):
        if getattr(config, name):
            raise UserError(
                f"--{name}={getattr(config, name)}: a classifier learns both labels from the training part and is "
                f"measured on the validation part; leave --{name} out"
            )
    if config.train_on != "real" and not config.synthetic_dir:
        raise UserError(f"--train_on={config.train_on} needs --synthetic_dir, a folder that --mode=generate wrote")
    if config.train_on == "real" and config.synthetic_dir:
        raise UserError(f"--synthetic_dir={config.synthetic_dir} is used with --train_on=both or --train_on=synthetic")
    return config


def _resolve_cyclegan(config: Config) -> Config:
    """Two domains, and when the learning rate begins to fall."""
    if config.mode == "train":
        for name in ("label", "conditional"):
            if getattr(config, name):
                raise UserError(
                    f"--{name}={getattr(config, name)}: CycleGAN learns two labels; choose them with --domain_a and "
                    f"--domain_b, and leave --{name} out"
                )
    return config if config.decay_epoch is not None else dataclasses.replace(config, decay_epoch=config.epoch // 2)


def _resolve_layers(config: Config) -> Config:
    """One stride and one kernel size for each transposed convolution."""
    num_layers = 2 if config.conditional else 4
    filled = {}
    for name in ("strides", "kernel_size"):
        value = getattr(config, name)
        if len(value) not in (1, num_layers):
            raise UserError(
                f"--{name}={','.join(map(str, value))}: give one number or {num_layers}, one for each of the "
                f"generator's transposed convolutions"
            )
        filled[name] = value if len(value) == num_layers else value * num_layers
    return dataclasses.replace(config, **filled)


def _resolve_format(config: Config) -> Config:
    """--format means one thing to export, and another to the other commands."""
    formats = EXPORT_FORMATS if config.mode == "export" else FORMATS
    if config.format not in (None, *formats):
        raise UserError(f"--format={config.format}: with --mode={config.mode}, choose one of {', '.join(formats)}")
    return dataclasses.replace(config, format=config.format or formats[0])


def _resolve_sizes(config: Config) -> Config:
    """Widths follow heights, as in the original."""
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
