"""Flags of every command: what to do, with which run, and what comes of it."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.families import MODELS
from histogan_tf.config.flag import flag

MODES = (
    "train",
    "generate",
    "translate",
    "visualize",
    "classify",
    "evaluate",
    "cluster",
    "paper",
    "export",
    "describe",
    "download",
)
FORMATS = ("png", "npz", "both")
EXPORT_FORMATS = ("saved_model", "onnx", "web")
VISUALIZATIONS = ("grid", "walk_sheets", "walk_gifs_random", "walk_gifs", "walk_gif_merged", "interpolation")


@dataclasses.dataclass(frozen=True)
class CommandFlags:
    """What to do, with which run."""

    model: str = flag("dcgan3", "What to train.", section="command", choices=MODELS, fixed=True)
    mode: str = flag("train", "What to do.", section="command", choices=MODES)
    run: str | None = flag(
        None,
        "Name of the run below --checkpoint_dir; <model>-<dataset>[-<label>] (paper-<dataset> for a study) if left "
        "out. A run that exists goes on.",
        section="command",
    )
    checkpoint_dir: str = flag("checkpoints", "Folder that holds the runs.", section="command")
    checkpoint: str = flag(
        "last",
        "Of a DCGAN, to generate, visualize, evaluate or export: the last checkpoint, or the best one that --eval_freq "
        "found.",
        section="command",
        choices=("last", "best"),
    )
    restart: bool = flag(False, "Throw an existing run away and start anew.", section="command")
    seed: int = flag(
        42, "Of every random draw but the split.", section="command", minimum=0, maximum=2**31 - 1, fixed=True
    )


@dataclasses.dataclass(frozen=True)
class WatchingFlags:
    """What a run shows and saves, and how often."""

    sample_freq: int | None = flag(
        None,
        "Steps from one sample sheet to the next; 200, or half an epoch if that is shorter, if left out.",
        section="watching",
        minimum=1,
    )
    eval_freq: int = flag(
        0,
        "Measure a DCGAN's samples (KID of --features=random against the training images) every so many steps, and "
        "keep the best checkpoint beside the last; 0 turns it off.",
        section="watching",
        minimum=0,
    )
    sample_num: int | None = flag(
        None,
        "Images in a sample sheet; 64, and for cyclegan 16 of each domain, if left out.",
        section="watching",
        minimum=1,
        maximum=4096,
    )
    sample_dir: str = flag("samples", "Folder of the sample sheets inside the run.", section="watching")
    ckpt_freq: int = flag(200, "Save a checkpoint every so many steps.", section="watching", minimum=1)
    ckpt_minutes: float = flag(
        5.0,
        "Save a checkpoint after so many minutes too, should the steps take longer.",
        section="watching",
        minimum=0.0,
    )
    max_to_keep: int = flag(1, "Checkpoints to keep.", section="watching", minimum=1)


@dataclasses.dataclass(frozen=True)
class ResultFlags:
    """What is made of a trained network."""

    num_images: int = flag(64, "Images to generate.", section="generate and visualize", minimum=1)
    output_dir: str | None = flag(
        None, "Folder for the results; inside the run if left out.", section="generate and visualize"
    )
    format: str | None = flag(
        None,
        "Of generate: one PNG an image (png, if left out), one npz, or both. Of export: a SavedModel for TF Serving "
        "(saved_model, if left out), ONNX, or a page for the browser (web).",
        section="generate and visualize",
        choices=FORMATS + EXPORT_FORMATS,
    )
    visualize: str = flag(
        "grid",
        "What to draw: a grid; a sheet (walk_sheets) or GIF (walk_gifs) per dimension of z; GIFs along random "
        "dimensions near the origin; all walks in one GIF; an interpolation between latents.",
        section="generate and visualize",
        choices=VISUALIZATIONS,
    )
