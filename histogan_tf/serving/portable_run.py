"""Writes a run that can be passed on: a folder with weights and settings, which is used like the run directory itself.

It holds no checkpoint and no code: config.json, weights.safetensors, the metrics that were measured, a model card, and
of a generator a sheet of samples. `trained.load` reads it, and --init_from starts a training from it.
"""

from __future__ import annotations

import dataclasses
import logging
import os
import shutil
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import FAMILIES, GENERATOR
from histogan_tf.machine.randomness import Purpose
from histogan_tf.reporting import pictures
from histogan_tf.reporting.text_tables import markdown_table
from histogan_tf.runs.files import write_json
from histogan_tf.runs.restoring import restore_discriminators
from histogan_tf.runs.weights_file import WEIGHTS_FILE, named_weights, network_name, read_weights, write_weights
from histogan_tf.serving.model_card import metric_files
from histogan_tf.trained.generate import sampler_of
from histogan_tf.trained.load import TrainedNetwork

logger = logging.getLogger(__name__)

_SHEET_IMAGES, _SHEET_SEED = 64, 42


def as_portable(trained: TrainedNetwork) -> TrainedNetwork:
    """Returns a network under the name of its run, with settings that hold on every machine.

    Folders and the flags of commands are left out; of a path that starts at a root, the last part is kept.
    """
    sections = {"network", "training"} | {family.section for family in FAMILIES.values()}
    kept = {field.name for field in flag_fields() if field.metadata["fixed"] or field.metadata["section"] in sections}
    kept.discard("synthetic_dir")
    settings = Config.from_json(trained.record["settings"]).to_json()
    settings = {name: _short(value) for name, value in settings.items() if name in kept}
    record = {**trained.record, "settings": settings, "step": trained.step}
    if "continued" in record:
        record["continued"] = [_kept_changes(entry, kept) for entry in record["continued"]]
    if origin := record.get("initialized_from"):
        record["initialized_from"] = {**origin, "run": _short(origin["run"])}
    name, config = trained.output_directory.name, Config.from_json(settings)
    return dataclasses.replace(trained, name=name, config=config, record=record)


def _kept_changes(entry: Mapping[str, Any], kept: Collection[str]) -> dict[str, Any]:
    """Returns an entry of the record's `continued` with the changes of those settings only that the export holds."""
    changed = {name: list(map(_short, values)) for name, values in entry["changed"].items() if name in kept}
    return {**entry, "changed": changed}


def write_portable_run(networks: Sequence[TrainedNetwork], folder: Path, checkpoint: str = "last") -> str:
    """Writes all of a run's trained networks, in half precision where that loses no more than rounding.

    The networks have the weights that were written when it returns: they are read back from the file.

    Args:
        networks: all that the run samples, translates or classifies with.
        folder: an existing folder.
        checkpoint: "last" or "best": the checkpoint that the networks were restored from.

    Returns:
        Markdown for the model card that describes the file of weights.

    Raises:
        UserError: if a weight is not finite.
    """
    first = networks[0]
    state = {name: network for trained in networks for name, network in trained.state.items()}
    state |= restore_discriminators(first.directory, first.config, first.dataset, checkpoint)
    before = _samples(first)
    write_weights(folder / WEIGHTS_FILE, state)
    write_json(folder / "config.json", as_portable(first).record)
    for path in metric_files(first.directory):
        target = folder / path.relative_to(first.directory)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, target)
    read_weights(folder / WEIGHTS_FILE, state)
    lines = [_weights_table(folder, state)]
    if before is not None:
        after = _samples(first)
        pictures.save_png(folder / "samples.png", pictures.tile(after))
        difference = int(np.abs(after.astype(int) - before).max())
        turns = "; labels take turns from left to right" if first.num_classes else ""
        lines.append(
            f"`samples.png` shows images 0 to {len(after) - 1} of `--mode=generate --seed={_SHEET_SEED}`{turns}. They "
            f"differ by at most {difference} of 255 levels from those of the weights before rounding."
        )
    missing = _missing_discriminators(first, state)
    if missing:
        lines.append(f"{missing} A training that starts from these weights begins with new ones.")
        logger.info("%s", missing)
    lines.append("Python: `hg.load_run(FOLDER)`; to train from it: `--init_from=FOLDER`.")
    return "\n\n".join(lines)


def _samples(trained: TrainedNetwork) -> np.ndarray | None:
    """Returns the first images of the default seed, uint8 (64, height, width, channels); None if it makes none."""
    if trained.kind != GENERATOR:
        return None
    return sampler_of(trained).numbered(0, _SHEET_IMAGES, _SHEET_SEED, Purpose.GENERATED_LATENTS)


def _missing_discriminators(trained: TrainedNetwork, state: Mapping[str, Any]) -> str:
    family = trained.family
    has_all = family.discriminators is None or len(state) > len(trained.state)
    return "" if has_all else f"{trained.name}: the checkpoint holds no discriminators, so neither does the export."


def _weights_table(folder: Path, state: Mapping[str, Any]) -> str:
    rows = [("network in `weights.safetensors`", "tensors", "parameters")]
    for name, network in state.items():
        weights = named_weights({name: network}).values()
        rows.append((network_name(name), str(len(weights)), f"{sum(np.prod(weight.shape) for weight in weights):,.0f}"))
    size = (folder / WEIGHTS_FILE).stat().st_size
    return f"{markdown_table(rows)}\n\n{size / 1e6:.2f} MB; half precision where that loses no more than rounding."


def _short(value: Any) -> Any:
    """Returns the last part of a path that starts at a root or a home; everything else as it is."""
    is_path = isinstance(value, str) and os.path.isabs(os.path.expanduser(value))
    return os.path.basename(os.path.normpath(value)) if is_path else value
