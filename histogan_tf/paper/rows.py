"""The rows of Table 1: what each classifier is trained on, and the paper's numbers for the rows that it has."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection

BASELINE = "real"
COLOUR = "colour"
# The set of real images with the stain of the other class: what a CycleGAN's translation is compared with.
STAIN = "stain"
SYNTHETIC = {
    "dcgan": "DCGAN",
    "ccan": "CCAN",
    "small": "small-data DCGAN",
    "conditional": "conditional DCGAN",
    "tissue": "tissue GAN",
    STAIN: "real, stain moved",
}
SELECTION_ROWS = {"dcgan": ("confidence", "realism"), "ccan": ("confidence", "realism", "distance")}


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to train the classifier.

    Attributes:
        name: the row's name in file names.
        title: the row's title in the table.
        train_on: the value of --train_on.
        synthetic: the set of synthetic images, a key of SYNTHETIC; None if the row uses no synthetic images.
        rule: the rule of `selection` that chooses among the synthetic images; None if all are used.
        perturbations: the value of --perturbations, which are made of real images and of synthetic ones.
        fine_tune: the value of --fine_tune; None for the study's own.
        published: precision, recall and accuracy in the paper's Table 1; None for rows that the paper does not have.
    """

    name: str
    title: str
    train_on: str = "both"
    synthetic: str | None = None
    rule: str | None = None
    perturbations: tuple[str, ...] | None = None
    fine_tune: str | None = None
    published: tuple[float, float, float] | None = None

    @property
    def images(self) -> str | None:
        """The name of the folder of the row's synthetic images; None if it uses no synthetic images."""
        return self.synthetic if self.rule is None else f"{self.synthetic}-{self.rule}"


ROWS = (
    Row(BASELINE, "Real", "real", published=(0.642, 0.856, 0.682)),
    Row("ccan", "CCAN", "synthetic", "ccan", published=(0.513, 1.000, 0.513)),
    Row("ccan-and-real", "CCAN and Real", synthetic="ccan", published=(0.675, 0.783, 0.695)),
    Row("dcgan", "DCGAN", "synthetic", "dcgan", published=(0.495, 0.051, 0.471)),
    Row("dcgan-and-real", "DCGAN and Real", synthetic="dcgan", published=(0.760, 0.695, 0.731)),
    Row(COLOUR, "Real, colour only", "real"),
    *(
        Row(f"{name}-{rule}-and-real", f"{SYNTHETIC[name]} selected by {rule}, and Real", synthetic=name, rule=rule)
        for name, rules in SELECTION_ROWS.items()
        for rule in rules
    ),
    Row("small-and-real", "Small-data DCGAN and Real", synthetic="small"),
    Row("conditional-and-real", "Conditional DCGAN and Real", synthetic="conditional"),
    Row("tissue", "Tissue GAN", "synthetic", "tissue"),
    Row("tissue-and-real", "Tissue GAN and Real", synthetic="tissue"),
    Row("stain-moved", "Real, stain moved to the other class", "synthetic", STAIN),
    Row("stain-moved-and-real", "Real, stain moved, and Real", synthetic=STAIN),
    Row("perturbed", "Real with rotation, flips, noise", "real", perturbations=("rotation", "flips", "noise")),
    Row("stain-jittered", "Real with other stains", "real", perturbations=("stain",)),
    Row(
        "all-perturbed",
        "Real with rotation, flips, stains, noise",
        "real",
        perturbations=("rotation", "flips", "stain", "noise"),
    ),
    Row("fine-tuned", "Real, last stage tuned", "real", fine_tune="last_stage"),
    Row(
        "tissue-and-real-fine-tuned",
        "Tissue GAN and Real, last stage tuned",
        synthetic="tissue",
        fine_tune="last_stage",
    ),
)
PUBLISHED_ROWS = tuple(row.name for row in ROWS if row.published)
PUBLISHED_SETS = frozenset(row.synthetic for row in ROWS if row.published and row.synthetic)


def rows_of(synthetic: Collection[str], *, is_colour: bool, fine_tune: str) -> tuple[Row, ...]:
    """Returns the rows of a study, in the order of the table.

    Args:
        synthetic: the sets of synthetic images that the study makes, keys of SYNTHETIC.
        is_colour: whether the images have three channels, without which there are no stains.
        fine_tune: the study's own --fine_tune; rows that tune the classifier stand beside others only where it is none.
    """
    return tuple(
        row
        for row in ROWS
        if (row.synthetic is None or row.synthetic in synthetic)
        and (is_colour or "stain" not in (row.perturbations or ()))
        and (row.fine_tune is None or fine_tune == "none")
    )
