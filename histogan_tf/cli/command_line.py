"""Parsing of the command line with absl flags into a Config, and the text of --help. No other module reads flags."""

from __future__ import annotations

import dataclasses
import textwrap
from collections.abc import Sequence

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.flag import help_of
from histogan_tf.config.parsing import base_type, parse_flags


def parse(argv: Sequence[str]) -> Config:
    """Parses a command line into a checked and resolved Config.

    Args:
        argv: the program's name and its arguments; flagfiles named by --flagfile are read too.

    Raises:
        UserError: if a flag is unknown, a value cannot be read or is not allowed, or an argument is not a flag.
    """
    return parse_flags(list(argv)[1:])


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
    name = f"--[no]{field.name}" if base_type(field.name) is bool else f"--{field.name}"
    text = help_of(field)
    if choices:
        text += f" One of {', '.join(choices)}."
    if default is not None:
        shown = ",".join(map(str, default)) if isinstance(default, tuple) else default
        text += f" [{shown}]"
    wrapped = textwrap.wrap(text, width=86)
    return [f"  {name:<24} {wrapped[0]}", *(f"  {'':<24} {line}" for line in wrapped[1:])]
