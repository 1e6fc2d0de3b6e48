"""Checks of what stands in a run's files, which a person may have edited and a power failure may have damaged."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from histogan_tf.config import Config

_LARGEST_SIDE = 65536


def check_record(record: Any, required: frozenset[str]) -> None:
    """Checks that the content of a config.json is of the kind that a run's is.

    Args:
        record: the content, as JSON gives it.
        required: the keys that it must have.

    Raises:
        ValueError: if it is not; the message says what is wrong.
        UserError: if a setting has a value that no flag can have.
    """
    _require(isinstance(record, dict), "it is no record of a run")
    if missing := sorted(required - record.keys()):
        raise ValueError(f"it has no {', '.join(missing)}")
    _require(isinstance(record["settings"], dict), "its settings are no table")
    _require("model" in record["settings"], "its settings have no model")
    Config.from_json(record["settings"])
    _check_dataset(record["dataset"])
    _require(_is_texts(record.get("patients"), optional=True), "its patients are no list of names")
    origin = record.get("initialized_from")
    if origin is not None:
        is_whole = isinstance(origin, dict) and {"run", "model", "step", "dataset"} <= origin.keys()
        _require(is_whole and _is_texts(origin.get("patients"), optional=True), "its initialized_from is damaged")
        dataset = origin["dataset"]
        is_named = isinstance(dataset, dict) and isinstance(dataset.get("name"), str) and isinstance(origin["run"], str)
        _require(is_named and _is_count(origin["step"], 0), "its initialized_from is damaged")
    if "step" in required:
        _require(_is_count(record["step"], 1), "its step is no number of steps")
    _require(_is_history(record.get("continued", [])), "its continued is no list of changed settings")
    _require(isinstance(record.get("begun", ""), str), "its begun is no time")
    for name in ("versions", "machine"):
        _require(isinstance(record.get(name, {}), dict), f"its {name} is no table")
    for name in ("devices", "instructions"):
        names = record.get("machine", {}).get(name)
        _require(_is_texts(names, optional=True), f"the {name} of its machine are no list of names")


def _is_history(continued: Any) -> bool:
    """Returns whether a value is as `settings_history.record_settings` writes the list `continued`."""
    if not isinstance(continued, list) or not all(isinstance(entry, dict) for entry in continued):
        return False
    tables = [entry.get("changed") for entry in continued]
    if not all(isinstance(table, dict) for table in tables):
        return False
    pairs = [pair for table in tables for pair in table.values()]
    is_changed = all(isinstance(pair, list) and len(pair) == 2 for pair in pairs)
    return is_changed and all(_is_count(entry.get("step"), 0) for entry in continued)


def _check_dataset(dataset: Any) -> None:
    _require(isinstance(dataset, dict), "its dataset is no table")
    _require(isinstance(dataset.get("name"), str), "its dataset has no name")
    shape = dataset.get("image_shape")
    is_shape = isinstance(shape, list) and len(shape) == 3 and all(_is_count(side, 1, _LARGEST_SIDE) for side in shape)
    _require(is_shape and shape[2] in (1, 3), "its dataset has no image_shape of height, width and 1 or 3 channels")
    _require(_is_texts(dataset.get("class_names")), "its dataset has no class_names")
    if (domains := dataset.get("domains")) is not None:
        count = len(dataset["class_names"])
        is_pair = isinstance(domains, list) and len(domains) == 2 and all(isinstance(one, dict) for one in domains)
        is_labelled = is_pair and all(_is_count(one.get("label"), 0, count - 1) for one in domains)
        _require(is_labelled, "its domains are not two of its classes")


def _is_count(value: Any, minimum: int, maximum: float = math.inf) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and minimum <= value <= maximum


def _is_texts(value: Any, *, optional: bool = False) -> bool:
    return (optional and value is None) or (isinstance(value, list) and all(isinstance(text, str) for text in value))


def _require(condition: bool, message: str) -> None:
    if not condition:
        raise ValueError(message)


def readable_rows(path: Path) -> Iterator[dict[str, float]]:
    """Yields the rows of a metrics.jsonl: a number `step` and numbers by name; leaves out lines that are none.

    The last line may be incomplete after a power failure, or the file may end in bytes that are no text.
    """
    if not path.exists():
        return
    for line in path.read_bytes().splitlines():
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(row, Mapping) and _is_count(row.get("step"), 0) and all(map(_is_number, row.values())):
            yield row


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
