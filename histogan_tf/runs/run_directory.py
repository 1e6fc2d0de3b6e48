"""The run directory, which holds all files of a training run, and in which the other modes find the trained network.

<checkpoint_dir>/<run>/
  config.json        all settings and how they changed, the dataset with its fingerprint, the patients, the run that it
                     started from, versions
  metrics.jsonl      the losses of each step
  convolutions.json  by which algorithm each convolution is computed on a CPU; see `training.recorded_algorithms`
  log.txt            the messages on the terminal, and all settings and the layers of each network
  logs/              files for TensorBoard
  samples/           reals.png, and sample sheets of the same latents from step 0 on
  ckpt/              checkpoints
"""

from __future__ import annotations

import contextlib
import dataclasses
import datetime
import importlib.metadata
import json
import logging
import platform
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

import histogan_tf
from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import CLASSIFIER, FAMILIES, family_of, flags_unused_by
from histogan_tf.config.training_flags import MIXED_PRECISION, PRECISIONS
from histogan_tf.errors import UserError, listing, reason_of
from histogan_tf.machine.processor import machine_record, warn_of_other_machine
from histogan_tf.machine.workers import is_chief, of_all_workers
from histogan_tf.runs import files
from histogan_tf.runs.locking import sole_writer
from histogan_tf.runs.pretrained import find_directory, is_pretrained, require_run, results_name
from histogan_tf.runs.record_checks import check_record, readable_rows
from histogan_tf.runs.weights_file import WEIGHTS_FILE

logger = logging.getLogger(__name__)

_MOST_THREADS = 1024  # more than this in a record is damage
_VERSIONED = ("tensorflow", "keras", "numpy")


def begin_run(
    config: Config,
    dataset: Mapping[str, Any],
    *,
    patients: Sequence[str] | None = None,
    initialized_from: Mapping[str, Any] | None = None,
) -> Path:
    """Makes the directory of a new run, or checks that an existing run has the same settings and data.

    `locking.sole_writer` must have locked the directory, and thrown an old run away if --restart says so. In a job of
    several workers, the chief makes the directory, and then every worker checks it.

    Args:
        config: the resolved settings.
        dataset: the record of the images, which `training.jobs.dataset_record` makes; it is saved in config.json.
        patients: the patients of the training images, for config.json; None if unknown.
        initialized_from: the record of the run whose weights this one starts from, see `training.starting`; None if
            it starts from none, or has a checkpoint of its own.

    Returns:
        The run directory.

    Raises:
        UserError: if the directory is a run with other settings, data or start.
    """
    directory = run_directory(config)
    if is_chief():
        origin = None if initialized_from is None else dict(initialized_from)
        people = None if patients is None else list(patients)
        _prepare(directory, config, {"dataset": dict(dataset), "patients": people, "initialized_from": origin})
    of_all_workers(np.int64(0))  # makes the other workers wait for the chief
    if not (directory / "config.json").exists():
        raise UserError(
            f"{directory} was made on another host and is not visible here: give a --checkpoint_dir on a file system "
            f"that all hosts share"
        )
    _check_same(directory, config, dataset, initialized_from)
    if is_chief():
        if recorded := recorded_machine(config):
            warn_of_other_machine(recorded, str(directory))
        warn_of_other_versions(read_record(directory).get("versions", {}), str(directory))
    return directory


def recorded_machine(config: Config) -> dict[str, Any] | None:
    """Returns what `processor.machine_record` returned where the run or study was begun that a command goes on with.

    None if the command begins a run, trains none, or the run has no such record.
    """
    recorded = _recorded(config, "machine")
    num_threads = recorded.get("threads")
    is_number = isinstance(num_threads, int) and not isinstance(num_threads, bool)
    return recorded if is_number and 1 <= num_threads <= _MOST_THREADS else None


def recorded_precision(config: Config) -> str | None:
    """Returns the precision of the run or study that a command goes on with.

    None if the command begins a run, trains none, or the run has no such record.
    """
    precision = _recorded(config, "settings").get("precision")
    return precision if precision in PRECISIONS and precision != MIXED_PRECISION else None


