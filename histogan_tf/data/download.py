"""Downloads public datasets by name into --data_dir: from Kaggle, or file by file from the address of each."""

from __future__ import annotations

import contextlib
import logging
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

from histogan_tf.config import Config
from histogan_tf.data.public_sets import PublicSet, public_set_of
from histogan_tf.data.remote_files import UNFINISHED, BrokenDownloadError, fetch
from histogan_tf.data.sources import reader_of, refuse_flags_of_others
from histogan_tf.errors import UserError
from histogan_tf.runs import files

logger = logging.getLogger(__name__)


def download(config: Config) -> None:
    """Downloads --dataset into --data_path, or <data_dir>/<dataset>, and checks it; only checks it if it is there.

    A download that was interrupted continues when the command is given again. A set of Kaggle's appears only when it is
    complete; of the others, each file does.

    Raises:
        UserError: if the dataset is none that can be downloaded, the folder holds something else, the download fails,
            or its content is not what it should be.
    """
    public_set = public_set_of(config)
    refuse_flags_of_others(reader_of(config.dataset), config)
    folder = Path(config.dataset_folder())
    if public_set.remote_files:
        is_new = _download_files(public_set, config, folder)
    else:
        is_new = _download_from_kaggle(public_set, config, folder)
    if not is_new:
        logger.info("%s is in %s already", config.dataset, folder)
        return
    where = f" --data_path={folder}" if config.data_path else ""
    which = f" --medmnist={config.medmnist}" if config.medmnist else ""
    logger.info("%s is in %s: train on it with --dataset=%s%s%s", config.dataset, folder, config.dataset, which, where)


def _download_files(public_set: PublicSet, config: Config, folder: Path) -> bool:
    """Fetches the files that are missing, checks the set, and returns whether any was missing."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and the dataset needs a folder: choose another --data_path")
    missing = [remote for remote in public_set.remote_files if not (folder / remote.lands_as).exists()]
    for remote in missing:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            fetch(remote, folder)
        except BrokenDownloadError as error:
            raise UserError(_by_hand(config.dataset, public_set, folder, str(error))) from error
    _check(config, public_set, folder)
    return bool(missing)


def _download_from_kaggle(public_set: PublicSet, config: Config, folder: Path) -> bool:
    """Downloads a set of Kaggle's and checks it; only checks it if it is there, and returns whether it was not."""
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        _check(config, public_set, folder)
        return False
    folder.parent.mkdir(parents=True, exist_ok=True)
    cache = folder.with_name(UNFINISHED + folder.name)  # on the same disk, so that it is only renamed
    fetched = _fetch_from_kaggle(config.dataset, public_set, cache, folder)
    if public_set.files:
        with files.written_aside(folder) as aside:
            _copy_files(public_set, fetched, aside)
            _check(config, public_set, aside)
    else:
        _check(config, public_set, fetched)
        os.replace(fetched, folder)
    files.remove(cache)
    return True


def _fetch_from_kaggle(name: str, public_set: PublicSet, cache: Path, folder: Path) -> Path:
    """Lets kagglehub download and unpack the set; returns its folder in the cache."""
    import kagglehub

    logger.info("downloading %s from %s", name, public_set.page)
    load = kagglehub.competition_download if public_set.is_competition else kagglehub.dataset_download
    try:
        with _cache_of_kagglehub(cache):
            return Path(load(public_set.handle))
    except Exception as error:  # kagglehub raises its own, those of requests, zipfile and tarfile, and OSError
        raise UserError(_by_hand(name, public_set, folder, f"{type(error).__name__}: {error}")) from error


def _by_hand(name: str, public_set: PublicSet, folder: Path, reason: str) -> str:
    """Returns the message for a user whose download failed: what to do now, and what to put where without a network."""
    rules = " (a competition: log in to Kaggle and accept its rules there first)" if public_set.is_competition else ""
    return (
        f"cannot download {name} ({reason}): give the command again to continue, or download it by hand from "
        f"{public_set.page}{rules} and put {public_set.layout} into {folder}"
    )


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


def _check(config: Config, public_set: PublicSet, folder: Path) -> None:
    name, reader = config.dataset, reader_of(config.dataset)
    options = {flag: getattr(config, flag) for flag in reader.flags if flag == "medmnist"}
    remedy = "remove it and download again"
    try:
        image_set = reader.load(root=str(folder), name=name, prepare=lambda image: image, **options)
        shape = None if public_set.image_shape is None else image_set.image_shape
    except UserError as error:
        raise UserError(f"{folder} does not hold the dataset {name} ({error}): {remedy}") from error
    if public_set.images_per_class is None:
        found, expected = len(image_set), public_set.num_images
    else:
        found, expected = image_set.counts(), dict(public_set.images_per_class)
    if (found, shape) != (expected, public_set.image_shape):
        raise UserError(
            f"{folder} holds {found} images of shape {shape}, but the dataset {name} has {expected} of shape "
            f"{public_set.image_shape}: {remedy}"
        )
