from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from numpy.lib.stride_tricks import sliding_window_view
from PIL import Image
from safetensors.numpy import save_file

from histogan_tf.errors import UserError
from histogan_tf.models import resnet
from histogan_tf.models.backbone_networks import build_network
from histogan_tf.models.backbone_weights import are_at_hand, load_backbone, preparation_of
from histogan_tf.models.backbones import BACKBONES, IMAGENET_MEAN, IMAGENET_STDDEV, Preparation
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.models.timm_checkpoint import checked_folder, ported_weights, torch_shape

SIZE = 32


def timm_shapes() -> dict[str, tuple[int, ...]]:
    """The shapes of the tensors of a timm resnet18 without its classifier, by name."""
    ported = ported_weights("resnet18", build_network(BACKBONES["resnet18"], SIZE, "float32"))
    return {name: torch_shape(variable, convert) for name, variable, convert in ported}


def random_tensors() -> dict[str, np.ndarray]:
    """Tensors of a timm resnet18, in no way special: normalization is far from the identity."""
    generator = np.random.default_rng(7)
    tensors = {}
    for name, shape in timm_shapes().items():
        if name.endswith("running_var") or (len(shape) == 1 and name.endswith("weight")):
            tensors[name] = generator.uniform(0.5, 1.5, shape)
        elif len(shape) == 1:
            tensors[name] = generator.normal(0, 0.3, shape)
        else:
            tensors[name] = generator.normal(0, np.sqrt(2 / np.prod(shape[1:])), shape)
    tensors["fc.weight"], tensors["fc.bias"] = np.zeros((1000, 512)), np.zeros(1000)
    tensors["bn1.num_batches_tracked"] = np.array(3)
    return {name: tensor.astype(np.float32) for name, tensor in tensors.items()}


@pytest.fixture(scope="module")
def tensors() -> dict[str, np.ndarray]:
    return random_tensors()


