"""Downloads public datasets by name from Kaggle into --data_dir."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from histogan_tf.config import Config
from histogan_tf.data.loading import folder_of
from histogan_tf.data.sources import reader_of
from histogan_tf.errors import UserError
from histogan_tf.runs import files

logger = logging.getLogger(__name__)

_UNFINISHED = ".downloading-"  # prefix of the folder beside the dataset's, so that a finished download is only renamed


@dataclasses.dataclass(frozen=True)
class PublicSet:
    """A dataset that can be downloaded.

    Attributes:
        handle: its name on Kaggle, OWNER/NAME.
        layout: the files that its folder must hold, in words.
        images_per_class: the number of images in each class of the whole set.
        image_shape: the (height, width, channels) of its images.
        files: the name of each file needed, with another name under which Kaggle may deliver it. If empty, all files
            are kept as they come.
    """

    handle: str
    layout: str
    images_per_class: Mapping[str, int]
    image_shape: tuple[int, int, int]
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def page(self) -> str:
        """The address of the dataset's web page."""
        return f"https://www.kaggle.com/datasets/{self.handle}"


_DIGITS = (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958)
PUBLIC_SETS: Mapping[str, PublicSet] = {
    "idc": PublicSet(
        handle="simjeg/lymphoma-subtype-classification-fl-vs-cll",
        layout="X.npy and Y.npy",
        images_per_class={"non-idc": 2759, "idc": 2788},
        image_shape=(50, 50, 3),
        files={"X.npy": "X.npy", "Y.npy": "Y.npy"},
    ),
    "idc-full": PublicSet(
        handle="paultimothymooney/breast-histopathology-images",
        layout="PATIENT/0/*.png and PATIENT/1/*.png",
        images_per_class={"non-idc": 198738, "idc": 78786},
        image_shape=(50, 50, 3),
    ),
    "mnist": PublicSet(
        handle="hojjatk/mnist-dataset",
        layout="train-images-idx3-ubyte, train-labels-idx1-ubyte and the two of t10k",
        images_per_class=dict(zip("0123456789", _DIGITS, strict=True)),
        image_shape=(28, 28, 1),
        files={
            f"{part}-{kind}-ubyte": f"{part}-{kind}-ubyte".replace("-idx", ".idx")
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        },
    ),
}


def download(config: Config) -> None:
    """Downloads --dataset into --data_path, or <data_dir>/<dataset>, and checks it; only checks it if it is there.

    A download that was interrupted continues when the command is given again. The folder appears only when it is
    complete.

    Raises:
        UserError: if the dataset is not one of `PUBLIC_SETS`, the folder holds something else, the download fails, or
            its content is not what it should be.
    """
    public_set = PUBLIC_SETS.get(config.dataset)
    if public_set is None:
        raise UserError(f"--dataset={config.dataset} cannot be downloaded: choose one of {', '.join(PUBLIC_SETS)}")
    folder = Path(folder_of(config))
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _check(config.dataset, folder)
        logger.info("%s is in %s already", config.dataset, folder)
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    cache = folder.with_name(_UNFINISHED + folder.name)
    fetched = _fetch(config.dataset, public_set, cache, folder)
    if public_set.files:
        with files.written_aside(folder) as aside:
            _copy_files(public_set, fetched, aside)
            _check(config.dataset, aside)
    else:
        _check(config.dataset, fetched)
        os.replace(fetched, folder)
    files.remove(cache)
    where = f" --data_path={folder}" if config.data_path else ""
    logger.info("%s is in %s: train on it with --dataset=%s%s", config.dataset, folder, config.dataset, where)


def _fetch(name: str, public_set: PublicSet, cache: Path, folder: Path) -> Path:
    """Lets kagglehub download and unpack the set; returns its folder in the cache."""
    import kagglehub

    logger.info("downloading %s from %s", name, public_set.page)
    try:
        with _cache_of_kagglehub(cache):
            return Path(kagglehub.dataset_download(public_set.handle))
    except Exception as error:  # kagglehub raises its own, those of requests, zipfile and tarfile, and OSError
        raise UserError(
            f"cannot download {name} ({type(error).__name__}: {error}): give the command again to continue, or "
            f"download it by hand from {public_set.page} and put {public_set.layout} into {folder}"
        ) from error


@contextlib.contextmanager
def _cache_of_kagglehub(cache: Path) -> Iterator[None]:
    """Makes kagglehub download into `cache`: it reads the environment variable KAGGLEHUB_CACHE at each download."""
    before = os.environ.get("KAGGLEHUB_CACHE")
    os.environ["KAGGLEHUB_CACHE"] = str(cache.resolve())
    try:
        yield
    finally:
        if before is None:
            del os.environ["KAGGLEHUB_CACHE"]
        else:
            os.environ["KAGGLEHUB_CACHE"] = before


def _copy_files(public_set: PublicSet, fetched: Path, target: Path) -> None:
    """Copies the files that the dataset needs, and gives them the names that its reader expects."""
    target.mkdir()
    for file_name, other_name in public_set.files.items():
        found = [path for name in (file_name, other_name) for path in sorted(fetched.rglob(name)) if path.is_file()]
        if not found:
            raise UserError(f"{public_set.page} no longer has {file_name}: get the dataset from another place")
        shutil.copyfile(found[0], target / file_name)


def _check(name: str, folder: Path) -> None:
    public_set = PUBLIC_SETS[name]
    try:
        image_set = reader_of(name).load(root=str(folder), name=name, prepare=lambda image: image)
        found = (image_set.counts(), image_set.image_shape)
    except UserError as error:
        raise UserError(f"{folder} does not hold the dataset {name} ({error}): remove it and download again") from error
    if found != (dict(public_set.images_per_class), public_set.image_shape):
        raise UserError(
            f"{folder} holds {found[0]} images of shape {found[1]}, but the dataset {name} has "
            f"{dict(public_set.images_per_class)} of shape {public_set.image_shape}: remove it and download again"
        )
