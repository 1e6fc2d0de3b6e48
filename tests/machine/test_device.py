import os
import subprocess
import sys

import pytest

_PROGRAM = """
import os, sys
os.sched_setaffinity(0, set(sorted(os.sched_getaffinity(0))[:int(sys.argv[1])]))
import tensorflow as tf
from histogan_tf.cli import command_line
from histogan_tf.machine import device
device.prepare(command_line.parse(["main.py", *sys.argv[2:]]))
print(tf.config.threading.get_intra_op_parallelism_threads(), tf.config.threading.get_inter_op_parallelism_threads())
"""


def _threads(num_cores, *flags):
    command = [sys.executable, "-c", _PROGRAM, str(num_cores), *flags]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


@pytest.mark.slow
@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two cores")
def test_two_cores_are_shared_out_to_the_two_generators_of_cyclegan_alone():
    assert _threads(2, "--model=cyclegan") == ["1", "2"]
    assert _threads(2, "--model=dcgan3") == ["0", "0"]
