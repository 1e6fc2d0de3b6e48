"""Keras's names for the values of --precision."""

from __future__ import annotations


def dtype_policy(precision: str) -> str:
    """Returns Keras's dtype policy for a value of --precision, `float32` or `bfloat16`."""
    return {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
