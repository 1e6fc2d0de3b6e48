"""The run directory: it explains itself, knows its settings again, and is where every other mode looks.

<checkpoint_dir>/<run>/
  config.json     every setting, the dataset with its fingerprint, versions
  metrics.jsonl   the losses of every step
  log.txt         what the terminal showed, all settings, the layers of each network
  logs/           for TensorBoard
  samples/        reals.png, then sheets of fixed latents from step 0 on
  ckpt/           checkpoints
"""

from __future__ import annotations

import contextlib
import datetime
import importlib.metadata
import json
import logging
import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import filelock
import numpy as np

import histogan_tf
from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import CLASSIFIER, FAMILIES, family_of
from histogan_tf.errors import UserError
from histogan_tf.machine.console import details_logger, package_logger
from histogan_tf.machine.workers import chief_only, is_chief, of_all_workers
from histogan_tf.runs import files
from histogan_tf.runs.checkpoints import checkpoint_folders

logger = logging.getLogger(__name__)

_VERSIONED = ("tensorflow", "keras", "numpy")


class Run:
    """A run directory that is being written; by the chief alone, where a job has several workers.

    Args:
        directory: that `begin_run` prepared.
        config: of the run.
    """

    def __init__(self, directory: Path, config: Config) -> None:
        import tensorflow as tf

        self.directory = directory
        self._sample_directory = directory / config.sample_dir
        self._writer = tf.summary.create_file_writer(str(directory / "logs")) if is_chief() else None
        self._metrics_path = directory / "metrics.jsonl"

    @property
    def checkpoint_directory(self) -> Path:
        """Where its checkpoints lie."""
        return self.directory / "ckpt"

    @chief_only
    def forget_after(self, step: int) -> None:
        """Drops the logged losses of steps after `step`, which a resumed run makes again."""
        rows = [row for row in read_metrics(self.directory) if row["step"] <= step]
        files.write_text(self._metrics_path, "".join(json.dumps(row) + "\n" for row in rows))

    @chief_only
    def log_losses(self, losses_by_step: Mapping[int, Mapping[str, float]]) -> None:
        """Writes the losses of some steps to metrics.jsonl and TensorBoard."""
        import tensorflow as tf

        with self._metrics_path.open("a", encoding="utf-8") as file, self._writer.as_default():
            for step, losses in losses_by_step.items():
                file.write(json.dumps({"step": step, **losses}) + "\n")
                for name, value in losses.items():
                    tf.summary.scalar(name, value, step)

    @chief_only
    def log_histograms(self, step: int, histograms: Mapping[str, Any]) -> None:
        """Writes histograms of tensors to TensorBoard."""
        import tensorflow as tf

        with self._writer.as_default():
            for name, values in histograms.items():
                tf.summary.histogram(name, values, step)

    def sheet_path(self, name: str, step: int | None = None) -> Path:
        """The file of a sample sheet; the step is part of its name, if given."""
        return self._sample_directory / (f"{name}.png" if step is None else f"{name}_{step:08d}.png")

    @chief_only
    def show_image(self, name: str, image: np.ndarray, step: int) -> None:
        """Writes one image, uint8 (height, width, channels), to TensorBoard."""
        import tensorflow as tf

        with self._writer.as_default():
            tf.summary.image(name, image[None], step)
        self._writer.flush()

    @chief_only
    def flush(self) -> None:
        """Sends what is buffered to TensorBoard's files."""
        self._writer.flush()


def begin_run(config: Config, dataset: Mapping[str, Any]) -> Path:
    """Prepares the directory of a new run, or checks that an old one is of the same settings and data.

    Of the workers of one job, the chief prepares and then all check.

    Args:
        config: resolved.
        dataset: what the run records of its images, as `training.jobs.dataset_record` tells it.

    Returns:
        The directory.

    Raises:
        UserError: if the directory is of other settings or data, or no run at all.
    """
    directory = run_directory(config)
    if is_chief():
        _prepare(directory, config, dataset)
    of_all_workers(np.int64(0))  # the others come after the chief
    if not (directory / "config.json").exists():
        raise UserError(f"{directory} is of another host: --checkpoint_dir must be on a file system that hosts share")
    _check_same(directory, config, dataset)
    return directory


def _prepare(directory: Path, config: Config, dataset: Mapping[str, Any]) -> None:
    if config.restart:
        _throw_away(directory)
    if (directory / "config.json").exists():
        return
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UserError(f"{directory} exists and is no run of this program: choose another --run or --checkpoint_dir")
    files.write_json(
        directory / "config.json",
        {
            "settings": config.to_json(),
            "dataset": dict(dataset),
            "versions": versions(),
            "begun": datetime.datetime.now().astimezone().isoformat(timespec="seconds"),
        },
    )


