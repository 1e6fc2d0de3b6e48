"""Keras layers with spectral normalization (Miyato et al., "Spectral Normalization for GANs", ICLR 2018).

Keras's own SpectralNormalization is not used: it overwrites the trained kernel with the normalized one, so that no
gradient passes through the norm as in the paper's equation 12, and it starts from a random draw without a seed.
"""

from __future__ import annotations

import numpy as np
import tensorflow as tf
from keras import layers, ops

from histogan_tf.models.enlargement import EnlargedConv2D

_EPSILON = 1e-12
_FIRST_ITERATIONS = 15


class SpectralKernel:
    """A mixin for Keras layers that divides the kernel by its largest singular value.

    The singular values are those of the kernel reshaped to a matrix (all inputs, outputs). Each forward pass of
    training makes one step of power iteration (the paper's algorithm 1), whose vector u is a weight of the layer and is
    saved in checkpoints. 15 steps are made when the layer is built, as PyTorch's spectral_norm does, so that the first
    steps of training already see a kernel of norm 1.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.u = self.add_weight(
            name="u", shape=(1, self._kernel.shape[-1]), initializer="ones", trainable=False, autocast=False
        )
        matrix, u = ops.convert_to_numpy(self._matrix()), np.ones(self.u.shape, np.float32)
        for _ in range(_FIRST_ITERATIONS):
            v = u @ matrix.T
            u = v @ matrix / max(np.linalg.norm(v @ matrix), _EPSILON)
        self.u.assign(u)

    @property
    def kernel(self):
        """The normalized kernel, with which the layer computes; `_kernel` is the one that is trained."""
        matrix = self._matrix()
        return _divided_by_norm(
            tf.convert_to_tensor(self._kernel), matrix, tf.convert_to_tensor(self.u), self._v(matrix)
        )

    def call(self, inputs, training: bool = False):
        if training:
            matrix = ops.stop_gradient(self._matrix())
            self.u.assign(_normalized(ops.matmul(self._v(matrix), matrix)))
        return super().call(inputs, training=training)

    def _matrix(self):
        return ops.cast(ops.reshape(self._kernel, (-1, self._kernel.shape[-1])), "float32")

    def _v(self, matrix):
        return _normalized(ops.matmul(self.u, ops.transpose(matrix)))


class SpectralConv2D(SpectralKernel, EnlargedConv2D):
    """A convolution whose kernel, as a matrix (height * width * channels, filters), has spectral norm 1."""


class SpectralDense(SpectralKernel, layers.Dense):
    """A fully connected layer whose kernel has spectral norm 1."""


def _divided_by_norm(kernel, matrix, u, v):
    """Returns the kernel divided by its spectral norm v M u^T, with the paper's gradient, equation 12.

    The gradient is written out as one term. Automatic differentiation would give one for the quotient and one for the
    norm, and TensorFlow adds up three or more tensors, as of several passes, in an order that depends on the moment.

    Args:
        kernel: the trained kernel.
        matrix: the kernel as a matrix M, float32 (all inputs, outputs).
        u: the right singular vector, float32 (1, outputs), a constant.
        v: the left singular vector, float32 (1, all inputs), a constant.
    """
    norm = ops.sum(ops.matmul(v, matrix) * u)

    @tf.custom_gradient
    def divide(kernel):
        normalized = kernel / ops.cast(norm, kernel.dtype)

        def gradient(upstream):
            share = ops.sum(ops.cast(upstream * normalized, "float32"))
            along_norm = ops.reshape(share * ops.matmul(ops.transpose(v), u), kernel.shape)
            return (upstream - ops.cast(along_norm, kernel.dtype)) / ops.cast(norm, kernel.dtype)

        return normalized, gradient

    return divide(kernel)


def _normalized(vector):
    return vector / (ops.norm(vector) + _EPSILON)
