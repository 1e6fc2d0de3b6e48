"""Keras's names for the values of --precision."""

from __future__ import annotations


def dtype_policy(precision: str) -> str:
    """Returns Keras's dtype policy for a value of --precision: `float32`, `bfloat16` or `float16`.

    `mixed` is not among them: it has become one of these when networks are built, see `machine.device.prepare`.
    """
    return {"float32": "float32", "bfloat16": "mixed_bfloat16", "float16": "mixed_float16"}[precision]
