"""--mode=translate: writes a dataset's translations by a trained CycleGAN, their distances, and sheets of pairs."""

from __future__ import annotations

import csv
import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import TRANSLATOR, family_of, models_of_kind
from histogan_tf.data.class_file import write_class_file
from histogan_tf.data.decoding import SUFFIXES, decode_image
from histogan_tf.data.image_set import ImageSet, find_class
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.progress import Progress
from histogan_tf.reporting import pictures
from histogan_tf.runs.csv_cells import neutral_cells
from histogan_tf.runs.files import written_aside
from histogan_tf.runs.run_directory import output_folder, read_run
from histogan_tf.trained.load import load_networks
from histogan_tf.training.cyclegan_step import Translator

logger = logging.getLogger(__name__)

_BATCH = 256
_SHEET_PAIRS = 32
_SHEET_COLUMNS = 8


@dataclasses.dataclass(frozen=True)
class _Job:
    """The images to translate in one direction.

    Attributes:
        direction: "A2B" or "B2A".
        indices: the indices of the images in the image set, int64 (num_images,).
        source_label: the label of the images.
        target_label: the label of the domain to which they are translated.
        files: the PNG file of each translation, relative to the output folder.
    """

    direction: str
    indices: np.ndarray
    source_label: int
    target_label: int
    files: list[str]


class _Row(NamedTuple):
    """One line of index.csv, for one image; `file` is "" if its translation was not kept."""

    source: str
    source_label: int
    target_label: int
    distance: float
    file: str


def translate_dataset(config: Config) -> None:
    """Translates a dataset, or the images of the run, and writes --output_dir, completely or not at all.

    The folder holds:
        a sub-folder for each target label, or each source label with --keep_labels: the translations as PNG files,
            named after their source images.
        A2B.png, B2A.png: a sheet of sources and translations for each direction.
        classes.json: the names of the labels.
        index.csv: a line for each source image, with the columns source, source_label, target_label, distance and file;
            file is empty if --min_distance or --top_fraction left the translation out.

    Raises:
        UserError: if the run is not of a CycleGAN or has no checkpoint; if the images cannot be loaded, are too small
            or have other channels than the training images; if their domains are unknown and --direction is `both`; if
            no translation is kept, or the output folder is not empty.
    """
    if "num_images" in config.given or config.format != "png":
        raise UserError(
            "--mode=translate writes one PNG for each image: leave --num_images and --format out; --train_size limits "
            "the number of images"
        )
    directory, run_config, dataset = read_run(config)
    if family_of(run_config.model).kind != TRANSLATOR:
        raise UserError(
            f"{directory} is a run of {run_config.model}; --mode=translate needs a translator "
            f"({', '.join(models_of_kind(TRANSLATOR))}): choose its run with --run"
        )
    output_directory = output_folder(config, "translated")
    if output_directory.exists() and (not output_directory.is_dir() or any(output_directory.iterdir())):
        raise UserError(f"{output_directory} exists and is not empty: choose another --output_dir, or remove it")
    image_set = load_dataset(_images_config(config, run_config))
    check_channels(image_set, dataset)
    jobs = _jobs(config, image_set, dataset)
    directions = [job.direction for job in jobs]
    networks = load_networks(config, kind=TRANSLATOR, image_shape=image_set.image_shape, directions=directions)
    translators = [Translator(trained.network) for trained in networks]
    with written_aside(output_directory) as aside:
        aside.mkdir()
        write_class_file(aside, dataset["class_names"])
        rows = []
        for job, translator in zip(jobs, translators, strict=True):
            rows += _translate_one_way(aside, image_set, job, translator, config)
        if not rows:
            raise UserError(
                f"none of the images to translate of {image_set.name} can be used; the log names the reason for each"
            )
        num_kept = sum(bool(row.file) for row in rows)
        if not num_kept:
            raise UserError(f"--min_distance={config.min_distance:g} keeps no translation: {_summary(rows)}")
        _write_index(aside / "index.csv", rows)
    translations = counted(num_kept, "translation")
    logger.info("wrote %s of %s to %s", translations, counted(len(rows), "image"), output_directory)


