from __future__ import annotations

import dataclasses
import sys

import numpy as np
import pytest

from histogan_tf.data.pipeline import to_float
from histogan_tf.errors import UserError
from histogan_tf.models.backbones import Preparation
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.resnet import build_classifier
from histogan_tf.serving import onnx_model, web

onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")
pytest.importorskip("tf2onnx")


def run(path, inputs):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(None, inputs)[0]


@pytest.fixture(scope="module")
def written(networks, tmp_path_factory):
    """Folders with model.onnx and interface.md, what the model card says of it, by the network's name."""
    folders = {}
    for name in ("plain", "conditional", "translator-A2B", "classifier"):
        folders[name] = tmp_path_factory.mktemp(name)
        interface = onnx_model.write_onnx(networks[name], folders[name])
        (folders[name] / "interface.md").write_text(interface)
    return folders


@pytest.mark.parametrize("batch", [1, 3, 64])
@pytest.mark.parametrize("name", ["plain", "conditional"])
def test_generators_give_the_live_images(written, networks, name, batch):
    network = networks[name].network
    z, label = np.random.default_rng(2).normal(size=(batch, 5)).astype(np.float32), np.arange(batch, dtype=np.int32) % 2
    inputs = named_inputs(network, z, label)
    images = network(inputs, training=False).numpy()
    assert np.ptp(images) > 0.5
    np.testing.assert_allclose(run(written[name] / "model.onnx", inputs), images, rtol=0, atol=1e-5)


def test_translators_and_classifiers_give_what_the_live_ones_give(written, networks):
    translator, classifier = networks["translator-A2B"], networks["classifier"]
    for batch in (1, 3):
        pixels = np.random.default_rng(2).integers(0, 256, (batch, 34, 41, 3), np.uint8)
        images = to_float(pixels).numpy()
        got = run(written["translator-A2B"] / "model.onnx", {"image": images})
        np.testing.assert_allclose(got, translator.network(images, training=False), rtol=0, atol=1e-5)

        pixels = np.random.default_rng(2).integers(0, 256, (batch, 40, 36, 3), np.uint8)
        logits = classifier.network(pixels, training=False).numpy()[:, 0]
        got = run(written["classifier"] / "model.onnx", {"image": pixels})
        np.testing.assert_allclose(got, 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-5)


def test_tensors_and_the_dynamic_dimension_have_names(written):
    graph = onnx.load(written["conditional"] / "model.onnx").graph
    shapes = {
        value.name: [side.dim_param or side.dim_value for side in value.type.tensor_type.shape.dim]
        for value in (*graph.input, *graph.output)
    }
    assert shapes == {"z": ["batch", 5], "label": ["batch"], "images": ["batch", 17, 16, 1]}
    assert onnx.load(written["classifier"] / "model.onnx").graph.output[0].name == "probability"


_LEVELS = "in [-1, 1]: level = round((x + 1) * 127.5), from 0 to 255."


@pytest.mark.parametrize(
    ("name", "meaning"),
    [
        ("plain", f"Each number of `z` is drawn from N(0, 1), as in training. `images` are RGB, {_LEVELS}"),
        (
            "conditional",
            "Each number of `z` is drawn uniformly from [-1, 1], as in training. `label` is the number of each image's "
            f"class: 0 = non-idc, 1 = idc. `images` are grey, {_LEVELS}",
        ),
        (
            "translator-A2B",
            "`image` holds images of non-idc, RGB, in [-1, 1]: x = level / 127.5 - 1. `images` are their translations "
            f"to idc, {_LEVELS}",
        ),
        (
            "classifier",
            "`image` holds levels from 0 to 255, RGB, of images of the size and magnification of the training images. "
            "`probability` is that of idc, the positive class: label 1 where it is 0.5 or more.",
        ),
    ],
)
def test_the_card_says_what_to_put_into_the_file_and_what_comes_out(written, name, meaning):
    table, said = (written[name] / "interface.md").read_text().split("\n\n")
    assert said == meaning
    for value in onnx.load(written[name] / "model.onnx").graph.input:
        assert f"input `{value.name}`" in table and f"`{value.name}`" in said


def test_the_other_direction_translates_the_other_way(networks):
    assert onnx_model.translated_classes(networks["translator-B2A"]) == ("idc", "non-idc")


