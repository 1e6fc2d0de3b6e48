"""Holds a stand-in for modules that are imported only when they are first used, such as TensorFlow."""

from __future__ import annotations

import importlib
import types
from typing import Any


class LazyModule(types.ModuleType):
    """Stands in for a module that takes seconds to import, and imports it when one of its attributes is first read.

    With `from histogan_tf.machine.lazy_module import tensorflow as tf`, a module that holds a table of functions can be
    imported without TensorFlow, so that --help and a mistyped flag are answered at once. Its type hints must stay
    strings (`from __future__ import annotations`), and nothing in it may read an attribute of `tf` while the module
    itself is imported: no decorator, no default value, no base class.

    The standard library's `importlib.util.LazyLoader` would put an unfinished module where every other importer of
    TensorFlow finds it.

    Args:
        name: the name of the module, as in an import statement.
    """

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self.__name__), attribute)


tensorflow = LazyModule("tensorflow")
