"""The definition of a flag: a dataclass field with a help text and the values that are allowed."""

from __future__ import annotations

import dataclasses
import math
import pkgutil
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from histogan_tf.errors import UserError

_FIXED_SECTIONS = ("data", "network", "training", "backbone", "projected", "cyclegan", "classifier")


class Table(Mapping[str, Any]):
    """A table elsewhere in the package whose keys are the allowed values of a flag, such as the table of losses.

    The table is imported by its name when it is first needed, because the configuration must not import the modules
    that use it. A module that holds such a table should not import TensorFlow, which would make --help slow.

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
    """Returns a field of Config that is also a flag.

    Args:
        default: the value if the flag is left out; None if `resolve` fills it in, as the help text must say.
        help_text: the text that --help shows; --help adds the choices and the default.
        section: the heading under which --help lists the flag.
        choices: the allowed values, or a `Table` whose keys they are; None for no such limit.
        described: a `Table` whose entries each have a text `help`; these texts replace {entries} in `help_text`. None
            if `help_text` is complete.
        minimum: the smallest allowed value; None for no limit.
        maximum: the largest allowed value; None for no limit.
        fixed: whether the value cannot change once a run has begun; if None, this holds for the sections data, network,
            training, backbone, projected, cyclegan and classifier.
    """
    if fixed is None:
        fixed = section in _FIXED_SECTIONS
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
    """Returns the help text of a flag, with {entries} replaced by the help texts of the table's entries."""
    help_text, described = field.metadata["help"], field.metadata["described"]
    if described is None:
        return help_text
    return help_text.format(entries="; ".join(f"{name}: {entry.help}" for name, entry in described.items()))


def check_recorded(field: dataclasses.Field, value: Any) -> None:
    """Checks a flag's value that a file records, where nothing has parsed it: its type too, and then as `check` does.

    Raises:
        UserError: if the flag cannot have this value.
    """
    if not _is_of_type(value, field.type):
        raise UserError(f"the setting {field.name} is {value!r}, which is not of its type, {field.type}")
    check(field, value)


def _is_of_type(value: Any, annotation: str) -> bool:
    """Returns whether a value is of the type that an annotation such as `tuple[int, ...] | None` names."""
    kinds = annotation.split(" | ")
    if value is None:
        return "None" in kinds
    kind = kinds[0]
    if kind.startswith("tuple["):
        item_kind = kind.removeprefix("tuple[").removesuffix(", ...]")
        return isinstance(value, tuple) and all(_is_of_type(item, item_kind) for item in value)
    if kind in ("int", "float"):
        allowed = (int, float) if kind == "float" else int
        return isinstance(value, allowed) and not isinstance(value, bool)
    return isinstance(value, {"str": str, "bool": bool}[kind])


def check(field: dataclasses.Field, value: Any) -> None:
    """Checks the value of a flag against the flag's choices and limits.

    Args:
        field: the field of Config that is the flag.
        value: the value; each item of a tuple is checked, and None is always allowed.

    Raises:
        UserError: if the value is not allowed.
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
            raise UserError(f"--{field.name}={number}: the smallest allowed value is {_as_given(minimum)}")
        if maximum is not None and number > maximum:
            raise UserError(f"--{field.name}={number}: the largest allowed value is {_as_given(maximum)}")


def _as_given(limit: float) -> str:
    """Returns a limit as one would give it: a whole number with all its digits, any other in its shortest form."""
    return str(int(limit)) if limit == int(limit) else f"{limit:g}"
