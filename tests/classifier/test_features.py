from __future__ import annotations

from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.classifier.features import FeatureCache
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.perturbations import symmetries_of

SHAPE = (4, 4, 3)
BOTH = ("rotation", "flips")


@pytest.fixture
def network() -> keras.Model:
    """Features that tell where a pixel is: the image itself, times a weight."""
    image = keras.Input(SHAPE, dtype="uint8")
    x = keras.layers.Rescaling(1.0)(image)
    x = keras.layers.DepthwiseConv2D(1, use_bias=False, depthwise_initializer="ones")(x)
    return keras.Model(image, keras.layers.Flatten()(x))


def make_set(num_images: int = 70, seed: int = 0) -> ImageSet:
    images = np.random.default_rng(seed).integers(0, 256, (num_images, *SHAPE), np.uint8)
    return ImageSet(images, None, np.arange(num_images).astype(str), None, "set")


def cache(folder: Path, network: keras.Model, settings=("a",), seed: int = 1) -> FeatureCache:
    return FeatureCache(folder, network, settings, seed)


def num_files(folder: Path) -> int:
    return len(list(folder.glob("*.npy")))


def test_features_are_the_networks_over_more_than_one_batch(tmp_path, network):
    images = make_set()
    features = cache(tmp_path, network).views(images)
    np.testing.assert_array_equal(features, images.images.reshape(1, 70, -1).astype(np.float32))


def test_the_backbone_sees_images_once(tmp_path, network, monkeypatch):
    images, first = make_set(), cache(tmp_path, network)
    features = first.views(images, BOTH, 2)
    again = cache(tmp_path, network)
    monkeypatch.setattr(again, "_compute", lambda batch: pytest.fail("the backbone was run again"))
    np.testing.assert_array_equal(again.views(images, BOTH[::-1], 2), features)
    np.testing.assert_array_equal(again.views(images), features[:1])
    assert num_files(tmp_path) == 3


def test_every_view_is_a_symmetry_of_its_image(tmp_path, network):
    images = make_set()
    features = cache(tmp_path, network).views(images, BOTH, 7).reshape(8, 70, *SHAPE)
    for number in range(70):
        views = {features[view, number].tobytes() for view in range(8)}
        assert len(views) == 8 == 1 + len(symmetries_of(BOTH, SHAPE))
        assert {view.sum() for view in features[:, number]} == {images.images[number].astype(np.float32).sum()}


@pytest.mark.parametrize("change", ["weights", "settings", "seed", "perturbations", "images"])
def test_whatever_features_depend_on_makes_another_file(tmp_path, network, change):
    images = make_set()
    cache(tmp_path, network).views(images, BOTH, 1)
    options, perturbations = {}, BOTH
    if change == "weights":
        network.set_weights([2 * weight for weight in network.get_weights()])
    elif change == "settings":
        options = {"settings": ("b",)}
    elif change == "seed":
        options = {"seed": 2}
    elif change == "perturbations":
        perturbations = ("rotation",)
    else:
        images = make_set(seed=1)
    cache(tmp_path, network, **options).views(images, perturbations, 1)
    # The image itself does not depend on how other views are made.
    assert num_files(tmp_path) == (3 if change in ("seed", "perturbations") else 4)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY cut", b"no array"])
def test_a_damaged_file_is_computed_anew(tmp_path, network, content, caplog):
    features = cache(tmp_path, network).views(make_set())
    (path,) = tmp_path.glob("*.npy")
    path.write_bytes(content)
    np.testing.assert_array_equal(cache(tmp_path, network).views(make_set()), features)
    assert "damaged" in caplog.text
    np.testing.assert_array_equal(np.load(path), features[0])


def test_what_is_computed_before_a_stop_is_kept(tmp_path, network, monkeypatch):
    stopped = cache(tmp_path, network)
    compute, calls = stopped._compute, []

    def stop_in_the_second_view(batch: tf.Tensor) -> tf.Tensor:
        calls.append(len(batch))
        if len(calls) > 2:
            raise KeyboardInterrupt
        return compute(batch)

    monkeypatch.setattr(stopped, "_compute", stop_in_the_second_view)
    with pytest.raises(KeyboardInterrupt):
        stopped.views(make_set(), BOTH, 1)
    assert calls == [64, 6, 64] and [path.suffix for path in tmp_path.iterdir()] == [".npy"]
