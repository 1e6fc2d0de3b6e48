"""Keeps the settings in a run's config.json true when the run goes on with others."""

from __future__ import annotations

import dataclasses
import datetime
import json
from pathlib import Path

from histogan_tf.config import Config
from histogan_tf.machine.workers import chief_only
from histogan_tf.runs import files
from histogan_tf.runs.run_directory import read_record


@chief_only
def record_settings(directory: Path, config: Config, step: int) -> None:
    """Records the settings with which a run goes on.

    `settings` in its config.json are then those of the training from now on. If any differs from before, the list
    `continued` gets an entry with the step, the time, and the old and the new value of each setting that changed.

    Args:
        directory: the run directory, of which this process is the sole writer.
        config: the settings; those that cannot change while a run goes on are the same as before.
        step: the number of steps that were made with the settings before.
    """
    record = read_record(directory)
    earlier = Config.from_json(record["settings"])
    if config.positive_class is None:  # left out now; the run's images number their classes as they did before
        config = dataclasses.replace(config, positive_class=earlier.positive_class)
    before, now = earlier.to_json(), config.to_json()
    before, now = (json.loads(json.dumps({**settings, "restart": False})) for settings in (before, now))
    changed = {name: [before[name], value] for name, value in now.items() if before[name] != value}
    if not changed:
        return
    entry = {"step": step, "at": datetime.datetime.now().astimezone().isoformat(timespec="seconds"), "changed": changed}
    continued = [*record.get("continued", []), entry]
    files.write_json(directory / "config.json", {**record, "settings": now, "continued": continued})
