"""The flags that say which images are used, and how they are cropped, resized and split."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import Table, flag


@dataclasses.dataclass(frozen=True)
class DataFlags:
    """The flags that choose the images and how they are prepared."""

    dataset: str = flag(
        "phantom",
        "Name of the dataset. {entries}; any other name: the folder of images of that name in --data_dir, "
        "with a sub-folder for each label if there are labels.",
        section="data",
        described=Table("histogan_tf.data.sources:READERS"),
    )
    phantom_images: int = flag(
        1212,
        "Number of images in the built-in dataset phantom, half of each label.",
        section="data",
        minimum=24,
        maximum=1_000_000,
    )
    data_dir: str = flag("data", "Folder that holds the datasets.", section="data", fixed=False)
    data_path: str | None = flag(
        None, "Folder of the dataset; <data_dir>/<dataset> if left out.", section="data", fixed=False
    )
    input_fname_pattern: str = flag(
        "*",
        "Glob pattern of the image files to read from a dataset that is a folder, sub-folders included.",
        section="data",
    )
    labels_csv: str | None = flag(
        None,
        "A CSV or TSV file with a line for each image: its file, its label and, if known, its patient and its part of "
        "the split. Without it, the sub-folders of a dataset that is a folder are the labels.",
        section="data",
        fixed=False,
    )
    csv_columns: tuple[str, ...] | None = flag(
        None,
        "Names of the columns of --labels_csv that hold file, label, patient and part, separated by commas; the last "
        "two may be left out, and patient may be empty. If left out, the usual names are looked for.",
        section="data",
    )
    medmnist: str | None = flag(
        None,
        "Which of MedMNIST's sets --dataset=medmnist is, such as pathmnist or breastmnist_224; the only one in the "
        "folder if left out.",
        section="data",
    )
    magnification: tuple[str, ...] | None = flag(
        None,
        "Use only images of breakhis at these magnifications, separated by commas; all if left out.",
        section="data",
        choices=("40", "100", "200", "400"),
    )
    classes: tuple[str, ...] | None = flag(
        None,
        "Use only these classes, two or more names or numbers separated by commas, as labels 0, 1, … in this order; "
        "all if left out. Of two classes, the positive one is label 1 in any order, see --positive_class. For "
        "breakhis, subtypes stands for the eight subtypes of tumour.",
        section="data",
    )
    images_per_class: int | None = flag(
        None,
        "Use at most this number of images of each class, and of each part of a dataset that comes split; drawn by "
        "--split_seed before anything is split, so that every mode uses the same images.",
        section="data",
        minimum=1,
        maximum=1_000_000_000,
    )
    max_groups: int | None = flag(
        None,
        "Use the images of at most this number of patients, and of each part of a dataset that comes split; drawn by "
        "--split_seed before --images_per_class, so that every mode uses the same patients.",
        section="data",
        minimum=1,
        maximum=1_000_000_000,
    )
    label: str | None = flag(
        None,
        "Use only images of this label: a number or a class name (such as idc, non-idc); all if left out.",
        section="data",
    )
    positive_class: str | None = flag(
        None,
        "Name of the class, of two, that is label 1: precision, recall and probabilities are those of this class. If "
        "left out, the class that is called IDC, or else the second in the order of their names.",
        section="data",
    )
    part: str | None = flag(
        None,
        "Part of the split to use: of the 67/33 split, or of a dataset that comes split (as pcam does, or folders such "
        "as train/, val/ and test/). If left out: train for a dataset with labels or parts of its own, so that no GAN "
        "sees the images that a classifier is validated on; all for any other dataset. A classifier is trained on "
        "train, and measured on validation, or on test with --part=test.",
        section="data",
        choices=("train", "validation", "test", "all"),
    )
    split_seed: int = flag(
        42,
        "Seed of the split into train and validation, and of what --max_groups and --images_per_class draw.",
        section="data",
        minimum=0,
        maximum=2**32 - 1,
    )
    split_by: str = flag(
        "image",
        "Split image by image, as the paper did, or patient by patient, so that no patient is in both parts.",
        section="data",
        choices=("image", "patient"),
    )
    clusters: str | None = flag(
        None, "A clusters.csv that --mode=cluster wrote, from which --cluster chooses images.", section="data"
    )
    cluster: int | None = flag(
        None,
        "Use only images of this cluster in --clusters; -1 holds the images without key points.",
        section="data",
        minimum=-1,
        maximum=1_000_000,
    )
    train_size: int | None = flag(
        None,
        "Use at most this number of images, drawn at random by --seed.",
        section="data",
        minimum=1,
        maximum=1_000_000_000,
    )
    crop: bool = flag(
        False, "Cut --input_height x --input_width from the centre of every image before resizing.", section="data"
    )
    input_height: int | None = flag(
        None, "Height of the centre crop in pixels.", section="data", minimum=1, maximum=100_000
    )
    input_width: int | None = flag(
        None,
        "Width of the centre crop in pixels; --input_height if left out.",
        section="data",
        minimum=1,
        maximum=100_000,
    )
    output_height: int | None = flag(
        None,
        "Height in pixels to which images are resized and at which they are generated; that of the dataset's images if "
        "left out.",
        section="data",
        minimum=16,
        maximum=4096,
    )
    output_width: int | None = flag(
        None,
        "Width in pixels to which images are resized; --output_height if left out.",
        section="data",
        minimum=16,
        maximum=4096,
    )
    edge_patches: str = flag(
        "pad",
        "What to do with patches of idc that the edge of a slide cut off: pad them to 50x50 by reflection, or skip "
        "them.",
        section="data",
        choices=("pad", "skip"),
    )
    memory_budget_gb: float = flag(
        4.0,
        "Gigabytes of memory that the images may take; if they need more, they are read from disk batch by batch. It "
        "cannot change once a run has begun: a run recognizes images in memory by all their pixels, and images on disk "
        "by their names, sizes and some pixels. The files that are decoded at one time may take as much beside them, "
        "and at least 0.25: a file that alone would take more is refused.",
        section="data",
        minimum=0.0,
        maximum=1_000_000.0,
    )
    strict: bool = flag(
        False,
        "Stop at the first unreadable image instead of naming it in the log and leaving it out.",
        section="data",
        fixed=False,
    )
