"""The random network is one and the same everywhere, and Inception is keras.applications' own; both take any images."""

import dataclasses
import hashlib
from pathlib import Path

import h5py
import keras
import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.models import feature_extractors
from histogan_tf.models.feature_extractors import (
    FeatureExtractor,
    build_random_network,
    inception_extractor,
    random_extractor,
    weights_fingerprint,
)

PINNED_DEVIATIONS = [0.257073, 0.081564, 0.080994, 0.057410, 0.057257, 0.040532]
PINNED_WEIGHT = 0.2649702


@pytest.fixture(scope="module")
def random():
    return random_extractor()


def random_images(*shape, seed=1):
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)


def test_random_weights_are_pinned():
    # Other weights would make other features, whose distances compare with no earlier ones.
    network = build_random_network()
    kernels = network.get_weights()
    assert network.count_params() == 9 * (3 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    assert [float(kernel.std()) for kernel in kernels] == pytest.approx(PINNED_DEVIATIONS, rel=1e-5)
    assert kernels[0][0, 0, 0, 1] == pytest.approx(PINNED_WEIGHT, rel=1e-6)
    for kernel in kernels:
        np.testing.assert_allclose(kernel[..., ::2].sum(axis=(0, 1)), 0, atol=1e-5)
    assert weights_fingerprint(network) == weights_fingerprint(build_random_network())


def test_fingerprint_knows_a_changed_weight():
    network = build_random_network()
    before = weights_fingerprint(network)
    kernels = network.get_weights()
    kernels[3][1, 1, 5, 5] += 1e-3
    network.set_weights(kernels)
    assert weights_fingerprint(network) != before


def test_first_stage_is_the_convolution_by_hand(random):
    # A flat image: kernels that sum to zero answer nothing inside, the others by the sum of their weights.
    first, second = build_random_network().get_weights()[:2]
    pixels = np.pad(np.full((5, 5, 3), 200 / 127.5 - 1), ((1, 1), (1, 1), (0, 0)))

    def convolve(padded, kernel):
        windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(0, 1))
        values = np.einsum("yxcij,ijcf->yxf", windows, kernel)
        return np.where(values > 0, values, 0.2 * values)

    hidden = convolve(np.pad(convolve(pixels, first), ((1, 1), (1, 1), (0, 0))), second)
    found = random(np.full((1, 5, 5, 3), 200, np.uint8))[0]
    np.testing.assert_allclose(found[:32], hidden.mean(axis=(0, 1)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[32:64], hidden.std(axis=(0, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("shape", [(4, 4, 3), (50, 50, 3), (17, 40, 1)])
def test_any_size_and_colour(random, shape):
    features = random(random_images(3, *shape))
    assert features.shape == (3, 448)
    assert features.dtype == np.float32
    assert np.isfinite(features).all()


def test_grey_images_are_seen_as_rgb(random):
    grey = random_images(2, 8, 8, 1)
    np.testing.assert_array_equal(random(grey), random(np.repeat(grey, 3, axis=-1)))


def test_batches_change_nothing():
    seen = []

    def mean_colour(images):
        seen.append(len(images))
        return images.mean(axis=(1, 2))

    images = random_images(7, 5, 5, 3)
    features = FeatureExtractor("mean", "0", mean_colour, batch_size=3)(images)
    assert seen == [3, 3, 1]
    assert features.dtype == np.float32
    np.testing.assert_allclose(features, images.mean(axis=(1, 2)), rtol=1e-6)


def test_every_feature_tells_some_images_apart(random):
    assert random(random_images(6, 16, 16, 3)).std(axis=0).min() > 0


def test_unknown_names_and_empty_sets(random):
    with pytest.raises(UserError, match="--features=resnet9000: choose one of random, backbone, resnet18, inception$"):
        command_line.parse(["main.py", "--features=resnet9000"])
    with pytest.raises(UserError, match="no image"):
        random(random_images(0, 8, 8, 3))


def draw_weights(network):
    """He normal kernels; normalization as Keras sets it, the identity."""
    rng = np.random.default_rng(3)
    for variable in network.variables:
        if variable.name == "kernel":
            deviation = np.float32(np.sqrt(2 / np.prod(variable.shape[:3])))
            variable.assign(deviation * rng.standard_normal(variable.shape, np.float32))


def write_weights(path, network):
    """Writes an HDF5 file such as keras.applications has."""
    layers = [layer for layer in network.layers if layer.weights]
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = [layer.name.encode() for layer in layers]
        for layer in layers:
            group = file.create_group(layer.name)
            names = [f"{number}:0".encode() for number in range(len(layer.weights))]
            group.attrs["weight_names"] = names
            for name, values in zip(names, layer.get_weights(), strict=True):
                group.create_dataset(name.decode(), data=values)


@pytest.fixture
def keras_home(tmp_path, monkeypatch):
    """An empty cache of Keras."""
    monkeypatch.setenv("KERAS_HOME", str(tmp_path / "keras"))
    return tmp_path / "keras"


@pytest.fixture(scope="module")
def drawn(tmp_path_factory):
    """InceptionV3 with drawn weights, and its file: (network, path)."""
    network = keras.applications.InceptionV3(
        include_top=False, weights=None, input_shape=(299, 299, 3), pooling="avg", name="published"
    )
    draw_weights(network)
    path = tmp_path_factory.mktemp("published") / "inception_notop.h5"
    write_weights(path, network)
    return network, path


@pytest.fixture
def published(drawn, keras_home, monkeypatch):
    """As `drawn`, where it can be fetched from without a network."""
    path = drawn[1]
    digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
    monkeypatch.setattr(feature_extractors, "INCEPTION_WEIGHTS_URL", path.as_uri())
    monkeypatch.setattr(feature_extractors, "INCEPTION_WEIGHTS_MD5", digest)
    return drawn


@pytest.mark.slow
def test_inception_features_are_those_of_the_published_weights(published, keras_home, capsys):
    network, source = published
    found = inception_extractor()
    assert (keras_home / "models" / source.name).read_bytes() == source.read_bytes()
    assert "Downloading" in capsys.readouterr().out
    assert (found.name, found.frechet_name) == ("inception-bilinear299", "fid")

    # Pillow resizes as floats, channel by channel, bilinearly and with antialiasing: one set grows, one shrinks.
    for shape in ((50, 50, 3), (310, 420, 3)):
        images = random_images(2, *shape)
        channels = [[Image.fromarray(image[..., c].astype(np.float32)) for c in range(3)] for image in images]
        resized = np.stack(
            [[np.asarray(c.resize((299, 299), Image.Resampling.BILINEAR)) for c in image] for image in channels], axis=1
        )
        expected = network(np.moveaxis(resized, 0, -1) / 127.5 - 1, training=False).numpy()
        features = found(images)
        assert features.shape == (2, 2048) and features.dtype == np.float32
        np.testing.assert_allclose(features, expected, rtol=0, atol=2e-3 * expected.std())
    assert found.fingerprint == weights_fingerprint(network)


def test_inception_weights_are_taken_from_the_cache(published, keras_home, monkeypatch):
    _, source = published
    (keras_home / "models").mkdir(parents=True)
    cached = keras_home / "models" / source.name
    cached.write_bytes(source.read_bytes())
    monkeypatch.setattr(keras.utils, "get_file", None)
    assert feature_extractors.inception_weights() == cached


def test_another_file_in_the_cache_is_left_alone_and_named(keras_home):
    path = keras_home / "models" / Path(feature_extractors.INCEPTION_WEIGHTS_URL).name
    path.parent.mkdir(parents=True)
    path.write_bytes(b"half of it")
    with pytest.raises(UserError, match=f"{path} is truncated or not the file https://.*remove it"):
        inception_extractor()
    assert path.read_bytes() == b"half of it"


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("http://127.0.0.1:9/inception.h5", "Connection refused"),
        (Path(__file__).as_uri(), "hash does not match"),
    ],
)
def test_weights_that_cannot_be_downloaded(keras_home, monkeypatch, url, cause):
    monkeypatch.setattr(feature_extractors, "INCEPTION_WEIGHTS_URL", url)
    with pytest.raises(UserError) as caught:
        inception_extractor()
    message = str(caught.value)
    for words in (str(keras_home / "models"), url, cause, "copy it there", "--features=random and --features="):
        assert words in message


def test_features_of_another_backbone_are_named_after_all_that_makes_them():
    config = command_line.parse(
        ["main.py", "--mode=evaluate", "--features=backbone", "--backbone=vgg16", "--weights=random"]
        + ["--classifier_size=32", "--feature_layer=stage1+stage2", "--center_crop"]
    )
    extractor = feature_extractors.feature_extractor(config, (20, 20, 3))
    assert extractor.name == "vgg16-untrained-stage1+stage2-centre-bilinear32"
    assert extractor(np.zeros((2, 20, 20, 1), np.uint8)).shape == (2, 64 + 128)
    with pytest.raises(UserError, match="--features=resnet18 and --backbone=vgg16 contradict each other"):
        feature_extractors.feature_extractor(dataclasses.replace(config, features="resnet18"), (20, 20, 3))
