"""Loads the ImageSet that --dataset and the other data flags ask for."""

from __future__ import annotations

import dataclasses
import logging
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data.choosing import choose
from histogan_tf.data.decoding import sizing
from histogan_tf.data.image_set import WAYS_TO_LABEL, ImageSet, count_of_class, label_number
from histogan_tf.data.membership import read_cluster, restrict
from histogan_tf.data.positive_class import with_positive_class
from histogan_tf.data.sources import Reader, reader_of, refuse_flags_of_others
from histogan_tf.data.splits import split_indices, warn_if_parts_share_patients
from histogan_tf.errors import UserError, counted, listing
from histogan_tf.machine.memory import limit_decoding

logger = logging.getLogger("histogan_tf")


def load_dataset(config: Config, images: ImageSet | None = None) -> ImageSet:
    """Returns the images that the flags select: the dataset's --part, --label and --cluster, at most --train_size.

    The images stay in the dataset's order, and are read into memory if --memory_budget_gb allows. The split is made
    over all files, so it does not depend on which of them can be used.

    Args:
        config: the resolved flags.
        images: the images to choose from, as `load_with_parts` returns them; None to read the dataset.

    Raises:
        UserError: if the dataset cannot be read, or has no such part, label, cluster or image.
    """
    whole = _to_choose_from(images, config)
    image_set = _select_part(whole, config)
    image_set = _select_label(image_set, config.label)
    if whole is not images or not _has_cluster(images, config):
        image_set = _select_cluster(image_set, config, whole)
    image_set = _select_some(image_set, config.train_size, config.seed)
    part = None if whole.labels is None and whole.parts is None else _part(whole, config)
    _tell(image_set, whole, {"part": part, **_choice(config), "train_size": config.train_size})
    return _read_if_it_fits(image_set, config, images)


def load_parts(config: Config, images: ImageSet | None = None) -> tuple[ImageSet, ImageSet]:
    """Returns the training part of a labelled dataset, at most --train_size images, and the part to measure on.

    The latter is the whole validation part or, with --part=test, the whole test part. The images stay in the dataset's
    order.

    Args:
        config: the resolved flags.
        images: the images of both parts, as `load_with_parts` returns them; None to read the dataset.

    Raises:
        UserError: if the dataset cannot be read or split, has no labels, or has no image of one of the two parts.
    """
    image_set = _with_parts(_to_choose_from(images, config), config)
    if image_set.labels is None:
        raise UserError(f"{image_set.name!r} has no labels: {WAYS_TO_LABEL}")
    names = ("train", config.part or "validation")
    parts = [image_set.select(np.flatnonzero(image_set.parts == part)) for part in names]
    for name, part in zip(names, parts, strict=True):
        if not len(part):
            raise UserError(
                f"these images of {image_set.name!r} have none of the part {name}, and a classifier needs both train "
                f"and {names[1]}: load all parts, or sort images into the folders of both"
            )
    training = _select_some(parts[0], config.train_size, config.seed)
    logger.info(
        "data: %s; training part: %s; %s part: %s",
        _name_and_shape(image_set, {"train_size": config.train_size}),
        _counts(training),
        names[1],
        _counts(parts[1]),
    )
    return _read_if_it_fits(training, config, images), _read_if_it_fits(parts[1], config, images)


def load_with_parts(config: Config) -> ImageSet:
    """All images of the dataset, or those of --part, --label and --cluster, each with its part of the split.

    The whole dataset is split before any image is left out, as in `load_dataset` and `load_parts`, which can choose
    from the result.

    Args:
        config: a resolved one, of which the flags given are remembered in `ImageSet.settings`.

    Raises:
        UserError: if the dataset cannot be read or split, or has no such part, label, cluster or image.
    """
    whole = find_dataset(config)
    if config.part != "all" and len(whole) > 1:
        whole = _with_parts(whole, config)
    image_set = whole if config.part is None else _select_part(whole, config)
    image_set = _select_label(image_set, config.label)
    image_set = _select_cluster(image_set, config, whole)
    _tell(image_set, whole, {"part": config.part, **_choice(config)})
    image_set = _read_if_it_fits(image_set, config)
    settings = {name: getattr(config, name) for name in sorted(config.given)}
    return dataclasses.replace(image_set, settings=settings, num_loaded=len(image_set))


