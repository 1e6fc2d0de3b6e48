"""Runs --mode=export: writes each network of a run to EXPORT_DIR/<name>/<version>/, whole or not at all."""

from __future__ import annotations

import functools
import logging
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.errors import UserError, reason_of
from histogan_tf.runs.checkpoints import is_path_for_tensorflow
from histogan_tf.runs.files import written_aside
from histogan_tf.serving.model_card import write_model_card
from histogan_tf.serving.onnx_model import write_onnx
from histogan_tf.serving.portable_run import as_portable, write_portable_run
from histogan_tf.serving.saved_model import write_saved_model
from histogan_tf.serving.server_files import write_server_files
from histogan_tf.serving.web import whole_run, write_web_page
from histogan_tf.trained.load import TrainedNetwork, load_networks

logger = logging.getLogger(__name__)

# What each format writes of a network, and what follows the network's name.
# TF Serving loads the highest version in a model's folder, so the other formats have folders of their own.
_WRITERS = {"saved_model": (write_saved_model, ""), "onnx": (write_onnx, "-onnx")}
# What follows the run's name in formats that hold all its networks.
_PORTABLE_SUFFIX, _PAGE_SUFFIX = "-safetensors", "-web"


def export(config: Config) -> None:
    """Writes the networks of a run to --export_dir, in the format --format, each as the next version of its name.

    With --format=safetensors and --format=web, all networks of the run are in one folder.

    Raises:
        UserError: if there is no such run, it has no checkpoint, the format does not fit its networks, a package is
            missing, or the folder cannot be written.
    """
    is_portable = config.format == "safetensors"
    networks = load_networks(config, precision="float32", directions=("A2B", "B2A") if is_portable else None)
    given = Path(config.export_dir).expanduser() if config.export_dir else None
    export_directory = given or networks[0].output_directory / "exported"
    _check_folder(export_directory)
    if is_portable:
        run = as_portable(networks[0])
        write = functools.partial(write_portable_run, networks, checkpoint=config.checkpoint)
        _export_one(run, export_directory / (run.name + _PORTABLE_SUFFIX), write, all_patients=True)
        return
    if config.format == "web":
        run = whole_run(networks)
        _export_one(run, export_directory / (run.name + _PAGE_SUFFIX), functools.partial(write_web_page, networks))
        return
    write_network, suffix = _WRITERS[config.format]
    if config.format == "saved_model":
        _check_readable([export_directory / (trained.name + suffix) for trained in networks])
    for trained in networks:
        _export_one(trained, export_directory / (trained.name + suffix), functools.partial(write_network, trained))
    if config.format == "saved_model":
        write_server_files(export_directory)
        logger.info("models.config and batching.config for TF Serving: %s", export_directory)


def _export_one(
    trained: TrainedNetwork, model_directory: Path, write: Callable[[Path], str], *, all_patients: bool = False
) -> None:
    """Writes the next version in a model's folder, with its model card, whole or not at all.

    Args:
        trained: the network that the card is about.
        model_directory: the folder of all versions.
        write: a function that fills an existing folder and returns Markdown about its content.
        all_patients: whether the card lists every patient.
    """
    folder = model_directory / str(next_version(model_directory))
    try:
        with written_aside(folder) as aside:
            aside.mkdir()
            interface = write(aside)
            write_model_card(aside / "MODEL_CARD.md", trained, interface, all_patients=all_patients)
    except (OSError, tf.errors.ResourceExhaustedError) as error:
        raise UserError(
            f"{folder} cannot be written ({reason_of(error)}), and nothing of it is left behind: free disk space, or "
            f"make the folder writable, and run the same command again"
        ) from error
    logger.info("exported %s to %s", trained.name, folder)


def next_version(model_directory: Path) -> int:
    """Returns the version that follows the highest one in a model's folder; 1 if there is none."""
    if not model_directory.is_dir():
        return 1
    return 1 + max((int(path.name) for path in model_directory.iterdir() if path.name.isdecimal()), default=0)


def _check_readable(model_directories: Sequence[Path]) -> None:
    """Refuses folders from which no TensorFlow, and so no TF Serving, could load a SavedModel."""
    for directory in model_directories:
        if not is_path_for_tensorflow(directory.absolute()):
            raise UserError(
                f"TensorFlow cannot load a model from {directory.absolute()}, whose name it takes for a pattern: give "
                f"an --export_dir, and a run a name, without [ and \\"
            )


def _check_folder(export_directory: Path) -> None:
    try:
        export_directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=export_directory):
            pass
    except OSError as error:
        raise UserError(
            f"--export_dir={export_directory}: {error.strerror}; give a folder that can be written or created"
        ) from error
