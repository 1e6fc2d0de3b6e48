"""A person's keras.json changes nothing, and the program starts without what it does not use of Keras."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"floatx": "float16", "epsilon": 1e-3, "backend": "numpy", "image_data_format": "channels_first"}, "as ours"),
        ({"floatx": "float99"}, "keras.json ("),
    ],
)
def test_the_program_sets_what_keras_json_may_change(tmp_path: Path, settings, words):
    (tmp_path / "keras.json").write_text(json.dumps(settings))
    program = (
        "from histogan_tf.errors import UserError\n"
        "from histogan_tf.machine.keras_settings import start_keras\n"
        "try: start_keras()\n"
        "except UserError as error: print(error); raise SystemExit\n"
        "import keras\n"
        "layer = keras.layers.Dense(1); layer.build((1, 2))\n"
        "found = (keras.config.backend(), keras.config.floatx(), keras.config.epsilon(), layer.kernel.dtype)\n"
        "assert found == ('tensorflow', 'float32', 1e-7, 'float32'), found\n"
        "assert keras.config.image_data_format() == 'channels_last'\n"
        "print('as ours')\n"
    )
    environment = os.environ | {"KERAS_HOME": str(tmp_path), "KERAS_BACKEND": "jax"}
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    assert words in result.stdout


def test_the_program_starts_without_what_keras_would_import_for_others():
    program = (
        "import sys\n"
        "from histogan_tf.machine.keras_settings import start_keras\n"
        "start_keras(all_of_it=False)\n"
        "print(sorted({'IPython', 'matplotlib', 'sklearn'}.intersection(sys.modules)))\n"
        "import matplotlib, sklearn.cluster, keras\n"
        "print(keras.config.backend())\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.splitlines() == ["[]", "tensorflow"]


def test_all_of_keras_works_in_another_persons_program():
    program = (
        "from histogan_tf.machine.keras_settings import start_keras\n"
        "start_keras()\n"
        "import keras\n"
        "model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])\n"
        "print(keras.wrappers.SKLearnRegressor(model) is not None)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert result.stdout.split() == ["True"]
