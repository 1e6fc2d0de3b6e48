"""The flags of the program, each declared once, with its help text, as a field of the frozen dataclass Config.

The annotation of the field is the flag's type; `flag` gives it a default, a help text and its allowed values. `resolve`
replaces a default of None by a value that depends on the model or on another flag, as the help text says.
`cli/command_line.py` turns a command line into a Config.
"""

from histogan_tf.config.settings import Config, flag_fields, resolve

__all__ = ["Config", "flag_fields", "resolve"]
