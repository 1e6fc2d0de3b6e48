"""The flags of --mode=paper, the values that --quick gives to other flags, and the flags that the study sets itself."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from histogan_tf.config.flag import flag

STAGES = (
    "describe",
    "split",
    "cluster",
    "figure5",
    "dcgan",
    "small",
    "tissue",
    "few",
    "stain",
    "generate",
    "conditional",
    "cyclegan",
    "translate",
    "classify",
    "few_epochs",
    "select",
    "curves",
    "synthesis",
    "compare",
    "table",
    "report",
)
TRAINING_STAGES = ("figure5", "dcgan", "small", "conditional", "tissue", "few", "cyclegan")
REPEATS = 3
GENERATORS = ("dcgan", "ccan", "small", "conditional", "tissue")

# The values that --quick gives to flags that are left out. The study keeps all its networks and steps, made small.
QUICK: Mapping[str, Any] = {
    "phantom_images": 300,
    "output_height": 32,
    "gf_dim": 4,
    "df_dim": 4,
    "gfc_dim": 16,
    "dfc_dim": 16,
    "z_dim": 16,
    "batch_size": 16,
    "max_steps": 40,
    "num_blocks": 1,
    "max_gf_dim": 8,
    "feature_size": 32,
    "num_modes": 4,
    "sample_num": 16,
    "weights": "random",
    "classifier_size": 32,
    "vocabulary_size": 20,
    "num_clusters": 2,
    "views": 1,
    "few_patients": (3,),
    "repeats": 1,
}

# The flags that the study sets itself in each stage, and that a user must leave out.
OWN_FLAGS = (
    "model",
    "label",
    "part",
    "train_size",
    "clusters",
    "cluster",
    "vocabulary",
    "conditional",
    "strides",
    "label_smoothing",
    "instance_noise",
    "domain_a",
    "domain_b",
    "direction",
    "keep_labels",
    "min_distance",
    "top_fraction",
    "train_on",
    "synthetic_dir",
    "perturbations",
    "compare",
    "num_images",
    "output_dir",
    "format",
)


@dataclasses.dataclass(frozen=True)
class PaperFlags:
    """The flags that choose how much of the study is carried out."""

    quick: bool = flag(
        False,
        "Carry out the whole study at a small size, in minutes on a laptop: narrow networks, few steps, images of 32 "
        "pixels, a classifier with random weights. Flags that you give keep their values.",
        section="paper",
    )
    dry_run: bool = flag(
        False, "Only print the stages, with the time and the disk space that each would take.", section="paper"
    )
    stages: tuple[str, ...] | None = flag(
        None, "Carry out only these stages, separated by commas; all if left out.", section="paper", choices=STAGES
    )
    generators: tuple[str, ...] = flag(
        GENERATORS,
        "Synthetic images that the study makes, separated by commas: of the paper's DCGAN3, its CycleGAN (ccan), the "
        "DCGAN for small sets, the conditional DCGAN3, and the tissue GAN. Table 1 has the rows of these.",
        section="paper",
        choices=GENERATORS,
    )
    stage_flags: tuple[str, ...] | None = flag(
        None,
        "Flags for the trainings of one kind of stage, as KIND.FLAG=VALUE, separated by commas, such as "
        "cyclegan.epoch=5,cyclegan.gf_dim=32,few.max_steps=1000. They win over the same flags of the whole study.",
        section="paper",
    )
    few_patients: tuple[int, ...] = flag(
        (5, 10, 25, 50),
        "Numbers of training patients, separated by commas, at which the study asks whether synthetic images help. A "
        "tissue GAN is trained on each; numbers of all training patients or more are left out.",
        section="paper",
        minimum=1,
        maximum=1_000_000,
    )
    repeats: int | None = flag(
        None,
        "Number of seeds, counted up from --seed, with which classifiers are trained, and GANs too unless "
        "--gan_repeats says otherwise. The split has a seed of its own; clusters, Figure 5, and the plots over the "
        f"number of synthetic images and over epochs have the first one. If left out, {REPEATS}, and 1 with --quick.",
        section="paper",
        minimum=1,
        maximum=100,
    )
    gan_repeats: int | None = flag(
        None,
        "Number of repeats in which GANs are trained, at most --repeats; classifiers of the other repeats take turns "
        "with their images. As many as --repeats if left out.",
        section="paper",
        minimum=1,
        maximum=100,
    )
    few_draws: int | None = flag(
        None,
        "Number of random draws of patients for each number in --few_patients, with seeds counted up from --seed. A "
        "tissue GAN and classifiers are trained on each draw. From two draws on, intervals take into account that "
        "other draws differ. A finished study that is given more draws computes only the new ones. As many as "
        "--gan_repeats if left out.",
        section="paper",
        minimum=1,
        maximum=100,
    )
