"""Does what --init_from says: lets the networks of a new run start from the weights of another run.

A generator that has learned tissue needs fewer patches to learn another set of them (Wang et al., "Transferring GANs:
generating images from limited data", ECCV 2018; Mo et al., "Freeze the Discriminator: a Simple Baseline for Fine-Tuning
GANs", 2020).
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import keras

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import family_of
from histogan_tf.config.parsing import as_text
from histogan_tf.errors import UserError, counted
from histogan_tf.runs.checkpoints import checkpoint_folders
from histogan_tf.runs.pretrained import find_directory
from histogan_tf.runs.provenance import seen_patients, warn_of_seen_patients
from histogan_tf.runs.restoring import restore_discriminators, restore_networks
from histogan_tf.runs.run_directory import read_record, run_directory
from histogan_tf.runs.weights_file import named_weights, network_name

logger = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Start:
    """The run that a training starts from, after its weights were taken over.

    Attributes:
        config: the settings of that run.
        record: what config.json says of it: its name, model and step, its record of its images, and the patients that
            it has seen.
        begun_anew: the names of the networks that it has no weights for.
        patients: the patients of the new run's images; None if unknown.
    """

    config: Config
    record: Mapping[str, Any]
    begun_anew: tuple[str, ...]
    patients: frozenset[str] | None

    def tell(self) -> None:
        """Logs where the weights come from, and warns if that run has seen patients of the new images."""
        name, model, step = (self.record[key] for key in ("run", "model", "step"))
        logger.info("start: the weights of %s (%s, trained for %s)", name, model, counted(step, "step"))
        if self.begun_anew:
            logger.info("start: %s has no weights for %s, which start anew", name, ", ".join(self.begun_anew))
        warn_of_seen_patients(self.patients, self.record["patients"], name)


def start_from(
    config: Config,
    state: Mapping[str, Any],
    dataset: Mapping[str, Any],
    patients: Iterable[str] | None,
    own_checkpoints: Path,
) -> Start | None:
    """Sets the networks of a new run to the weights of the run that --init_from names.

    Args:
        config: the resolved flags.
        state: the objects of the new run by the names that they have in its checkpoints; those that are no networks,
            such as optimizers, are left alone. A network and its average both start from the source's average, if it
            has one.
        dataset: the new run's record of its images.
        patients: the patients of the new run's images; None if unknown.
        own_checkpoints: the folder of the new run's checkpoints. If it holds one, the run goes on from that.

    Returns:
        What to tell and to record of the start; None if there is no --init_from or the run goes on.

    Raises:
        UserError: if there is no such run, it is of another family, or its networks have another shape. Nothing was
            written then.
    """
    # A killed --restart may have left checkpoints of a run that has no record any more; they will be thrown away.
    has_begun = (run_directory(config) / "config.json").exists() and not config.restart
    if config.init_from is None or (has_begun and checkpoint_folders(own_checkpoints)):
        return None
    directory = find_directory(config.init_from, config.checkpoint_dir, "init_from")
    if directory.resolve() == run_directory(config).resolve():
        raise UserError(f"--init_from={config.init_from} is the run itself: choose another --run for the new training")
    record = read_record(directory)
    source = Config.from_json(record["settings"])
    _check_kind(config, source, dataset, record["dataset"])
    sources, step = _restored(directory, source, record["dataset"])
    networks = {name: network for name, network in state.items() if isinstance(network, keras.Layer)}
    pairs = {name: sources[network_name(name)] for name in networks if network_name(name) in sources}
    values = {}
    for name, source_network in pairs.items():
        wanted, given = named_weights({name: networks[name]}), named_weights({name: source_network})
        misfit = _first_misfit(wanted, given)
        if misfit:
            remedy = _remedy(config, source, dataset, record["dataset"])
            raise UserError(f"--init_from={config.init_from} does not fit: {misfit}; {remedy}")
        values[name] = [(weight, given[path].numpy()) for path, weight in wanted.items()]
    for name in pairs:
        for weight, value in values[name]:
            weight.assign(value)
    origin = {
        "run": config.init_from,
        "model": source.model,
        "step": step,
        "dataset": record["dataset"],
        "patients": seen_patients(record),
    }
    people = None if patients is None else frozenset(patients)
    return Start(source, origin, tuple(name for name in networks if name not in pairs), people)


def _check_kind(config: Config, source: Config, dataset: Mapping[str, Any], source_dataset: Mapping[str, Any]) -> None:
    family, source_family = family_of(config.model), family_of(source.model)
    if family is not source_family:
        raise UserError(
            f"--init_from={config.init_from} is {source_family.title} ({source.model}), and --model={config.model} is "
            f"{family.title}: start from a run of the same kind"
        )
    if family.section == "projected":
        known, wanted = (_network_of_features(of_run) for of_run in (source, config))
        if known != wanted:
            raise UserError(
                f"--init_from={config.init_from}: its discriminators know the features of {known}, and this training "
                f"has {wanted}: give the same --backbone and --weights, or start without --init_from"
            )
    labels, source_labels = dataset["class_names"], source_dataset["class_names"]
    if config.conditional and source.conditional and len(labels) != len(source_labels):
        raise UserError(
            f"--init_from={config.init_from} makes images of {counted(len(source_labels), 'label')} "
            f"({', '.join(source_labels)}), and these images have {len(labels)} ({', '.join(labels)}): start from a "
            "run with as many labels, or sort the images into as many"
        )


def _network_of_features(config: Config) -> str:
    """Returns the network that the discriminators of a projected GAN see, in words."""
    return f"{config.backbone}, {'untrained' if config.weights == 'random' else 'pretrained'}"


def _restored(directory: Path, source: Config, dataset: Mapping[str, Any]) -> tuple[dict[str, Any], int]:
    """Returns a run's networks by the name of each, and the number of steps that they were trained for."""
    networks, step = {}, 0
    # As the loader of trained networks does; both directions are those of a translator.
    for part in family_of(source.model).call("networks", source, dataset, image_shape=None, directions=("A2B", "B2A")):
        step = restore_networks(directory, part.state)
        networks |= part.state
    networks |= restore_discriminators(directory, source, dataset)
    return {network_name(name): network for name, network in networks.items()}, step


