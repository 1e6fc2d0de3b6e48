from __future__ import annotations

import subprocess
import sys

import pytest
import tensorflow as tf

from histogan_tf.machine.lazy_module import tensorflow as lazy_tf


def test_a_module_is_imported_when_an_attribute_is_first_read():
    program = (
        "import sys\n"
        "from histogan_tf.machine.lazy_module import LazyModule\n"
        "colors = LazyModule('colorsys')\n"
        "assert 'colorsys' not in sys.modules\n"
        "assert colors.rgb_to_hsv(1, 0, 0) == (0, 1, 1)\n"
        "assert 'colorsys' in sys.modules\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr


def test_attributes_are_those_of_the_module():
    assert lazy_tf.reduce_mean is tf.reduce_mean
    with pytest.raises(AttributeError, match="no_such_name"):
        _ = lazy_tf.no_such_name


def test_autograph_converts_functions_that_use_it():
    @tf.function
    def count_down(start):
        steps = 0
        while start > 0:  # becomes a loop of the graph, since `start` is a tensor
            start = lazy_tf.subtract(start, 2)
            steps += 1
        return lazy_tf.cast(steps, lazy_tf.float32)

    result = count_down(tf.constant(7))
    assert (result.dtype, float(result)) == (tf.float32, 4.0)
    operations = {
        operation.type for operation in count_down.get_concrete_function(tf.constant(1)).graph.get_operations()
    }
    assert operations & {"While", "StatelessWhile"}
