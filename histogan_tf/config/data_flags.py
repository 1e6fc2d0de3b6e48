"""Flags of the images."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import Table, flag


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """Which images."""

    dataset: str = flag(
        "phantom",
        "Which images. {entries}; any other name: the folder of that name below --data_dir, with a sub-folder for each "
        "label.",
        section="data",
        described=Table("histogan_tf.data.sources:READERS"),
    )
    phantom_images: int = flag(
        1212, "Images of the phantom, half of each label.", section="data", minimum=24, maximum=1_000_000
    )
    data_dir: str = flag("data", "Folder that holds the datasets.", section="data", fixed=False)
    data_path: str | None = flag(
        None, "Where the dataset lies; <data_dir>/<dataset> if left out.", section="data", fixed=False
    )
    input_fname_pattern: str = flag(
        "*", "Glob of the image files in a folder dataset, sub-folders included.", section="data"
    )
    label: str | None = flag(
        None, "Only images of this label: a number or a class name (idc, non-idc); all if left out.", section="data"
    )
    part: str | None = flag(
        None,
        "Part of the 67/33 split to use; train if left out and the set has labels, so that what a GAN saw stays apart "
        "from what a classifier is validated on; all if it has none.",
        section="data",
        choices=("train", "validation", "all"),
    )
    split_seed: int = flag(42, "Of the split.", section="data", minimum=0, maximum=2**32 - 1)
    split_by: str = flag(
        "image",
        "Split image by image, as the paper did, or patient by patient.",
        section="data",
        choices=("image", "patient"),
    )
    clusters: str | None = flag(None, "A clusters.csv of --mode=cluster; with --cluster.", section="data")
    cluster: int | None = flag(
        None, "Only images of this cluster of --clusters (-1: those without key points).", section="data", minimum=-1
    )
    train_size: int | None = flag(None, "Use at most so many images, drawn by --seed.", section="data", minimum=1)
    crop: bool = flag(
        False, "Cut --input_height x --input_width from the centre of every image before resizing.", section="data"
    )
    input_height: int | None = flag(None, "Height of the centre crop in pixels.", section="data", minimum=1)
    input_width: int | None = flag(
        None, "Width of the centre crop; --input_height if left out.", section="data", minimum=1
    )
    output_height: int | None = flag(
        None,
        "Height that images are resized to, and that is generated; the images' own if left out.",
        section="data",
        minimum=16,
        maximum=4096,
    )
    output_width: int | None = flag(
        None,
        "Width that images are resized to; --output_height if left out.",
        section="data",
        minimum=16,
        maximum=4096,
    )
    edge_patches: str = flag(
        "pad",
        "What to do with patches of idc that the edge of a slide cut off: pad to 50x50 by reflection, or skip.",
        section="data",
        choices=("pad", "skip"),
    )
    memory_budget_gb: float = flag(
        4.0,
        "Images that take more gigabytes than this are not held in memory, but read from disk batch by batch. A run "
        "knows its images again by their pixels or, if they are not held, by their names, sizes and some pixels; so "
        "this cannot change once it has begun.",
        section="data",
        minimum=0.0,
    )
    strict: bool = flag(
        False, "Stop at the first unreadable image instead of naming and skipping it.", section="data", fixed=False
    )