def _first_misfit(wanted: Mapping[str, keras.Variable], given: Mapping[str, keras.Variable]) -> str | None:
    """Returns which weight does not fit, and both shapes; None if all fit."""
    for path in [*wanted, *given]:
        here, there = (tuple(weights[path].shape) if path in weights else None for weights in (wanted, given))
        if here != there:
            shapes = ("not there" if shape is None else str(shape) for shape in (here, there))
            return "the weight {} is {} here and {} in that run".format(path, *shapes)
    return None


def _remedy(config: Config, source: Config, dataset: Mapping[str, Any], source_dataset: Mapping[str, Any]) -> str:
    """Returns advice: the flags of the networks that differ, and the size of images if that differs."""
    family = family_of(config.model)
    sections = {"network", family.section, *({"backbone"} & set(family.card_sections))} - {None}
    differing = [
        (field.name, getattr(source, field.name))
        for field in flag_fields()
        if field.metadata["section"] in sections
        and field.metadata["fixed"]
        and field.name not in ("z_dist", "weights")  # which change no shape
        and getattr(source, field.name) != getattr(config, field.name)
    ]
    flags = [f"no --{name}" if there is None else f"--{name}={as_text(there)}" for name, there in differing]
    (height, width, channels), here = source_dataset["image_shape"], dataset["image_shape"]
    if [height, width] != list(here)[:2]:
        flags.append(f"--output_height={height} --output_width={width}")
    if channels != here[2]:
        flags.append("grey images" if channels == 1 else "images in colour")
    return f"that run has {' '.join(flags)}: give the same" if flags else "start from a run of the same shape"
