"""Describes a dataset: its counts, split, image sizes, duplicates and unreadable files, and a sheet of each class."""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.data import class_sheets, loading
from histogan_tf.data.decoding import UnusableImageError
from histogan_tf.data.image_set import ImageSet, count_of_class
from histogan_tf.data.splits import OWN_PARTS, split_indices
from histogan_tf.errors import UserError, counted, listing
from histogan_tf.machine.parallel import map_in_order
from histogan_tf.machine.progress import Progress
from histogan_tf.reporting import pictures
from histogan_tf.runs import files
from histogan_tf.runs.own_results import own_results

logger = logging.getLogger(__name__)

_LISTED_GROUPS = 100  # most groups of duplicates that description.json lists
_SHOWN_PATIENTS = 12  # most patients that the log lists
_PROGRESS_IMAGES = 1000


def describe_dataset(config: Config) -> None:
    """Reads every image of the dataset as it is stored, and reports what the dataset holds.

    A summary goes to the log. The full description.json and the picture dataset.png go to --output_dir, or to
    <checkpoint_dir>/<dataset>-description.

    Args:
        config: the resolved flags.

    Raises:
        UserError: if there is no such dataset, none of its images can be read, or a flag selects a part of it.
    """
    for name in ("label", "part", "train_size", "cluster"):
        if getattr(config, name) is not None:
            raise UserError(f"--mode=describe describes the whole dataset: leave --{name} out")
    image_set = loading.find_dataset(config)
    survey = survey_images(image_set)
    if image_set.is_lazy:
        image_set.images.source.warn_if_dark()
        image_set.images.source.warn_of_frames()
    if len(survey.errors) == len(image_set):
        raise UserError(f"none of {counted(len(image_set), 'image')} can be read: {next(iter(survey.errors.values()))}")
    description = summarize_survey(image_set, survey, config)
    _log(description)
    default_directory = Path(config.checkpoint_dir) / f"{Path(image_set.name).name}-description"
    directory = Path(config.output_dir or default_directory).expanduser()
    with own_results(directory, ("description.json", "dataset.png")):
        files.write_json(directory / "description.json", description)
        pictures.save_png(directory / "dataset.png", class_sheets.draw(image_set, survey.mean_colours, config.seed))
    logger.info("see dataset.png and description.json in %s", directory)


@dataclasses.dataclass(frozen=True)
class Survey:
    """Measurements on the pixels of every image.

    Attributes:
        shapes: the (height, width, channels) of each image; None if it cannot be read.
        digests: the digest of each image's shape and pixels; None if it cannot be read.
        mean_colours: float64 (num_images, 3), mean red, green and blue in [0, 255]; NaN if the image cannot be read.
        errors: the reason why an image cannot be read, by the image's index.
    """

    shapes: list[tuple[int, int, int] | None]
    digests: list[bytes | None]
    mean_colours: np.ndarray
    errors: dict[int, str]

    @property
    def is_readable(self) -> np.ndarray:
        """Whether each image can be read, bool (num_images,)."""
        return ~np.isnan(self.mean_colours[:, 0])


def survey_images(image_set: ImageSet) -> Survey:
    """Reads each image once, on all cores, and holds only a few in memory. Images may differ in size."""
    decode = image_set.images.decode if image_set.is_lazy else image_set.images.__getitem__

    def look(index: int) -> tuple[tuple[int, int, int], bytes, np.ndarray] | UnusableImageError:
        try:
            image = decode(index)
        except UnusableImageError as error:
            return error
        digest = hashlib.blake2b(repr(image.shape).encode(), digest_size=16)
        digest.update(np.ascontiguousarray(image))
        return image.shape, digest.digest(), image.mean(axis=(0, 1))

    count = len(image_set)
    survey = Survey([None] * count, [None] * count, np.full((count, 3), np.nan), {})
    with contextlib.closing(map_in_order(look, range(count))) as results, Progress(count, 0, "image") as progress:
        for index, result in enumerate(results):
            if isinstance(result, UnusableImageError):
                survey.errors[index] = str(result)
            else:
                survey.shapes[index], survey.digests[index], survey.mean_colours[index] = result
            if (index + 1) % _PROGRESS_IMAGES == 0 or index + 1 == count:
                progress.update(index + 1)
    return survey


def summarize_survey(image_set: ImageSet, survey: Survey, config: Config) -> dict[str, Any]:
    """Returns the content of description.json."""
    shapes = collections.Counter(shape for shape in survey.shapes if shape)
    split, parts = _split(image_set, config)
    return {
        "dataset": image_set.name,
        "num_images": len(image_set),
        "left_out": dict(image_set.left_out),
        "unreadable": {str(image_set.ids[index]): reason for index, reason in survey.errors.items()},
        "sizes": {
            f"{height}x{width} {'grey' if channels == 1 else 'RGB'}": count
            for (height, width, channels), count in shapes.most_common()
        },
        "mean_colour": _mean_colour(survey, np.ones(len(image_set), bool)),
        "classes": _classes(image_set, survey),
        "patients": _patients(image_set),
        "split": split,
        "duplicates": _duplicates(image_set, survey.digests, parts),
    }


def _mean_colour(survey: Survey, chosen: np.ndarray) -> list[float] | None:
    colours = survey.mean_colours[chosen & survey.is_readable]
    return [round(level, 2) for level in colours.mean(axis=0).tolist()] if len(colours) else None


def _classes(image_set: ImageSet, survey: Survey) -> dict[str, dict[str, Any]]:
    classes = {}
    for number, name in enumerate(image_set.class_names):
        chosen = image_set.labels == number
        classes[name] = {
            "images": int(chosen.sum()),
            "patients": None if image_set.groups is None else len(np.unique(image_set.groups[chosen])),
            "mean_colour": _mean_colour(survey, chosen),
        }
    return classes


