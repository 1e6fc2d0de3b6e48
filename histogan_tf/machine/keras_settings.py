"""Starts Keras with the settings that this program's networks are built for, whatever a person's keras.json says."""

from __future__ import annotations

import os

from histogan_tf.errors import UserError

_BACKEND, _FLOAT, _LAYOUT, _EPSILON = "tensorflow", "float32", "channels_last", 1e-7


def start_keras() -> None:
    """Imports Keras, and sets its backend, its default number type, the layout of images, and its epsilon.

    Keras reads them from keras.json in ~/.keras or KERAS_HOME, which other programs change: a number type of float16
    there would change losses in silence.

    Raises:
        UserError: if keras.json keeps Keras from starting, or Keras runs with another backend already.
    """
    os.environ["KERAS_BACKEND"] = _BACKEND  # read when Keras is first imported
    try:
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