@pytest.mark.parametrize(
    ("shape", "size", "options"),
    [
        ((70, 40, 1), 48, {}),
        ((33, 32, 3), 40, {"preparation": Preparation((0.5,) * 3, (0.4,) * 3, "bicubic", 0.8), "center_crop": True}),
        ((32, 32, 3), 32, {}),
    ],
)
def test_a_classifier_resizes_in_onnx_as_in_keras(networks, shape, size, options):
    network = build_classifier(shape, size=size, weights="random", seed=0, **options).network
    network.get_layer("head").set_weights([np.random.default_rng(0).normal(0, 0.05, (512, 1)), np.zeros(1)])
    classifier = networks["classifier"]
    trained = dataclasses.replace(classifier, network=network, dataset={**classifier.dataset, "image_shape": shape})
    inputs = onnx_model.example_inputs(trained)
    logits = network(inputs["image"], training=False).numpy()[:, 0]
    outside = onnx_model.outside_network(trained)(inputs["image"]).numpy()
    np.testing.assert_allclose(outside, 1 / (1 + np.exp(-logits)), rtol=0, atol=1e-5)


def test_half_precision_halves_large_weights_and_changes_images_by_a_level_at_most(networks):
    from histogan_tf.training.dcgan_step import dcgan_generator

    plain = networks["plain"]
    config = dataclasses.replace(plain.config, gf_dim=64)  # 819,200 of its weights are 5 x 5 x 256 x 128
    trained = dataclasses.replace(plain, config=config, network=dcgan_generator(config, (16, 16, 3), 0))
    network, inputs = onnx_model.outside_network(trained), onnx_model.example_inputs(trained)
    model = onnx_model.to_onnx(network)
    halved = onnx_model.in_half_precision(model)
    assert 0.5 <= halved.ByteSize() / model.ByteSize() < 0.51
    assert onnx_model.largest_level_difference(halved, network, inputs) <= 1
    assert 0 < onnx_model.largest_difference(halved, network, inputs) < 0.002
    assert onnx_model.largest_difference(model, network, inputs) < 1e-6


def test_a_classifiers_page_has_half_the_weights_if_that_hardly_changes_its_probabilities(networks, monkeypatch):
    classifier = networks["classifier"]
    network, patches = onnx_model.outside_network(classifier), onnx_model.built_in_patches(classifier.image_shape)
    assert patches.shape == (32, *classifier.image_shape) and np.ptp(network(patches).numpy()) > 0.002
    halved = web._smallest_model(classifier)
    stored = {weight.data_type for weight in halved.graph.initializer if np.prod(weight.dims) >= 2**16}
    assert stored == {onnx.TensorProto.FLOAT16}
    difference = onnx_model.largest_difference(halved, network, {"image": patches})
    assert 0 < difference <= 0.01
    monkeypatch.setattr(web, "_HALF_PROBABILITY", difference / 2)
    whole = web._smallest_model(classifier)
    assert not [weight for weight in whole.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT16]


def test_built_in_patches_have_the_shape_of_the_images():
    assert onnx_model.built_in_patches((20, 33, 1)).shape == (32, 20, 33, 1)
    assert onnx_model.built_in_patches((8, 8, 3)).shape == (32, 8, 8, 3)
    grey, colour = (onnx_model.built_in_patches((16, 16, channels)) for channels in (1, 3))
    assert np.abs(grey[..., 0] - colour.mean(axis=-1)).max() <= 0.5


def test_a_conversion_that_went_wrong_is_not_written(networks, tmp_path, monkeypatch):
    convert = onnx_model.to_onnx

    def convert_badly(network):
        model = convert(network)
        bias = next(weight for weight in model.graph.initializer if weight.data_type == onnx.TensorProto.FLOAT)
        bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias) * 1.1, bias.name))
        return model

    monkeypatch.setattr(onnx_model, "to_onnx", convert_badly)
    with pytest.raises(UserError, match="differs by .*not written"):
        onnx_model.write_onnx(networks["plain"], tmp_path)
    assert not list(tmp_path.iterdir())


def test_without_the_packages_the_extra_is_named(networks, monkeypatch):
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(UserError, match=r"tf2onnx.*histogan_tf\[export\]"):
        onnx_model.to_onnx(onnx_model.outside_network(networks["plain"]))
