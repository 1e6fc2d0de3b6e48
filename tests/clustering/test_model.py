import dataclasses

import numpy as np
import pytest

from histogan_tf.clustering import load_model, save_model
from histogan_tf.clustering.descriptors import DescriptorSettings
from histogan_tf.clustering.model import ClusterModel
from histogan_tf.errors import UserError


@pytest.fixture
def model():
    generator = np.random.default_rng(0)
    return ClusterModel(
        words=generator.normal(size=(6, 128)).astype(np.float32),
        word_weights=generator.uniform(size=6).astype(np.float32),
        centres=generator.uniform(size=(3, 6)).astype(np.float32),
        settings=DescriptorSettings(upsample=3, dense=True, root_sift=False),
    )


def test_round_trip(model, tmp_path):
    save_model(tmp_path / "a.npz", model)
    save_model(tmp_path / "b.npz", model)
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    loaded = load_model(tmp_path / "a.npz")
    assert loaded.settings == DescriptorSettings(upsample=3, dense=True, root_sift=False)
    assert loaded.num_clusters == 3
    for name in ("words", "word_weights", "centres"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(model, name))


def test_missing_file(tmp_path):
    with pytest.raises(UserError, match=r"no vocabulary at .*a\.npz"):
        load_model(tmp_path / "a.npz")


def test_a_setting_that_the_flag_would_not_allow_is_refused(model, tmp_path):
    settings = dataclasses.replace(model.settings, upsample=400)
    save_model(tmp_path / "a.npz", dataclasses.replace(model, settings=settings))
    with pytest.raises(
        UserError, match=r"a\.npz holds a setting that is not allowed: --upsample=400: the largest .* 8"
    ):
        load_model(tmp_path / "a.npz")


def test_files_of_another_kind(model, tmp_path):
    save_model(tmp_path / "whole.npz", model)
    (tmp_path / "cut.npz").write_bytes((tmp_path / "whole.npz").read_bytes()[:500])
    (tmp_path / "text.npz").write_text("words")
    (tmp_path / "empty.npz").touch()
    np.save(tmp_path / "array.npy", model.words)
    np.savez(tmp_path / "lacking.npz", words=model.words)
    np.savez(tmp_path / "pickled.npz", words=np.array([{}], dtype=object))
    for name in ("cut.npz", "text.npz", "empty.npz", "array.npy", "lacking.npz", "pickled.npz", "."):
        with pytest.raises(UserError, match=r"is not a vocabulary\.npz of --mode=cluster"):
            load_model(tmp_path / name)


@pytest.mark.parametrize(
    "change",
    [
        {"words": np.zeros((6, 64), np.float32)},
        {"words": np.full((6, 128), np.nan, np.float32)},
        {"words": np.zeros((6, 128), np.float64)},
        {"word_weights": np.ones(5, np.float32)},
        {"centres": np.zeros((3, 5), np.float32)},
        {"centres": np.zeros((0, 6), np.float32)},
    ],
)
def test_arrays_that_do_not_fit(model, tmp_path, change):
    save_model(tmp_path / "a.npz", dataclasses.replace(model, **change))
    with pytest.raises(UserError, match="does not hold a vocabulary and centres that fit each other"):
        load_model(tmp_path / "a.npz")
