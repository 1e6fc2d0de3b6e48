"""The model families: each entry of `FAMILIES` holds what the program needs to know about one kind of network.

The table holds settings and the names of functions. The functions are in other packages and are imported when they are
called, so that `--help` and a mistyped flag do not import TensorFlow.
"""

from __future__ import annotations

import dataclasses
import pkgutil
from collections.abc import Callable, Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from histogan_tf.config.family_rules import check_classifier, check_cyclegan, check_dcgan, check_projected

if TYPE_CHECKING:
    from histogan_tf.config.settings import Config

GENERATOR, TRANSLATOR, CLASSIFIER = "generator", "translator", "classifier"


@dataclasses.dataclass(frozen=True)
class Family:
    """One kind of network.

    Attributes:
        title: the family's name in messages, such as "a DCGAN".
        kind: the kind of tasks that a trained network can do. A `generator` can generate, visualize and be measured; a
            `translator` can translate; a `classifier` can classify, be measured and be compared.
        presets: for each value of --model that belongs to the family, the values of flags that the user leaves out.
        train: "module:function" of a function that trains the networks of a Config on the images of its --dataset, or
            on the ImageSet in the keyword argument `images`; that of a classifier also takes synthetic images, as
            `synthetic`. It mostly hands `training.jobs.train_network` a function that makes the family's `TrainingJob`.
        networks: "module:function" of a function that builds a run's networks, ready to be restored. Its arguments are
            a Config, the run's record of its images (`image_shape`, `class_names`), and the keyword arguments
            `image_shape` and `directions`, which only translators use. It returns a list of
            `runs.checkpoints.Restorable`. A generator's network takes {"z": float32 (batch, z_dim)}, and `label`, int32
            (batch,), if the run is --conditional; it returns float32 (batch, height, width, channels) in [-1, 1]. In
            the checkpoint, an average of the network X is called X_average. The layers of all networks have names of
            their own, by which `runs.weights_file` names the weights.
        discriminators: "module:function" of a function that builds the networks that only training needs. Its
            arguments are a Config and the run's record of its images; it returns the networks by the names that they
            have in the trainer's `state()`. An export keeps them, so that another training can start from them. None
            if there are none.
        check: a function of a Config and of its model's presets that returns the Config, checked and filled in;
            `family_rules.fill_in` for a family whose flags cannot contradict each other.
        predictor: "module:class" that makes a trained classifier's network a function from images to probabilities;
            None for other kinds.
        num_parallel_networks: the number of networks that compute at the same time in a step; each gets its share of a
            CPU's cores.
        step_cost: "module:function" of a function that estimates the cost of a training step for the study's plan, see
            `paper.estimate`; None for a family that the study does not train step by step.
        section: the section of --help that holds the family's own flags; None if it has none.
        heeds: the names of flags that this family uses and some other family does not; the other family refuses them.
        description: the sentence of the model card that says what the network is.
        use: the paragraph of the model card that says what the network may be used for.
        card_sections: the sections of flags that the model card lists; flags that this family refuses are left out.
        unlisted: the names of other flags of those sections that the card leaves out, because this family does not use
            them.
    """

    title: str
    kind: str
    presets: Mapping[str, Mapping[str, Any]]
    train: str
    networks: str
    check: Callable[[Config, Mapping[str, Any]], Config]
    section: str | None
    heeds: frozenset[str]
    description: str
    use: str
    card_sections: tuple[str, ...]
    unlisted: frozenset[str] = frozenset()
    predictor: str | None = None
    discriminators: str | None = None
    num_parallel_networks: int = 1
    step_cost: str | None = None

    def call(self, function: str, *args: Any, **kwargs: Any) -> Any:
        """Imports and calls the function that an attribute names, such as `train`, and returns its result."""
        return pkgutil.resolve_name(getattr(self, function))(*args, **kwargs)


_SYNTHETIC_USE = (
    "Research and teaching: images to look at, and to add to the training set of a classifier that is then measured on "
    "real images. "
)

_GENERATOR_USE = (
    _SYNTHETIC_USE + "Synthetic images must not be passed off as those of a patient; they may repeat training images, "
    "or leave out what is rare."
)

# dcgan3's feature maps all have the size of the output. So with as many channels as the other two, its generator costs
# about 83 times theirs at 50x50; with a quarter of the channels, about 5 times.
_DCGAN = {"batch_size": 64, "sample_num": 64, "adversarial_loss": "cross_entropy"}

