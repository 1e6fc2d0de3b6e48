"""Keras layers with spectral normalization (Miyato et al., "Spectral Normalization for GANs", ICLR 2018).

Keras's own SpectralNormalization is not used: it overwrites the trained kernel with the normalized one, so that no
gradient passes through the norm as in the paper's equation 12, and it starts from a random draw without a seed.
"""

from __future__ import annotations

from keras import layers, ops

from histogan_tf.models.reflection import ReflectedConv2D

_EPSILON = 1e-12


class SpectralKernel:
    """A mixin for Keras layers that divides the kernel by its largest singular value.

    The singular values are those of the kernel reshaped to a matrix (all inputs, outputs). Each forward pass of
    training makes one step of power iteration (the paper's algorithm 1), whose vector u is a weight of the layer and is
    saved in checkpoints.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.u = self.add_weight(
            name="u", shape=(1, self._kernel.shape[-1]), initializer="ones", trainable=False, autocast=False
        )

    @property
    def kernel(self):
        """The normalized kernel, with which the layer computes; `_kernel` is the one that is trained."""
        matrix = self._matrix()
        u, v = ops.stop_gradient(self.u), ops.stop_gradient(self._v(matrix))
        norm = ops.sum(ops.matmul(v, matrix) * u)
        return self._kernel / ops.cast(norm, self.compute_dtype)

    def call(self, inputs, training: bool = False):
        if training:
            matrix = ops.stop_gradient(self._matrix())
            self.u.assign(_normalized(ops.matmul(self._v(matrix), matrix)))
        return super().call(inputs, training=training)

    def _matrix(self):
        return ops.cast(ops.reshape(self._kernel, (-1, self._kernel.shape[-1])), "float32")

    def _v(self, matrix):
        return _normalized(ops.matmul(self.u, ops.transpose(matrix)))


class SpectralConv2D(SpectralKernel, ReflectedConv2D):
    """A convolution whose kernel, as a matrix (height * width * channels, filters), has spectral norm 1."""


class SpectralDense(SpectralKernel, layers.Dense):
    """A fully connected layer whose kernel has spectral norm 1."""


def _normalized(vector):
    return vector / (ops.norm(vector) + _EPSILON)
