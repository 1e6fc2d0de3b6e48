"""What a reader of a study's report must know before believing its numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from histogan_tf.classifier.prediction import is_untrained
from histogan_tf.config import Config
from histogan_tf.errors import counted
from histogan_tf.paper.configs import StudyConfigs

_FEW_PATIENTS = 10


def seeds_note(configs: StudyConfigs) -> str:
    """Returns how often each part of the study was repeated."""
    num_seeds, num_gan_seeds = len(configs.seeds), len(configs.gan_seeds)
    text = f"Classifiers were trained with {counted(num_seeds, 'seed')}"
    if num_seeds > num_gan_seeds:
        text += f", GANs and classifiers whose network was tuned with {counted(num_gan_seeds, 'seed')}"
    if num_seeds > 1:
        text += (
            "; the clusters, Figure 5, and the plots over the number of synthetic images and over epochs are of the "
            "first seed"
        )
    return f"{text}."


def study_warnings(
    configs: StudyConfigs, config: Config, dataset: Mapping[str, Any], table: Mapping[str, Any]
) -> Iterator[str]:
    """Yields what flatters the numbers of a study, or is not counted by its intervals.

    Args:
        configs: the Configs of the study's commands.
        config: the resolved flags of --mode=paper.
        dataset: what the study recorded of its images and their split.
        table: the content of table1.json.
    """
    if is_untrained(config):
        yield (
            "The classifier's backbone has random weights: it was never trained on anything. Its numbers show that the "
            "study runs, and say nothing about how well a pretrained classifier would do."
        )
    if config.dataset == "phantom":
        yield "The images are the built-in phantom: drawn by a program, not seen through a microscope."
    if config.quick:
        yield "--quick: networks are narrow and were trained for few steps, so synthetic images are poor by design."
    yield from _warnings_of_patients(dataset, table["num_validation_patients"])
    yield from _warnings_of_networks(configs, config)


def _warnings_of_patients(dataset: Mapping[str, Any], num_validation_patients: int | None) -> Iterator[str]:
    if dataset["patients_on_both_sides"] is None:
        yield (
            "The patients are unknown: images of one patient may be on both sides of the split, which flatters every "
            "number here."
        )
    elif dataset["patients_on_both_sides"]:
        is_own_split = dataset["split_seed"] is None
        remedy = "put each one's images into one part" if is_own_split else "--split_by=patient keeps them apart"
        yield (
            f"Images of {counted(dataset['patients_on_both_sides'], 'patient')} are on both sides of the split, which "
            f"flatters every number here; {remedy}."
        )
    if num_validation_patients == 1:
        yield "The validation images are of one patient: there is no interval, and other patients may differ."
    elif num_validation_patients is not None and num_validation_patients < _FEW_PATIENTS:
        yield (
            f"The validation images are of {counted(num_validation_patients, 'patient')}: intervals by patient are too "
            f"narrow below about ten."
        )


def _warnings_of_networks(configs: StudyConfigs, config: Config) -> Iterator[str]:
    if len(configs.seeds) == 1:
        yield "There is one repeat: it does not show how much another seed would change; --repeats=3 does."
    elif len(configs.gan_seeds) == 1 and configs.gan_runs:
        yield (
            "Each GAN was trained once. A second training would make another GAN, which no interval here takes into "
            "account; --gan_repeats=3 shows how much that changes."
        )
    if "tissue" in configs.synthetic and not is_untrained(config):
        backbone = configs.generator("tissue", configs.seeds[0]).backbone
        if backbone == config.backbone:
            yield (
                f"The tissue GAN was trained against features of the network that its patches are judged by here, "
                f"{backbone}, which may flatter its rows; --stage_flags=tissue.backbone=NAME,few.backbone=NAME trains "
                f"it against another one."
            )
