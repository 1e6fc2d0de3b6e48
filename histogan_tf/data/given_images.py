"""Images that a Python program hands over: arrays become image sets, and what a set was loaded with becomes flags."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.parsing import as_text, parse_keywords
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError, counted

_CHOOSING = frozenset({"label", "part", "clusters", "cluster", "train_size"})  # flags that choose among loaded images
_SPLITTING = frozenset({"split_seed", "split_by"})
_LARGEST_LABEL = 9_999  # larger ones are numbers of something else, such as patients


def as_image_set(
    images: ImageSet | np.ndarray,
    labels: Sequence[int] | np.ndarray | None = None,
    class_names: Sequence[str] | None = None,
    *,
    name: str = "images",
    what: str = "images",
) -> ImageSet:
    """An image set of images in memory; one that is a set already is returned as it is.

    Args:
        images: a set, or uint8 (num_images, height, width, channels) with 1 or 3 channels, values in [0, 255].
        labels: whole numbers (num_images,) from 0 on; None if the images have none.
        class_names: the names of labels 0, 1, …; their numbers if None.
        name: of the set, where it is an array.
        what: the name of the argument that holds the images, for messages.

    Raises:
        UserError: if images or labels are of another kind.
    """
    if isinstance(images, ImageSet):
        if labels is not None or class_names is not None:
            raise UserError(f"labels and class_names go with an array; {images!r} has its own: leave them out")
        return images
    check_pixels(images, what)
    ids = np.array([str(index) for index in range(len(images))])
    if labels is None:
        if class_names is not None:
            raise UserError(f"class_names={tuple(class_names)} needs labels: give the label of each image too")
        return ImageSet(images, None, ids, None, name)
    labels = np.asarray(labels)
    if labels.shape != images.shape[:1] or labels.dtype.kind not in "iu" or labels.min() < 0:
        raise UserError(
            f"labels are {labels.dtype} {labels.shape}: give one whole number from 0 on for each of "
            f"{counted(len(images), 'image')}"
        )
    if labels.max() > _LARGEST_LABEL:
        raise UserError(f"label {labels.max()} is larger than {_LARGEST_LABEL}: number the classes 0, 1, and so on")
    if isinstance(class_names, str):
        raise UserError(
            f"class_names={class_names!r} is one text: give a name for each label, such as ('benign', 'idc')"
        )
    names = tuple(map(str, range(labels.max() + 1) if class_names is None else class_names))
    if len(set(names)) < len(names):
        raise UserError(f"class_names={names} has a name twice: give each label a name of its own")
    if labels.max() >= len(names):
        raise UserError(f"class_names={names} has no name for label {labels.max()}: name the labels 0, 1, and so on")
    return ImageSet(images, labels.astype(np.int32), ids, None, name, names)


def check_pixels(images: Any, what: str) -> None:
    """Checks that images are uint8 (num_images, height, width, channels) with 1 or 3 channels, at least one image.

    Args:
        images: anything.
        what: the name of the argument, for the message.

    Raises:
        UserError: if they are not.
    """
    if not isinstance(images, np.ndarray):
        raise UserError(f"{what} is a {type(images).__name__}: give a NumPy array or what load_images() returns")
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[-1] not in (1, 3) or not len(images):
        raise UserError(
            f"{what} is {images.dtype} {images.shape}: give at least one image, uint8 (num_images, height, width, 1 or "
            f"3), values from 0 to 255{_way_to_uint8(images, what)}"
        )


def _way_to_uint8(images: np.ndarray, what: str) -> str:
    """Returns words about how to make an array what is asked for, where it is plain what it holds."""
    if images.dtype.kind == "f" and images.size and 0 <= images.min() <= images.max() <= 1:
        return f"; of values from 0 to 1, np.uint8(255 * {what} + 0.5) makes these"
    if images.dtype == np.uint8 and images.ndim == 3 and images.size:
        if images.shape[-1] in (1, 3):
            return f"; {what}[np.newaxis] makes a set of one image"
        return f"; {what}[..., np.newaxis] makes a set of grey images"
    if images.dtype == np.uint8 and images.ndim == 4 and images.shape[1] in (1, 3):
        return f"; {what}.transpose(0, 2, 3, 1) puts channels last"
    if images.dtype == np.uint8 and images.ndim == 4 and images.shape[-1] == 4:
        return f"; {what}[..., :3] leaves the transparency out"
    return ""


def flags_of(*sections: str) -> frozenset[str]:
    """The names of the flags of some sections of --help."""
    return frozenset(field.name for field in flag_fields() if field.metadata["section"] in sections)


def loading_config(flags: Mapping[str, Any]) -> Config:
    """The Config with which `load_with_parts` loads images.

    Args:
        flags: values by flag name.

    Raises:
        UserError: for a wrong name or value, or a flag that does not say which images to load.
    """
    config = parse_keywords(flags)
    if config.train_size is not None:
        raise UserError(
            f"--train_size={config.train_size} is for train() and evaluate(), which choose among the images that "
            f"load_images() returns: give it there"
        )
    _refuse_others(config, "load_images()", flags_of("data"))
    return config


def config_for(
    images: ImageSet, flags: Mapping[str, Any], *, mode: str, function: str, own_flags: Collection[str]
) -> Config:
    """The Config of a command on given images: the one that the command line would make of the same flags.

    Args:
        images: to work on; the flags that they were loaded with hold.
        flags: values by flag name.
        mode: of the command.
        function: what the user called, for messages.
        own_flags: names of the flags that it takes, beside those of data.

    Raises:
        UserError: for a wrong name or value, a flag that the function does not take, or one that comes too late for
            images that are loaded already.
    """
    settings = {"dataset": images.name} if images.settings is None else images.settings
    config = parse_keywords({"mode": mode, **settings, **flags})
    if config.mode != mode:
        raise UserError(f"--mode={config.mode}: {function} does --mode={mode}; leave mode out")
    _refuse_others(config, function, {"mode", *own_flags, *flags_of("data")})
    loaded = parse_keywords(settings)
    for name in sorted(flags_of("data") - _CHOOSING):
        was, now = getattr(loaded, name), getattr(config, name)
        is_open = name in ("dataset", "positive_class") or (name in _SPLITTING and images.parts is None)
        if was != now and not (images.settings is None and is_open):
            remedy = "leave it out" if images.settings is None else "give it to load_images()"
            raise UserError(f"--{name}={as_text(now)} comes too late, for the images are loaded already: {remedy}")
    return config


def _refuse_others(config: Config, function: str, names: Collection[str]) -> None:
    for name in sorted(config.given - set(names)):
        raise UserError(f"--{name}={as_text(getattr(config, name))} does nothing in {function}: leave it out")
