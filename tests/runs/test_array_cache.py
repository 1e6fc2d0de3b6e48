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
