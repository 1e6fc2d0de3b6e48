"""Parsing of the command line with absl flags into a Config, and the text of --help. No other module reads flags."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.flag import help_of
from histogan_tf.config.parsing import base_type, parse_flags

_WIDEST = 113  # columns of a line
_TWO_COLUMNS = 64  # columns of a terminal that has room for the names of flags beside their texts
_NAME_COLUMN = 24
_INDENT = 2 + _NAME_COLUMN + 1
_FIRST_COMMANDS = (
    ("--mode=generate --run=pretrained:idc --num_images=16", "draw patches of a generator that comes with the program"),
    ("--flagfile=flags/tryout.cfg", "train a small network on built-in patches, in minutes"),
    ("--mode=describe --dataset=mine --data_path=FOLDER", "look at a folder of your own images"),
    ("--model=projected --dataset=mine --data_path=FOLDER", "train the tissue GAN on them"),
)


def parse(argv: Sequence[str]) -> Config:
    """Parses a command line into a checked and resolved Config.

    Args:
        argv: the program's name and its arguments; flagfiles named by --flagfile are read too.

    Raises:
        UserError: if a flag is unknown, a value cannot be read or is not allowed, or an argument is not a flag.
    """
    return parse_flags(list(argv)[1:])


def help_text(columns: int) -> str:
    """Returns the text that --help prints: each flag with its choices and its default, by section.

    Args:
        columns: the width of the terminal in characters.
    """
    lines = _introduction("--helpshort lists the names of the flags alone.", columns)
    for section, fields in _sections().items():
        lines.append(f"{section}:")
        for field in fields:
            lines += _flag_help(field, columns)
        lines.append("")
    return "\n".join(lines)


def short_help_text(columns: int) -> str:
    """Returns the text that --helpshort prints: what to begin with, and the names of all flags by section.

    Args:
        columns: the width of the terminal in characters.
    """
    lines = _introduction("--help explains every flag.", columns)
    for section, fields in _sections().items():
        lines.append(f"{section}:")
        lines += _wrapped(" ".join(f"--{field.name}" for field in fields), "  ", columns)
    return "\n".join(lines)


def _introduction(pointer: str, columns: int) -> list[str]:
    lines = _wrapped(
        "Train GANs on few histology patches, make synthetic ones, and learn whether they help a classifier.",
        "",
        columns,
    )
    lines += ["", "usage: python main.py [--flagfile=flags/NAME.cfg] [--flag=value ...]", "", "to begin with:"]
    for command, purpose in _FIRST_COMMANDS:
        lines += [f"  python main.py {command}", *_wrapped(purpose, "      ", columns)]
    return [*lines, "", *_wrapped(pointer, "", columns), ""]


def _sections() -> dict[str, list[dataclasses.Field]]:
    """Returns the fields of the flags by section, both in the order in which they are defined."""
    sections: dict[str, list[dataclasses.Field]] = {}
    for field in flag_fields():
        sections.setdefault(field.metadata["section"], []).append(field)
    return sections


def _flag_help(field: dataclasses.Field, columns: int) -> list[str]:
    default, choices = field.default, field.metadata["choices"]
    name = f"--[no]{field.name}" if base_type(field.name) is bool else f"--{field.name}"
    text = help_of(field)
    if choices:
        text += f" One of {', '.join(choices)}."
    if default is not None:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" [{shown}]"
    if columns < _TWO_COLUMNS or len(name) > _NAME_COLUMN:
        return [f"  {name}", *_wrapped(text, " " * (_INDENT if columns >= _TWO_COLUMNS else 6), columns)]
    first, *others = _wrapped(text, " " * _INDENT, columns)
    return [f"  {name:<{_NAME_COLUMN}} {first.strip()}", *others]


def _wrapped(text: str, indent: str, columns: int) -> list[str]:
    """Returns the lines of a text that is broken to fit the terminal; lines are never longer than one reads well."""
    width = max(len(indent) + 20, min(columns, _WIDEST))
    return textwrap.wrap(
        text,
        width=width,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
