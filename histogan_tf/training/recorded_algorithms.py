"""Keeps a run's convolutions as they were when it began, so that a run that goes on ends in the same bytes.

Algorithms for a convolution differ in rounding. Which one is fastest is measured, and would perhaps be answered
differently the next time, or on another machine; so a run records its answers in convolutions.json.
"""

from __future__ import annotations

import json
from pathlib import Path

from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.models.cpu_kernels.algorithm_choice import Choice
from histogan_tf.models.cpu_kernels.algorithm_timing import MeasuredAlgorithms, cache_folder
from histogan_tf.models.cpu_kernels.algorithms import ConvolutionShape, can_compute, estimated_algorithm
from histogan_tf.runs import files

RECORD = "convolutions.json"


def algorithms_of_run(config: Config, directory: Path, start_step: int) -> Choice:
    """Returns the function that chooses the algorithms of a run's convolutions.

    They are measured where one process trains with the layers of --cpu_kernels. Replicas share the cores, and XLA has
    kernels of its own; there they are estimated, as they are in a run that has made steps without a record.

    Args:
        config: the resolved flags.
        directory: the run directory.
        start_step: the number of steps that the run has made.

    Raises:
        UserError: if the run's record cannot be read.
    """
    path = directory / RECORD
    is_measured = config.distribution == "none" and not config.jit_compile
    if not is_measured or (start_step and not path.exists()):
        return estimated_algorithm
    return RecordedAlgorithms(path, MeasuredAlgorithms(cache_folder()))


class RecordedAlgorithms:
    """Chooses the algorithms that a file records, and adds to the file what another function chooses.

    Args:
        path: the file.
        choose: returns the algorithm of a shape that is not in the file.

    Raises:
        UserError: if the file cannot be read.
    """

    def __init__(self, path: Path, choose: Choice) -> None:
        self._path, self._choose = path, choose
        try:
            self._recorded = dict(json.loads(path.read_bytes()))
        except FileNotFoundError:
            self._recorded = {}
        except (OSError, ValueError, TypeError, RecursionError) as error:
            raise self._unreadable(error) from error

    def __call__(self, shape: ConvolutionShape) -> str:
        """Returns the algorithm for a shape.

        Raises:
            UserError: if the file names one that cannot compute the shape.
        """
        name = str(shape)
        if name not in self._recorded:
            self._recorded[name] = self._choose(shape)
            files.write_json(self._path, self._recorded)
        algorithm = self._recorded[name]
        if not can_compute(algorithm, shape):
            raise self._unreadable(f"{algorithm!r} is no algorithm for {name}")
        return algorithm

    def _unreadable(self, why: object) -> UserError:
        return UserError(f"{self._path} cannot be read ({why}): put a good copy in its place, or --restart")
