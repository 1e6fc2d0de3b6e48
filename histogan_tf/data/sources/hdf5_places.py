"""A program that prints where the values of arrays lie in HDF5 files: `hdf5_places.py FILE KEY [FILE KEY …]`.

It runs in a process of its own, because the HDF5 library kills its process when it meets some damaged files. For each
array it prints a line of JSON: `shape`, `dtype`, and `offset`, where the values begin, one after the other. If they are
in blocks, `offset` is null, and there are `block_shape` and `filters`, numbers in the order in which they were applied;
then the places of the blocks follow as an npy array, int64 (num_blocks, num_dimensions + 3): a block's first index in
each dimension, its place in the file, its size there, and a mask of the filters that were not applied. For an array
that cannot be used it prints {"error": reason} instead, and stops. It imports nothing of the package.
"""

from __future__ import annotations

import json
import math
import os
import sys
from typing import Any, BinaryIO

import h5py
import numpy as np

_FILTERS = {1: "gzip", 2: "shuffle", 3: "fletcher32"}  # those that can be undone without the HDF5 library


def print_places(path: str, key: str, output: BinaryIO) -> bool:
    """Prints the places of an array, and returns whether it can be used."""
    facts: dict[str, Any]
    places = None
    try:
        # Without locks, so that a file on a read-only disk can be read.
        with h5py.File(path, "r", locking=False) as file:
            facts, places = _places(file, key)
    except ValueError as error:
        facts = {"error": f"{path} cannot be used: {error}"}
    except Exception as error:  # a damaged file makes h5py raise nearly everything, from OSError to KeyError
        facts = {"error": f"{path} cannot be read as HDF5, for it is damaged or another kind of file: {error}"}
    output.write(json.dumps(facts).encode() + b"\n")
    if places is not None:
        np.save(output, places, allow_pickle=False)
    output.flush()
    return "error" not in facts


def _places(file: h5py.File, key: str) -> tuple[dict[str, Any], np.ndarray | None]:
    link = file.get(key, getlink=True)
    if link is None:
        raise ValueError(f"it has no array {key!r}; it has {', '.join(list(file)[:8]) or 'none'}")
    if not isinstance(link, h5py.HardLink):
        raise ValueError(f"{key!r} is a link to another place, which is not followed: store the array")
    array = file[key]
    if not isinstance(array, h5py.Dataset):
        raise ValueError(f"{key!r} is no array")
    if array.dtype.kind not in "biu" or not array.shape:
        raise ValueError(f"{key!r} is {array.dtype} {array.shape}, not an array of whole numbers")
    if array.is_virtual or array.external:
        raise ValueError(f"the values of {key!r} lie in other files, which are not opened: store them in it")
    facts = {"shape": array.shape, "dtype": array.dtype.str, "offset": None}
    size = os.path.getsize(file.filename)
    if array.chunks is None:
        offset = array.id.get_offset()
        if offset is None or array.id.get_storage_size() != array.nbytes or offset + array.nbytes > size:
            raise ValueError(f"the values of {key!r} are not all there: get the file again")
        return {**facts, "offset": offset}, None
    settings = array.id.get_create_plist()
    filters = [settings.get_filter(number)[0] for number in range(settings.get_nfilters())]
    if others := sorted(set(filters) - _FILTERS.keys()):
        raise ValueError(f"{key!r} is compressed by a plug-in (filter {others[0]}): store it with gzip or plainly")
    places: list[tuple[int, ...]] = []
    array.id.chunk_iter(
        lambda block: places.append((*block.chunk_offset, block.byte_offset, block.size, block.filter_mask))
    )
    expected = math.prod(-(-side // block) for side, block in zip(array.shape, array.chunks, strict=True))
    table = np.array(sorted(places), np.int64).reshape(len(places), array.ndim + 3)
    corners = table[:, : array.ndim]
    is_grid = not (corners % array.chunks).any() and (corners < array.shape).all()
    is_grid = is_grid and len(np.unique(corners, axis=0)) == len(table) == expected
    if not is_grid or (table[:, -3] + table[:, -2]).max(initial=0) > size:
        raise ValueError(f"the values of {key!r} are not all there: get the file again")
    return {**facts, "block_shape": array.chunks, "filters": filters}, table


if __name__ == "__main__":
    for asked in zip(sys.argv[1::2], sys.argv[2::2], strict=True):
        if not print_places(*asked, sys.stdout.buffer):
            break
