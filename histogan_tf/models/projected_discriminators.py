"""Builds the discriminators of the projected GAN, which look at features of a pretrained network.

Sauer et al., "Projected GANs Converge Faster", NeurIPS 2021, section 3. The frozen part that computes these features is
`projector.FeatureProjector`.
"""

from __future__ import annotations

from collections.abc import Sequence

import keras
from keras import layers, ops

from histogan_tf.machine.randomness import Purpose, seeds_of_weights
from histogan_tf.models.cpu_kernels import layer_classes
from histogan_tf.models.spectral import SpectralDense

_MOST_LOGITS = 8  # patch logits along the longer side of a discriminator's output


def build_projected_discriminators(
    feature_shapes: Sequence[tuple[int, int, int]],
    *,
    df_dim: int = 128,
    num_conditions: int = 1,
    precision: str = "float32",
    cpu_kernels: bool = False,
    seed: int = 42,
) -> keras.Model:
    """Builds one small discriminator for each scale of projected features; each judges patches of an image.

    A discriminator halves its features by 4x4 convolutions until no side has more than 8 pixels; a 3x3 convolution and
    a 1x1 convolution make the logits. All kernels are spectrally normalized. A conditional discriminator adds the inner
    product of the condition's embedding and the last features (Miyato & Koyama, "cGANs with Projection Discriminator",
    ICLR 2018).

    Args:
        feature_shapes: the (height, width, channels) of the features at each scale.
        df_dim: the largest number of channels of the convolutions.
        num_conditions: the number of labels times that of modes; 1 for networks without either.
        precision: `float32` or `mixed_bfloat16`, a Keras dtype policy.
        cpu_kernels: whether to build from layers that are faster on a CPU, instead of plain Keras layers.
        seed: the seed of the initial weights.

    Returns:
        A model with the inputs `features_1` and so on, (batch, height, width, channels), and, if conditional,
        `condition`, int32 (batch,). Its outputs are the logits of "this patch is real" by scale, `scale1` and so on,
        each float32 (batch, n), with n patches.
    """
    make = _DiscriminatorLayers(precision, seed, cpu_kernels)
    names = [f"features_{scale}" for scale in range(1, len(feature_shapes) + 1)]
    inputs = {name: keras.Input(shape, name=name) for name, shape in zip(names, feature_shapes, strict=True)}
    if num_conditions > 1:
        inputs["condition"] = keras.Input((), dtype="int32", name="condition")
    logits = {}
    for scale, name in enumerate(names, start=1):
        hidden = inputs[name]
        number = 0
        while max(hidden.shape[1:3]) > _MOST_LOGITS:
            number += 1
            filters = min(df_dim, 2 * hidden.shape[-1])
            hidden = make.conv(hidden, filters, 4, f"scale{scale}_conv{number}", strides=2)
        hidden = make.conv(hidden, df_dim, 3, f"scale{scale}_last")
        judged = make.conv(hidden, 1, 1, f"scale{scale}_logits", is_linear=True)
        if num_conditions > 1:
            one_hot = ops.one_hot(inputs["condition"], num_conditions)
            embedding = make.embedding(one_hot, df_dim, f"scale{scale}_condition")
            judged = judged + ops.sum(hidden * embedding[:, None, None], axis=-1, keepdims=True)
        logits[f"scale{scale}"] = layers.Flatten(dtype="float32", name=f"scale{scale}")(judged)
    return keras.Model(inputs, logits, name="discriminators")


class _DiscriminatorLayers:
    """Makes the spectrally normalized layers of the discriminators, each from a seed of its own."""

    def __init__(self, precision: str, seed: int, cpu_kernels: bool) -> None:
        self._precision = precision
        self._classes = layer_classes(cpu_kernels)
        self._seeds = seeds_of_weights(seed, Purpose.DISCRIMINATOR_WEIGHTS)

    def conv(
        self,
        hidden: keras.KerasTensor,
        filters: int,
        kernel_size: int,
        name: str,
        strides: int = 1,
        is_linear: bool = False,
    ) -> keras.KerasTensor:
        """Returns the output of a convolution, followed by a leaky ReLU of slope 0.2 unless `is_linear`."""
        hidden = self._classes.spectral_conv(
            filters,
            kernel_size,
            strides=strides,
            padding="same",
            kernel_initializer=self._normal(),
            name=name,
            dtype=self._precision,
        )(hidden)
        return hidden if is_linear else self._classes.leaky_relu(negative_slope=0.2, dtype=self._precision)(hidden)

    def embedding(self, one_hot: keras.KerasTensor, units: int, name: str) -> keras.KerasTensor:
        """Returns the vector of each condition, (batch, units)."""
        layer = SpectralDense(
            units, use_bias=False, kernel_initializer=self._normal(), name=name, dtype=self._precision
        )
        return layer(one_hot)

    def _normal(self) -> keras.initializers.Initializer:
        return keras.initializers.RandomNormal(stddev=0.02, seed=next(self._seeds))