def _recorded(config: Config, part: str) -> dict[str, Any]:
    """Returns a part of the record of the run or study that a command goes on with; an empty one if there is none."""
    if config.restart or config.mode not in ("train", "paper"):
        return {}
    path = run_directory(config) / ("study.json" if config.mode == "paper" else "config.json")
    try:
        recorded = json.loads(path.read_bytes())[part]
    except (OSError, ValueError, LookupError, TypeError, RecursionError):
        return {}
    return recorded if isinstance(recorded, dict) else {}


@contextlib.contextmanager
def writing_run(config: Config) -> Iterator[None]:
    """Locks the directory of a run that is to be trained, see `locking.sole_writer`; --restart throws an old run away.

    Raises:
        UserError: if another process is working on the run, or the directory holds something else or an exported run.
    """
    directory = run_directory(config)
    if is_exported_run(directory):
        raise UserError(
            f"{directory} is an exported run, which is not trained: start a new --run from it with "
            f"--init_from={directory}"
        )
    with sole_writer(directory, restart=config.restart):
        yield


def _prepare(directory: Path, config: Config, origins: Mapping[str, Any]) -> None:
    if (directory / "config.json").exists():
        return
    files.write_json(
        directory / "config.json",
        {
            "settings": config.to_json(),
            **origins,
            "versions": versions(),
            "machine": machine_record(),
            "begun": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    )


def run_directory(config: Config) -> Path:
    """Returns the directory of the run that `config` names, whether it exists or not.

    Raises:
        UserError: if it is pretrained:NAME, and no such run comes with the program.
    """
    name = config.run_name()
    if is_pretrained(name):
        return find_directory(name, config.checkpoint_dir)
    return Path(config.checkpoint_dir).expanduser() / name


def results_directory(config: Config) -> Path:
    """Returns the folder for what is made with a run: the run directory, or one of its own if it is pretrained:NAME."""
    return Path(config.checkpoint_dir).expanduser() / results_name(config.run_name())


def output_folder(config: Config, name: str) -> Path:
    """Returns --output_dir or, if it was left out, the folder `name` among what is made with a run."""
    return Path(config.output_dir).expanduser() if config.output_dir else results_directory(config) / name


def is_exported_run(directory: Path) -> bool:
    """Returns whether a run was written by --mode=export --format=safetensors, and so has weights but no checkpoint."""
    return (directory / WEIGHTS_FILE).exists()


def read_run(config: Config, flag: str = "run") -> tuple[Path, Config, dict[str, Any]]:
    """Reads the run that a command other than train works on.

    Args:
        config: the settings of the command; --run, or --model, --dataset and --label, name the run.
        flag: the name of the flag that chose the run, for the message.

    Returns:
        The run directory, the settings with which the run was trained, and its record of its dataset.

    Raises:
        UserError: if there is no such run, or a flag that was given contradicts the run's settings.
    """
    directory = require_run(run_directory(config), flag)
    saved = read_record(directory)
    run_config = _recorded_config(saved)
    # Flags of the classifier are not compared with a GAN's run, for a command may use them for itself: --weights, for
    # example, says which classifier's features measure the images of the GAN.
    gan_sections = {family.section for family in FAMILIES.values() if family.kind != CLASSIFIER}
    family = family_of(run_config.model)
    sections = {"network", "training", family.section} | gan_sections
    own_names = {"model"}
    if family.kind == CLASSIFIER:
        sections.add("backbone")
        own_names.add("positive_class")
    for field in flag_fields():
        was, now = getattr(run_config, field.name), getattr(config, field.name)
        is_contradiction = field.name in config.given and field.metadata["fixed"] and was != now
        is_of_run = field.metadata["section"] in sections or field.name in own_names
        if is_contradiction and is_of_run:
            raise UserError(
                f"--{field.name}={now} contradicts the run {directory}, which has {was}: leave the flag out"
            )
    return directory, run_config, saved["dataset"]


def _recorded_config(record: Mapping[str, Any]) -> Config:
    """Returns the settings of a run; the positive class of two, if the settings lack it, is that of its images."""
    config, class_names = Config.from_json(record["settings"]), record["dataset"].get("class_names", ())
    if config.positive_class is None and len(class_names) == 2:
        config = dataclasses.replace(config, positive_class=class_names[1])
    return config


def read_record(directory: Path) -> dict[str, Any]:
    """Returns the content of a run's config.json.

    Raises:
        UserError: if it cannot be read or is not that of a run.
    """
    path = directory / "config.json"
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        required = {"settings", "dataset"} | ({"step"} if is_exported_run(directory) else set())
        check_record(record, frozenset(required))
    except (OSError, ValueError, RecursionError, UserError) as error:
        raise UserError(
            f"{path} cannot be read ({reason_of(error)}): put a good copy in its place, or --restart"
        ) from error
    return record


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """Returns the losses of each logged step of a run, in the order of steps.

    Lines that are damaged, as the last one may be after a power failure, are left out.

    Returns:
        One dict for each step, with `step` and each loss by name.
    """
    return list(readable_rows(directory / "metrics.jsonl"))


def _check_same(
    directory: Path, config: Config, dataset: Mapping[str, Any], initialized_from: Mapping[str, Any] | None
) -> None:
    saved = read_record(directory)
    was = _recorded_config(saved)
    if config.positive_class is None:  # the names of the classes, in their order, are compared below
        was = dataclasses.replace(was, positive_class=None)
    # A flag that only other families use changes nothing here; earlier versions took and recorded it all the same.
    family = family_of(was.model)
    unused = flags_unused_by(family)
    of_others = {"backbone", *(other.section for other in FAMILIES.values())} - {family.section, *family.card_sections}
    differences = [
        f"{field.name} was {getattr(was, field.name)} and is now {getattr(config, field.name)}"
        for field in flag_fields()
        if field.metadata["fixed"] and getattr(was, field.name) != getattr(config, field.name)
        if field.metadata["section"] not in of_others and field.name not in unused
    ]
    names = [record.get("class_names", []) for record in (saved["dataset"], dataset)]
    if not differences and names[0] != names[1]:
        remedy = f"; --positive_class={names[0][1]} numbers them as they were" if len(names[0]) == 2 else ""
        differences = [f"the labels 0, 1, … were {', '.join(names[0])} and are now {', '.join(names[1])}{remedy}"]
    if not differences and saved["dataset"] != json.loads(json.dumps(dict(dataset))):
        differences = [f"the images were {saved['dataset']} and are now {dict(dataset)}"]
    if not differences and initialized_from is not None and saved.get("initialized_from") != initialized_from:
        steps = [(origin or {}).get("step", 0) for origin in (saved.get("initialized_from"), initialized_from)]
        differences = [
            "the run in --init_from was another one, or had made {} steps and has now made {}".format(*steps)
        ]
    if differences:
        raise UserError(
            f"{directory} is a run with other settings ({'; '.join(differences)}): give the settings that it has, "
            f"choose another --run, or delete it with --restart"
        )


def warn_of_other_versions(recorded: Mapping[str, Any], what: str) -> None:
    """Logs a warning if weights may end in other bits than if a run had not been stopped, because packages changed.

    Args:
        recorded: what `versions` returned where the run was begun.
        what: the name of the run, for the message.
    """
    here = versions()
    changed = [name for name in _VERSIONED if name in recorded and recorded[name] != here[name]]
    if changed:
        there, now = (listing(f"{name} {found[name]}" for name in changed) for found in (recorded, here))
        logger.warning(
            "%s was begun with %s, and goes on with %s: it is as good, but its weights may end in other bits than if "
            "it had not been stopped",
            what,
            there,
            now,
        )


def versions() -> dict[str, str]:
    """Returns the versions of this program, of Python, and of the packages on which the results depend."""
    versions = {name: importlib.metadata.version(name) for name in _VERSIONED}
    return {"histogan_tf": histogan_tf.__version__, "python": platform.python_version(), **versions}
