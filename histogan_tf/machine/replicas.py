"""Functions with which a training step runs on several replicas at once and still computes what one replica would.

A replica is a copy of the networks on one device. The images of a step, its global batch, are cut into equal shares in
their order, one for each replica. Without a strategy there is one replica, and these functions add no operation to its
graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from histogan_tf.machine.lazy_module import tensorflow as tf


class Replica(NamedTuple):
    """The replica that runs the code.

    Attributes:
        index: the number of the replica, from 0 to count - 1; an int32 scalar tensor if there are several.
        count: the number of replicas.
    """

    index: int | tf.Tensor
    count: int


def this_replica() -> Replica:
    """Returns the replica that runs the calling code; outside of a step, it is number 0 of 1."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return Replica(0, 1)
    return Replica(context.replica_id_in_sync_group, context.num_replicas_in_sync)


def share(values: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """Returns this replica's share of values for the global batch.

    Args:
        values: the values for all replicas, of any dtype.
        axis: the axis of `values` along which the images lie.
    """
    index, count = this_replica()
    return values if count == 1 else tf.stack(tf.split(values, count, axis))[index]


def drawn(draw: Callable[[Sequence], tf.Tensor], shape: Sequence[int | tf.Tensor], axis: int = 0) -> tf.Tensor:
    """Returns this replica's share of a random draw, so that all replicas together draw what a single one would.

    Args:
        draw: the function that draws: it takes a shape, and returns values of that shape, or of that shape followed by
            further axes.
        shape: the shape of this replica's share, which is passed to `draw` enlarged to the global batch.
        axis: the axis along which the images lie.
    """
    count = this_replica().count
    return share(draw([size * count if number == axis else size for number, size in enumerate(shape)]), axis)


def share_of_loss(loss: tf.Tensor) -> tf.Tensor:
    """Returns this replica's mean loss divided by the number of replicas.

    Keras's optimizers sum the gradients of all replicas, so that they use the gradient of the global batch's mean loss.
    """
    count = this_replica().count
    return loss if count == 1 else loss / count


def mean(value: tf.Tensor) -> tf.Tensor:
    """Returns the mean of a value over all replicas, to each replica."""
    if this_replica().count == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def gathered(values: tf.Tensor) -> tf.Tensor:
    """Returns the values of all replicas, concatenated along the first axis, to each replica."""
    if this_replica().count == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)


def once(action: Callable[[], None]) -> None:
    """Calls `action` once for all replicas of this process, after all of them have reached this place.

    It is for changes of Python objects that the replicas share, such as an attribute of a layer: the steps of the
    replicas are traced alternately, so one replica could reach the change before another has used the old value.
    """
    if this_replica().count == 1:
        action()
    else:
        tf.distribute.get_replica_context().merge_call(lambda strategy: action())


class CompiledStep:
    """The step of a trainer, a method, compiled to a graph that each replica runs on its share of the images.

    A trainer whose attribute `compiles_with_xla` is true has its step compiled by XLA, which fuses operations that
    read and write the same arrays; others, and those without the attribute, by TensorFlow alone.

    Args:
        step: the method, see `on_all_replicas`.
    """

    def __init__(self, step: Callable[..., Any]) -> None:
        @functools.wraps(step)
        def on_replicas(trainer: Any, number: tf.Tensor, *batch: tf.Tensor) -> Any:
            return _run_on_all_replicas(step, trainer, number, *batch)

        self._graph, self._xla = (
            tf.function(on_replicas, autograph=False, jit_compile=jit_compile) for jit_compile in (None, True)
        )
        functools.update_wrapper(self, step)

    def __get__(self, trainer: Any, owner: type | None = None) -> Any:
        """Returns the step of a trainer, or, of the class, this object, which takes the trainer as first argument."""
        if trainer is None:
            return self
        return (self._xla if getattr(trainer, "compiles_with_xla", False) else self._graph).__get__(trainer, owner)

    def __call__(self, trainer: Any, *args: Any) -> Any:
        """Makes the step of a trainer."""
        return self.__get__(trainer)(*args)


def on_all_replicas(step: Callable[..., Any]) -> CompiledStep:
    """Decorates the step of a trainer, a method, to be one graph that each replica runs on its share of the images.

    Args:
        step: the method. It takes the number of the step, and tensors whose first axis is the batch, and returns a
            `loop.StepResult`.

    Returns:
        A method that takes the same arguments, with this worker's part of the global batch. In its result, losses are
        means over all replicas, and histograms hold the values of this worker's images.
    """
    return CompiledStep(step)


def _run_on_all_replicas(step: Callable[..., Any], trainer: Any, number: tf.Tensor, *batch: tf.Tensor) -> Any:
    if not tf.distribute.has_strategy():
        return step(trainer, number, *batch)

    def run(*shares: tf.Tensor) -> Any:
        result = step(trainer, number, *shares)
        losses = mean(tf.stack(list(result.losses.values())))  # one vector, for one message between workers
        return result._replace(losses=dict(zip(result.losses, tf.unstack(losses), strict=True)))

    strategy = tf.distribute.get_strategy()
    result = strategy.run(run, args=[_shares(strategy, values) for values in batch])
    first = tf.nest.map_structure(lambda loss: strategy.experimental_local_results(loss)[0], result.losses)
    local = {
        name: tf.concat(strategy.experimental_local_results(values), axis=0)
        for name, values in result.histograms.items()
    }
    return result._replace(losses=first, histograms=local)


def _shares(strategy: tf.distribute.Strategy, values: tf.Tensor) -> Any:
    """Returns a worker's part of a global batch, cut into one share for each of its replicas."""
    devices = len(strategy.extended.worker_devices)
    shares = iter(tf.split(values, devices))
    return strategy.experimental_distribute_values_from_function(lambda context: next(shares))