@pytest.fixture(scope="module")
def whole_folder(tensors, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("timm")
    save_file(tensors, folder / "model.safetensors")
    normalization = {"mean": IMAGENET_MEAN, "std": IMAGENET_STDDEV}
    config = {"architecture": "resnet18", "num_classes": 1000, "pretrained_cfg": normalization}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.fixture
def folder(whole_folder: Path, tmp_path: Path) -> Path:
    """A copy to spoil."""
    return Path(shutil.copytree(whole_folder, tmp_path / "copy"))


@pytest.fixture(scope="module")
def classifier(whole_folder: Path) -> resnet.ResNetClassifier:
    return resnet.build_classifier((SIZE, SIZE, 3), size=SIZE, weights=str(whole_folder), seed=0)


def convolve(x: np.ndarray, weight: np.ndarray, stride: int, padding: int) -> np.ndarray:
    """(height, width, in) by (out, in, k, k), as torch does it."""
    padded = np.pad(x, ((padding, padding), (padding, padding), (0, 0)))
    windows = sliding_window_view(padded, weight.shape[2:], axis=(0, 1))[::stride, ::stride]
    return np.einsum("hwikl,oikl->hwo", windows, weight, optimize=True)


def forward(image: np.ndarray, tensors: dict[str, np.ndarray], stages: tuple[int, ...] = (4,)) -> np.ndarray:
    """The features of one image, (512,) for the last stage, from the paper's table 1 and torch's padding rules."""

    def normalize(x, name):
        scale = tensors[f"{name}.weight"] / np.sqrt(tensors[f"{name}.running_var"] + 1e-5)
        return (x - tensors[f"{name}.running_mean"]) * scale + tensors[f"{name}.bias"]

    x = (image / 255 - np.array(IMAGENET_MEAN)) / np.array(IMAGENET_STDDEV)
    x = np.maximum(normalize(convolve(x, tensors["conv1.weight"], 2, 3), "bn1"), 0)
    padded = np.pad(x, ((1, 1), (1, 1), (0, 0)), constant_values=-np.inf)
    x = sliding_window_view(padded, (3, 3), axis=(0, 1))[::2, ::2].max(axis=(-2, -1))
    features = []
    for stage in range(1, 5):
        for block in range(2):
            name, stride = f"layer{stage}.{block}", 2 if stage > 1 and block == 0 else 1
            y = np.maximum(normalize(convolve(x, tensors[f"{name}.conv1.weight"], stride, 1), f"{name}.bn1"), 0)
            y = normalize(convolve(y, tensors[f"{name}.conv2.weight"], 1, 1), f"{name}.bn2")
            if stride == 2:
                x = normalize(convolve(x, tensors[f"{name}.downsample.0.weight"], 2, 0), f"{name}.downsample.1")
            x = np.maximum(x + y, 0)
        features.append(x.mean(axis=(0, 1)))
    return np.concatenate([features[stage - 1] for stage in stages])


def test_features_of_a_timm_folder_equal_an_independent_forward_pass(classifier, tensors):
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    expected = np.stack([forward(image, tensors) for image in images])
    np.testing.assert_allclose(classifier.features(images).numpy(), expected, rtol=1e-3, atol=1e-3 * expected.std())


@pytest.mark.parametrize(
    ("layer", "stages", "cpu_kernels"),
    [("stage3", (3,), False), ("stage3+stage2", (2, 3), True), ("stage1", (1,), True)],
)
def test_features_of_earlier_stages_equal_an_independent_forward_pass(
    whole_folder, tensors, layer, stages, cpu_kernels
):
    options = {"size": SIZE, "weights": str(whole_folder), "seed": 0, "cpu_kernels": cpu_kernels}
    earlier = resnet.build_classifier((SIZE, SIZE, 3), feature_layer=layer, **options)
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    expected = np.stack([forward(image, tensors, stages) for image in images])
    np.testing.assert_allclose(earlier.features(images).numpy(), expected, rtol=1e-3, atol=1e-3 * expected.std())
    assert earlier.head.kernel.shape == (expected.shape[1], 1)
    tuned = [variable.path for variable in earlier.trainable_variables("last_stage")]
    # Four convolutions, and the first one of all or a projection, and the head's two.
    own = ("stack0_", "conv1_") if stages == (1,) else (f"stack{stages[-1] - 1}_",)
    assert len(tuned) == 7 and all(path.startswith((*own, "head")) for path in tuned)
    assert not any(path.startswith("stack3_") for path in (weight.path for weight in earlier.features.weights))


def test_stages_without_weights_are_refused_unless_they_are_not_used(folder, tensors):
    empty = {name: np.zeros_like(tensor) for name, tensor in tensors.items() if name.startswith("layer4")}
    spoil(folder, tensors, **empty)
    with pytest.raises(UserError, match="stage 4 hold zeros only, .*: --feature_layer=stage2[+]stage3"):
        load_backbone(str(folder), seed=0, size=SIZE)
    load_backbone(str(folder), seed=0, size=SIZE, last_stage=3)
    spoil(folder, tensors, **{"conv1.weight": np.zeros_like(tensors["conv1.weight"])})
    with pytest.raises(UserError, match="stage 1 hold zeros only, .*; give other weights"):
        load_backbone(str(folder), seed=0, size=SIZE, last_stage=1)


def test_parameters_are_those_of_torchvisions_resnet18_without_its_last_layer(classifier):
    num_moving_statistics = 2 * 4800
    assert sum(np.prod(shape) for shape in timm_shapes().values()) == 11_176_512 + num_moving_statistics
    assert classifier.features.count_params() == 11_176_512 + num_moving_statistics
    assert classifier.head.count_params() == 513


def test_the_head_begins_at_even_odds_and_is_linear_in_the_features(classifier):
    images = np.random.default_rng(1).integers(0, 256, (3, SIZE, SIZE, 3), np.uint8)
    assert not classifier.network(images).numpy().any()
    kernel = np.random.default_rng(2).normal(size=(512, 1)).astype(np.float32)
    classifier.head.set_weights([kernel, np.float32([0.5])])
    expected = classifier.features(images).numpy() @ kernel + 0.5
    np.testing.assert_allclose(classifier.network(images).numpy(), expected, rtol=1e-4, atol=1e-4)
    classifier.head.set_weights([0 * kernel, np.float32([0])])


def test_batch_normalization_keeps_its_statistics_even_when_asked_to_train(classifier):
    before = weights_fingerprint(classifier.features)
    images = np.random.default_rng(1).integers(0, 256, (4, SIZE, SIZE, 3), np.uint8)
    trained = classifier.network(images, training=True).numpy()
    assert weights_fingerprint(classifier.features) == before
    np.testing.assert_array_equal(trained, classifier.network(images, training=False).numpy())


def test_fine_tuned_variables_are_the_last_stage_or_all(classifier):
    last_stage = classifier.trainable_variables("last_stage")
    # Two blocks of two 3x3 convolutions, a projection, and the head.
    num_weights = 256 * 512 * 9 + 3 * 512 * 512 * 9 + 256 * 512 + 513
    assert sum(np.prod(variable.shape) for variable in last_stage) == num_weights
    everything = classifier.trainable_variables("all")
    assert sum(np.prod(variable.shape) for variable in everything) == 11_176_512 - 2 * 4800 + 513


def test_random_weights_are_a_function_of_the_seed():
    first, again, other = (weights_fingerprint(load_backbone("random", seed=seed, size=SIZE)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize(("height", "width", "size"), [(50, 50, 64), (20, 40, 32), (50, 50, 32), (32, 32, 32)])
def test_preprocessing_is_bilinear_and_normalized(height, width, size):
    image = np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)
    channels = [
        np.asarray(Image.fromarray(image[..., channel].astype(np.float32)).resize((size, size), Image.BILINEAR))
        for channel in range(3)
    ]
    expected = (np.stack(channels, axis=-1) / 255 - IMAGENET_MEAN) / IMAGENET_STDDEV
    np.testing.assert_allclose(resnet.Preprocessing(size)(image[None])[0], expected, atol=2e-4)


def test_grey_images_are_seen_as_rgb():
    grey = np.random.default_rng(3).integers(0, 256, (2, 10, 10, 1), np.uint8)
    layer = resnet.Preprocessing(16)
    np.testing.assert_array_equal(layer(grey), layer(np.repeat(grey, 3, axis=-1)))


@pytest.mark.parametrize("name", ["config.json", "model.safetensors"])
def test_a_missing_file_is_named_with_what_to_download(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match=rf"has no {name}: download config.json and model.safetensors from https://"):
        load_backbone(str(folder), seed=0, size=SIZE)


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(UserError, match="give imagenet, random, or a folder; there is no such folder"):
        load_backbone(str(tmp_path / "nowhere"), seed=0, size=SIZE)


@pytest.mark.parametrize("num_bytes", [0, 4, 1000, 40_000_000])
def test_a_truncated_safetensors_file_is_told(folder, num_bytes):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:num_bytes])
    with pytest.raises(UserError, match="model.safetensors is truncated, damaged, or no safetensors file"):
        load_backbone(str(folder), seed=0, size=SIZE)


