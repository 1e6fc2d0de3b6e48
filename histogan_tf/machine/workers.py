"""Training on several devices or hosts with tf.distribute, and what the workers of such a job tell each other.

Each process of a job that spans several hosts is a worker, and the first worker is the chief. All workers run the same
program, but only the chief does what must happen once, such as writing files. All workers must create each variable
together, because each variable starts with the chief's value.
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
from histogan_tf.errors import UserError, counted, listing

logger = logging.getLogger(__name__)

_CPU_REPLICAS = 2
_EXAMPLE = '{"cluster": {"worker": ["host1:2222", "host2:2222"]}, "task": {"type": "worker", "index": 0}}'
# The errors that TensorFlow raises, after about ten seconds, in a worker that waits for one that has stopped.
_LOST_WORKER = (
    tf.errors.UnavailableError,
    tf.errors.AbortedError,
    tf.errors.CancelledError,
    tf.errors.DeadlineExceededError,
)


class Worker(NamedTuple):
    """One of the processes of a job.

    Attributes:
        index: the worker's number, from 0 to count - 1; the chief is number 0.
        count: the number of workers in the job.
    """

    index: int
    count: int


def start(config: Config) -> None:
    """Makes the strategy of --distribution. It must be called before TensorFlow's first operation.

    Raises:
        UserError: if TF_CONFIG does not describe a job, this host has fewer GPUs than --num_replicas, or TensorFlow has
            begun already.
    """
    try:
        _strategy(config.distribution, config.num_replicas)
    except RuntimeError as error:
        raise UserError(
            f"--distribution={config.distribution} has to be set up before TensorFlow's first operation ({error}): "
            f"make it the first training of a new process or notebook kernel"
        ) from error


@contextlib.contextmanager
def scope(config: Config) -> Iterator[None]:
    """Enters the scope of the strategy, in which variables are created for all replicas, and steps run on all of them.

    Workers wait for each other at the end, because the others would take a worker that leaves early for a lost one.

    Raises:
        UserError: if another worker of the job has stopped.
    """
    strategy = _strategy(config.distribution, config.num_replicas)
    with contextlib.nullcontext() if strategy is None else strategy.scope(), workers_watched():
        yield
        of_all_workers(np.int64(0))


@contextlib.contextmanager
def workers_watched() -> Iterator[None]:
    """Turns TensorFlow's errors about another worker that has stopped into a UserError."""
    try:
        yield
    except _LOST_WORKER as error:
        if this_worker().count == 1:
            raise
        raise UserError(
            f"worker {this_worker().index} stops because another worker of the job has stopped or cannot be reached: "
            f"read the error of that worker, and start all workers again to continue from the last checkpoint"
        ) from error


def this_worker() -> Worker:
    """Returns this process's number, and the number of processes, in the strategy in scope."""
    resolver = tf.distribute.get_strategy().cluster_resolver
    if resolver is None or not resolver.cluster_spec().as_dict():
        return Worker(0, 1)
    return _worker_of(resolver.cluster_spec().as_dict(), resolver.task_type, resolver.task_id)


def is_chief() -> bool:
    """Returns whether this process is the chief, which writes the run."""
    return this_worker().index == 0


def chief_only(method: Callable[..., None]) -> Callable[..., None]:
    """Decorates a method that writes files, so that it does nothing in workers other than the chief."""

    @functools.wraps(method)
    def guarded(*args: Any, **kwargs: Any) -> None:
        if is_chief():
            method(*args, **kwargs)

    return guarded


def of_all_workers(values: np.ndarray) -> np.ndarray:
    """Returns the values of all workers to each worker, and waits until all workers have called it.

    Args:
        values: this worker's values, float64 or int64, of the same shape and dtype in all workers.

    Returns:
        The values, (num_workers, *shape), in the order of the workers.
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
    """Returns the chief's values to every worker, as the values that different hosts compute can differ by rounding."""
    return of_all_workers(values)[0]


def check_same(what: str, values: Sequence[int]) -> None:
    """Checks that all workers have the same values.

    Args:
        what: the name of the values, for the error.
        values: this worker's values, equally many in all workers.

    Raises:
        UserError: if the workers differ.
    """
    found = of_all_workers(np.array(values, np.int64))
    if (found != found[0]).any():
        raise UserError(
            f"the workers of the job differ in {what}: {listing(found.tolist())}; give all of them the same flags, and "
            f"a --checkpoint_dir on a file system that they share"
        )


def check_batch_size(config: Config) -> None:
    """Checks that --batch_size can be divided equally among the replicas.

    Raises:
        UserError: if it is not a multiple of the number of replicas.
    """
    strategy = _strategy(config.distribution, config.num_replicas)
    num_replicas = 1 if strategy is None else strategy.num_replicas_in_sync
    if config.batch_size % num_replicas:
        next_larger = config.batch_size + -config.batch_size % num_replicas
        raise UserError(
            f"--batch_size={config.batch_size} cannot be divided equally among {num_replicas} replicas: give a "
            f"multiple of {num_replicas}, such as {next_larger}"
        )


