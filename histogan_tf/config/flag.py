"""What a flag is: a dataclass field with a help text and a check."""

from __future__ import annotations

import dataclasses
import math
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from histogan_tf.errors import UserError


class Table(Mapping[str, Any]):
    """A table of a higher room, from which a flag takes its choices.

    It is looked up by name when it is first needed: configuration imports nothing from above, and the modules that hold
    such tables can be imported without TensorFlow, so that --help is quick.

    Args:
        path: "module:name" of a mapping whose keys are the choices.
    """

    def __init__(self, path: str) -> None:
        self._path = path

    def _entries(self) -> Mapping[str, Any]:
        return pkgutil.resolve_name(self._path)

    def __getitem__(self, name: str) -> Any:
        return self._entries()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __len__(self) -> int:
        return len(self._entries())


def flag(
    default: Any,
    help_text: str,
    *,
    section: str,
    choices: Collection[str] | None = None,
    described: Table | None = None,
    minimum: float | None = None,
    maximum: float | None = None,
    fixed: bool | None = None,
) -> Any:
    """A field of Config that is also a flag.

    Args:
        default: None means "see the help".
        help_text: shown by --help, without the default and the choices.
        section: of --help; flags of the sections data, network, training, cyclegan and classifier are
            fixed once a run has begun.
        choices: the allowed values; a `Table` where they are the entries of one.
        described: a `Table` whose entries have a `help` of their own; they are put where `help_text` has {entries}.
        minimum: smallest allowed value.
        maximum: largest allowed value.
        fixed: overrides the section's rule.
    """
    if fixed is None:
        fixed = section in ("data", "network", "training", "cyclegan", "classifier")
    metadata = {
        "help": help_text,
        "section": section,
        "choices": choices,
        "described": described,
        "minimum": minimum,
        "maximum": maximum,
        "fixed": fixed,
    }
    return dataclasses.field(default=default, metadata=metadata)


def help_of(field: dataclasses.Field) -> str:
    """The help text of a flag, with the entries of the table that it describes."""
    help_text, described = field.metadata["help"], field.metadata["described"]
    if described is None:
        return help_text
    return help_text.format(entries="; ".join(f"{name}: {entry.help}" for name, entry in described.items()))


def check(field: dataclasses.Field, value: Any) -> None:
    """Checks one value against its flag's choices and bounds.

    Raises:
        UserError: if it is not allowed.
    """
    choices, minimum, maximum = (field.metadata[key] for key in ("choices", "minimum", "maximum"))
    if value is None:
        return
    items = value if isinstance(value, tuple) else (value,)
    for item in items:
        if choices and item not in choices:
            raise UserError(
                f"--{field.name}={item}: choose {'among' if value is items else 'one of'} {', '.join(choices)}"
            )
    for number in items:
        if isinstance(number, float) and not math.isfinite(number):
            raise UserError(f"--{field.name}={number}: give a finite number")
        if minimum is not None and number < minimum:
            raise UserError(f"--{field.name}={number}: the smallest allowed value is {minimum:g}")
        if maximum is not None and number > maximum:
            raise UserError(f"--{field.name}={number}: the largest allowed value is {maximum:g}")