@pytest.mark.parametrize("text", ["", "{", "[]", "3"])
def test_a_config_that_is_no_config_is_told(folder, text):
    (folder / "config.json").write_text(text)
    with pytest.raises(UserError, match="config.json is no timm config"):
        checked_folder(folder, BACKBONES["resnet18"])


def spoil(folder: Path, tensors: dict[str, np.ndarray], **changes: np.ndarray | None) -> None:
    changed = {name: tensor for name, tensor in {**tensors, **changes}.items() if tensor is not None}
    save_file(changed, folder / "model.safetensors")


@pytest.mark.parametrize(
    ("changes", "misfit"),
    [
        (
            {"layer2.0.conv1.weight": np.zeros((128, 64, 1, 1), np.float32)},
            r"'layer2.0.conv1.weight' is \(128, 64, 1, 1\)",
        ),
        ({"bn1.weight": None}, r"'bn1.weight', \(64,\), is missing"),
        (
            {"layer1.2.conv1.weight": np.zeros((64, 64, 3, 3), np.float32)},
            "resnet18 has no tensor 'layer1.2.conv1.weight'",
        ),
        ({"layer4.1.bn2.bias": np.full(512, np.nan, np.float32)}, "'layer4.1.bn2.bias' holds NaN or infinity"),
    ],
)
def test_the_first_tensor_that_does_not_fit_is_named(folder, tensors, changes, misfit):
    spoil(folder, tensors, **changes)
    with pytest.raises(UserError, match=f"holds no resnet18: .*{misfit}"):
        load_backbone(str(folder), seed=0, size=SIZE)


def test_another_architecture_is_refused_by_its_config(folder):
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet34"}))
    with pytest.raises(UserError, match="config.json says 'resnet34'; give --backbone=resnet34, or"):
        checked_folder(folder, BACKBONES["resnet18"])


def test_a_config_that_would_lead_keras_hub_elsewhere_is_refused(folder):
    config = {"architecture": "resnet18", "registered_name": "keras_hub>Anything", "config": {}}
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match="a model that is not timm's"):
        checked_folder(folder, BACKBONES["resnet18"])


