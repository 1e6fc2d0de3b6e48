"""Lists the keys of an LMDB in a process of its own, because a damaged database makes the LMDB library crash.

    python lmdb_keys.py FOLDER

This program writes two npy arrays to stdout: the keys, bytes (num_keys,), and the lengths of their values in bytes,
int64 (num_keys,). If it fails, it writes the reason to stderr and exits with code 1, or it is killed by a signal. It
imports nothing of the package.
"""

import os
import sys

import lmdb
import numpy as np


def list_keys(folder: str) -> tuple[np.ndarray, np.ndarray]:
    """Returns the keys of the LMDB in `folder`, bytes (num_keys,), and the lengths of its values, int64 (num_keys,).

    Raises:
        ValueError: if the database is cut off or contradicts itself.
        lmdb.Error: if it is damaged, or is not a database.
    """
    num_bytes = os.path.getsize(os.path.join(folder, "data.mdb"))
    keys, lengths, total = [], [], 0
    with lmdb.open(folder, readonly=True, lock=False, readahead=False) as environment:
        needed = (environment.info()["last_pgno"] + 1) * environment.stat()["psize"]
        if num_bytes < needed:
            raise ValueError(f"data.mdb has been cut off: it has {num_bytes} bytes and needs {needed}")
        with environment.begin(buffers=True) as transaction:
            for key, value in transaction.cursor():
                total += len(key) + len(value)
                if total > num_bytes or len(key) > environment.max_key_size():
                    raise ValueError("data.mdb is damaged: its entries are longer than the file")
                keys.append(bytes(key))
                lengths.append(len(value))
        if len(keys) != environment.stat()["entries"]:
            raise ValueError(f"data.mdb is damaged: {len(keys)} entries of {environment.stat()['entries']}")
    return np.array(keys, np.bytes_), np.array(lengths, np.int64)


if __name__ == "__main__":
    try:
        listed = list_keys(sys.argv[1])
    except (lmdb.Error, ValueError, OSError, MemoryError) as error:
        sys.exit(str(error) or type(error).__name__)
    for array in listed:
        np.save(sys.stdout.buffer, array, allow_pickle=False)
