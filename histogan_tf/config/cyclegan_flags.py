"""The flags of CycleGAN: its domains, networks and training, and those of --mode=translate."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class CycleGANFlags:
    """The flags of the domains, the networks and the training of a CycleGAN."""

    domain_a: str = flag(
        "0",
        "Label of domain A: a number or a class name (in a dataset that is a folder, the name of a sub-folder).",
        section="cyclegan",
    )
    domain_b: str = flag("1", "Label of domain B: a number or a class name.", section="cyclegan")
    num_blocks: int | None = flag(
        None,
        "Residual blocks of each generator; if left out, 6 for images up to 128 pixels and 9 for larger ones, as "
        "published.",
        section="cyclegan",
        minimum=1,
        maximum=64,
    )
    lambda_cycle: float = flag(10.0, "Weight of the cycle losses.", section="cyclegan", minimum=0.0, maximum=1e6)
    lambda_identity: float = flag(
        0.5,
        "Weight of the identity losses, in units of --lambda_cycle; 0 leaves them out and makes steps faster.",
        section="cyclegan",
        minimum=0.0,
        maximum=1e6,
    )
    pool_size: int = flag(
        50,
        "Number of earlier translations that are kept to be shown to each discriminator again; with 0 it sees only the "
        "newest.",
        section="cyclegan",
        minimum=0,
        maximum=10000,
    )
    decay_epoch: int | None = flag(
        None,
        "Number of epochs at --learning_rate, after which the learning rate falls linearly to 0 at --epoch, whatever "
        "--max_steps says; half of --epoch if left out. A run that is continued with another --epoch or --decay_epoch "
        "follows the new schedule from then on.",
        section="cyclegan",
        minimum=0,
        maximum=1_000_000,
        fixed=False,
    )


@dataclasses.dataclass(frozen=True)
class TranslateFlags:
    """The flags that choose the images to translate and the translations to keep."""

    direction: str = flag(
        "both",
        "Translate images of domain A to B, of B to A, or each image to the other domain. If --dataset is left out, "
        "the images of the run are translated.",
        section="translate",
        choices=("A2B", "B2A", "both"),
    )
    keep_labels: bool = flag(
        False,
        "Name the sub-folders after the labels of the source images, not after the labels of the domains that they "
        "were translated to.",
        section="translate",
    )
    min_distance: float = flag(
        0.0,
        "Keep only translations whose mean squared distance from their source image is at least this, for pixel values "
        "from 0 to 1.",
        section="translate",
        minimum=0.0,
        maximum=1.0,
    )
    top_fraction: float = flag(
        1.0,
        "Keep only this share of the translations of each direction: those that are farthest from their source images.",
        section="translate",
        minimum=1e-6,
        maximum=1.0,
    )