def test_images_are_prepared_as_the_config_says(folder):
    prepared = {"mean": [0.5, 0.4, 0.3], "std": [0.5] * 3, "interpolation": "bicubic", "crop_pct": 0.95}
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": prepared}))
    expected = Preparation((0.5, 0.4, 0.3), (0.5, 0.5, 0.5), "bicubic", 0.95)
    assert preparation_of(str(folder)) == expected == Preparation.from_json(expected.to_json())
    classifier = resnet.build_classifier((SIZE, SIZE, 3), size=SIZE, weights=str(folder), seed=0)
    assert classifier.preparation == expected
    image = np.random.default_rng(3).integers(0, 256, (1, SIZE, SIZE, 3), np.uint8)
    prepared_image = classifier.features.get_layer("preprocessing")(image)
    np.testing.assert_allclose(prepared_image, (image / 255 - [0.5, 0.4, 0.3]) / 0.5, atol=1e-5)


@pytest.mark.parametrize(
    "prepared",
    [{"std": [0.5, 0.0, 0.5]}, {"mean": [0.5, 0.5]}, {"mean": [float("nan")] * 3}, {"interpolation": "lanczos"}]
    + [{"crop_pct": 0}, {"crop_pct": 1.5}],
)
def test_a_preparation_that_cannot_be_is_refused(folder, prepared):
    (folder / "config.json").write_text(json.dumps({"architecture": "resnet18", "pretrained_cfg": prepared}))
    with pytest.raises(UserError, match="config.json: its images have mean .* are needed"):
        preparation_of(str(folder))


def test_the_centre_is_that_of_the_resized_image():
    image = np.random.default_rng(3).integers(0, 256, (1, 40, 40, 3), np.uint8)
    centred = resnet.Preprocessing(32, Preparation(crop=0.8), center_crop=True)(image)
    np.testing.assert_array_equal(centred, resnet.Preprocessing(40)(image)[:, 4:36, 4:36])


@pytest.mark.parametrize(
    "config", [{"pretrained_cfg": {"mean": None}}, {"pretrained_cfg": {"std": 3}}, {"pretrained_cfg": 3}, [], None]
)
def test_a_timm_config_of_another_form_is_told(folder, config):
    named = {"architecture": "resnet18", **config} if isinstance(config, dict) else config
    (folder / "config.json").write_text(json.dumps(named))
    with pytest.raises(UserError, match="config.json is no timm config"):
        preparation_of(str(folder))


def test_without_a_network_the_error_says_what_to_download_and_where_to_put_it(monkeypatch, tmp_path):
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(UserError, match=r"from https://huggingface.co/timm/resnet18.tv_in1k .* with --weights=FOLDER"):
        load_backbone("imagenet", seed=0, size=SIZE)


def test_imagenet_weights_come_from_hugging_face(monkeypatch, whole_folder, classifier):
    import huggingface_hub

    asked = []

    def download(repo_id: str, filename: str) -> str:
        asked.append(repo_id)
        if not (whole_folder / filename).exists():
            raise huggingface_hub.errors.RemoteEntryNotFoundError("404", response=_Response())
        return str(whole_folder / filename)

    monkeypatch.setattr(huggingface_hub, "hf_hub_download", download)
    backbone = load_backbone("imagenet", seed=0, size=SIZE)
    assert set(asked) == {"timm/resnet18.tv_in1k"}
    assert weights_fingerprint(backbone) == weights_fingerprint(classifier.features)


class _Response:
    headers: dict[str, str] = {}
    request = None
    status_code = 404


def test_bfloat16_keeps_features_and_logits_in_float32(whole_folder, classifier):
    mixed = resnet.build_classifier(
        (SIZE, SIZE, 3), size=SIZE, weights=str(whole_folder), seed=0, precision="mixed_bfloat16"
    )
    images = np.random.default_rng(0).integers(0, 256, (2, SIZE, SIZE, 3), np.uint8)
    features, exact = mixed.features(images), classifier.features(images)
    assert features.dtype == mixed.network(images).dtype == tf.float32
    np.testing.assert_allclose(features, exact, atol=0.1 * float(tf.math.reduce_std(exact)))


@pytest.mark.parametrize(
    ("weights", "cached", "expected"),
    [
        ("random", True, False),
        ("some/folder", False, True),
        ("imagenet", True, True),
        ("imagenet", False, False),
    ],
)
def test_weights_at_hand_need_no_download(monkeypatch, weights, cached, expected):
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: "/a/file" if cached else None)
    assert are_at_hand(weights) == expected
