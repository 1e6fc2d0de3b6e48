"""Writes the files that TF Serving reads beside the models: the list of models, and how to batch requests."""

from __future__ import annotations

import logging
from pathlib import Path

from histogan_tf.runs import files

logger = logging.getLogger(__name__)

MOUNT = "/models"
"""The path of the export folder inside the server's container."""

# One image is little work, so the server answers several requests in one batch; it waits at most 2 ms to collect them.
_BATCHING = """\
max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
pad_variable_length_inputs: false
"""
_HEADER = "# Every --mode=export overwrites this file; keep your own settings in another file."


def write_server_files(export_directory: Path) -> None:
    """Writes models.config anew, with all SavedModels in the folder, and batching.config if there is none.

    A models.config that this program did not write stays, and a warning says so.

    Args:
        export_directory: the export folder, with <name>/<version>/ below it.
    """
    versions = [path.parent for path in export_directory.glob("*/*/saved_model.pb") if path.parent.name.isdecimal()]
    models = sorted({version.parent for version in versions})
    lines = [
        _HEADER,
        "model_config_list {",
    ]
    for model in models:
        name = model.name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'  config {{ name: "{name}" base_path: "{MOUNT}/{name}" model_platform: "tensorflow" }}')
    path = export_directory / "models.config"
    if path.exists() and not path.read_bytes().startswith(_HEADER.encode()):
        logger.warning("%s was not written by this program, and stays as it is: add the new model to it", path)
    else:
        files.write_text(path, "\n".join([*lines, "}", ""]))
    if not (export_directory / "batching.config").exists():
        files.write_text(export_directory / "batching.config", _BATCHING)
