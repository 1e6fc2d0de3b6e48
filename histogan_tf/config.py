"""Every flag, declared once with its help, as a field of the frozen Config.

A flag's type comes from its annotation, its default, help and check from `_flag`. A default of None is filled in by
`resolve`, from the model or from another flag, as the help says. `command_line.py` turns a command line into a Config.
"""

from __future__ import annotations

import dataclasses
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from histogan_tf.errors import UserError

MODELS = ("dcgan1", "dcgan2", "dcgan3")
MODES = ("train", "generate", "visualize")
VISUALIZATIONS = ("grid", "walk_sheets", "walk_gifs_random", "walk_gifs", "walk_gif_merged", "interpolation")

# What each model fills in where a flag is left out. dcgan3 makes its projection at output size, so at the width of the
# other two its generator costs about 83 times theirs at 50x50; a quarter of the width brings that to about 5 times.
PRESETS: Mapping[str, Mapping[str, Any]] = {
    "dcgan1": {"strides": (2,), "gf_dim": 64, "label_smoothing": 1.0, "instance_noise": 0.0},
    "dcgan2": {"strides": (2,), "gf_dim": 64, "label_smoothing": 0.9, "instance_noise": 0.2},
    "dcgan3": {"strides": (1,), "gf_dim": 16, "label_smoothing": 0.9, "instance_noise": 0.2},
}


