"""Every flag, declared once with its help, as a field of the frozen Config.

A flag's type comes from its annotation, its default, help and check from `flag`. A default of None is filled in by
`resolve`, from the model or from another flag, as the help says. `command_line.py` turns a command line into a Config.
"""

from histogan_tf.config.settings import Config, flag_fields, resolve

__all__ = ["Config", "flag_fields", "resolve"]
