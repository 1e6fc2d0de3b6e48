"""Trained networks, read from their runs to be exported."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import keras

from histogan_tf.checkpoints import Checkpoints, best_directory
from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.models.resnet import build_classifier
from histogan_tf.runs import read_run
from histogan_tf.training import cyclegan, dcgan


@dataclasses.dataclass(frozen=True)
class TrainedNetwork:
    """A network with what is known of it.

    Attributes:
        name: under which clients call it: its run's, and for a translator the direction too.
        network: in float32, whatever the training's precision was: a DCGAN's generator, one of a CycleGAN's, or a
            classifier, which puts out logits.
        directory: of the run.
        config: of the run.
        dataset: what the run recorded of its images.
        step: training steps made.
    """

    name: str
    network: keras.Model
    directory: Path
    config: Config
    dataset: Mapping[str, Any]
    step: int

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the training images."""
        return tuple(self.dataset["image_shape"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """Of the dataset, by label."""
        return tuple(self.dataset["class_names"])

    @property
    def num_classes(self) -> int:
        """Labels that a generator takes; 0 if it takes none."""
        return len(self.class_names) if self.config.conditional else 0

    @property
    def kind(self) -> str:
        """`generator`, `translator` or `classifier`."""
        return {"cyclegan": "translator", "resnet18": "classifier"}.get(self.config.model, "generator")


def read_trained(config: Config) -> list[TrainedNetwork]:
    """The networks of a run: one, or one for each --direction of a CycleGAN.

    Raises:
        UserError: if there is no such run, or it has no checkpoint, or not the one that --checkpoint asks for.
    """
    directory, run_config, dataset = read_run(config)
    checkpoint_directory, remedy = directory / "ckpt", "no checkpoint yet: train it with --mode=train first"
    if config.checkpoint == "best":
        checkpoint_directory = best_directory(checkpoint_directory)
        remedy = "no best checkpoint: train it with --eval_freq, or leave --checkpoint out"
    found = []
    for suffix, network, state in _networks(dataclasses.replace(run_config, precision="float32"), dataset, config):
        step = Checkpoints(checkpoint_directory, state).restore(partial=True)
        if step == 0:
            raise UserError(f"{directory} has {remedy}")
        found.append(TrainedNetwork(directory.name + suffix, network, directory, run_config, dataset, step))
    return found


def _networks(
    run_config: Config, dataset: Mapping[str, Any], config: Config
) -> Iterator[tuple[str, keras.Model, dict[str, object]]]:
    """What to add to the run's name, the network, and what its checkpoint knows it by."""
    image_shape = tuple(dataset["image_shape"])
    if run_config.model == "resnet18":
        classifier = build_classifier(image_shape, size=run_config.classifier_size, weights="random", seed=0)
        yield "", classifier.network, classifier.state()
    elif run_config.model == "cyclegan":
        for direction in cyclegan.DIRECTIONS:
            if config.direction in (direction, "both"):
                generator = cyclegan.generator_of(run_config, direction, image_shape)
                yield f"-{direction}", generator, {generator.name: generator}
    else:
        num_classes = len(dataset["class_names"]) if run_config.conditional else 0
        generator = dcgan.generator_of(run_config, image_shape, num_classes)
        yield "", generator, dcgan.sampled_state(run_config, generator)