def run_directory(config: Config) -> Path:
    """Where the run of `config` lies, whether it exists or not."""
    return Path(config.checkpoint_dir).expanduser() / config.run_name()


@contextlib.contextmanager
def sole_writer(directory: Path) -> Iterator[None]:
    """Holds the run's lock, and copies the log to its log.txt. The chief does so for all workers of its job.

    Raises:
        UserError: if another process is writing the run.
    """
    if not is_chief():
        yield
        return
    lock = filelock.FileLock(directory / ".lock", timeout=0)
    try:
        lock.acquire()
    except filelock.Timeout:
        raise UserError(f"another process is training {directory}: wait for it, or choose another --run") from None
    handler = logging.FileHandler(directory / "log.txt", encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    for log in (package_logger, details_logger):
        log.addHandler(handler)
    try:
        yield
    except UserError as error:
        details_logger.error("%s", error)  # whoever catches it shows it on the console
        raise
    finally:
        for log in (package_logger, details_logger):
            log.removeHandler(handler)
        handler.close()
        lock.release()


def read_run(config: Config) -> tuple[Path, Config, dict[str, Any]]:
    """The run that a command other than train works on.

    Args:
        config: of the command; --run, or model, dataset and label, say which run.

    Returns:
        The directory, the run's own Config, and what it recorded of its dataset.

    Raises:
        UserError: if there is no such run, or flags contradict it.
    """
    directory = run_directory(config)
    path = directory / "config.json"
    if not path.exists():
        runs = sorted(found.parent.name for found in directory.parent.glob("*/config.json"))
        known = f"it holds {', '.join(runs[:8])}" if runs else "it holds none"
        raise UserError(f"there is no run {directory.name} in {directory.parent} ({known}): choose with --run")
    saved = _read_json(path)
    run_config = Config.from_json(saved["settings"])
    # Another family's flags may be given: those of the classifier also say by which features images are measured.
    gan_sections = {family.section for family in FAMILIES.values() if family.kind != CLASSIFIER}
    sections = {"network", "training", family_of(run_config.model).section} | gan_sections
    for field in flag_fields():
        was, now = getattr(run_config, field.name), getattr(config, field.name)
        is_contradiction = field.name in config.given and field.metadata["fixed"] and was != now
        if is_contradiction and (field.name == "model" or field.metadata["section"] in sections):
            raise UserError(f"--{field.name}={now}, but {directory} has {was}: leave the flag out")
    return directory, run_config, saved["dataset"]


def read_metrics(directory: Path) -> list[dict[str, float]]:
    """The losses of every step logged in a run, by rising step; a last line cut by a power failure is left out."""
    path = directory / "metrics.jsonl"
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else []:
        with contextlib.suppress(json.JSONDecodeError):
            rows.append(json.loads(line))
    return rows


def _read_json(path: Path) -> dict[str, Any]:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): put a good copy in its place, or --restart") from error


def _check_same(directory: Path, config: Config, dataset: Mapping[str, Any]) -> None:
    saved = _read_json(directory / "config.json")
    was = Config.from_json(saved["settings"])
    differences = [
        f"{field.name} was {getattr(was, field.name)} and is now {getattr(config, field.name)}"
        for field in flag_fields()
        if field.metadata["fixed"] and getattr(was, field.name) != getattr(config, field.name)
    ]
    if not differences and saved["dataset"] != json.loads(json.dumps(dict(dataset))):
        differences = [f"the images were {saved['dataset']} and are now {dict(dataset)}"]
    if differences:
        raise UserError(
            f"{directory} is a run of other settings ({'; '.join(differences)}): give those it has, choose another "
            f"--run, or throw it away with --restart"
        )


def _throw_away(directory: Path) -> None:
    if not directory.exists():
        return
    if not (directory / "config.json").exists() and any(directory.iterdir()):
        raise UserError(f"--restart: {directory} is no run of this program and was left alone; choose another --run")
    checkpoints = checkpoint_folders(directory / "ckpt")
    num_bytes = sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())
    files.remove(directory)
    newest = checkpoints[-1].name if checkpoints else "no checkpoint"
    logger.info("--restart: removed %s (%s, %.1f MB)", directory, newest, num_bytes / 1e6)


def versions() -> dict[str, str]:
    """Of this program, of Python, and of what numbers depend on."""
    versions = {name: importlib.metadata.version(name) for name in _VERSIONED}
    return {"histogan_tf": histogan_tf.__version__, "python": platform.python_version(), **versions}
