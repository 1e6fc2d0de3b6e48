"""Training on several devices or hosts, by tf.distribute: its strategies, and what the workers of a job agree on.

All workers run the same program. What must not be done twice, writing files above all, the chief does alone; but making
a variable takes all of them, for they begin with the chief's value.
"""

from __future__ import annotations

import contextlib
import functools
import json
import logging
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import tensorflow as tf

import histogan_tf
from histogan_tf.config import Config
from histogan_tf.errors import UserError, listing

logger = logging.getLogger(__name__)

_CPU_REPLICAS = 2
_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
# What TensorFlow raises in a worker that waits for one that is gone; it takes about ten seconds to notice.
_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Worker(NamedTuple):
    """Which of how many processes of a job; number 0 is the chief."""

    index: int
    count: int


def start(config: Config) -> None:
    """Makes the strategy of --distribution, which must be before TensorFlow's first operation.

    Raises:
        UserError: if TF_CONFIG does not describe a job, or this host has not as many devices as it should.
    """
    _strategy(config.distribution, config.num_replicas)


@contextlib.contextmanager
def scope(config: Config) -> Iterator[None]:
    """Variables that are created in it are of all replicas, and steps run on all of them.

    Workers leave it together, for one that is gone is taken for lost.

    Raises:
        UserError: if a worker of the job has stopped.
    """
    strategy = _strategy(config.distribution, config.num_replicas)
    with contextlib.nullcontext() if strategy is None else strategy.scope(), workers_watched():
        yield
        of_all_workers(np.int64(0))


@contextlib.contextmanager
def workers_watched() -> Iterator[None]:
    """Turns TensorFlow's error about a worker that is gone into a UserError."""
    try:
        yield
    except _LOST_WORKER as error:
        if this_worker().count == 1:
            raise
        raise UserError(
            f"worker {this_worker().index} stops, for another worker of the job has stopped or cannot be reached: see "
            f"what that one says, and start all workers again to go on from the last checkpoint"
        ) from error


def this_worker() -> Worker:
    """This process among those of the strategy in scope."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return Worker(0, 1)
    return _worker_of(resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id)


def is_chief() -> bool:
    """Whether this process is the one that writes the run."""
    return this_worker().index == 0


def chief_only(method: Callable[..., None]) -> Callable[..., None]:
    """A method that does nothing in workers but the chief."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> None:
        if is_chief():
            method(*args, **kwargs)

    return guarded


def of_all_workers(values: np.ndarray) -> np.ndarray:
    """The values of every worker, (num_workers, …), in each of them, once all have come here.

    Args:
        values: of one shape and type in all workers, float64 or int64.
    """
    num_workers = this_worker().count
    if num_workers == 1:
        return np.asarray(values)[None]
    strategy = tf.distribute.get_strategy()
    gathered = strategy.experimental_local_results(_gather(tf.constant(values)[None]))[0].numpy()
    return gathered[:: strategy.num_replicas_in_sync // num_workers]


@tf.function(autograph=False, reduce_retracing=True)
def _gather(values: tf.Tensor) -> tf.Tensor:
    def gather(values: tf.Tensor) -> tf.Tensor:
        return tf.distribute.get_replica_context().all_gather(tf.identity(values), axis=0)

    return tf.distribute.get_strategy().run(gather, args=(values,))


def of_the_chief(values: np.ndarray) -> np.ndarray:
    """The chief's values in every worker: what hosts compute by themselves may differ in the last bit."""
    return of_all_workers(values)[0]


def check_same(what: str, values: Sequence[int]) -> None:
    """Refuses workers that differ in any of the values.

    Raises:
        UserError: if they do.
    """
    found = of_all_workers(np.array(values, np.int64))
    if (found != found[0]).any():
        raise UserError(
            f"the workers of the job differ in {what}: {listing(found.tolist())}; give all of them the same flags, and "
            f"a --checkpoint_dir on a file system that they share"
        )


def check_batch_size(config: Config) -> None:
    """Refuses a batch that cannot be shared out.

    Raises:
        UserError: if replicas would have shares of different sizes.
    """
    strategy = _strategy(config.distribution, config.num_replicas)
    num_replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    if config.batch_size % num_replicas:
        next_larger = config.batch_size + -config.batch_size % num_replicas
        raise UserError(
            f"--batch_size={config.batch_size} is shared by {num_replicas} replicas: give a multiple of "
            f"{num_replicas}, such as {next_larger}"
        )


@functools.cache
def _strategy(distribution: str, num_replicas: int | None) -> tf.distribute.Strategy | None:
    """The one of this process, for multi-worker ones can be made only once; None without distribution."""
    if distribution == "none":
        return None
    strategy = _mirrored(num_replicas) if distribution == "mirrored" else _multi_worker()
    logger.info("--distribution=%s: %d replicas", distribution, strategy.num_replicas_in_sync)
    return strategy


def _mirrored(num_replicas: int | None) -> tf.distribute.MirroredStrategy:
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    if not num_gpus:
        num_replicas = num_replicas or _CPU_REPLICAS
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(num_replicas)])
    if (num_replicas or 0) > num_gpus:
        raise UserError(f"--num_replicas={num_replicas}: this host has {num_gpus} GPUs; give so many or fewer")
    return tf.distribute.MirroredStrategy([f"GPU:{number}" for number in range(num_replicas or num_gpus)])