@functools.cache
def _strategy(distribution: str, num_replicas: int | None) -> tf.distribute.Strategy | None:
    """Returns the strategy of this process, or None without distribution.

    It is made once and kept, because TensorFlow can make a multi-worker strategy only once in a process.
    """
    if distribution == "none":
        return None
    if distribution == "mirrored":
        with _without_tf_config():  # TensorFlow would read it, and wait for the hosts that it names
            strategy = _mirrored(num_replicas)
    else:
        strategy = _multi_worker()
    logger.info("--distribution=%s: %s", distribution, counted(strategy.num_replicas_in_sync, "replica"))
    return strategy


@contextlib.contextmanager
def _without_tf_config() -> Iterator[None]:
    text = os.environ.pop("TF_CONFIG", None)
    try:
        yield
    finally:
        if text is not None:
            os.environ["TF_CONFIG"] = text


def _mirrored(num_replicas: int | None) -> tf.distribute.MirroredStrategy:
    num_gpus = len(tf.config.list_physical_devices("GPU"))
    if not num_gpus:
        num_replicas = num_replicas or _CPU_REPLICAS
        cpu = tf.config.list_physical_devices("CPU")[0]
        tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * num_replicas)
        return tf.distribute.MirroredStrategy([f"CPU:{number}" for number in range(num_replicas)])
    if (num_replicas or 0) > num_gpus:
        raise UserError(f"--num_replicas={num_replicas}: give the number of this host's GPUs, {num_gpus}, or less")
    return tf.distribute.MirroredStrategy([f"GPU:{number}" for number in range(num_replicas or num_gpus)])


def _multi_worker() -> tf.distribute.MultiWorkerMirroredStrategy:
    cluster, kind, number = _read_tf_config(os.environ.get("TF_CONFIG"))
    worker = _worker_of(cluster, kind, number)
    address = cluster[kind][number]
    logger.info("worker %d (of 0 to %d) at %s: waiting for the others", worker.index, worker.count - 1, address)
    if worker.index:
        logging.getLogger(histogan_tf.__name__).setLevel(logging.WARNING)  # the chief logs what all workers do
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.OpError as error:
        raise UserError(
            f"worker {worker.index} cannot start at {address} ({error.message}): check that the port is free, and that "
            f"all addresses in TF_CONFIG can be reached"
        ) from error


def _worker_of(cluster: Mapping[str, list[str]], kind: str, number: int) -> Worker:
    """Returns the worker of a task in TF_CONFIG: a task of type `chief`, if there is one, comes before the others.

    Args:
        cluster: the addresses of the tasks by type, `chief` or `worker`.
        kind: the type of the task.
        number: the number of the task among those of its type, from 0.
    """
    num_chiefs = len(cluster.get("chief", ()))
    return Worker(number if kind == "chief" else num_chiefs + number, sum(map(len, cluster.values())))


def _read_tf_config(text: str | None) -> tuple[dict[str, list[str]], str, int]:
    """Returns the cluster that TF_CONFIG describes, and the type and number of this process's task in it.

    Raises:
        UserError: if TF_CONFIG is missing, or does not describe a cluster and a task of it.
    """
    if not text:
        raise UserError(f"--distribution=multi_worker needs the environment variable TF_CONFIG, such as {_EXAMPLE}")
    try:
        config = json.loads(text)
        cluster, kind, number = config["cluster"], config["task"]["type"], int(config["task"]["index"])
        addresses = [address for task in ("chief", "worker") for address in cluster.get(task, ())]
        hosts_and_ports = [address.rsplit(":", 1) for address in addresses]
        well_formed = all(host and 0 < int(port) < 2**16 for host, port in hosts_and_ports)
        well_formed &= all(isinstance(cluster.get(task, []), list) for task in ("chief", "worker"))
        well_formed &= isinstance(kind, str)
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise UserError(f"TF_CONFIG={text} cannot be understood ({error!r}): write it like {_EXAMPLE}") from error
    if not well_formed or set(cluster) - {"chief", "worker"} or len(cluster.get("chief", ())) > 1:
        raise UserError(
            f"TF_CONFIG={text}: give the addresses host:port of the tasks of type worker, and of at most one chief, "
            f"like {_EXAMPLE}"
        )
    if len(set(addresses)) < len(addresses):
        raise UserError(f"TF_CONFIG={text} names one address twice: give each worker its own address")
    if not 0 <= number < len(cluster.get(kind, ())):
        raise UserError(
            f"TF_CONFIG={text} has no task {kind!r} number {number}: give an index that counts the addresses of that "
            f"type from 0"
        )
    return cluster, kind, number