def _images_config(config: Config, run_config: Config) -> Config:
    """Returns the settings with which the images are loaded.

    If --dataset was not given, the flags of the data that were not given are those of the run, except --positive_class:
    images in another --data_path may have no such class, and domains are found by name.
    """
    if "dataset" in config.given:
        return config
    own = {
        field.name: getattr(run_config, field.name)
        for field in flag_fields()
        if field.metadata["section"] == "data" and field.name not in {"positive_class", *config.given}
    }
    return dataclasses.replace(config, **own)


def check_channels(image_set: ImageSet, dataset: Mapping[str, Any]) -> None:
    """Refuses grey images for a network that was trained on RGB ones, and the other way round.

    Args:
        image_set: to translate.
        dataset: what the run recorded of its images.

    Raises:
        UserError: if they do not fit.
    """
    given, trained = ("grey" if shape[-1] == 1 else "RGB" for shape in (image_set.image_shape, dataset["image_shape"]))
    if given != trained:
        raise UserError(
            f"the images of {image_set.name} are {given}, but the run was trained on {trained} images: choose another "
            f"--dataset or --run"
        )


def _jobs(config: Config, image_set: ImageSet, dataset: dict[str, Any]) -> list[_Job]:
    """Returns the job of each direction that --direction names.

    A dataset whose classes have the names or numbers of the run's domains is translated class by class. In any other
    dataset, all images are taken to belong to the domain from which the direction starts.
    """
    labels = [domain["label"] for domain in dataset["domains"]]
    names = [dataset["class_names"][label] for label in labels]
    numbers = [_class_number(image_set, name, label) for name, label in zip(names, labels, strict=True)]
    tells_domain = max(numbers) >= 0
    if config.direction == "both" and not tells_domain:
        raise UserError(
            f"{image_set.name} does not tell which images are {names[0]} and which {names[1]}: translate all of them "
            f"in one direction, with --direction=A2B or --direction=B2A"
        )
    jobs = []
    for direction, source, target in (("A2B", 0, 1), ("B2A", 1, 0)):
        if config.direction not in (direction, "both"):
            continue
        indices = np.arange(len(image_set))
        if tells_domain:
            indices = np.flatnonzero(image_set.labels == numbers[source])
        logger.info(
            "%s: %d of %s from %s to %s",
            direction,
            len(indices),
            counted(len(image_set), "image"),
            names[source],
            names[target],
        )
        folder = labels[source if config.keep_labels else target]
        files = [f"{folder}/{name}" for name in file_names(image_set.ids[indices])]
        if len(indices):
            jobs.append(_Job(direction, indices, labels[source], labels[target], files))
    if not jobs:
        raise UserError(
            f"no image to translate among {image_set.counts()}: the run knows {' and '.join(names)}; choose another "
            f"--direction, --label or --dataset"
        )
    return jobs


def _class_number(image_set: ImageSet, name: str, label: int) -> int:
    """Returns the number of the class in the image set that has a domain's name or number; -1 if there is none."""
    found = (find_class(known, image_set.class_names) for known in (name, str(label)))
    return next((number for number in found if number is not None), -1)


def _translate_one_way(
    folder: Path, image_set: ImageSet, job: _Job, translator: Translator, config: Config
) -> list[_Row]:
    """Writes the translations of one direction and their sheet, and returns a row for each image that can be used."""
    distances = _write_translations(folder, image_set, job, translator)
    is_usable = np.isfinite(distances)
    if not is_usable.any():
        return []
    files = [job.files[number] for number in np.flatnonzero(is_usable)]
    job, distances = dataclasses.replace(job, indices=job.indices[is_usable], files=files), distances[is_usable]
    kept = farthest(distances, config.min_distance, config.top_fraction)
    for number in np.flatnonzero(~kept):
        (folder / job.files[number]).unlink()
    if kept.any():
        pictures.save_png(folder / f"{job.direction}.png", _sheet(folder, image_set, job, np.flatnonzero(kept)))
    rows = [
        _Row(image_set.ids[index], job.source_label, job.target_label, float(distance), file if is_kept else "")
        for index, distance, file, is_kept in zip(job.indices, distances, job.files, kept, strict=True)
    ]
    logger.info("%s: kept %d of %d; %s", job.direction, kept.sum(), len(kept), _summary(rows))
    return rows


