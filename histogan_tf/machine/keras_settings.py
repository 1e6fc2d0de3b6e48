"""Starts Keras with the settings that this program's networks are built for, whatever a person's keras.json says."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator

from histogan_tf.errors import UserError

_BACKEND, _FLOAT, _LAYOUT, _EPSILON = "tensorflow", "float32", "channels_last", 1e-7

# Keras imports these at its start if they are installed, for functions that this program does not use. They make a
# third of the processor time of the start, and 0.1 GB of the process.
_OPTIONAL_OF_KERAS = ("IPython", "matplotlib", "sklearn")


def start_keras(*, all_of_it: bool = True) -> None:
    """Imports Keras, and sets its backend, its default number type, the layout of images, and its epsilon.

    Keras reads them from keras.json in ~/.keras or KERAS_HOME, which other programs change: a number type of float16
    there would change losses in silence.

    Args:
        all_of_it: whether all of Keras works afterwards. False saves time and memory where nobody plots with Keras or
            wraps its models for scikit-learn, which does not work then.

    Raises:
        UserError: if keras.json keeps Keras from starting, or Keras runs with another backend already.
    """
    os.environ["KERAS_BACKEND"] = _BACKEND  # read when Keras is first imported
    try:
        with contextlib.nullcontext() if all_of_it else _seem_missing(_OPTIONAL_OF_KERAS):
            import keras
    except (AssertionError, ValueError, TypeError, AttributeError) as error:
        home = os.environ.get("KERAS_HOME", os.path.join("~", ".keras"))
        raise UserError(
            f"Keras does not start with {os.path.join(home, 'keras.json')} ({type(error).__name__}: {error}): mend "
            f"that file, or delete it"
        ) from error
    if keras.config.backend() != _BACKEND:
        raise UserError(
            f"Keras runs with the backend {keras.config.backend()} in this process: begin a new process or notebook "
            f"kernel, and import histogan_tf there first"
        )
    keras.config.set_floatx(_FLOAT)
    keras.config.set_image_data_format(_LAYOUT)
    keras.config.set_epsilon(_EPSILON)
    keras.config.set_dtype_policy(_FLOAT)


@contextlib.contextmanager
def _seem_missing(names: tuple[str, ...]) -> Iterator[None]:
    """Lets imports of modules fail in the `with` block as if they were not installed, unless they are imported already.

    Afterwards they can be imported.
    """
    hidden = [name for name in names if name not in sys.modules]
    sys.modules.update(dict.fromkeys(hidden))  # of a module that is None, the import statement raises ImportError
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
