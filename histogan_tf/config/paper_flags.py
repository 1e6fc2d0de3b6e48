"""Flags of --mode=paper, what --quick makes of the others, and which the study sets itself."""

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
    "generate",
    "conditional",
    "cyclegan",
    "translate",
    "classify",
    "select",
    "synthesis",
    "compare",
    "table",
    "report",
)
REPEATS = 3

# What --quick fills in where a flag is left out: every network and every step that the study has, as small as can be.
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
    "sample_num": 16,
    "weights": "random",
    "classifier_size": 32,
    "vocabulary_size": 20,
    "num_clusters": 2,
    "views": 1,
    "repeats": 1,
}

# Set by the study, stage by stage.
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
    """How much of the study."""

    quick: bool = flag(
        False,
        "The whole study made small, in minutes on a laptop: narrow networks, few steps, images of 32 pixels, a "
        "backbone with random weights. Flags that are given hold nonetheless.",
        section="paper",
    )
    dry_run: bool = flag(
        False, "Print the stages, what each would take in time and on disk, and do nothing.", section="paper"
    )
    stages: tuple[str, ...] | None = flag(
        None, "Only these stages, separated by commas; all if left out.", section="paper", choices=STAGES
    )
    repeats: int | None = flag(
        None,
        f"Repeat everything but the split with so many seeds, from --seed on; {REPEATS}, and 1 with --quick, if left "
        "out.",
        section="paper",
        minimum=1,
        maximum=100,
    )
