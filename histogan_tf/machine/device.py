"""The devices and cores that TensorFlow computes on, which must be set up before its first operation."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.config.families import family_of
from histogan_tf.config.settings import check_precision
from histogan_tf.config.training_flags import MIXED_PRECISION
from histogan_tf.machine.cores import num_usable_cores
from histogan_tf.machine.gpu import precision_here
from histogan_tf.machine.processor import warn_of_slow_bfloat16

logger = logging.getLogger(__name__)


def prepare(config: Config, recorded: Mapping[str, Any] | None = None, precision: str | None = None) -> Config:
    """Sets TensorFlow up: deterministic operations, GPU memory taken as needed, and cores shared among the networks.

    It logs the names of the devices. Where TensorFlow has begun already, as in a notebook, memory and threads stay as
    they are, and a warning says so if this training takes other threads. Deterministic operations, once asked for, stay
    until the process ends.

    Args:
        config: the settings of the command.
        recorded: what `processor.machine_record` returned where the run was begun that is to go on; its number of
            threads is taken, since sums of other parts end in other bits. None for a new run.
        precision: the precision that a run was begun with that is to go on; None for a new run.

    Returns:
        The settings, in which --precision=mixed has become the precision that it stands for.

    Raises:
        UserError: if --precision=mixed stands for float16 here, and another flag does not work with that.
    """
    if config.deterministic:
        # Without it, some kernels add numbers in the order in which threads finish, and a resumed run would differ.
        tf.config.experimental.enable_op_determinism()
    config = _with_known_precision(config, precision)
    devices = tf.config.list_physical_devices("GPU")
    for device in devices:
        with contextlib.suppress(RuntimeError):
            tf.config.experimental.set_memory_growth(device, True)
    num_threads = (recorded or {}).get("threads")
    if not devices and num_threads is not None:
        # With --distribution, the replicas share the cores from the start, and networks do not.
        num_networks = family_of(config.model).num_parallel_networks if config.distribution == "none" else 1
        _set_threads(num_threads, num_networks)
    elif not devices and config.mode == "train" and config.distribution == "none":
        _share_out_cores(family_of(config.model).num_parallel_networks)
    if not devices and config.precision == "bfloat16":
        warn_of_slow_bfloat16()
    if not devices and config.precision == "float16":
        logger.warning(
            "--precision=float16 is for GPUs: a processor emulates it, so that a step takes longer than in float32; "
            "train with --precision=mixed, in a --run of its own if this one has begun"
        )
    names = [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices]
    logger.info("device: %s", ", ".join(names) or "CPU (TensorFlow sees no GPU)")
    return config


def _with_known_precision(config: Config, precision: str | None) -> Config:
    if config.precision != MIXED_PRECISION:
        return config
    config = dataclasses.replace(config, precision=precision or precision_here())
    check_precision(config)
    logger.info("precision: mixed is %s here", config.precision)
    return config


def _share_out_cores(num_networks: int) -> None:
    """Gives an equal share of the cores to each of several networks that compute at the same time.

    The operations of these networks are small: they gain little from more cores, and lose more by waiting for them. On
    two cores, this makes CycleGAN's step 1.26 to 1.28 times as fast.
    """
    num_cores = num_usable_cores()
    _set_threads(num_cores if num_networks == 1 else max(1, num_cores // num_networks), num_networks)


def _set_threads(num_threads: int, num_networks: int) -> None:
    """Sets the number of threads of one operation, and of operations at a time if there are several networks."""
    wanted = 0 if num_threads == num_usable_cores() and num_networks == 1 else num_threads  # 0: one on each core
    if wanted:
        with contextlib.suppress(RuntimeError):
            tf.config.threading.set_intra_op_parallelism_threads(wanted)
            if num_networks > 1:
                tf.config.threading.set_inter_op_parallelism_threads(num_networks)
    found = tf.config.threading.get_intra_op_parallelism_threads()
    if found != wanted and (found or num_usable_cores()) != (wanted or num_usable_cores()):
        logger.warning(
            "TensorFlow has begun with %s, where this training takes %s: steps take another time, and weights end in "
            "other bits than in a process of their own; for the same bytes, train in a new process or kernel",
            _in_words(found),
            _in_words(wanted),
        )


def _in_words(num_threads: int) -> str:
    words = {0: "a thread on each core", 1: "one thread"}
    return f"{words.get(num_threads, f'{num_threads} threads')} for an operation"
