"""Parsing of the command line with absl flags into a Config, and the text of --help. No other module reads flags."""

from __future__ import annotations

import dataclasses
import textwrap
import typing
from collections.abc import Sequence
from typing import Any

from absl import flags

from histogan_tf.config import Config, flag_fields, resolve
from histogan_tf.config.flag import help_of
from histogan_tf.errors import UserError

_TYPES = typing.get_type_hints(Config)


def _base_type(name: str) -> Any:
    """Returns the type of a flag: the annotation of its field without `| None`."""
    alternatives = [kind for kind in typing.get_args(_TYPES[name]) if kind is not type(None)]
    is_optional = len(alternatives) < len(typing.get_args(_TYPES[name]))
    return alternatives[0] if is_optional else _TYPES[name]


def define_flags(flag_values: flags.FlagValues) -> None:
    """Declares every field of Config as an absl flag."""
    for field in flag_fields():
        kind, options = _base_type(field.name), {"flag_values": flag_values}
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


def parse(argv: Sequence[str]) -> Config:
    """Parses a command line into a checked and resolved Config.

    Args:
        argv: the program's name and its arguments; flagfiles named by --flagfile are read too.

    Raises:
        UserError: if a flag is unknown, a value cannot be read or is not allowed, or an argument is not a flag.
    """
    flag_values = flags.FlagValues()
    define_flags(flag_values)
    try:
        stray = flag_values(list(argv))[1:]
    except flags.Error as error:
        raise UserError(f"{error} (--help lists the flags)") from error
    except OSError as error:
        raise UserError(f"cannot read the flagfile {error.filename!r}: {error.strerror}") from error
    if stray:
        raise UserError(f"unexpected argument {stray[0]!r}: every setting is a flag, --name=value; see --help")
    values = {field.name: flag_values[field.name].value for field in flag_fields()}
    for name, value in values.items():
        if isinstance(value, list):
            values[name] = _integers(name, value) if _base_type(name) == tuple[int, ...] else tuple(value)
    given = frozenset(name for name in values if flag_values[name].present)
    return resolve(Config(**values, given=given))


def _integers(name: str, items: Sequence[str]) -> tuple[int, ...]:
    try:
        return tuple(int(item) for item in items)
    except ValueError:
        raise UserError(f"--{name}={','.join(items)}: give whole numbers, such as 2 or 2,2,2,2") from None


def help_text() -> str:
    """Returns the text that --help prints: each flag with its choices and its default, by section."""
    lines = ["Train GANs on few histology patches, make synthetic ones, and learn whether they help a classifier.", ""]
    lines += ["usage: python main.py [--flagfile=flags/NAME.cfg] [--flag=value ...]", ""]
    sections = dict.fromkeys(field.metadata["section"] for field in flag_fields())
    for section in sections:
        lines.append(f"{section}:")
        for field in flag_fields():
            if field.metadata["section"] == section:
                lines += _flag_help(field)
        lines.append("")
    return "\n".join(lines)


def _flag_help(field: dataclasses.Field) -> list[str]:
    default, choices = field.default, field.metadata["choices"]
    name = f"--[no]{field.name}" if _base_type(field.name) is bool else f"--{field.name}"
    text = help_of(field)
    if choices:
        text += f" One of {', '.join(choices)}."
    if default is not None:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" [{shown}]"
    wrapped = textwrap.wrap(text, width=86)
    return [f"  {name:<24} {wrapped[0]}", *(f"  {'':<24} {line}" for line in wrapped[1:])]
