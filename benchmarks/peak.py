"""Measures how fast this machine multiplies matrices, in floating-point operations a second."""

from __future__ import annotations

import time

NUM_REPEATS = 5


class TensorFlowProducts:
    """Multiplies square matrices with TensorFlow."""

    def best(self, precision: str, size: int) -> float:
        """Returns the operations a second of the fastest of NUM_REPEATS products of two size x size matrices."""
        import tensorflow as tf

        matrix = tf.cast(tf.random.stateless_normal((size, size), (1, 2)), precision)
        product = tf.function(lambda: tf.matmul(matrix, matrix)[0, 0])
        return _best(lambda: product().numpy(), size)


class TorchProducts:
    """Multiplies square matrices with PyTorch."""

    def __init__(self) -> None:
        import torch

        self._torch = torch

    def best(self, precision: str, size: int) -> float:
        """Returns the operations a second of the fastest of NUM_REPEATS products of two size x size matrices."""
        torch = self._torch
        matrix = torch.randn((size, size), generator=torch.Generator().manual_seed(1))
        matrix = matrix.to(getattr(torch, precision))
        return _best(lambda: torch.mm(matrix, matrix)[0, 0].item(), size)


def _best(multiply, size: int) -> float:
    multiply()
    seconds = []
    for _ in range(NUM_REPEATS):
        started = time.perf_counter()
        multiply()
        seconds.append(time.perf_counter() - started)
    return 2 * size**3 / min(seconds)
