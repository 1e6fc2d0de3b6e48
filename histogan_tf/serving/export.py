"""Runs --mode=export: writes each network of a run to EXPORT_DIR/<name>/<version>/, whole or not at all."""

from __future__ import annotations

import logging
import tempfile
from pathlib import Path

import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.runs.files import written_aside
from histogan_tf.serving.model_card import write_model_card
from histogan_tf.serving.onnx_model import write_onnx
from histogan_tf.serving.saved_model import write_saved_model
from histogan_tf.serving.server_files import write_server_files
from histogan_tf.serving.web import write_web_page
from histogan_tf.trained.load import load_networks

logger = logging.getLogger(__name__)

# TF Serving loads the highest version in a model's folder, so the other formats have folders of their own.
_WRITERS = {"saved_model": (write_saved_model, ""), "onnx": (write_onnx, "-onnx"), "web": (write_web_page, "-web")}


def export(config: Config) -> None:
    """Writes the networks of a run to --export_dir, in the format --format, each as the next version of its name.

    Raises:
        UserError: if there is no such run, it has no checkpoint, the format does not fit its networks, a package is
            missing, or the folder cannot be written.
    """
    networks = load_networks(config, precision="float32")
    export_directory = Path(config.export_dir).expanduser() if config.export_dir else networks[0].directory / "exported"
    _check_folder(export_directory)
    write, suffix = _WRITERS[config.format]
    for trained in networks:
        model_directory = export_directory / (trained.name + suffix)
        folder = model_directory / str(next_version(model_directory))
        try:
            with written_aside(folder) as aside:
                aside.mkdir()
                interface = write(trained, aside)
                write_model_card(aside / "MODEL_CARD.md", trained, interface)
        except (OSError, tf.errors.ResourceExhaustedError) as error:
            raise UserError(
                f"{folder} cannot be written ({error}), and nothing of it is left behind: free disk space, or make the "
                f"folder writable, and run the same command again"
            ) from error
        logger.info("exported %s to %s", trained.name, folder)
    if config.format == "saved_model":
        write_server_files(export_directory)
        logger.info("models.config and batching.config for TF Serving: %s", export_directory)


def next_version(model_directory: Path) -> int:
    """Returns the version that follows the highest one in a model's folder; 1 if there is none."""
    if not model_directory.is_dir():
        return 1
    return 1 + max((int(path.name) for path in model_directory.iterdir() if path.name.isdecimal()), default=0)


def _check_folder(export_directory: Path) -> None:
    try:
        export_directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=export_directory):
            pass
    except OSError as error:
        raise UserError(
            f"--export_dir={export_directory}: {error.strerror}; give a folder that can be written or created"
        ) from error
