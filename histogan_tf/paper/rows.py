"""The rows of Table 1: what each classifier is trained on, and the paper's numbers for the rows that it has."""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Row:
    """One way to train the classifier.

    Attributes:
        name: the row's name in file names.
        title: the row's title in the table.
        train_on: the value of --train_on.
        synthetic: the set of synthetic images, a key of SYNTHETIC; None if the row uses no synthetic images.
        rule: the rule of `selection` that chooses among the synthetic images; None if all are used.
        is_perturbed: whether real images are also shown turned, mirrored and with noise.
        published: precision, recall and accuracy in the paper's Table 1; None for rows that the paper does not have.
    """

    name: str
    title: str
    train_on: str = "both"
    synthetic: str | None = None
    rule: str | None = None
    is_perturbed: bool = False
    published: tuple[float, float, float] | None = None

    @property
    def images(self) -> str | None:
        """The name of the folder of the row's synthetic images; None if it uses no synthetic images."""
        return self.synthetic if self.rule is None else f"{self.synthetic}-{self.rule}"


BASELINE = "real"
PERTURBATION_ROW = ("rotation", "flips", "noise")
SYNTHETIC = {
    "dcgan": "DCGAN",
    "ccan": "CCAN",
    "small": "small-data DCGAN",
    "conditional": "conditional DCGAN",
    "tissue": "tissue GAN",
}
SELECTION_ROWS = {"dcgan": ("confidence", "realism"), "ccan": ("confidence", "realism", "distance")}

ROWS = (
    Row(BASELINE, "Real", "real", published=(0.642, 0.856, 0.682)),
    Row("ccan", "CCAN", "synthetic", "ccan", published=(0.513, 1.000, 0.513)),
    Row("ccan-and-real", "CCAN and Real", synthetic="ccan", published=(0.675, 0.783, 0.695)),
    Row("dcgan", "DCGAN", "synthetic", "dcgan", published=(0.495, 0.051, 0.471)),
    Row("dcgan-and-real", "DCGAN and Real", synthetic="dcgan", published=(0.760, 0.695, 0.731)),
    *(
        Row(f"{name}-{rule}-and-real", f"{SYNTHETIC[name]} selected by {rule}, and Real", synthetic=name, rule=rule)
        for name, rules in SELECTION_ROWS.items()
        for rule in rules
    ),
    Row("small-and-real", "Small-data DCGAN and Real", synthetic="small"),
    Row("conditional-and-real", "Conditional DCGAN and Real", synthetic="conditional"),
    Row("tissue", "Tissue GAN", "synthetic", "tissue"),
    Row("tissue-and-real", "Tissue GAN and Real", synthetic="tissue"),
    Row("perturbed", "Real with rotation, flips, noise", "real", is_perturbed=True),
)
PUBLISHED_ROWS = tuple(row.name for row in ROWS if row.published)
