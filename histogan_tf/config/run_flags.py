"""The flags that choose the command and its run, and those of what a run shows, saves and writes."""

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
    "quiz",
)
FORMATS = ("png", "npz", "both")
EXPORT_FORMATS = ("saved_model", "onnx", "web", "safetensors")
PRETRAINED_PREFIX = "pretrained:"  # of the names of runs that come with the program
VISUALIZATIONS = (
    "grid",
    "walk_sheets",
    "walk_gifs_random",
    "walk_gifs",
    "walk_gif_merged",
    "interpolation",
    "directions",
)


@dataclasses.dataclass(frozen=True)
class CommandFlags:
    """The flags that choose the command and the run."""

    model: str = flag(
        "dcgan3",
        "Model to train. dcgan1: the original DCGAN; dcgan2: with smoothed labels and noise as well; dcgan3: with "
        "strides of 1 as well, the paper's choice; projected: the tissue GAN, whose patches look most like tissue, for "
        "a thousand images or more; cyclegan: turns images of one class into those of another; resnet18: a classifier. "
        "The other modes find their run by it if --run is left out.",
        section="command",
        choices=MODELS,
        fixed=True,
    )
    mode: str = flag(
        "train",
        "What to do: train a model; generate, translate, visualize, classify or export with a trained one; evaluate a "
        "trained one, synthetic images or the answers to a quiz; cluster, describe or download a dataset; carry out "
        "the whole study of the paper; or write a quiz, a page on which readers tell real patches from synthetic ones.",
        section="command",
        choices=MODES,
    )
    run: str | None = flag(
        None,
        "Name of the run, which is its folder in --checkpoint_dir; if left out, <model>-<dataset>[-<label>], and "
        "paper-<dataset> for --mode=paper; of medmnist, <dataset> is the set, such as pathmnist. Training continues a "
        "run that exists. pretrained:NAME is a trained run that comes with the program.",
        section="command",
    )
    checkpoint_dir: str = flag("checkpoints", "Folder that holds the runs.", section="command")
    checkpoint: str = flag(
        "last",
        "Checkpoint of a generator with which to generate, visualize, evaluate, export or make a quiz: the last one, "
        "or the best one that --eval_freq found.",
        section="command",
        choices=("last", "best"),
    )
    restart: bool = flag(
        False,
        "Delete the run if it exists, with the folders of results that this program made in it, and start anew. Files "
        "and folders beside them that this program did not write stay.",
        section="command",
    )
    seed: int = flag(
        42,
        "Seed of all random draws except the split, which has --split_seed.",
        section="command",
        minimum=0,
        maximum=2**31 - 1,
        fixed=True,
    )


@dataclasses.dataclass(frozen=True)
class WatchingFlags:
    """The flags of the sample sheets, measurements and checkpoints of a training run."""

    sample_freq: int | None = flag(
        None,
        "Training steps from one sample sheet to the next; 200, or half an epoch if that is shorter, if left out.",
        section="watching",
        minimum=1,
        maximum=1_000_000_000,
    )
    eval_freq: int = flag(
        0,
        "Training steps from one measurement of a generator's samples to the next (KID and recall of --features=random "
        "against the training images). The best checkpoint is kept besides the last one. 0 turns it off.",
        section="watching",
        minimum=0,
        maximum=1_000_000_000,
    )
    min_recall: float = flag(
        0.0,
        "With --eval_freq, the smallest recall of a generator that may be kept as the best one, which is the one with "
        "the lowest KID among them.",
        section="watching",
        minimum=0.0,
        maximum=1.0,
    )
    sample_num: int | None = flag(
        None,
        "Images in a sample sheet; if left out, 64, and for cyclegan 16 of each domain.",
        section="watching",
        minimum=1,
        maximum=4096,
    )
    sample_dir: str = flag("samples", "Name of the folder inside the run for the sample sheets.", section="watching")
    ckpt_freq: int = flag(
        200, "Training steps from one checkpoint to the next.", section="watching", minimum=1, maximum=1_000_000_000
    )
    ckpt_minutes: float = flag(
        5.0,
        "Longest time from one checkpoint to the next, in minutes, even if --ckpt_freq steps take longer.",
        section="watching",
        minimum=0.0,
        maximum=100_000.0,
    )
    max_to_keep: int = flag(1, "Number of checkpoints to keep.", section="watching", minimum=1, maximum=1_000_000)


@dataclasses.dataclass(frozen=True)
class ResultFlags:
    """The flags of the images and files that are made with a trained network."""

    num_images: int = flag(
        64,
        "Number of images to generate; with --mode=visualize, images in a sheet or frames in a GIF.",
        section="generate and visualize",
        minimum=1,
        maximum=10_000_000,
    )
    output_dir: str | None = flag(
        None, "Folder for the results; a folder inside the run if left out.", section="generate and visualize"
    )
    format: str | None = flag(
        None,
        "What to write. With --mode=generate, png: a file for each image (the default); npz: one file of all; or "
        "both. With --mode=export, saved_model: a SavedModel for TF Serving (the default); onnx: an ONNX file; web: a "
        "page for the browser; safetensors: a run that can be passed on, to sample from it or to train from it.",
        section="generate and visualize",
        choices=FORMATS + EXPORT_FORMATS,
    )
    visualize: str = flag(
        "grid",
        "What to draw: a grid of images; for each dimension of z, a sheet (walk_sheets) or a GIF (walk_gifs) in which "
        "it rises from 0 to 1; such GIFs for random dimensions near the origin (walk_gifs_random); the GIFs of all "
        "dimensions side by side in one (walk_gif_merged); an interpolation between latents; or the directions of z "
        "that change images most, named by what they change.",
        section="generate and visualize",
        choices=VISUALIZATIONS,
    )
