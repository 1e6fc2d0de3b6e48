"""Says by which algorithm the layers of a network compute their convolutions: by estimate, unless told otherwise."""

from __future__ import annotations

import contextlib
import contextvars
from collections.abc import Callable, Iterator

from histogan_tf.models.cpu_kernels.algorithms import ConvolutionShape, estimated_algorithm

Choice = Callable[[ConvolutionShape], str]
"""A function that returns the algorithm for a shape; see `algorithms`."""

_choice: contextvars.ContextVar[Choice] = contextvars.ContextVar("choice", default=estimated_algorithm)


@contextlib.contextmanager
def algorithms_chosen_by(choice: Choice) -> Iterator[None]:
    """Lets a function choose the algorithms of the layers that are called in the `with` block, in this thread.

    A step that TensorFlow has compiled keeps the algorithms that were chosen when it was traced.
    """
    token = _choice.set(choice)
    try:
        yield
    finally:
        _choice.reset(token)


def chosen_algorithm(shape: ConvolutionShape) -> str:
    """Returns the name of the algorithm by which a convolution of a shape is computed now."""
    return _choice.get()(shape)