def _patients(image_set: ImageSet) -> dict[str, dict[str, int]] | None:
    """Returns the number of images in each class, or of all if there are none, for each patient; None if unknown."""
    if image_set.groups is None:
        return None
    patients, numbers = np.unique(image_set.groups, return_inverse=True)
    if image_set.labels is None:
        counts = np.bincount(numbers, minlength=len(patients)).tolist()
        return {patient: {"images": count} for patient, count in zip(patients.tolist(), counts, strict=True)}
    counts = np.zeros((len(patients), image_set.num_classes), int)
    np.add.at(counts, (numbers, image_set.labels), 1)
    rows = (dict(zip(image_set.class_names, row, strict=True)) for row in counts.tolist())
    return dict(zip(patients.tolist(), rows, strict=True))


def _split(image_set: ImageSet, config: Config) -> tuple[dict[str, Any] | None, np.ndarray | None]:
    """Returns the counts of each part of the split, and the part of each image, str (num_images,)."""
    if image_set.labels is None and image_set.parts is None:
        return None, None
    split, parts = {"seed": config.split_seed, "by": config.split_by}, image_set.parts
    if parts is not None:
        split = {"seed": None, "by": OWN_PARTS}
    try:
        both = split_indices(image_set, seed=config.split_seed, by=config.split_by)
    except UserError as error:
        return {**split, "impossible": str(error)}, None
    indices = dict(zip(("train", "validation"), both, strict=True))
    if parts is None:
        parts = np.full(len(image_set), "validation")
        parts[indices["train"]] = "train"
    elif np.any(parts == "test"):
        indices["test"] = np.flatnonzero(parts == "test")
    counts = {part: _counts_by_class(image_set.select(chosen)) for part, chosen in indices.items()}
    groups = image_set.groups
    shared = None if groups is None else len(np.intersect1d(groups[indices["train"]], groups[indices["validation"]]))
    return {**split, **counts, "patients_on_both_sides": shared}, parts


def _counts_by_class(image_set: ImageSet) -> dict[str, int]:
    return image_set.counts() or {"images": len(image_set)}


def _duplicates(image_set: ImageSet, digests: list[bytes | None], parts: np.ndarray | None) -> dict[str, Any]:
    """Returns the groups of images that are the same in every pixel, and how many cross labels, patients or parts."""
    groups = collections.defaultdict(list)
    for index, digest in enumerate(digests):
        if digest is not None:
            groups[digest].append(index)
    groups = [indices for indices in groups.values() if len(indices) > 1]

    def num_across(column: np.ndarray | None) -> int | None:
        return None if column is None else sum(len(np.unique(column[indices])) > 1 for indices in groups)

    return {
        "groups": len(groups),
        "superfluous_images": sum(len(indices) - 1 for indices in groups),
        "groups_across_labels": num_across(image_set.labels),
        "groups_across_patients": num_across(image_set.groups),
        "groups_across_parts": num_across(parts),
        f"first_{_LISTED_GROUPS}": [image_set.ids[indices].tolist() for indices in groups[:_LISTED_GROUPS]],
    }


def _log(description: dict[str, Any]) -> None:
    logger.info("%s: %s", description["dataset"], counted(description["num_images"], "image"))
    for name, row in description["classes"].items():
        of_patients = "" if row["patients"] is None else f" of {counted(row['patients'], 'patient')}"
        number = counted(row["images"], "image")
        logger.info("  class %s: %s%s, mean colour %s", name, number, of_patients, row["mean_colour"])
    if not description["classes"]:
        logger.info("  no labels; mean colour %s", description["mean_colour"])
    patients = description["patients"] or {}
    for name, row in list(patients.items())[:_SHOWN_PATIENTS]:
        logger.info("  patient %s: %s", name, ", ".join(f"{count} {class_name}" for class_name, count in row.items()))
    if len(patients) > _SHOWN_PATIENTS:
        logger.info("  … and %s", counted(len(patients) - _SHOWN_PATIENTS, "more patient"))
    logger.info("  sizes: %s", listing(f"{count} of {size}" for size, count in description["sizes"].items()))
    _log_split(description["split"])
    duplicates = description["duplicates"]
    logger.info(
        "  duplicates: %s beside the first of equal ones, in %s of equal images",
        counted(duplicates["superfluous_images"], "image"),
        counted(duplicates["groups"], "group"),
    )
    across = {what: duplicates[f"groups_across_{what}"] for what in ("labels", "patients", "parts")}
    if any(across.values()):
        found = ", ".join(f"{count} across {what}" for what, count in across.items() if count)
        logger.warning("groups of equal images: %s; equal images in both parts flatter validation scores", found)
    unreadable = description["unreadable"]
    if unreadable:
        names = listing((f"{name} ({reason})" for name, reason in unreadable.items()), most=5)
        reasons = collections.Counter(unreadable.values()).most_common()
        logger.warning("unreadable: %s: %s", counted(len(unreadable), "image"), names)
        logger.warning("unreadable, by reason: %s", listing(f"{count} {reason}" for reason, count in reasons))
    for reason, count in description["left_out"].items():
        logger.info("  left out: %s (%d)", reason, count)


def _log_split(split: dict[str, Any] | None) -> None:
    if split is None:
        return
    if "impossible" in split:
        logger.warning("no split: %s", split["impossible"])
        return
    parts = (
        f"{part} {', '.join(count_of_class(count, name) for name, count in split[part].items())}"
        for part in ("train", "validation", "test")
        if part in split
    )
    seed = "" if split["seed"] is None else f", seed {split['seed']}"
    logger.info("  split by %s%s: %s", split["by"], seed, "; ".join(parts))
