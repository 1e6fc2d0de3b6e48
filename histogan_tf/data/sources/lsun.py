"""Reads LSUN as github.com/fyu/lsun delivers it: one LMDB for each category and part, which holds WebP or JPEG files.

Yu et al., "LSUN: Construction of a Large-scale Image Dataset using Deep Learning with Humans in the Loop",
arXiv:1506.03365 (2015).
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import weakref
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.data.decoding import Prepare, UnusableImageError, decode_image
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.lazy_images import ImageSource, LazyImages
from histogan_tf.errors import UserError, listing

if TYPE_CHECKING:
    import lmdb

_open_environments: weakref.WeakValueDictionary[str, lmdb.Environment] = weakref.WeakValueDictionary()


def load_lsun(root: str, *, name: str, prepare: Prepare) -> ImageSet:
    """Returns the images of an LMDB in the order of their keys, without labels, lazy.

    Args:
        root: the folder with data.mdb, such as bedroom_train_lmdb, or a folder that holds a single such folder.
        name: the name of the set.
        prepare: crops and resizes one image, as in `ImageSource`.

    Raises:
        UserError: if there is no database or more than one, or it is damaged or empty.
    """
    folder = _find_database(root)
    keys, lengths = _list_keys(folder)
    if not len(keys):
        raise UserError(f"the LMDB in {folder!r} is empty")
    try:
        ids = np.char.decode(keys, "utf-8")
    except UnicodeDecodeError as error:
        raise UserError(f"the LMDB in {folder!r} is not from LSUN, whose keys are UTF-8 text: {error}") from error
    source = LmdbSource(folder, keys, lengths, prepare)
    return ImageSet(images=LazyImages(source), labels=None, ids=ids, groups=None, name=name)


class LmdbSource(ImageSource):
    """A source of image files that are the values of an LMDB.

    Args:
        folder: the folder of the database.
        keys: bytes (num_images,), the key of each image.
        lengths: int64 (num_images,), the length of each value in bytes.
        prepare: crops and resizes one image, as in `ImageSource`.

    Raises:
        UserError: if the database cannot be opened.
    """

    def __init__(self, folder: str, keys: np.ndarray, lengths: np.ndarray, prepare: Prepare) -> None:
        super().__init__(_Texts(keys), prepare)
        self._keys, self._lengths = keys, lengths
        self._environment = _open(folder)

    def decode(self, index: int) -> np.ndarray:
        """Returns an image as the database holds it; see `ImageSource.decode`."""
        import lmdb

        try:
            with self._environment.begin() as transaction:
                content = transaction.get(bytes(self._keys[index]))
        except lmdb.Error as error:
            raise UnusableImageError(str(error)) from error
        if content is None:
            raise UnusableImageError("it is no longer in the database")
        return decode_image(io.BytesIO(content))

    def num_bytes(self, indices: np.ndarray) -> np.ndarray:
        """Returns the length of each value in bytes, int64 (num_indices,)."""
        return self._lengths[indices]


class _Texts:
    """The keys as text, decoded one by one, because there are millions."""

    def __init__(self, keys: np.ndarray) -> None:
        self._keys = keys

    def __len__(self) -> int:
        return len(self._keys)

    def __getitem__(self, index: int) -> str:
        return self._keys[index].decode()


def _find_database(root: str) -> str:
    if os.path.exists(os.path.join(root, "data.mdb")):
        return root
    with os.scandir(root) as entries:
        names = sorted(entry.name for entry in entries if os.path.exists(os.path.join(entry.path, "data.mdb")))
    if len(names) == 1:
        return os.path.join(root, names[0])
    if names:
        raise UserError(
            f"{root!r} holds {len(names)} LMDBs ({listing(names)}): choose one, such as "
            f"--data_path={os.path.join(root, names[0])}"
        )
    raise UserError(
        f"no LMDB in {root!r}: --dataset=lsun needs the folder with data.mdb that LSUN's bedroom_train_lmdb.zip (or "
        f"another category's) unpacks to"
    )


def _list_keys(folder: str) -> tuple[np.ndarray, np.ndarray]:
    program = os.path.join(os.path.dirname(__file__), "lmdb_keys.py")
    lister = subprocess.run([sys.executable, program, folder], capture_output=True, check=False)
    if lister.returncode:
        reason = lister.stderr.decode(errors="replace").strip() if lister.returncode > 0 else "data.mdb is damaged"
        raise UserError(f"cannot read the LMDB in {folder!r}: {reason.splitlines()[-1]}")
    arrays = io.BytesIO(lister.stdout)
    return np.load(arrays, allow_pickle=False), np.load(arrays, allow_pickle=False)


def _open(folder: str) -> lmdb.Environment:
    """Returns the database, open for reading. The LMDB library does not let a process open a database twice."""
    import lmdb

    path = os.path.realpath(folder)
    environment = _open_environments.get(path)
    if environment is None:
        try:
            # No lock, so that the database can be read on a read-only disk and while another process uses it.
            environment = lmdb.open(path, readonly=True, lock=False, readahead=False)
        except lmdb.Error as error:
            raise UserError(f"cannot open the LMDB in {folder!r}: {error}") from error
        _open_environments[path] = environment
    return environment
