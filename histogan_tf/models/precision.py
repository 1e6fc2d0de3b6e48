"""What --precision means to Keras."""

from __future__ import annotations


def dtype_policy(precision: str) -> str:
    """Keras's name for a --precision."""
    return {"float32": "float32", "bfloat16": "mixed_bfloat16"}[precision]
