"""Flags in words become a Config: those of a command line, and keyword arguments of Python, by the same rules."""

from __future__ import annotations

import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from absl import flags

from histogan_tf.config.flag import help_of
from histogan_tf.config.flagfiles import expand_flagfiles
from histogan_tf.config.settings import Config, flag_fields, resolve
from histogan_tf.errors import UserError

_TYPES = typing.get_type_hints(Config)
# What absl says of a text that is no value of a flag's type: "flag --epoch=ten: invalid literal for int() …".
_NO_VALUE = re.compile(
    r"flag (?P<given>--(?P<name>\w+)=.*?): (invalid literal|could not convert|Exceeds the limit|\('Non-boolean).*",
    re.DOTALL,
)
_WANTED = {
    int: "a whole number",
    float: "a number",
    bool: "true or false, or --{name} or --no{name} without a value",
}


def base_type(name: str) -> Any:
    """The type of a flag's value where it is given: its annotation without `| None`."""
    alternatives = [kind for kind in typing.get_args(_TYPES[name]) if kind is not type(None)]
    is_optional = len(alternatives) < len(typing.get_args(_TYPES[name]))
    return alternatives[0] if is_optional else _TYPES[name]


def is_list(name: str) -> bool:
    """Returns whether a name is that of a flag that takes several values, separated by commas."""
    return name in _TYPES and typing.get_origin(base_type(name)) is tuple


def parse_flags(arguments: Sequence[str]) -> Config:
    """Parses `--name=value` arguments, flagfiles included, into a checked and resolved Config.

    Raises:
        UserError: for an unknown flag, a value that cannot be read or is not allowed, or a stray argument.
    """
    values, given = _read(arguments)
    return resolve(Config(**values, given=given))


def parse_values(texts: Mapping[str, str]) -> dict[str, Any]:
    """Returns the values of flags of which each is given as the text after --name=.

    What depends on other flags is checked when the values are put into a Config and resolved.

    Raises:
        UserError: for an unknown name, or a text that cannot be read.
    """
    values, _ = _read([f"--{name}={text}" for name, text in texts.items()])
    return {name: values[name] for name in texts}


def _read(arguments: Sequence[str]) -> tuple[dict[str, Any], frozenset[str]]:
    """Returns the value of every flag, and the names of those that the arguments give."""
    if damaged := [argument for argument in arguments if "\0" in argument]:
        raise UserError(f"{damaged[0]!r} holds a null character: leave it out")
    flag_values = flags.FlagValues()
    _define_flags(flag_values)
    try:
        stray = flag_values(["", *expand_flagfiles(arguments)])[1:]
    # absl raises a ValueError for --nocrop=true, and a TypeError for --nocrop=1
    except (flags.Error, ValueError, TypeError, AttributeError) as error:
        raise UserError(f"{_in_words(str(error))} (--help lists the flags)") from error
    if stray:
        raise UserError(f"unexpected argument {stray[0]!r}: every setting is a flag, --name=value; see --help")
    values = {field.name: flag_values[field.name].value for field in flag_fields()}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = _integers(name, value) if base_type(name) == tuple[int, ...] else tuple(value)
    return values, frozenset(name for name in values if flag_values[name].present)


def _in_words(message: str) -> str:
    """Returns what absl says of a mistake, with Python's reason why a text is no value replaced by what to give."""
    found = _NO_VALUE.fullmatch(message)
    if found is None or found["name"] not in _TYPES:
        return message
    return f"{found['given']}: give {_WANTED[base_type(found['name'])].format(name=found['name'])}"


def parse_keywords(keywords: Mapping[str, Any]) -> Config:
    """Parses keyword arguments that have the names of flags, as the same flags on a command line would be parsed.

    So both mean the same, are checked by the same rules, and a mistake in either has the same message.

    Args:
        keywords: values by flag name. A value is of the flag's type or its text: numbers, strings, paths, True and
            False; a tuple, a list or a string with commas for flags that take several values. None leaves a flag out.
            A `flagfile` is read first, whatever its place.

    Raises:
        UserError: for an unknown name, or a value that cannot be read or is not allowed.
    """
    in_order = sorted(keywords.items(), key=lambda item: item[0] != "flagfile")
    # An unknown name is passed on even with None, to be refused.
    known = _TYPES.keys() | {"flagfile"}
    given = [(name, value) for name, value in in_order if value is not None or name not in known]
    return parse_flags([f"--{name}={as_text(value)}" for name, value in given])


def as_text(value: Any) -> str:
    """A flag's value as a command line has it after --name=."""
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(as_text, value)) if isinstance(value, (tuple, list)) else str(value)


def _define_flags(flag_values: flags.FlagValues) -> None:
    """Declares every field of Config as an absl flag."""
    for field in flag_fields():
        kind, options = base_type(field.name), {"flag_values": flag_values}
        name, default, help_text = field.name, field.default, help_of(field)
        if kind is bool:
            flags.DEFINE_boolean(name, default, help_text, **options)
        elif kind is int:
            flags.DEFINE_integer(name, default, help_text, **options)
        elif kind is float:
            flags.DEFINE_float(name, default, help_text, **options)
        elif kind is str:
            flags.DEFINE_string(name, default, help_text, **options)
        else:
            flags.DEFINE_list(name, None if default is None else list(map(str, default)), help_text, **options)


def _integers(name: str, items: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(int(item) for item in items)
    except ValueError:
        raise UserError(f"--{name}={','.join(items)}: give whole numbers, such as 2 or 2,2,2,2") from None