FAMILIES: dict[str, Family] = {
    "dcgan": Family(
        title="a DCGAN",
        kind=GENERATOR,
        presets={
            "dcgan1": {**_DCGAN, "strides": (2,), "gf_dim": 64, "label_smoothing": 1.0, "instance_noise": 0.0},
            "dcgan2": {**_DCGAN, "strides": (2,), "gf_dim": 64, "label_smoothing": 0.9, "instance_noise": 0.2},
            "dcgan3": {**_DCGAN, "strides": (1,), "gf_dim": 16, "label_smoothing": 0.9, "instance_noise": 0.2},
        },
        train="histogan_tf.training.jobs:train_dcgan",
        networks="histogan_tf.training.dcgan_step:dcgan_networks",
        discriminators="histogan_tf.training.dcgan_step:dcgan_discriminators",
        step_cost="histogan_tf.paper.estimate:dcgan_step_cost",
        check=check_dcgan,
        section=None,
        heeds=frozenset(
            {
                "adversarial_loss",
                "checkpoint",
                "dfc_dim",
                "df_dim",
                "diffaugment",
                "ada_target",
                "discriminator_learning_rate",
                "ema_decay",
                "eval_freq",
                "gfc_dim",
                "gf_dim",
                "kernel_size",
                "min_recall",
                "generator_updates",
                "instance_noise",
                "label_smoothing",
                "r1_gamma",
                "spectral_norm",
                "strides",
                "sync_batch_norm",
                "upsampling",
                "z_dim",
                "z_dist",
            }
        ),
        description="a DCGAN's generator of synthetic images",
        use=_GENERATOR_USE,
        card_sections=("network", "training"),
    ),
    "projected": Family(
        title="a projected GAN",
        kind=GENERATOR,
        presets={
            "projected": {
                "batch_size": 16,
                "sample_num": 64,
                "adversarial_loss": "hinge",
                "z_dim": 128,
                "z_dist": "normal01",
                "gf_dim": 32,
                "df_dim": 128,
                "learning_rate": 0.002,
                "discriminator_learning_rate": 0.0002,
                "beta1": 0.0,
                "generator_updates": 1,
                "ema_decay": 0.995,
                "diffaugment": ("dihedral", "reflected_translation"),
                "label_smoothing": 1.0,
            }
        },
        train="histogan_tf.training.jobs:train_projected",
        networks="histogan_tf.training.projected_step:projected_networks",
        discriminators="histogan_tf.training.projected_step:projected_discriminators",
        step_cost="histogan_tf.paper.estimate:projected_step_cost",
        check=check_projected,
        section="projected",
        heeds=frozenset(
            {
                "adversarial_loss",
                "checkpoint",
                "df_dim",
                "diffaugment",
                "ada_target",
                "discriminator_learning_rate",
                "ema_decay",
                "eval_freq",
                "gf_dim",
                "generator_updates",
                "label_smoothing",
                "min_recall",
                "sync_batch_norm",
                "z_dim",
                "z_dist",
            }
        ),
        description="a projected GAN's generator of synthetic images, trained against the features of a pretrained "
        "network",
        use=_GENERATOR_USE,
        card_sections=("network", "training", "backbone", "projected"),
    ),
    "cyclegan": Family(
        title="a CycleGAN",
        kind=TRANSLATOR,
        presets={"cyclegan": {"batch_size": 1, "sample_num": 16, "gf_dim": 64, "adversarial_loss": "least_squares"}},
        train="histogan_tf.training.jobs:train_cyclegan",
        networks="histogan_tf.training.cyclegan_step:cyclegan_networks",
        discriminators="histogan_tf.training.cyclegan_step:cyclegan_discriminators",
        step_cost="histogan_tf.paper.estimate:cyclegan_step_cost",
        check=check_cyclegan,
        section="cyclegan",
        num_parallel_networks=2,
        heeds=frozenset({"adversarial_loss", "df_dim", "gf_dim", "upsampling"}),
        description="a CycleGAN's generator, which translates images from one label to another",
        use=_SYNTHETIC_USE + "A translation is an invention: what it shows was never in the tissue.",
        card_sections=("network", "training", "cyclegan"),
        unlisted=frozenset({"conditional"}),
    ),
    "resnet": Family(
        title="a classifier",
        kind=CLASSIFIER,
        presets={"resnet18": {"batch_size": 64}},
        train="histogan_tf.classifier.transfer:train_classifier",
        networks="histogan_tf.classifier.prediction:classifier_networks",
        predictor="histogan_tf.classifier.prediction:Predictor",
        check=check_classifier,
        section="classifier",
        heeds=frozenset(),
        description="a classifier on the features of a pretrained network, which tells labels apart",
        use="Research and teaching. Its probabilities hold for images as it was trained on: of the same stain, "
        "scanner, magnification and size.",
        card_sections=("backbone", "classifier"),
    ),
}


class _Models(Collection[str]):
    """The values of --model in the order of `FAMILIES`, which is read at each use."""

    def __iter__(self) -> Iterator[str]:
        return (model for family in FAMILIES.values() for model in family.presets)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def __contains__(self, model: object) -> bool:
        return any(model == known for known in self)


MODELS = _Models()


def family_of(model: str) -> Family:
    """Returns the family that a value of --model belongs to."""
    return next(family for family in FAMILIES.values() if model in family.presets)


def models_of_kind(kind: str) -> tuple[str, ...]:
    """Returns the values of --model whose family has the kind `generator`, `translator` or `classifier`."""
    return tuple(model for family in FAMILIES.values() if family.kind == kind for model in family.presets)


def models_that_heed(flag_name: str) -> tuple[str, ...]:
    """Returns the values of --model whose family uses a flag that some other family does not use."""
    return tuple(model for family in FAMILIES.values() if flag_name in family.heeds for model in family.presets)


def flags_unused_by(family: Family) -> frozenset[str]:
    """Returns the names of the flags that other families list in `heeds` and this one does not use."""
    return frozenset().union(*(other.heeds for other in FAMILIES.values())) - family.heeds
