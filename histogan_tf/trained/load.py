"""Loading of trained networks from run directories, together with the settings and the dataset of their runs."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import keras

from histogan_tf.config import Config
from histogan_tf.config.families import CLASSIFIER, Family, family_of, models_of_kind
from histogan_tf.errors import UserError, counted
from histogan_tf.runs.pretrained import is_pretrained
from histogan_tf.runs.restoring import restore_networks
from histogan_tf.runs.run_directory import read_record, read_run, results_directory

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A trained network, and what is known of its training.

    Attributes:
        name: the name by which clients call an exported network: that of the run and, for a translator, the direction.
        network: a generator, a translator, or a classifier, whose outputs are logits.
        directory: the run directory.
        output_directory: the folder for what is made with the network, unless the user names one: the run directory, or
            one below --checkpoint_dir if the run comes with the program.
        config: the settings with which the run was trained.
        dataset: the run's record of its training images, from its config.json.
        step: the number of training steps of the checkpoint.
        state: the network, or the parts that have its weights, by the names in the run's checkpoints.
        record: the content of the run's config.json.
    """

    name: str
    network: keras.Model
    directory: Path
    output_directory: Path
    config: Config
    dataset: Mapping[str, Any]
    step: int
    state: Mapping[str, Any]
    record: Mapping[str, Any]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the training images."""
        return tuple(self.dataset["image_shape"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the dataset's classes, in the order of their labels."""
        return tuple(self.dataset["class_names"])

    @property
    def num_classes(self) -> int:
        """The number of labels that a conditional generator takes; 0 for a network that takes no label."""
        return len(self.class_names) if self.config.conditional else 0

    @property
    def family(self) -> Family:
        """The family of the network's model."""
        return family_of(self.config.model)

    @property
    def kind(self) -> str:
        """The kind of network: `generator`, `translator` or `classifier`."""
        return self.family.kind


def load_networks(
    config: Config,
    *,
    kind: str | None = None,
    precision: str | None = None,
    image_shape: tuple[int, int, int] | None = None,
    directions: Collection[str] | None = None,
) -> list[TrainedNetwork]:
    """Loads the trained networks of a run: one network, or one for each direction of a CycleGAN.

    Args:
        config: the settings of the command: --run, or --model, --dataset and --label, name the run, and --checkpoint
            the checkpoint.
        kind: the kind of network that is needed, see `Family.kind`; None for any kind.
        precision: the value of --precision with which the network computes; that of the training if None.
        image_shape: (height, width, channels) of the images to translate; that of the training images if None.
        directions: the directions of a CycleGAN to load, "A2B" and "B2A"; those of --direction if None.

    Raises:
        UserError: if there is no such run, its network is of another kind, or it does not have the checkpoint that
            --checkpoint names, or that cannot be read.
    """
    directory, run_config, dataset = read_run(config)
    family = family_of(run_config.model)
    if kind not in (None, family.kind):
        raise UserError(
            f"{directory} is a run of {run_config.model}; --mode={config.mode} needs a {kind} "
            f"({', '.join(models_of_kind(kind))}): choose its run with --run"
        )
    if directions is None:
        directions = ("A2B", "B2A") if config.direction == "both" else (config.direction,)
    built_config = dataclasses.replace(run_config, precision=precision or run_config.precision)
    output_directory, record = results_directory(config), read_record(directory)
    found = []
    for part in family.call("networks", built_config, dataset, image_shape=image_shape, directions=directions):
        step = restore_networks(directory, part.state, config.checkpoint)
        found.append(
            TrainedNetwork(
                name=output_directory.name + part.suffix,
                network=part.network,
                directory=directory,
                output_directory=output_directory,
                config=run_config,
                dataset=dataset,
                step=step,
                state=part.state,
                record=record,
            )
        )
    origin = f"{config.run}, which comes with the program" if is_pretrained(config.run) else str(directory)
    # The head of a classifier is fitted as a whole, and counts as one step.
    trained_for = "" if family.kind == CLASSIFIER else f", trained for {counted(found[0].step, 'step')}"
    logger.info("%s%s", origin, trained_for)
    return found
