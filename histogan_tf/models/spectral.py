"""Spectral normalization (Miyato et al., "Spectral Normalization for GANs", ICLR 2018) of Keras's layers.

Keras's own SpectralNormalization writes the normalized kernel over the trained one, so that the gradient does not pass
through the norm, as it does in the paper's equation 12; and it starts from an unseeded draw.
"""

from __future__ import annotations

from keras import layers, ops

from histogan_tf.models.reflection import ReflectedConv2D

_EPSILON = 1e-12


class SpectralKernel:
    """Divides the kernel by its largest singular value, as a matrix from (all inputs) to outputs.

    One step of power iteration (the paper's algorithm 1) is made in each forward pass of training; its vector u is a
    weight of the layer, so that checkpoints hold it.
    """

    def build(self, input_shape: tuple[int | None, ...]) -> None:
        super().build(input_shape)
        self.u = self.add_weight(
            name="u", shape=(1, self._kernel.shape[-1]), initializer="ones", trainable=False, autocast=False
        )

    @property
    def kernel(self):
        """The normalized kernel, which the layer computes with; `_kernel` is what is trained."""
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
    """A convolution of spectral norm 1, as a matrix of (height x width x channels) by filters."""


class SpectralDense(SpectralKernel, layers.Dense):
    """A linear layer of spectral norm 1."""


def _normalized(vector):
    return vector / (ops.norm(vector) + _EPSILON)
