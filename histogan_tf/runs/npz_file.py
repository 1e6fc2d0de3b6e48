"""Reads the arrays of an npz file, after checking that they are as large as the file says, and not too large."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histogan_tf.errors import UserError
from histogan_tf.machine.memory import check_decoded_size


class NpzFileError(Exception):
    """Raised for a file that is damaged or no npz file, or lacks an array."""


def read_npz(path: Path, names: Sequence[str], optional: Sequence[str] = ()) -> dict[str, np.ndarray]:
    """Returns arrays of an npz file by name. Nothing is decompressed before its size is known to be allowed.

    Args:
        path: the file.
        names: the arrays that the file must hold.
        optional: arrays that are returned if the file holds them.

    Raises:
        FileNotFoundError: if there is no such file.
        NpzFileError: if the file is damaged, is no npz file, lacks an array, or holds Python objects.
        UserError: if the arrays take more memory than --memory_budget_gb allows.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            present = set(archive.namelist())
            wanted = [*names, *(name for name in optional if f"{name}.npy" in present)]
            num_bytes = sum(_declared_bytes(archive, f"{name}.npy") for name in wanted)
        check_decoded_size(num_bytes, str(path))
        with np.load(path, allow_pickle=False) as arrays:
            return {name: arrays[name] for name in wanted}
    except (FileNotFoundError, MemoryError, UserError):
        raise
    except Exception as error:  # a damaged archive makes NumPy and zipfile raise nearly everything
        raise NpzFileError(str(error) or type(error).__name__) from error


def _declared_bytes(archive: zipfile.ZipFile, name: str) -> int:
    """Returns the size of an array as its header and the archive say, which have to agree."""
    with archive.open(name) as file:
        version = np.lib.format.read_magic(file)
        read_header = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
        if version not in read_header:
            raise ValueError(f"{name} has the unknown version {version}")
        shape, _, dtype = read_header[version](file)
        if dtype.hasobject:
            raise ValueError(f"{name} holds Python objects")
        header_bytes = file.tell()
    num_bytes, size = dtype.itemsize, archive.getinfo(name).file_size
    for side in shape:
        num_bytes *= side
    if num_bytes + header_bytes != size:
        raise ValueError(f"{name} says that it holds {num_bytes} bytes, but the file has {size - header_bytes}")
    return num_bytes
