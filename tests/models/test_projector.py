"""The frozen part of projected discriminators, against keras-hub's networks and TensorFlow's resizing."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.machine.randomness import Purpose, weight_seeds
from histogan_tf.models.backbone_networks import stage_outputs
from histogan_tf.models.backbone_weights import load_backbone
from histogan_tf.models.backbones import BACKBONES, Preparation
from histogan_tf.models.projector import BlockConv2D, FeatureProjector, _normalized, _resized, feature_shapes


@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic", "nearest"])
@pytest.mark.parametrize(("size", "new_size"), [((5, 7), (12, 14)), ((16, 16), (6, 5)), ((4, 4), (4, 4))])
def test_resizing_is_tensorflows(size, new_size, interpolation):
    images = tf.random.stateless_uniform((2, *size, 3), (1, 2))
    expected = tf.image.resize(images, new_size, interpolation, antialias=True)
    resized = _resized(images, list(zip(size, new_size, strict=True)), interpolation)
    np.testing.assert_allclose(resized, expected, atol=1e-5)


def test_images_are_normalized_as_imagenets_and_grey_ones_become_rgb():
    images = tf.reshape(tf.constant([-1.0, 1.0]), (1, 1, 2, 1))
    black, white = (np.array([value] * 3) for value in (0.0, 1.0))
    expected = (np.stack([black, white]) - [0.485, 0.456, 0.406]) / [0.229, 0.224, 0.225]
    np.testing.assert_allclose(_normalized(images, Preparation())[0, 0], expected, rtol=1e-6)


@pytest.mark.parametrize("cpu_kernels", [False, True])
def test_its_stages_are_the_backbones_without_batch_norm(cpu_kernels):
    projector = FeatureProjector(
        (16, 16, 3), feature_size=32, stages=(1, 2, 3), weights="random", backbone="resnet18", cpu_kernels=cpu_kernels
    )
    backbone_seed = weight_seeds(42, Purpose.PROJECTOR_WEIGHTS, 1)[0]
    backbone = load_backbone("random", seed=backbone_seed, size=32)
    assert not any(
        isinstance(layer, keras.layers.BatchNormalization) for stage in projector.stages for layer in stage.layers
    )
    hidden = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    outputs = list(backbone.pyramid_outputs.values())[:3]
    for stage, expected in zip(projector.stages, keras.Model(backbone.input, outputs)(hidden), strict=True):
        hidden = stage(hidden, training=True)
        np.testing.assert_allclose(hidden, expected, rtol=1e-3, atol=1e-3 * float(tf.reduce_max(expected)))


def test_statistics_of_batch_norm_are_merged_into_the_convolution_before_it(monkeypatch):
    backbone = load_backbone("random", seed=1, size=32)
    rng = np.random.default_rng(0)
    for layer in backbone.layers:
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    monkeypatch.setattr("histogan_tf.models.projector.load_backbone", lambda *_, **__: backbone)
    projector = FeatureProjector((32, 32, 3), feature_size=32, stages=(1,), weights="random", backbone="resnet18")
    images = tf.random.stateless_normal((2, 32, 32, 3), (1, 2))
    expected = keras.Model(backbone.input, backbone.pyramid_outputs["P2"])(images, training=False)
    np.testing.assert_allclose(projector.stages[0](images), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(
    ("backbone", "cpu_kernels"), [("tf_efficientnet_lite0", True), ("densenet121", False), ("mobilenet", True)]
)
def test_any_backbones_stages_are_its_own_and_frozen(backbone, cpu_kernels, monkeypatch):
    entry, stages, shape = BACKBONES[backbone], (1, 2), (33, 40, 3)
    network = load_backbone("random", seed=1, size=shape[:2], backbone=backbone)
    rng = np.random.default_rng(0)
    for layer in network._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([rng.uniform(0.5, 1.5, weight.shape) for weight in layer.get_weights()])
    monkeypatch.setattr("histogan_tf.models.projector.load_backbone", lambda *_, **__: network)
    projector = FeatureProjector(
        shape, feature_size=33, stages=stages, weights="random", backbone=backbone, cpu_kernels=cpu_kernels
    )
    before, images = projector.get_weights(), tf.random.stateless_uniform((2, *shape), (3, 4), -1.0, 1.0)
    with tf.GradientTape() as tape:
        tape.watch(images)
        features = projector(images)
        loss = sum(tf.reduce_mean(feature) for feature in features)
    assert np.mean(tape.gradient(loss, images) != 0) > 0.9
    assert projector.trainable_variables == []
    for was, now in zip(before, projector.get_weights(), strict=True):
        np.testing.assert_array_equal(was, now)
    assert [tuple(feature.shape[1:]) for feature in features] == projector.feature_shapes
    hidden = tf.random.stateless_normal((2, *shape), (1, 2))
    expected = keras.Model(network.input, stage_outputs(entry, network, stages))(hidden, training=False)
    for stage, of_network in zip(projector.stages, expected, strict=True):
        hidden = stage(hidden, training=True)
        np.testing.assert_allclose(hidden, of_network, rtol=1e-3, atol=1e-4 * float(tf.reduce_max(abs(of_network))))


@pytest.mark.parametrize(("size", "side"), [((38, 38), 7), ((39, 22), 7), ((9, 12), 3)])
def test_the_first_convolution_is_the_same_on_blocks_of_pixels(size, side):
    images = tf.random.stateless_normal((2, *size, 3), (1, 2))
    plain, on_blocks = (make(8, side, strides=2, padding="valid") for make in (keras.layers.Conv2D, BlockConv2D))
    for layer in (plain, on_blocks):
        layer.build(images.shape)
    on_blocks.set_weights([weight + 0.1 for weight in plain.get_weights()])
    plain.set_weights(on_blocks.get_weights())
    results = []
    for layer in (plain, on_blocks):
        with tf.GradientTape() as tape:
            tape.watch(images)
            outputs = layer(images, training=True)
        upstream = tf.random.stateless_normal(outputs.shape, (3, 4))
        results.append((outputs, tape.gradient(outputs, images, output_gradients=upstream)))
    for expected, value in zip(*results, strict=True):
        np.testing.assert_allclose(value, expected, atol=1e-5)
    np.testing.assert_array_equal(on_blocks(images), plain(images))


@pytest.mark.parametrize(
    ("image_shape", "stages", "backbone"),
    [
        ((50, 50, 3), (1, 2, 3), "resnet18"),
        ((16, 40, 1), (2, 4), "resnet18"),
        ((96, 64, 3), (1,), "resnet18"),
        ((16, 40, 1), (2, 5), "vgg16"),
    ],
)
def test_features_have_the_shapes_that_are_told(image_shape, stages, backbone):
    projector = FeatureProjector(image_shape, feature_size=33, stages=stages, weights="random", backbone=backbone)
    features = projector(np.zeros((2, *image_shape), np.float32))
    assert [tuple(feature.shape[1:]) for feature in features] == projector.feature_shapes
    assert projector.feature_shapes == list(feature_shapes(image_shape, 33, stages, backbone))
    assert projector.trainable_variables == []


@pytest.mark.parametrize(
    ("backbone", "shapes"),
    [
        ("resnet18", [(24, 24, 64), (12, 12, 128), (6, 6, 256)]),
        ("efficientnet_lite0", [(48, 48, 16), (24, 24, 24), (12, 12, 40)]),
    ],
)
def test_the_features_of_50_pixels_at_96(backbone, shapes):
    assert list(feature_shapes((50, 50, 3), 96, (1, 2, 3), backbone)) == shapes


def test_the_weights_say_how_images_are_prepared():
    name = "tf_efficientnet_lite0"
    projector = FeatureProjector((16, 16, 1), feature_size=32, stages=(1,), weights="random", backbone=name)
    assert projector._preparation == BACKBONES[name].preparation
    assert projector._preparation.interpolation == "bicubic"


def test_the_mixing_is_always_the_same_and_reaches_from_coarse_to_fine():
    images = tf.random.stateless_uniform((1, 16, 16, 3), (3, 4), -1.0, 1.0)
    options = {"feature_size": 32, "stages": (1, 2), "weights": "random", "backbone": "resnet18"}
    one, same = (FeatureProjector((16, 16, 3), **options) for _ in range(2))
    before = one(images)
    for feature, equal in zip(before, same(images), strict=True):
        np.testing.assert_array_equal(feature, equal)
    one._channel_mixing[1].kernel.assign(tf.zeros_like(one._channel_mixing[1].kernel))
    assert not np.allclose(one(images)[0], before[0]) and np.all(one(images)[1] == 0)


def test_gradients_flow_back_to_the_images():
    projector = FeatureProjector(
        (16, 16, 3), feature_size=32, stages=(1, 2, 3), weights="random", backbone="resnet18", cpu_kernels=True
    )
    images = tf.random.stateless_uniform((2, 16, 16, 3), (3, 4), -1.0, 1.0)
    with tf.GradientTape() as tape:
        tape.watch(images)
        loss = sum(tf.reduce_mean(feature) for feature in projector(images))
    gradient = tape.gradient(loss, images)
    direction = tf.random.stateless_normal(images.shape, (5, 6))
    step = 1e-2 * direction
    moved = [sum(tf.reduce_mean(feature) for feature in projector(images + sign * step)) for sign in (1.0, -1.0)]
    assert float((moved[0] - moved[1]) / 2) == pytest.approx(float(tf.reduce_sum(gradient * step)), rel=0.05)
