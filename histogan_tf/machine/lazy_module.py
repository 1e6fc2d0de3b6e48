"""Modules that are imported when they are first used."""

from __future__ import annotations

import importlib
import types
from typing import Any


class LazyModule(types.ModuleType):
    """Stands in for a module that takes seconds to import, and imports it when one of its attributes is first read.

    With `tf = LazyModule("tensorflow")` a table of functions that use TensorFlow can be read without it, so that --help
    and a mistyped flag are answered at once. Type hints must stay strings (`from __future__ import annotations`), and
    nothing may read an attribute while the file itself is imported: no decorator, no default, no base class.

    The standard library's `importlib.util.LazyLoader` would put an unfinished module where every other importer of
    TensorFlow finds it.

    Args:
        name: of the module, as an import statement has it.
    """

    def __getattr__(self, attribute: str) -> Any:
        return getattr(importlib.import_module(self.__name__), attribute)
