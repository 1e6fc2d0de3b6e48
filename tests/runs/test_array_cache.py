from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.runs.array_cache import ArrayCache


def test_what_is_kept_comes_back_and_is_computed_once(tmp_path):
    cache, array, calls = ArrayCache(tmp_path / "new" / "folder"), np.arange(6, dtype=np.float32).reshape(2, 3), []

    def compute() -> np.ndarray:
        calls.append(1)
        return array

    assert cache.read("a") is None
    for _ in range(2):
        found = cache.read_or_compute("a", compute)
        np.testing.assert_array_equal(found, array)
        assert found.dtype == np.float32
    assert calls == [1]
    np.testing.assert_array_equal(ArrayCache(tmp_path / "new" / "folder").read("a"), array)
    assert cache.read("b") is None


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY cut", b"no array", b"\x80\x04 a pickle"])
def test_a_damaged_file_counts_as_missing_and_is_replaced(tmp_path, caplog, content):
    cache, path = ArrayCache(tmp_path), tmp_path / "a.npy"
    path.write_bytes(content)
    assert cache.read("a") is None
    assert f"{path} is damaged" in caplog.text
    np.testing.assert_array_equal(cache.read_or_compute("a", lambda: np.arange(3)), np.arange(3))
    np.testing.assert_array_equal(np.load(path), np.arange(3))


@pytest.mark.parametrize(
    "change", [lambda content: content[:-1], lambda content: content[:150] + bytes(len(content) - 150)]
)
def test_lost_bytes_are_noticed_though_the_rest_is_an_array(tmp_path, caplog, change):
    cache, path = ArrayCache(tmp_path), tmp_path / "a.npy"
    cache.write("a", np.arange(100))
    path.write_bytes(change(path.read_bytes()))
    assert cache.read("a") is None and "its checksum is wrong" in caplog.text


def test_a_folder_in_place_of_a_file_counts_as_missing(tmp_path):
    (tmp_path / "a.npy").mkdir()
    assert ArrayCache(tmp_path).read("a") is None


def test_what_cannot_be_kept_is_returned_all_the_same_with_a_warning(tmp_path, caplog):
    (tmp_path / "file").write_bytes(b"no folder")
    array = ArrayCache(tmp_path / "file" / "features").read_or_compute("a", lambda: np.arange(3))
    np.testing.assert_array_equal(array, np.arange(3))
    assert "a.npy cannot be written (Not a directory)" in caplog.text
    assert [path.name for path in tmp_path.iterdir()] == ["file"]
