"""The rules of each model family for its flags: which of them contradict each other, and which are filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from histogan_tf.config.flag import Table
from histogan_tf.config.training_flags import ADVERSARIAL_LOSSES, DIFFAUGMENT_POLICIES
from histogan_tf.errors import UserError

if TYPE_CHECKING:
    from histogan_tf.config.settings import Config

_BACKBONES = Table("histogan_tf.models.backbones:BACKBONES")
_LAYERS, _CONDITIONAL_LAYERS = 4, 2  # transposed convolutions in the original's generators


# The values of flags that families preset, for families that do not. Those that do not use a flag record it too.
_DEFAULTS: Mapping[str, Any] = {
    "z_dim": 100,
    "z_dist": "uniform_signed",
    "df_dim": 64,
    "learning_rate": 0.0002,
    "beta1": 0.5,
    "generator_updates": 2,
    "ema_decay": 0.0,
}


def check_dcgan(config: Config, preset: Mapping[str, Any]) -> Config:
    """Returns a DCGAN's Config, checked, with a stride and a kernel size for each transposed convolution.

    Args:
        config: the flags as the user gave them.
        preset: the values for the flags that the user left out.

    Raises:
        UserError: if flags contradict each other.
    """
    return _each_layer_filled_in(_generator_filled_in(config, preset))


def check_projected(config: Config, preset: Mapping[str, Any]) -> Config:
    """Returns a projected GAN's Config, checked.

    Args:
        config: the flags as the user gave them.
        preset: the values for the flags that the user left out.

    Raises:
        UserError: if flags contradict each other.
    """
    num_stages = _BACKBONES[config.backbone].num_stages
    stages = config.feature_stages
    if stages is None:
        stages = tuple(range(num_stages - 3, num_stages))
    shown = f"--feature_stages={','.join(map(str, stages))}"
    if not stages or list(stages) != sorted(set(stages)):
        raise UserError(f"{shown}: give one or more stages in rising order, each once, such as 1,2,3")
    # Of other commands, --backbone is the network that measures images.
    if config.mode == "train" and stages[-1] > num_stages:
        raise UserError(
            f"{shown}: --backbone={config.backbone} has {num_stages} stages; give numbers from 1 to {num_stages}, such "
            f"as 1,2,3, or another --backbone"
        )
    return _generator_filled_in(dataclasses.replace(config, feature_stages=stages), preset)


def _generator_filled_in(config: Config, preset: Mapping[str, Any]) -> Config:
    """Returns a generator's Config, filled in, once its loss and its augmentation are known to go together."""
    diffaugment = preset.get("diffaugment") if config.diffaugment is None else config.diffaugment
    if config.ada_target and not diffaugment:
        raise UserError(
            f"--ada_target={config.ada_target} needs policies to adapt: give --diffaugment=dihedral,color or others of "
            f"{', '.join(DIFFAUGMENT_POLICIES)}"
        )
    loss = config.adversarial_loss or preset["adversarial_loss"]
    if not ADVERSARIAL_LOSSES[loss].has_target:
        if config.label_smoothing not in (None, 1.0):
            raise UserError(
                f"--label_smoothing={config.label_smoothing}: the {loss} loss has no target to smooth; leave it out"
            )
        preset = {**preset, "label_smoothing": 1.0}
    return fill_in(config, preset)


def _each_layer_filled_in(config: Config) -> Config:
    """Returns the Config with a stride and a kernel size for each transposed convolution; strides give their number."""
    if not config.strides:
        raise UserError(
            "--strides= is empty: give one number, or one for each of the generator's transposed convolutions"
        )
    num_layers = len(config.strides)
    if num_layers == 1:
        num_layers = _CONDITIONAL_LAYERS if config.conditional else _LAYERS
    if len(config.kernel_size) not in (1, num_layers):
        raise UserError(
            f"--kernel_size={','.join(map(str, config.kernel_size))}: give one number or {num_layers}, one for each of "
            f"the generator's transposed convolutions; for more of these, give --strides more numbers"
        )
    filled = {
        name: value if len(value) == num_layers else value * num_layers
        for name, value in (("strides", config.strides), ("kernel_size", config.kernel_size))
    }
    return dataclasses.replace(config, **filled)


def check_cyclegan(config: Config, preset: Mapping[str, Any]) -> Config:
    """Returns a CycleGAN's Config, checked, with the epoch at which the learning rate begins to fall.

    Args:
        config: the flags as the user gave them.
        preset: the values for the flags that the user left out.

    Raises:
        UserError: if --label or --conditional is given for training, which needs the images of two labels.
    """
    if config.mode == "train":
        for name in ("label", "conditional"):
            if getattr(config, name):
                raise UserError(
                    f"--{name}={getattr(config, name)}: CycleGAN learns two labels; choose them with --domain_a and "
                    f"--domain_b, and leave --{name} out"
                )
    if config.decay_epoch is None:
        preset = {**preset, "decay_epoch": config.epoch // 2}
    return fill_in(config, preset)


def check_classifier(config: Config, preset: Mapping[str, Any]) -> Config:
    """Returns a classifier's Config, checked: training needs images of all labels, and synthetic ones if asked for.

    Args:
        config: the flags as the user gave them.
        preset: the values for the flags that the user left out.

    Raises:
        UserError: if flags contradict each other.
    """
    config = fill_in(config, preset)
    if config.mode != "train":
        return config
    for name in ("label", "cluster"):
        if getattr(config, name) is not None:
            raise UserError(
                f"--{name}={getattr(config, name)}: a classifier learns all labels from the training part and is "
                f"measured on the validation part; leave --{name} out"
            )
    if config.part in ("train", "all"):
        raise UserError(
            f"--part={config.part}: a classifier learns all labels from the training part and is measured on the "
            f"validation part; leave --part out, or give --part=test to measure it on the test part of a dataset that "
            f"has one"
        )
    if config.init_from is not None and "weights" in config.given:
        raise UserError(
            f"--weights={config.weights} and --init_from={config.init_from} are both given, and each says where the "
            f"backbone comes from: leave one out"
        )
    if config.jit_compile and config.fine_tune == "none":
        raise UserError(
            "--jit_compile compiles a training step, and a classifier whose network is frozen has none: leave "
            "--jit_compile out, or give --fine_tune=last_stage"
        )
    if config.train_on != "real" and not config.synthetic_dir:
        raise UserError(f"--train_on={config.train_on} needs --synthetic_dir, a folder that --mode=generate wrote")
    if config.train_on == "real" and config.synthetic_dir:
        raise UserError(f"--synthetic_dir={config.synthetic_dir} needs --train_on=both or --train_on=synthetic")
    return config


def fill_in(config: Config, preset: Mapping[str, Any]) -> Config:
    """Returns the Config with its model's presets for flags that were left out; enough for a family without rules."""
    missing = {name: value for name, value in {**_DEFAULTS, **preset}.items() if getattr(config, name) is None}
    return dataclasses.replace(config, **missing)