def find_dataset(config: Config) -> ImageSet:
    """Returns the whole dataset in its order; images in files are lazy: none has been read yet.

    --classes, --max_groups and --images_per_class choose what the whole is, here and so in every mode alike. Of two
    classes, the positive one is label 1.

    Args:
        config: the resolved flags.

    Raises:
        UserError: if there is no such dataset, it has no such classes, or --positive_class is none of its two classes.
    """
    limit_decoding(config.memory_budget_gb)
    reader = reader_of(config.dataset, config.labels_csv)
    refuse_flags_of_others(reader, config)
    image_set = choose(_read(reader, config), config, reader.labellings)
    if image_set.parts is not None:
        _tell_of_own_split(image_set, config)
    return with_positive_class(image_set, config.positive_class)


def _read(reader: Reader, config: Config) -> ImageSet:
    options = {name: getattr(config, name) for name in reader.flags}
    if reader.has_folder:
        return reader.load(root=_find_folder(config), name=config.dataset, prepare=sizing(config), **options)
    if config.data_path is not None:
        raise UserError(
            f"--data_path={config.data_path} needs a --dataset: idc, or any other name for a folder of images"
        )
    return reader.load(name=config.dataset, **options)


def _tell_of_own_split(image_set: ImageSet, config: Config) -> None:
    is_drawn_by_seed = config.max_groups is not None or config.images_per_class is not None
    if unheeded := sorted(config.given & ({"split_by"} if is_drawn_by_seed else {"split_by", "split_seed"})):
        logger.warning("the dataset comes split: %s changes nothing", listing(f"--{name}" for name in unheeded))
    warn_if_parts_share_patients(image_set)


def _to_choose_from(images: ImageSet | None, config: Config) -> ImageSet:
    """The whole dataset, or images of it that are loaded already."""
    # --train_size draws among all files, those that turn out to be of no use included.
    counts_files = images is not None and images.num_skipped and images.is_as_loaded and config.train_size
    if images is None or counts_files:
        return find_dataset(config)
    # Given images keep their own numbers of labels, unless the user says which class is the positive one.
    return images if config.positive_class is None else with_positive_class(images, config.positive_class)


def _read_if_it_fits(image_set: ImageSet, config: Config, loaded: ImageSet | None = None) -> ImageSet:
    if not image_set.is_lazy:
        return image_set
    if loaded is not None and not loaded.is_lazy:  # chosen among files that were read before
        return loaded.select(np.flatnonzero(np.isin(loaded.ids, image_set.ids)))
    num_gigabytes = image_set.images.nbytes / 1e9
    if num_gigabytes <= config.memory_budget_gb:
        image_set = image_set.in_memory(strict=config.strict)
        if image_set.num_skipped:
            logger.warning("%s skipped; left: %s", counted(image_set.num_skipped, "file"), _counts(image_set))
        return image_set
    logger.info(
        "%s would take %.1f GB of memory, more than --memory_budget_gb=%g: they stay on disk and are read batch "
        "by batch",
        counted(len(image_set), "image"),
        num_gigabytes,
        config.memory_budget_gb,
    )
    if config.strict:
        logger.info("--strict: reading each image once to check it")
        image_set.images.check()
    image_set.images.source.warn_of_frames()  # of the files that were read to find the size
    return image_set


def _find_folder(config: Config) -> str:
    root = config.dataset_folder()
    if os.path.isdir(root):
        return root
    if config.data_path is None and (other := _in_other_case(root)):
        return other
    if os.path.exists(root):
        raise UserError(f"{root!r} is a file where a folder of images is expected; unpack it if it is an archive")
    raise UserError(
        f"no folder {root!r} for --dataset={config.dataset}: say where it is with --data_path, fetch a public one "
        f"with --mode=download, or leave --dataset out for the built-in phantom"
    )


def _in_other_case(root: str) -> str | None:
    """Returns the folder whose name differs from a path's last part only in large and small letters, if it is one."""
    parent, name = os.path.split(root)
    try:
        found = [other for other in os.listdir(parent or ".") if other.casefold() == name.casefold()]
    except OSError:
        return None
    folders = [path for other in found if os.path.isdir(path := os.path.join(parent, other))]
    return folders[0] if len(folders) == 1 else None


