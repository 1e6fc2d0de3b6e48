from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histogan_tf.errors import UserError
from histogan_tf.machine import memory
from histogan_tf.runs.npz_file import NpzFileError, read_npz


def write(path: Path, **files: bytes) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(f"{name}.npy", content)
    return path


def header(shape: tuple[int, ...], dtype: str = "|u1") -> bytes:
    text = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    text += b" " * (-(len(text) + 11) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text


def test_arrays_come_back_and_optional_ones_where_they_are(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, a=np.arange(6).reshape(2, 3), b=np.float32(1.5))
    found = read_npz(path, ["a"], optional=["b", "c"])
    np.testing.assert_array_equal(found["a"], np.arange(6).reshape(2, 3))
    assert found.keys() == {"a", "b"} and found["b"] == 1.5 and found["b"].shape == ()


def test_a_small_file_of_many_zeros_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = write(tmp_path / "bomb.npz", a=header((200_000_000,)) + bytes(200_000_000))
    assert path.stat().st_size < 300_000
    monkeypatch.setattr(memory.DECODING, "num_bytes", 100_000_000)
    with pytest.raises(UserError, match=r"bomb.npz is too large: it takes about 0.2 GB of memory"):
        read_npz(path, ["a"])


@pytest.mark.parametrize("shape", [(2**62,), (2**40, 2**40), (5,)])
def test_a_header_that_says_another_size_than_the_file_has_is_damage(tmp_path, shape):
    with pytest.raises(NpzFileError, match="says that it holds"):
        read_npz(write(tmp_path / "a.npz", a=header(shape) + bytes(4)), ["a"])


def test_pickles_missing_arrays_and_other_files_are_refused(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([{}], object))
    with pytest.raises(NpzFileError, match="Python objects"):
        read_npz(path, ["a"])
    with pytest.raises(NpzFileError, match="b.npy"):
        read_npz(path, ["b"])
    path.write_bytes(b"no archive")
    with pytest.raises(NpzFileError, match="not a zip file"):
        read_npz(path, ["a"])
    with pytest.raises(FileNotFoundError):
        read_npz(tmp_path / "gone.npz", ["a"])


@pytest.mark.fuzz
@given(data=st.data(), compressed=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_files_are_read_or_refused(data, compressed, tmp_path):
    file = io.BytesIO()
    (np.savez_compressed if compressed else np.savez)(
        file, a=np.arange(12, dtype=np.uint8).reshape(3, 4), b=np.arange(3)
    )
    content = bytearray(file.getvalue())
    positions = st.integers(0, len(content) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        content[position] = value
    path = tmp_path / "a.npz"
    path.write_bytes(bytes(content[: data.draw(st.one_of(st.just(len(content)), positions))]))
    try:
        found = read_npz(path, ["a"], optional=["b"])
    except (NpzFileError, UserError):
        return
    assert found["a"].size <= 1000
