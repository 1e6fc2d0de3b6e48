"""What TensorFlow computes on, and how: set before its first operation."""

from __future__ import annotations

import contextlib
import logging

import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.machine.cores import num_usable_cores

logger = logging.getLogger(__name__)


def prepare(config: Config) -> None:
    """Makes operations deterministic, takes no more GPU memory than is needed, shares out the cores, and names them."""
    # Without it some kernels add up in the order in which threads finish, and a resumed run would drift.
    tf.config.experimental.enable_op_determinism()
    devices = tf.config.list_physical_devices("GPU")
    for device in devices:
        tf.config.experimental.set_memory_growth(device, True)
    if not devices and _has_a_core_for_each_generator(config):
        # Their small operations gain little from a second core, and lose more by waiting for it.
        with contextlib.suppress(RuntimeError):  # TensorFlow has begun: so it is in tests
            tf.config.threading.set_intra_op_parallelism_threads(1)
            tf.config.threading.set_inter_op_parallelism_threads(2)
    names = [tf.config.experimental.get_device_details(device).get("device_name", device.name) for device in devices]
    logger.info("device: %s", ", ".join(names) or "CPU (TensorFlow sees no GPU)")


def _has_a_core_for_each_generator(config: Config) -> bool:
    trains_two = config.mode == "train" and config.model == "cyclegan" and config.distribution == "none"
    return trains_two and num_usable_cores() == 2