def _name_and_shape(image_set: ImageSet, flags: Mapping[str, Any]) -> str:
    """Returns a line such as "phantom --part=train, 50x50 RGB", in which the flags say what was selected."""
    height, width, channels = image_set.image_shape
    chosen = "".join(f" --{name}={value}" for name, value in flags.items() if value is not None)
    return f"{image_set.name}{chosen}, {height}x{width} {'grey' if channels == 1 else 'RGB'}"


def _part(image_set: ImageSet, config: Config) -> str:
    return config.part or ("all" if image_set.labels is None and image_set.parts is None else "train")


def _choice(config: Config) -> dict[str, Any]:
    """The flags that choose images of a part, by name; None where one is left out."""
    cluster = None if config.clusters is None else config.cluster
    return {"label": config.label, "clusters": config.clusters, "cluster": cluster}


def _tell(image_set: ImageSet, whole: ImageSet, chosen: Mapping[str, Any]) -> None:
    """Logs which images were chosen from all, by the values of flags by name."""
    of_all = f" of {len(whole)}" if len(image_set) < len(whole) else ""
    logger.info("data: %s: %s%s", _name_and_shape(image_set, chosen), _counts(image_set), of_all)


def _counts(image_set: ImageSet) -> str:
    """Returns words such as "909 images (545 non-idc, 364 idc)"."""
    if image_set.labels is None:
        return f"{counted(len(image_set), 'image')} without labels"
    counts = np.bincount(image_set.labels, minlength=image_set.num_classes)
    classes = listing(count_of_class(count, name) for count, name in zip(counts, image_set.class_names, strict=True))
    return f"{counted(len(image_set), 'image')} ({classes})"


def _with_parts(image_set: ImageSet, config: Config) -> ImageSet:
    """The set with its split; one that has no labels is not split."""
    if image_set.parts is not None or image_set.labels is None:
        return image_set
    parts = np.full(len(image_set), "validation")
    parts[split_indices(image_set, seed=config.split_seed, by=config.split_by)[0]] = "train"
    return dataclasses.replace(image_set, parts=parts)


def _select_part(image_set: ImageSet, config: Config) -> ImageSet:
    part = _part(image_set, config)
    if part == "all":
        if image_set.parts is not None and "part" in config.given:
            logger.warning(
                "--part=all mixes the parts %s of %r: nothing is held out to measure on",
                listing(np.unique(image_set.parts)),
                image_set.name,
            )
        return image_set
    if image_set.labels is None and image_set.parts is None:
        raise UserError(f"--part={part}: {image_set.name!r} has no labels, so it is not split; use --part=all")
    image_set = _with_parts(image_set, config)
    chosen = image_set.select(np.flatnonzero(image_set.parts == part))
    if not len(chosen):
        present = listing(np.unique(image_set.parts))
        raise UserError(
            f"--part={part}: these images of {image_set.name!r} are all of other parts ({present}); choose one of "
            f"them, or load all"
        )
    return chosen


def _select_label(image_set: ImageSet, label: str | None) -> ImageSet:
    if label is None:
        return image_set
    number = label_number(label, image_set.class_names)
    image_set_of_label = image_set.select(np.flatnonzero(image_set.labels == number))
    if not len(image_set_of_label):
        raise UserError(f"--label={label}: none of {_counts(image_set)} has this label; choose another one")
    return image_set_of_label


def _has_cluster(images: ImageSet, config: Config) -> bool:
    """Whether images were loaded with the same --clusters and --cluster."""
    settings = images.settings or {}
    return (settings.get("clusters"), settings.get("cluster")) == (config.clusters, config.cluster)


def _select_cluster(image_set: ImageSet, config: Config, whole: ImageSet) -> ImageSet:
    if config.clusters is None:
        return image_set
    path = os.path.expandvars(os.path.expanduser(config.clusters))
    return restrict(image_set, read_cluster(Path(path), config.cluster), whole=whole)


def _select_some(image_set: ImageSet, train_size: int | None, seed: int) -> ImageSet:
    if train_size is None or train_size >= len(image_set):
        return image_set
    chosen = np.random.default_rng(seed).choice(len(image_set), train_size, replace=False)
    return image_set.select(np.sort(chosen))