def _write_translations(folder: Path, image_set: ImageSet, job: _Job, translator: Translator) -> np.ndarray:
    """Translates and writes the images of a job batch by batch.

    Returns:
        The distance of each translation from its source, float32 (num_images,); NaN for images that cannot be used.
    """
    (folder / job.files[0]).parent.mkdir()
    distances = np.full(len(job.indices), np.nan, np.float32)
    with Progress(len(job.indices), 0, "image") as progress:
        for start in range(0, len(job.indices), _BATCH):
            numbers = np.arange(start, min(start + _BATCH, len(job.indices)))
            sources, is_usable = _read(image_set, job.indices[numbers])
            if len(sources):
                translations = translator.images(sources)
                distances[numbers[is_usable]] = mean_squared_distances(sources, translations)
                for number, image in zip(numbers[is_usable], translations, strict=True):
                    pictures.to_pillow(image).save(folder / job.files[number], format="PNG")
            progress.update(start + len(numbers))
    return distances


def _read(image_set: ImageSet, indices: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Returns the images with these indices that can be used, and whether each can be used, bool (num_indices,)."""
    if not image_set.is_lazy:
        return image_set.images[indices], np.ones(len(indices), bool)
    images, taken = image_set.images.take(indices)
    # `take` replaces an image that cannot be read by a neighbour, whose index differs.
    return images[taken == indices], taken == indices


def file_names(ids: Sequence[str]) -> list[str]:
    """Returns names of PNG files for images with these ids.

    They are the ids without their folders; if two of them would be equal, all are prefixed by numbers.
    """
    names = [PurePosixPath(name).name for name in ids]
    stems = [os.path.splitext(name)[0] if name.lower().endswith(SUFFIXES) else name for name in names]
    if len({stem.casefold() for stem in stems}) < len(stems):
        stems = [f"{number:05d}-{stem}" for number, stem in enumerate(stems)]
    return [f"{stem}.png" for stem in stems]


def mean_squared_distances(images: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Computes the mean squared distance of each image from the other one with the same index.

    Args:
        images: uint8 (num_images, height, width, channels).
        others: uint8 (num_images, height, width, channels).

    Returns:
        float32 (num_images,) in [0, 1]: the means over pixels and channels, with pixel values scaled to [0, 1].
    """
    return np.mean(np.square((images.astype(np.float32) - others) / 255), axis=(1, 2, 3))


def farthest(distances: np.ndarray, min_distance: float, top_fraction: float) -> np.ndarray:
    """Returns which translations to keep: those among the farthest ones that have at least a minimum distance.

    Args:
        distances: the distances of the translations from their sources, float (num_images,).
        min_distance: the minimum, in the unit of `distances`.
        top_fraction: the share of all translations that are the farthest, in (0, 1]; it is rounded to a number of
            images, at least one.

    Returns:
        bool (num_images,).
    """
    num_top = max(1, round(top_fraction * len(distances)))
    kept = np.zeros(len(distances), bool)
    kept[np.argsort(-distances, kind="stable")[:num_top]] = True
    return kept & (distances >= min_distance)


def _summary(rows: Sequence[_Row]) -> str:
    distances = [row.distance for row in rows]
    return f"distances from {min(distances):.3g} to {max(distances):.3g}, median {np.median(distances):.3g}"


def _write_index(path: Path, rows: Sequence[_Row]) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(_Row._fields)
        writer.writerows(neutral_cells(row._replace(distance=f"{row.distance:.8f}")) for row in rows)


def _sheet(folder: Path, image_set: ImageSet, job: _Job, kept: np.ndarray) -> np.ndarray:
    """Returns a sheet of sources, each with its translation to the right, like the paper's Figure 3.

    The pairs are evenly spread over the kept translations, whose numbers in the job are `kept`.
    """
    chosen = kept[np.linspace(0, len(kept) - 1, min(_SHEET_PAIRS, len(kept))).astype(int)]
    pairs = [(image_set.images[job.indices[number]], decode_image(folder / job.files[number])) for number in chosen]
    return pictures.tile(np.concatenate(pairs), num_columns=min(_SHEET_COLUMNS, 2 * len(pairs)))
