"""What a TF Serving server reads beside the models: which there are, and how to batch requests."""

from __future__ import annotations

from pathlib import Path

from histogan_tf.runs import files

MOUNT = "/models"
"""Where the export folder is inside the server's container."""

# One image is little work, so requests of many clients are answered together; a client waits 2 ms at most for others.
_BATCHING = """\
max_batch_size { value: 64 }
batch_timeout_micros { value: 2000 }
max_enqueued_batches { value: 100 }
num_batch_threads { value: 2 }
pad_variable_length_inputs: false
"""


def write_server_files(export_directory: Path) -> None:
    """Writes models.config anew, of all SavedModels in the folder, and batching.config if there is none.

    Args:
        export_directory: with <name>/<version>/ below it.
    """
    versions = [path.parent for path in export_directory.glob("*/*/saved_model.pb") if path.parent.name.isdecimal()]
    models = sorted({version.parent for version in versions})
    lines = ["# Written anew by every --mode=export; keep settings of your own in another file.", "model_config_list {"]
    for model in models:
        name = model.name.replace("\\", "\\\\").replace('"', '\\"')
        lines.append(f'  config {{ name: "{name}" base_path: "{MOUNT}/{name}" model_platform: "tensorflow" }}')
    files.write_text(export_directory / "models.config", "\n".join([*lines, "}", ""]))
    if not (export_directory / "batching.config").exists():
        files.write_text(export_directory / "batching.config", _BATCHING)
