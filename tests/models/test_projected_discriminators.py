"""The discriminators of the projected GAN: the shapes of their logits, and what a condition changes."""

from __future__ import annotations

import numpy as np
import tensorflow as tf

from histogan_tf.models.projected_discriminators import build_projected_discriminators


def test_each_scale_has_patch_logits():
    shapes = [(24, 24, 8), (12, 12, 16), (6, 6, 32)]
    network = build_projected_discriminators(shapes, df_dim=10)
    features = {f"features_{number}": np.ones((2, *shape), np.float32) for number, shape in enumerate(shapes, start=1)}
    logits = network(features)
    assert {name: tuple(of_scale.shape) for name, of_scale in logits.items()} == dict.fromkeys(
        ("scale1", "scale2", "scale3"), (2, 36)
    )
    convolutions = {weight.path: tuple(weight.shape) for weight in network.trainable_weights if "kernel" in weight.path}
    assert convolutions["scale1_conv1/kernel"] == (4, 4, 8, 10) and convolutions["scale1_conv2/kernel"] == (
        4,
        4,
        10,
        10,
    )
    assert convolutions["scale2_conv1/kernel"] == (4, 4, 16, 10) and "scale3_conv1/kernel" not in convolutions
    assert convolutions["scale3_last/kernel"] == (3, 3, 32, 10)


def test_a_condition_adds_the_product_of_its_embedding_and_the_features():
    network = build_projected_discriminators([(4, 4, 3)], df_dim=5, num_conditions=4)
    features = np.random.default_rng(0).normal(size=(1, 4, 4, 3)).astype(np.float32)
    logits = [network({"features_1": features, "condition": np.array([number])})["scale1"][0] for number in range(4)]
    table = network.get_layer("scale1_condition").kernel.numpy()
    hidden = tf.nn.leaky_relu(network.get_layer("scale1_last")(features), 0.2).numpy()
    difference = (hidden[0] @ (table[2] - table[1])).ravel()
    np.testing.assert_allclose(logits[2] - logits[1], difference, rtol=1e-3, atol=1e-5)
