"""The one switch: Keras's own layers if it is off, the fast ones with the same weights if it is on."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.models.cyclegan import build_cyclegan_generator
from histogan_tf.models.dcgan import build_dcgan_discriminator, build_dcgan_generator
from histogan_tf.models.enlargement import EnlargedConv2D
from histogan_tf.training.optimizers import FusedAdam, make_adam

NETWORKS = {
    "DCGAN generator": lambda **options: build_dcgan_generator((16, 16, 3), gf_dim=2, z_dim=4, **options),
    "DCGAN discriminator": lambda **options: build_dcgan_discriminator((16, 16, 3), df_dim=2, **options),
    "CycleGAN generator": lambda **options: build_cyclegan_generator(
        (32, 32, 3), seed=0, num_filters=2, num_blocks=1, **options
    ),
}


@pytest.mark.parametrize("name", NETWORKS)
def test_without_cpu_kernels_all_layers_are_kerass(name):
    layers = NETWORKS[name](cpu_kernels=False).layers
    others = {type(layer) for layer in layers if not type(layer).__module__.startswith("keras.")}
    assert others <= {EnlargedConv2D}  # Keras has no reflection padding
    fast = [type(layer).__name__ for layer in NETWORKS[name](cpu_kernels=True).layers]
    assert any(kind.startswith(("Fast", "Fused")) for kind in fast)


@pytest.mark.parametrize("name", NETWORKS)
def test_weights_and_outputs_are_the_same_with_and_without(name):
    plain, fast = (NETWORKS[name](cpu_kernels=cpu_kernels) for cpu_kernels in (False, True))
    assert [weight.path for weight in plain.weights] == [weight.path for weight in fast.weights]
    for mine, theirs in zip(plain.weights, fast.weights, strict=True):
        np.testing.assert_array_equal(mine, theirs)
    shapes = (
        {key: (3, *tensor.shape[1:]) for key, tensor in plain.input.items()}
        if isinstance(plain.input, dict)
        else (3, *plain.input_shape[1:])
    )
    draw = lambda shape: tf.random.stateless_uniform(shape, (1, 2), -1.0, 1.0)  # noqa: E731
    inputs = {key: draw(shape) for key, shape in shapes.items()} if isinstance(shapes, dict) else draw(shapes)
    for training in (True, False):
        np.testing.assert_allclose(plain(inputs, training=training), fast(inputs, training=training), atol=2e-5)


def test_adam_is_kerass_without():
    assert type(make_adam(1e-3, 0.5, cpu_kernels=False)) is keras.optimizers.Adam
    assert type(make_adam(1e-3, 0.5, cpu_kernels=True)) is FusedAdam
