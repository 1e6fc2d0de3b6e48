"""Measures which algorithm computes a convolution fastest on this processor, and keeps what was measured in a file.

Which algorithm is fastest depends on the processor as much as on the shape: on its caches, on the width of its vectors,
and on whether it multiplies in bfloat16. A step of training takes each layer's convolution forth and back, so a
convolution and its gradients are timed together, at the size that the training has; of large maps, on fewer images.
"""

from __future__ import annotations

import concurrent.futures
import hashlib
import json
import logging
import math
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import filelock
import tensorflow as tf

from histogan_tf.machine.processor import machine_record, processor_name
from histogan_tf.models.cpu_kernels.algorithms import (
    REVISION,
    ConvolutionShape,
    can_compute,
    convolve,
    estimated_algorithm,
    possible_algorithms,
)
from histogan_tf.runs import files

logger = logging.getLogger(__name__)

# Smaller convolutions take less than about a millisecond; their algorithm makes no difference to a step.
_LEAST_MULTIPLICATIONS = 2**26
# Images are measured until they have this many places of outputs together: then what is done once for a kernel takes a
# few percent at most, and more images would only take more time and memory.
_MOST_POSITIONS = 2**15
# After each round of measurements, an algorithm that took this many times as long as the fastest is left out of the
# next ones: at first only one that cannot have been unlucky.
_MOST_SLOWER = (3.0, 1.5, 1.3, 1.3, 1.3)
_MOST_SECONDS = 1.0  # of processor time, after which no other round begins: long times vary little
# Another algorithm than the estimated one must be this many times as fast: so the noise of a busy machine does not
# decide between two that take the same time, and equal machines mostly choose alike.
_LEAST_GAIN = 1.15


def time_algorithms(shape: ConvolutionShape, algorithms: Sequence[str]) -> dict[str, float]:
    """Measures how long algorithms take to compute a convolution with the gradients of its maps and of its kernel.

    Processor time is measured, which the other work of a busy machine changes little: wall-clock times differed by a
    factor of ten there.

    Returns:
        The shortest of up to five times by algorithm, in milliseconds of all cores together.
    """
    tensors = _tensors_of(shape)
    runs = {algorithm: _run_of(algorithm, shape, tensors) for algorithm in algorithms}
    for run in runs.values():
        run()  # it is compiled now
    begun = time.process_time()
    shortest: dict[str, float] = {}
    for most_slower in _MOST_SLOWER:
        for algorithm, run in runs.items():
            started = time.process_time()
            run()
            milliseconds = 1000 * (time.process_time() - started)
            shortest[algorithm] = min(milliseconds, shortest.get(algorithm, milliseconds))
        longest = most_slower * min(shortest.values())
        runs = {algorithm: run for algorithm, run in runs.items() if shortest[algorithm] <= longest}
        if len(runs) == 1 or time.process_time() - begun > _MOST_SECONDS:
            break
    return shortest


def _tensors_of(shape: ConvolutionShape) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Returns maps, a kernel and the gradient of what is computed from them: ones of the right shapes."""
    dtype = tf.as_dtype(shape.dtype)
    vertical, horizontal = shape.axes
    inputs = tf.ones((shape.num_images, vertical.pixels, horizontal.pixels, shape.channels), dtype)
    outputs = tf.ones((shape.num_images, vertical.out_pixels, horizontal.out_pixels, shape.filters), dtype)
    kernel = tf.ones((vertical.taps, horizontal.taps, shape.channels, shape.filters), dtype)
    return (outputs, kernel, inputs) if shape.is_transposed else (inputs, kernel, outputs)


def _run_of(
    algorithm: str, shape: ConvolutionShape, tensors: tuple[tf.Tensor, tf.Tensor, tf.Tensor]
) -> Callable[[], Any]:
    """Returns a function that computes a convolution of `_tensors_of` a shape, and its gradients."""

    @tf.function(autograph=False)
    def compute(maps: tf.Tensor, kernel: tf.Tensor, upstream: tf.Tensor) -> list[tf.Tensor]:
        with tf.GradientTape() as tape:
            tape.watch([maps, kernel])
            result = convolve(algorithm, shape, maps, kernel)
        gradients = tape.gradient(result, [maps, kernel], upstream)
        assert None not in gradients
        return [result, *gradients]

    graph = compute.get_concrete_function(*tensors)
    return lambda: graph(*tensors)


class MeasuredAlgorithms:
    """Chooses algorithms by measurement, once for each shape on each kind of processor.

    Args:
        folder: where the measurements of all processors are kept; see `cache_folder`.
    """

    def __init__(self, folder: Path) -> None:
        versions = {"tensorflow": tf.__version__, "algorithms": REVISION}
        machine = {"processor": processor_name(), **machine_record(), **versions}
        self._machine = machine
        digest = hashlib.sha256(json.dumps(machine, sort_keys=True).encode()).hexdigest()[:12]
        self._path = folder / f"convolutions-{digest}.json"
        self._is_told = False

    def __call__(self, shape: ConvolutionShape) -> str:
        """Returns the fastest algorithm for a shape; the estimated one for small shapes, which are not measured.

        Other processes wait while one measures, and take over what it has found: on one machine, all processes choose
        alike. If the file cannot be written, the estimated algorithm is returned for the same reason.
        """
        if shape.multiplications < _LEAST_MULTIPLICATIONS:
            return estimated_algorithm(shape)
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with filelock.FileLock(self._path.with_suffix(".lock")):
                known = self._read()
                algorithm = known.get(str(shape), {}).get("algorithm")
                if not can_compute(algorithm, shape):
                    known[str(shape)] = found = self._measure(shape)
                    files.write_json(self._path, {"machine": self._machine, "convolutions": known})
                    algorithm = found["algorithm"]
        except OSError as error:
            self._tell(logging.WARNING, "%s cannot be written (%s): the fastest convolutions are estimated", error)
            return estimated_algorithm(shape)
        return algorithm

    def _measure(self, shape: ConvolutionShape) -> dict[str, Any]:
        self._tell(logging.INFO, "measuring which convolutions are fastest on this processor, kept in %s")
        positions = math.prod(axis.out_pixels for axis in shape.axes)
        fewer = shape._replace(num_images=min(shape.num_images, -(-_MOST_POSITIONS // positions)))
        estimated = estimated_algorithm(shape)
        algorithms = dict.fromkeys([*possible_algorithms(shape), estimated])
        # In a thread of its own, because this one is tracing a step: its graph and its gradient tapes are of that step.
        with concurrent.futures.ThreadPoolExecutor(1) as executor:
            times = executor.submit(time_algorithms, fewer, list(algorithms)).result()
        fastest = min(times, key=times.get)
        chosen = fastest if times[estimated] > _LEAST_GAIN * times[fastest] else estimated
        return {"algorithm": chosen, "milliseconds": {name: round(value, 3) for name, value in times.items()}}

    def _read(self) -> dict[str, dict[str, Any]]:
        try:
            known = json.loads(self._path.read_bytes())["convolutions"]
            return {str(shape): dict(found) for shape, found in known.items()}
        except FileNotFoundError:
            return {}
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
            logger.warning("%s is damaged: convolutions are measured again", self._path)
            return {}

    def _tell(self, level: int, message: str, *arguments: object) -> None:
        if not self._is_told:
            logger.log(level, message, self._path, *arguments)
            self._is_told = True


def cache_folder() -> Path:
    """Returns the folder for what is measured once: `HISTOGAN_CACHE`, or a folder in the user's cache folder."""
    if chosen := os.environ.get("HISTOGAN_CACHE"):
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "histogan_tf"
