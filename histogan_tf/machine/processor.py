"""What the processor can compute with, and what a run records of the machine that its bytes depend on."""

from __future__ import annotations

import functools
import logging
import platform
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from histogan_tf.machine.cores import num_usable_cores
from histogan_tf.machine.lazy_module import tensorflow as tf

logger = logging.getLogger(__name__)

_CPU_INFO = Path("/proc/cpuinfo")
# The instructions by which TensorFlow and oneDNN choose their kernels, by the names that Linux gives them.
_VECTOR_INSTRUCTIONS = (
    *("sse4_2", "avx", "avx2", "fma", "avx_vnni", "avx512f", "avx512bw", "avx512_vnni", "avx512_bf16", "avx512_fp16"),
    *("amx_tile", "amx_int8", "amx_bf16", "amx_fp16", "asimd", "bf16", "i8mm", "sve", "sve2"),
)
# The lines of /proc/cpuinfo that number a processor's kind, on x86 and on ARM, and how we call them.
_NUMBERS_OF_KIND = {
    "cpu family": "family",
    "model": "model",
    "CPU implementer": "implementer",
    "CPU part": "part",
}
_BFLOAT16 = {"avx512_bf16", "amx_bf16", "bf16"}


def vector_instructions(cpu_info: Path = _CPU_INFO) -> tuple[str, ...] | None:
    """Returns the vector instructions that the processor has, by Linux's names; None outside of Linux."""
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return None
    found = {name for line in lines if line.lower().startswith(("flags", "features")) for name in line.split()}
    return tuple(name for name in _VECTOR_INSTRUCTIONS if name in found)


def processor_name(cpu_info: Path = _CPU_INFO) -> str:
    """Returns the name of the processor with the numbers of its kind; outside of Linux the name of its architecture.

    For example "AMD EPYC 9B14 (family 25, model 17)". The numbers tell kinds apart where a virtual machine hides part
    of the name: "AMD EPYC" alone may be one of several kinds, of which one is twice as fast as another.
    """
    try:
        lines = cpu_info.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    fields: dict[str, str] = {}
    for name, _, value in (line.partition(":") for line in lines):
        fields.setdefault(name.strip(), value.strip())  # of the first core
    numbers = [f"{words} {fields[name]}" for name, words in _NUMBERS_OF_KIND.items() if fields.get(name)]
    name = fields.get("model name") or platform.machine()
    return f"{name} ({', '.join(numbers)})" if numbers else name


def has_bfloat16() -> bool:
    """Returns whether the processor has instructions for bfloat16; False where that is unknown, outside of Linux."""
    return bool(_BFLOAT16.intersection(vector_instructions() or ()))


@functools.cache
def warn_of_slow_bfloat16() -> None:
    """Logs a warning, once in a process, if the processor has to emulate bfloat16."""
    instructions = vector_instructions()
    if instructions is not None and not _BFLOAT16.intersection(instructions):
        logger.warning(
            "--precision=bfloat16: this processor has no instructions for it (AVX512_BF16 or AMX), so that a step "
            "takes longer than in float32, often several times as long; train with --precision=float32, in a --run of "
            "its own if this one has begun"
        )


def num_threads() -> int:
    """Returns the number of threads among which TensorFlow divides one operation on a CPU."""
    return tf.config.threading.get_intra_op_parallelism_threads() or num_usable_cores()


def machine_record() -> dict[str, Any]:
    """Returns what the bytes of trained weights depend on beside the settings: the devices, threads and instructions.

    Returns:
        `devices`, the names of the GPUs, empty on a CPU; `threads` of one operation; and `instructions`, the vector
        instructions of the processor, or its name outside of Linux.
    """
    gpus = tf.config.list_physical_devices("GPU")
    names = [tf.config.experimental.get_device_details(gpu).get("device_name", gpu.name) for gpu in gpus]
    instructions = vector_instructions()
    known = [platform.machine(), platform.processor()] if instructions is None else list(instructions)
    return {"devices": names, "threads": num_threads(), "instructions": known}


def warn_of_other_machine(recorded: Mapping[str, Any], what: str) -> None:
    """Logs a warning if weights end in other bits here than where a run was begun.

    Args:
        recorded: what `machine_record` returned there.
        what: the name of the run, for the message.
    """
    here = machine_record()
    if recorded.get("devices") != here["devices"]:
        there, now = (", ".join(record.get("devices") or ["a CPU"]) for record in (recorded, here))
        difference = f"on {there}, and goes on with {now}"
    elif here["devices"]:
        return  # a GPU computes; the processor only prepares
    elif recorded.get("threads") != here["threads"]:
        difference = f"with {recorded.get('threads')} threads for an operation, and goes on with {here['threads']}"
    elif recorded.get("instructions") != here["instructions"]:
        there, now = (set(record.get("instructions") or ()) for record in (recorded, here))
        changes = [f"has {' '.join(sorted(now - there))} too" if now - there else ""]
        changes += [f"lacks {' '.join(sorted(there - now))}" if there - now else ""]
        difference = f"on another processor, and this one {' and '.join(filter(None, changes))}"
    else:
        return
    logger.warning(
        "%s was begun %s: it is as good, but its weights end in other bits than if it had not been stopped",
        what,
        difference,
    )
