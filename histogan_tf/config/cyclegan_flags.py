"""Flags of CycleGAN: its networks, its training, and what translate makes of it."""

from __future__ import annotations

import dataclasses

from histogan_tf.config.flag import flag


@dataclasses.dataclass(frozen=True)
class CycleGANFlags:
    """Domains, networks and losses."""

    domain_a: str = flag(
        "0", "Label of domain A: a number or a class name (a sub-folder's name, in a folder).", section="cyclegan"
    )
    domain_b: str = flag("1", "Label of domain B.", section="cyclegan")
    num_blocks: int | None = flag(
        None,
        "Residual blocks of a generator; 6 for images up to 128 pixels, else 9, as published, if left out.",
        section="cyclegan",
        minimum=1,
        maximum=64,
    )
    lambda_cycle: float = flag(10.0, "Weight of the cycle losses.", section="cyclegan", minimum=0.0, maximum=1e6)
    lambda_identity: float = flag(
        0.5,
        "Weight of the identity losses, in units of --lambda_cycle; 0 saves the passes that they take.",
        section="cyclegan",
        minimum=0.0,
        maximum=1e6,
    )
    pool_size: int = flag(
        50,
        "Earlier translations kept for each discriminator; 0 shows it the newest only.",
        section="cyclegan",
        minimum=0,
        maximum=10000,
    )
    decay_epoch: int | None = flag(
        None,
        "Epochs at --learning_rate, which then falls linearly to 0 at --epoch, whatever --max_steps says; half of "
        "--epoch if left out. A run that goes on with another --epoch or --decay_epoch follows the new line from there "
        "on.",
        section="cyclegan",
        minimum=0,
        fixed=False,
    )


@dataclasses.dataclass(frozen=True)
class TranslateFlags:
    """What is translated, and which translations are kept."""

    direction: str = flag(
        "both",
        "Translate domain A to B, B to A, or each image to the other domain. Without --dataset, the run's own images.",
        section="translate",
        choices=("A2B", "B2A", "both"),
    )
    keep_labels: bool = flag(
        False,
        "Name the sub-folders by the label of the source instead of that of the domain it was translated to.",
        section="translate",
    )
    min_distance: float = flag(
        0.0,
        "Keep translations whose mean squared distance from their source is at least this; pixels count from 0 to 1.",
        section="translate",
        minimum=0.0,
        maximum=1.0,
    )
    top_fraction: float = flag(
        1.0,
        "Keep only this share of each direction's translations, those farthest from their source.",
        section="translate",
        minimum=1e-6,
        maximum=1.0,
    )
