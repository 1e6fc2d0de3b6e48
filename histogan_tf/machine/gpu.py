"""What the GPUs of this machine can do, and what the program chooses by it: the precision, and whether XLA compiles."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import tensorflow as tf

from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.machine.processor import has_bfloat16

# The first generations with matrix units for each type (NVIDIA, "CUDA C++ Programming Guide", table "Feature Support
# per Compute Capability"): Volta has them for float16, Ampere for bfloat16 too.
_FLOAT16_CAPABILITY, _BFLOAT16_CAPABILITY = (7, 0), (8, 0)


def has_gpu() -> bool:
    """Returns whether TensorFlow computes on a GPU. TensorFlow begins with this call, if it has not begun yet."""
    return bool(tf.config.list_logical_devices("GPU"))


def compute_capabilities() -> list[tuple[int, int]]:
    """Returns the compute capability of each GPU, such as (8, 0); (0, 0) for one that tells none, such as AMD's."""
    devices = tf.config.list_physical_devices("GPU")
    details = [tf.config.experimental.get_device_details(device) for device in devices]
    return [tuple(of_device.get("compute_capability") or (0, 0)) for of_device in details]


def mixed_precision(capabilities: Sequence[tuple[int, int]], cpu_has_bfloat16: bool) -> str:
    """Returns the precision that --precision=mixed stands for on a machine.

    bfloat16 is preferred wherever it is fast, because it has the range of float32 and so needs no loss scaling.

    Args:
        capabilities: the compute capability of each GPU that takes part; empty on a machine without a GPU.
        cpu_has_bfloat16: whether the processor has instructions for bfloat16, which counts if there is no GPU.

    Returns:
        `bfloat16`, `float16` or `float32`: the first for which every GPU, or the processor, has fast instructions.
    """
    if not capabilities:
        return "bfloat16" if cpu_has_bfloat16 else "float32"
    oldest = min(capabilities)
    if oldest >= _BFLOAT16_CAPABILITY:
        return "bfloat16"
    return "float16" if oldest >= _FLOAT16_CAPABILITY else "float32"


def precision_here() -> str:
    """Returns what --precision=mixed stands for on this machine; see `mixed_precision`."""
    return mixed_precision(compute_capabilities(), has_bfloat16())


def compiles_with_xla(config: Config, refused: Collection[str] = ()) -> bool:
    """Returns whether a training step is compiled by XLA (--jit_compile).

    If the flag is left out, it is compiled on a GPU, unless a strategy distributes it or XLA refuses it there. On a
    CPU, the graph's own kernels are faster than XLA's.

    Args:
        config: the resolved flags.
        refused: the operations of the step that XLA refuses while operations must be deterministic, on a CPU too.

    Raises:
        UserError: if --jit_compile asks for what XLA refuses.
    """
    is_refused = bool(refused) and config.deterministic
    if config.jit_compile and is_refused:
        raise UserError(
            f"--jit_compile: XLA has no deterministic {', '.join(refused)}, which this training needs: add "
            f"--deterministic=false, or leave --jit_compile out"
        )
    if config.jit_compile is None:
        return config.distribution == "none" and has_gpu() and not is_refused
    return config.jit_compile
