"""A training run as a Python program sees it: what it recorded, and what its trained network can be asked for."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.config.families import CLASSIFIER, GENERATOR, TRANSLATOR, family_of
from histogan_tf.config.parsing import parse_keywords
from histogan_tf.data.given_images import as_image_set
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError
from histogan_tf.machine.device import prepare
from histogan_tf.runs.pretrained import find_directory, is_pretrained
from histogan_tf.runs.restoring import steps_made
from histogan_tf.runs.run_directory import read_metrics, read_run
from histogan_tf.trained.directions import Direction, find_directions
from histogan_tf.trained.generate import chosen_label, images_in_turn, sampler_of
from histogan_tf.trained.load import TrainedNetwork, load_networks
from histogan_tf.trained.translate import check_channels
from histogan_tf.training.cyclegan_step import Translator
from histogan_tf.training.sampling import Sampler

# What a network of each kind can be asked for; measuring one by these is what `hg.evaluate` is for.
_METHODS = {
    GENERATOR: "sample() and directions",
    TRANSLATOR: "translate()",
    CLASSIFIER: "predict(), scores and positive_class",
}


class TrainedRun:
    """A run directory and the network that was trained in it.

    The network is restored from its checkpoint when it is first needed, and kept. A run that goes on training after
    that is loaded anew by `hg.load_run`.

    Args:
        config: of which --checkpoint_dir and --run say which run it is, and --checkpoint says which of its checkpoints.

    Raises:
        UserError: if there is no such run.
    """

    def __init__(self, config: Config) -> None:
        self._command = config
        self._directory, self._config, self._dataset = read_run(config)
        self._generator: tuple[TrainedNetwork, Sampler] | None = None
        self._directions: list[Direction] | None = None
        self._translators: dict[tuple[Any, ...], Translator] = {}
        self._predictor: Callable[[Any], np.ndarray] | None = None

    def __repr__(self) -> str:
        size = "x".join(map(str, self.image_shape))
        classes = f", classes {', '.join(self.class_names)}" if self.class_names else ""
        return f"<TrainedRun {self.directory}: {self.model} ({self.kind}), step {self.step}, images {size}{classes}>"

    @property
    def directory(self) -> Path:
        """The run directory."""
        return self._directory

    @property
    def name(self) -> str:
        """The run's name, as in --run."""
        return self._command.run

    @property
    def model(self) -> str:
        """What was trained, as in --model."""
        return self._config.model

    @property
    def kind(self) -> str:
        """`generator`, `translator` or `classifier`."""
        return family_of(self.model).kind

    @property
    def config(self) -> dict[str, Any]:
        """The value of every flag, by name, with which the run was begun or last went on."""
        return self._config.to_json()

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """(height, width, channels) of the training images."""
        return tuple(self._dataset["image_shape"])

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the dataset's labels 0, 1, …; empty if it has none."""
        return tuple(self._dataset["class_names"])

    @property
    def positive_class(self) -> str:
        """The name of the class whose probability a classifier predicts, and whose precision and recall are measured.

        Raises:
            UserError: if the run is no classifier, or one of three classes or more.
        """
        self._require(CLASSIFIER, "positive_class")
        if len(self.class_names) > 2:
            raise UserError(
                f"{self._directory} tells {len(self.class_names)} classes apart, and none of them is the positive one: "
                f"see class_names"
            )
        return self.class_names[1]

    @property
    def step(self) -> int:
        """Training steps made when the checkpoint was saved; 0 if there is none yet, 1 for a finished classifier."""
        return steps_made(self._directory, self._command.checkpoint)

    @property
    def metrics(self) -> dict[str, np.ndarray]:
        """What was logged while the run was trained, read from metrics.jsonl.

        Returns:
            "step", int64 (num_steps,), and losses and measures by name, float64 (num_steps,), NaN at steps where a
            value was not logged. Names depend on the model: d_loss and g_loss of a DCGAN, for instance. A classifier
            logs losses only while it is fine-tuned.
        """
        rows = read_metrics(self._directory)
        names = dict.fromkeys(name for row in rows for name in row if name != "step")
        values = {name: np.array([row.get(name, np.nan) for row in rows], np.float64) for name in names}
        return {"step": np.array([row["step"] for row in rows], np.int64), **values}

    @property
    def scores(self) -> dict[str, Any]:
        """What a classifier's predictions for the validation images are worth: the content of metrics.json.

        "positive_class" is the name of the class that they are about. "metrics" holds `value`, and bounds `low` and
        `high` of its 95 % interval, of each metric by name; None where one is not defined.

        Raises:
            UserError: if the run is no classifier, or is not finished.
        """
        self._require(CLASSIFIER, "scores")
        path = self._directory / "metrics.json"
        if not path.exists():
            raise UserError(f"{self._directory} has no scores yet: train it to its end with the same call of train()")
        return json.loads(path.read_text(encoding="utf-8"))

    def sample(self, num_images: int, seed: int = 42, label: int | str | None = None) -> np.ndarray:
        """Synthetic images of a trained DCGAN: those that --mode=generate writes for the same seed.

        Image i depends on the seed and i alone, so a larger number of images begins with those of a smaller one.

        Args:
            num_images: how many, at least 1.
            seed: which images, in [0, 2**31).
            label: number or class name for all images, if the network is conditional; None lets the labels take turns.

        Returns:
            uint8 (num_images, height, width, channels), values in [0, 255].

        Raises:
            UserError: if the run is no generator or has no checkpoint, or a value is not allowed.
        """
        flags = {"num_images": num_images, "seed": seed, "label": label}
        config = parse_keywords({"mode": "generate", **flags})
        source, sampler = self._loaded_generator("sample()")
        chosen = chosen_label(config, source)
        return np.concatenate(list(images_in_turn(sampler, config.num_images, config.seed, chosen)))

    @property
    def directions(self) -> list[Direction]:
        """The directions of z in which a generator's images change most, as --visualize=directions draws them.

        Each has a `name`, such as "more nuclei", a `vector`, float32 (z_dim,), its ends `low` and `high`, the
        `correlations` by which it was named, and `moved(latents, place)`. Finding them takes up to some minutes; they
        are kept.

        Raises:
            UserError: if the run is no generator or has no checkpoint.
        """
        source, _ = self._loaded_generator("directions")
        if self._directions is None:
            self._directions = find_directions(source)
        return list(self._directions)

    def translate(self, images: ImageSet | np.ndarray, direction: str = "A2B") -> np.ndarray:
        """Images translated by a trained CycleGAN, as --mode=translate translates them.

        Args:
            images: of any size that the network takes, and of the training images' channels: a set, or uint8
                (num_images, height, width, channels), values in [0, 255].
            direction: "A2B" from --domain_a to --domain_b, or "B2A" back.

        Returns:
            uint8, of the images' shape.

        Raises:
            UserError: if the run is no translator or has no checkpoint, or images or direction are of another kind.
        """
        self._require(TRANSLATOR, "translate()")
        if direction not in ("A2B", "B2A"):
            raise UserError(f"direction={direction!r}: translate() goes one way at a time; choose one of A2B, B2A")
        image_set = as_image_set(images)
        check_channels(image_set, self._dataset)
        key = (direction, image_set.image_shape)
        if key not in self._translators:
            prepare(self._command)
            (trained,) = load_networks(
                self._command, kind=TRANSLATOR, image_shape=image_set.image_shape, directions=(direction,)
            )
            self._translators[key] = Translator(trained.network)
        return self._translators[key].images(image_set.images)

    def predict(self, images: ImageSet | np.ndarray) -> np.ndarray:
        """Probabilities by a trained classifier, as --mode=classify writes them.

        Args:
            images: of the training images' height and width, grey or in colour: a set, or uint8 (num_images, height,
                width, channels), values in [0, 255].

        Returns:
            float64 (num_images,): each image's probability of being of the class `positive_class`, label 1. A
            classifier of three classes or more returns float64 (num_images, num_classes), in the order of
            `class_names`.

        Raises:
            UserError: if the run is no classifier or is not finished, or images are of another size.
        """
        self._require(CLASSIFIER, "predict()")
        image_set = as_image_set(images)
        pixels, channels = image_set.images, self.image_shape[-1]
        if image_set.image_shape[-1] < channels:
            pixels = np.repeat(np.asarray(pixels), channels, axis=-1)
        if tuple(pixels.shape[1:]) != self.image_shape:
            raise UserError(
                f"images are {_times(pixels.shape[1:])} (height x width x channels), but {self._directory} was trained "
                f"on {_times(self.image_shape)}: cut or resize your images to that, at the same magnification"
            )
        if self._predictor is None:
            prepare(self._command)
            (trained,) = load_networks(self._command, kind=CLASSIFIER)
            self._predictor = family_of(self.model).call("predictor", trained.network)
        return self._predictor(pixels)

    def _loaded_generator(self, what: str) -> tuple[TrainedNetwork, Sampler]:
        """Returns the generator and its sampler; `what` needs them."""
        self._require(GENERATOR, what)
        if self._generator is None:
            prepare(self._command)
            (source,) = load_networks(self._command, kind=GENERATOR)
            self._generator = source, sampler_of(source)
        return self._generator

    def _require(self, kind: str, what: str) -> None:
        if self.kind != kind:
            raise UserError(
                f"{self._directory} is a run of {self.model}, a {self.kind}, which has {_METHODS[self.kind]}; {what} "
                f"needs a {kind}"
            )


def find_run(
    run: str | os.PathLike[str], checkpoint: str = "last", checkpoint_dir: str | os.PathLike[str] = "checkpoints"
) -> TrainedRun:
    """The run in a folder, or of a name.

    Args:
        run: the run directory; or the run's name, if there is no such directory and it has no folder before it; or
            pretrained:NAME.
        checkpoint: "last" or "best", as in --checkpoint.
        checkpoint_dir: the folder in which a name is looked for.

    Raises:
        UserError: if there is no such run.
    """
    directory = find_directory(str(run), checkpoint_dir)
    place = {"checkpoint_dir": directory.parent, "run": directory.name}
    if is_pretrained(str(run)):
        place = {"checkpoint_dir": checkpoint_dir, "run": run}
    flags: Mapping[str, Any] = {**place, "checkpoint": checkpoint}
    return TrainedRun(parse_keywords({"mode": "generate", **flags}))


def _times(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))
