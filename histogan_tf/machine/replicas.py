"""What a training step must know of the replicas that make it together.

A global batch is cut into equal shares, one for each replica, in order. Under no strategy there is one replica, and
nothing here adds an operation to its graph.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from histogan_tf.machine.lazy_module import tensorflow as tf


class Replica(NamedTuple):
    """Which of how many replicas makes the step that is being traced."""

    index: int | tf.Tensor
    count: int


def this_replica() -> Replica:
    """The replica of the code that asks; the only one outside of a step."""
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        return Replica(0, 1)
    return Replica(context.replica_id_in_sync_group, context.num_replicas_in_sync)


def share(values: tf.Tensor, axis: int = 0) -> tf.Tensor:
    """This replica's share of values for the global batch, which lies along `axis`."""
    index, count = this_replica()
    return values if count == 1 else tf.stack(tf.split(values, count, axis))[index]


def drawn(draw: Callable[[Sequence], tf.Tensor], shape: Sequence[int | tf.Tensor], axis: int = 0) -> tf.Tensor:
    """This replica's share of a random draw for the global batch: replicas together draw what one would.

    Args:
        draw: from a shape to values of that shape, or of one that begins so.
        shape: of this replica's share.
        axis: along which images lie.
    """
    count = this_replica().count
    return share(draw([size * count if number == axis else size for number, size in enumerate(shape)]), axis)


def share_of_loss(loss: tf.Tensor) -> tf.Tensor:
    """What this replica adds to the global batch's mean loss, whose gradient Keras's optimizers sum over replicas."""
    count = this_replica().count
    return loss if count == 1 else loss / count


def mean(value: tf.Tensor) -> tf.Tensor:
    """The mean over replicas, on each of them."""
    if this_replica().count == 1:
        return value
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, value)


def gathered(values: tf.Tensor) -> tf.Tensor:
    """The values of all replicas, one after the other along the first axis, on each of them."""
    if this_replica().count == 1:
        return values
    return tf.distribute.get_replica_context().all_gather(values, axis=0)


def once(action: Callable[[], None]) -> None:
    """Changes what the replicas of this process share, such as a layer's attribute, when all have come here.

    Their steps are traced in turns: one may be ahead of another by what lies between two messages.
    """
    if this_replica().count == 1:
        action()
    else:
        tf.distribute.get_replica_context().merge_call(lambda strategy: action())


def on_all_replicas(step: Callable[..., Any]) -> Any:
    """A trainer's step, a method, as one graph that every replica of the strategy in scope runs on its share.

    Args:
        step: from the step's number and tensors whose first axis is the batch to a `loop.StepResult`.

    Returns:
        The same from this worker's part of the global batch. Losses are means over all replicas; histograms are of this
        worker's part.
    """

    @tf.function(autograph=False)
    @functools.wraps(step)
    def compiled(self: Any, number: tf.Tensor, *batch: tf.Tensor) -> Any:
        if not tf.distribute.has_strategy():
            return step(self, number, *batch)

        def run(*shares: tf.Tensor) -> Any:
            result = step(self, number, *shares)
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

    return compiled


def _shares(strategy: tf.distribute.Strategy, values: tf.Tensor) -> Any:
    """A worker's part of a global batch, cut for its replicas."""
    devices = len(strategy.extended.worker_devices)
    shares = iter(tf.split(values, devices))
    return strategy.experimental_distribute_values_from_function(lambda context: next(shares))