def _multi_worker() -> tf.distribute.MultiWorkerMirroredStrategy:
    cluster, kind, number = _read_tf_config(os.environ.get("TF_CONFIG"))
    worker = _worker_of(cluster, kind, number)
    address = cluster[kind][number]
    logger.info("worker %d of 0 to %d, at %s: waiting for the others", worker.index, worker.count - 1, address)
    if worker.index:
        logging.getLogger(histogan_tf.__name__).setLevel(logging.WARNING)  # what happens, the chief tells
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(
            f"worker {worker.index} cannot start at {address} ({error.message}): is the port taken, or another worker "
            f"out of reach? TF_CONFIG names the addresses"
        ) from error


def _worker_of(cluster: Mapping[str, list[str]], kind: str, number: int) -> Worker:
    """Its place: a task of the type `chief`, if there is one, comes before the workers."""
    num_chiefs = len(cluster.get("chief", ()))
    return Worker(number if kind == "chief" else num_chiefs + number, sum(map(len, cluster.values())))


def _read_tf_config(text: str | None) -> tuple[dict[str, list[str]], str, int]:
    """The cluster that TF_CONFIG describes, and this process's type and number in it.

    Raises:
        UserError: if it describes none.
    """
    if not text:
        raise UserError(f"--distribution=multi_worker needs the environment variable TF_CONFIG, such as {_EXAMPLE}")
    try:
        config = json.loads(text)
        cluster, kind, number = config["cluster"], config["task"]["type"], int(config["task"]["index"])
        addresses = [address for task in ("chief", "worker") for address in cluster.get(task, ())]
        hosts_and_ports = [address.rsplit(":", 1) for address in addresses]
        well_formed = all(host and 0 < int(port) < 2**16 for host, port in hosts_and_ports)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"TF_CONFIG={text} cannot be understood ({error!r}): write it like {_EXAMPLE}") from error
    if not well_formed or set(cluster) - {"chief", "worker"} or len(cluster.get("chief", ())) > 1:
        raise UserError(
            f"TF_CONFIG={text}: give addresses host:port of tasks of the type worker, and at most one chief, like "
            f"{_EXAMPLE}"
        )
    if len(set(addresses)) < len(addresses):
        raise UserError(f"TF_CONFIG={text} names one address twice: each worker needs its own")
    if not 0 <= number < len(cluster.get(kind, ())):
        raise UserError(
            f"TF_CONFIG={text} has no task {kind!r} number {number}: its index counts the addresses of its type from 0"
        )
    return cluster, kind, number