def _flag(
    default: Any,
    help_text: str,
    *,
    section: str,
    choices: Sequence[str] | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    fixed: bool | None = None,
) -> Any:
    """A field of Config that is also a flag.

    Args:
        default: None means "see the help".
        help_text: shown by --help, without the default.
        section: of --help; flags of the sections data, network and training are fixed once a run has begun.
        choices: the allowed values.
        minimum: smallest allowed value.
        maximum: largest allowed value.
        fixed: overrides the section's rule.
    """
    if fixed is None:
        fixed = section in ("data", "network", "training")
    metadata = {
        "help": help_text,
        "section": section,
        "choices": choices,
        "minimum": minimum,
        "maximum": maximum,
        "fixed": fixed,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclasses.dataclass(frozen=True)
class Config:
    """All settings of one invocation, as given or as `resolve` filled them in."""

    # command
    model: str = _flag("dcgan3", "What to train.", section="command", choices=MODELS, fixed=True)
    mode: str = _flag("train", "What to do.", section="command", choices=MODES)
    run: str | None = _flag(
        None,
        "Name of the run below --checkpoint_dir; <model>-<dataset>[-<label>] if left out. A run that exists goes on.",
        section="command",
    )
    checkpoint_dir: str = _flag("checkpoints", "Folder that holds the runs.", section="command")
    restart: bool = _flag(False, "Throw an existing run away and start anew.", section="command")
    seed: int = _flag(
        42, "Of every random draw but the split.", section="command", minimum=0, maximum=2**31 - 1, fixed=True
    )

    # data
    dataset: str = _flag(
        "phantom", "phantom (built in), idc, or the name of any folder of images below --data_dir.", section="data"
    )
    data_dir: str = _flag("data", "Folder that holds the datasets.", section="data", fixed=False)
    data_path: str | None = _flag(
        None, "Where the dataset lies; <data_dir>/<dataset> if left out.", section="data", fixed=False
    )
    input_fname_pattern: str = _flag(
        "*", "Glob of the image files in a folder dataset, sub-folders included.", section="data"
    )
    label: str | None = _flag(
        None, "Only images of this label: a number or a class name (idc, non-idc); all if left out.", section="data"
    )
    part: str | None = _flag(
        None,
        "Part of the 67/33 split to use; train if left out and the set has labels, so that what a GAN saw stays apart "
        "from what a classifier is validated on; all if it has none.",
        section="data",
        choices=("train", "validation", "all"),
    )
    split_seed: int = _flag(42, "Of the split.", section="data", minimum=0, maximum=2**32 - 1)
    split_by: str = _flag(
        "image",
        "Split image by image, as the paper did, or patient by patient.",
        section="data",
        choices=("image", "patient"),
    )
    train_size: int | None = _flag(None, "Use at most so many images, drawn by --seed.", section="data", minimum=1)
    crop: bool = _flag(
        False, "Cut --input_height x --input_width from the centre of every image before resizing.", section="data"
    )
    input_height: int | None = _flag(None, "Height of the centre crop in pixels.", section="data", minimum=1)
    input_width: int | None = _flag(
        None, "Width of the centre crop; --input_height if left out.", section="data", minimum=1
    )
    output_height: int | None = _flag(
        None,
        "Height that images are resized to, and that is generated; the images' own if left out.",
        section="data",
        minimum=16,
        maximum=4096,
    )
    output_width: int | None = _flag(
        None,
        "Width that images are resized to; --output_height if left out.",
        section="data",
        minimum=16,
        maximum=4096,
    )
    strict: bool = _flag(
        False, "Stop at the first unreadable image instead of naming and skipping it.", section="data", fixed=False
    )

    # network
    z_dim: int = _flag(100, "Dimensions of the latent z.", section="network", minimum=1)
    z_dist: str = _flag(
        "uniform_signed",
        "Distribution of z: U(-1, 1), U(0, 1) or N(0, 1).",
        section="network",
        choices=("uniform_signed", "uniform_unsigned", "normal01"),
    )
    gf_dim: int | None = _flag(
        None,
        "Channels of the generator's last hidden layer; 64 for dcgan1 and dcgan2, 16 for dcgan3. --gf_dim=64 gives the "
        "paper-wide dcgan3, whose generator costs about 83 times dcgan1's at 50x50 (5 times with 16).",
        section="network",
        minimum=1,
    )
    df_dim: int = _flag(64, "Channels of the discriminator's first layer.", section="network", minimum=1)
    gfc_dim: int = _flag(
        1024, "Units of the conditional generator's fully connected layer.", section="network", minimum=1
    )
    dfc_dim: int = _flag(
        1024, "Units of the conditional discriminator's fully connected layer.", section="network", minimum=1
    )
    strides: tuple[int, ...] | None = _flag(
        None,
        "Of the generator's transposed convolutions, first to last: one number for all or four (two if --conditional); "
        "2 for dcgan1 and dcgan2, 1 for dcgan3.",
        section="network",
        minimum=1,
        maximum=8,
    )
    kernel_size: tuple[int, ...] = _flag(
        (5,),
        "Of the generator's transposed convolutions: one number for all, or one for each.",
        section="network",
        minimum=1,
        maximum=15,
    )
    conditional: bool = _flag(
        False, "The original's label-conditioned network; needs a labelled dataset.", section="network"
    )

    # training
    epoch: int = _flag(
        25, "Epochs in total: a run that has made them is finished.", section="training", minimum=1, fixed=False
    )
    max_steps: int | None = _flag(
        None, "Stop after so many steps in total, whatever --epoch says.", section="training", minimum=1, fixed=False
    )
    batch_size: int = _flag(64, "Images a batch.", section="training", minimum=1)
    learning_rate: float = _flag(0.0002, "Of Adam.", section="training", minimum=1e-12, maximum=1.0)
    beta1: float = _flag(0.5, "Adam's first momentum.", section="training", minimum=0.0, maximum=0.999999)
    generator_updates: int = _flag(
        2,
        "Generator updates after each discriminator update, with the same z.",
        section="training",
        minimum=1,
        maximum=16,
    )
    label_smoothing: float | None = _flag(
        None,
        "The discriminator's target for real images; 1 for dcgan1, 0.9 for dcgan2 and dcgan3.",
        section="training",
        minimum=0.5,
        maximum=1.0,
    )
    instance_noise: float | None = _flag(
        None,
        "Standard deviation of the Gaussian noise on every discriminator input, whose range is [-1, 1]; 0 for dcgan1, "
        "0.2 for dcgan2 and dcgan3.",
        section="training",
        minimum=0.0,
        maximum=10.0,
    )
    precision: str = _flag(
        "float32",
        "bfloat16 computes in bfloat16 and keeps weights, batch-norm statistics and losses in float32.",
        section="training",
        choices=("float32", "bfloat16"),
    )

    # watching
    sample_freq: int | None = _flag(
        None,
        "Draw samples every so many steps; 200, or an epoch if that is shorter, if left out.",
        section="watching",
        minimum=1,
    )
    sample_num: int = _flag(64, "Images in a sample sheet.", section="watching", minimum=1, maximum=4096)
    sample_dir: str = _flag("samples", "Folder of the sample sheets inside the run.", section="watching")
    ckpt_freq: int = _flag(200, "Save a checkpoint every so many steps.", section="watching", minimum=1)
    ckpt_minutes: float = _flag(
        5.0,
        "Save a checkpoint after so many minutes too, should the steps take longer.",
        section="watching",
        minimum=0.0,
    )
    max_to_keep: int = _flag(1, "Checkpoints to keep.", section="watching", minimum=1)

    # generate and visualize
    num_images: int = _flag(64, "Images to generate.", section="generate and visualize", minimum=1)
    output_dir: str | None = _flag(
        None, "Folder for the results; inside the run if left out.", section="generate and visualize"
    )
    format: str = _flag(
        "png", "One PNG an image, one npz, or both.", section="generate and visualize", choices=("png", "npz", "both")
    )
    visualize: str = _flag(
        "grid",
        "What to draw: a grid; a sheet (walk_sheets) or GIF (walk_gifs) per dimension of z; GIFs along random "
        "dimensions near the origin; all walks in one GIF; an interpolation between latents.",
        section="generate and visualize",
        choices=VISUALIZATIONS,
    )

    given: frozenset[str] = frozenset()  # names of the flags that stood on the command line or in a flagfile

    def run_name(self) -> str:
        """Name of the run directory: --run, or made from model, dataset and label."""
        parts = [self.model, os.path.basename(self.dataset), *([self.label] if self.label else [])]
        return self.run or "-".join(parts)

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


def _check(field: dataclasses.Field, value: Any) -> None:
    """Checks one value against its flag's choices and bounds."""
    choices, minimum, maximum = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if value is None:
        return
    if choices and value not in choices:
        raise UserError(f"--{field.name}={value}: choose one of {', '.join(choices)}")
    for number in value if isinstance(value, tuple) else (value,):
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"--{field.name}={number}: give a finite number")
        if minimum is not None and number < minimum:
            raise UserError(f"--{field.name}={number}: the smallest allowed value is {minimum:g}")
        if maximum is not None and number > maximum:
            raise UserError(f"--{field.name}={number}: the largest allowed value is {maximum:g}")


def resolve(config: Config) -> Config:
    """Checks every value, and fills in those that the model or another flag decides.

    Raises:
        UserError: for a value out of its range, or flags that contradict each other.
    """
    for field in flag_fields():
        _check(field, getattr(config, field.name))
    for name in ("run", "sample_dir"):
        value = getattr(config, name)
        if value is not None and (value in ("", ".", "..") or value != os.path.basename(value)):
            raise UserError(f"--{name}={value!r}: give a plain folder name, without a path")
    if config.conditional and config.label and config.mode == "train":
        raise UserError(f"--label={config.label}: a --conditional network learns every label; leave --label out")
    preset = {name: value for name, value in PRESETS[config.model].items() if getattr(config, name) is None}
    return _resolve_layers(_resolve_sizes(dataclasses.replace(config, **preset)))


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
