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

    An exception of the function leaves the block as the function raised it. Layers choose while they are called, and
    Keras puts another exception in the place of one that a layer raises: of the same class, but with a long text about
    the layer as its only argument, so that an OSError has no number any more.
    """
    raised: list[Exception] = []

    def remembering(shape: ConvolutionShape) -> str:
        try:
            return choice(shape)
        except Exception as error:
            raised.append(error)
            raise

    token = _choice.set(remembering)
    try:
        yield
    except Exception as error:
        if not raised or error is raised[0]:
            raise
        for note in getattr(error, "__notes__", ()):
            raised[0].add_note(note)
        raise raised[0]  # noqa: B904 - its own cause stays
    finally:
        _choice.reset(token)


def chosen_algorithm(shape: ConvolutionShape) -> str:
    """Returns the name of the algorithm by which a convolution of a shape is computed now."""
    return _choice.get()(shape)
