"""The rules that one model family has for its flags: what contradicts what, and what is filled in."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from histogan_tf.config.training_flags import ADVERSARIAL_LOSSES, DIFFAUGMENT_POLICIES
from histogan_tf.errors import UserError

if TYPE_CHECKING:
    from histogan_tf.config.settings import Config

_LAYERS, _CONDITIONAL_LAYERS = 4, 2  # transposed convolutions in the original's generators


def check_dcgan(config: Config, preset: Mapping[str, Any]) -> Config:
    """Checks the loss and the augmentation, and gives each transposed convolution a stride and a kernel size.

    Raises:
        UserError: if flags contradict each other.
    """
    if config.ada_target and not config.diffaugment:
        policies = ",".join(DIFFAUGMENT_POLICIES)
        raise UserError(
            f"--ada_target={config.ada_target} needs something to adapt: --diffaugment={policies}, or some of these"
        )
    loss = config.adversarial_loss or preset["adversarial_loss"]
    if not ADVERSARIAL_LOSSES[loss].has_target:
        if config.label_smoothing not in (None, 1.0):
            raise UserError(
                f"--label_smoothing={config.label_smoothing}: the {loss} loss has no target to smooth; leave it out"
            )
        preset = {**preset, "label_smoothing": 1.0}
    return _each_layer_filled_in(fill_in(config, preset))


def _each_layer_filled_in(config: Config) -> Config:
    """Gives each transposed convolution its stride and its kernel size; the strides say how many there are."""
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
            f"the generator's transposed convolutions; as many numbers in --strides make as many of them"
        )
    filled = {
        name: value if len(value) == num_layers else value * num_layers
        for name, value in (("strides", config.strides), ("kernel_size", config.kernel_size))
    }
    return dataclasses.replace(config, **filled)


def check_cyclegan(config: Config, preset: Mapping[str, Any]) -> Config:
    """Refuses what would leave one domain, and fills in when the learning rate begins to fall.

    Raises:
        UserError: if one label is chosen.
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
    """Checks that training has the images of both labels, and synthetic ones where they are asked for.

    Raises:
        UserError: if flags contradict each other.
    """
    config = fill_in(config, preset)
    if config.mode != "train":
        return config
    for name in ("label", "part", "cluster"):
        if getattr(config, name) is not None:
            raise UserError(
                f"--{name}={getattr(config, name)}: a classifier learns both labels from the training part and is "
                f"measured on the validation part; leave --{name} out"
            )
    if config.train_on != "real" and not config.synthetic_dir:
        raise UserError(f"--train_on={config.train_on} needs --synthetic_dir, a folder that --mode=generate wrote")
    if config.train_on == "real" and config.synthetic_dir:
        raise UserError(f"--synthetic_dir={config.synthetic_dir} is used with --train_on=both or --train_on=synthetic")
    return config


def fill_in(config: Config, preset: Mapping[str, Any]) -> Config:
    """The Config with the presets of its model where a flag is left out: the whole check of a family without rules."""
    missing = {name: value for name, value in preset.items() if getattr(config, name) is None}
    return dataclasses.replace(config, **missing)
