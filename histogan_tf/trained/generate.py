"""--mode=generate: writes any number of images of a trained generator to disk, in batches that bound the memory."""

from __future__ import annotations

import contextlib
import logging
import zipfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.config.families import GENERATOR
from histogan_tf.data.class_file import write_class_file
from histogan_tf.data.image_set import label_number
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.progress import Progress
from histogan_tf.machine.randomness import Purpose
from histogan_tf.reporting import pictures
from histogan_tf.runs.run_directory import output_folder
from histogan_tf.runs.together import finish_earlier, require_free, written_together
from histogan_tf.trained.load import TrainedNetwork, load_networks
from histogan_tf.training.sampling import Sampler

logger = logging.getLogger(__name__)

_BATCH = 256


def generate_images(config: Config) -> None:
    """Makes --num_images images with a trained generator, and writes them to --output_dir.

    PNG files are written to images/ or, if their labels are known, to sub-folders named after the labels' numbers, with
    a classes.json that names the classes. All images appear together: if the program is killed before, none does, and
    the same command goes on.

    Image number i depends only on --seed and i: a larger --num_images adds images to those of a smaller one.

    Raises:
        UserError: if there is no such run, the label is unknown or the run has not learned it, the results exist, or
            the folder holds images whose labels are numbered otherwise.
    """
    (source,) = load_networks(config, kind=GENERATOR)
    sampler = sampler_of(source)
    label = chosen_label(config, source)
    output_directory = output_folder(config, "generated")
    made_by = {"run": str(source.directory), "step": source.step, "checkpoint": config.checkpoint, "label": label}
    made_by |= {name: getattr(config, name) for name in ("num_images", "seed", "format")}
    if finish_earlier(output_directory) == made_by:
        number = counted(config.num_images, "image")
        logger.info("%s written to %s before the program was stopped", number, output_directory)
        return
    labels = sampler.numbered_labels(0, config.num_images, label)
    is_labelled = label is not None or source.config.conditional
    folders = {int(number): str(number) for number in np.unique(labels)} if is_labelled else {0: "images"}
    archive = f"{'images' if label is None else label}.npz"
    has_png, has_npz = config.format in ("png", "both"), config.format in ("npz", "both")
    for name in [*(folders.values() if has_png else ()), *([archive] if has_npz else ())]:
        require_free(output_directory / name)
    with written_together(output_directory, made_by) as aside, contextlib.ExitStack() as stack:
        writers: list[_PngWriter | _NpzWriter] = []
        if has_png:
            writers.append(_PngWriter({label: aside / name for label, name in folders.items()}, config.num_images))
        if has_npz:
            writers.append(_NpzWriter(stack, aside / archive, labels if is_labelled else None, config.num_images))
        if is_labelled:
            write_class_file(output_directory, source.class_names)
        progress, num_written = stack.enter_context(Progress(config.num_images, 0, "image")), 0
        for images in images_in_turn(sampler, config.num_images, config.seed, label):
            for writer in writers:
                writer.write(images, labels[num_written : num_written + len(images)])
            num_written += len(images)
            progress.update(num_written)
    logger.info("wrote %s to %s", counted(config.num_images, "image"), output_directory)


def images_in_turn(sampler: Sampler, num_images: int, seed: int, label: int | None) -> Iterator[np.ndarray]:
    """The images that belong to a seed, some at a time.

    Args:
        sampler: of a trained generator.
        num_images: how many in all.
        seed: which images.
        label: of all images; None lets the labels take turns, which only a conditional generator heeds.

    Yields:
        uint8 (at most 256, height, width, channels).
    """
    for first in range(0, num_images, _BATCH):
        yield sampler.numbered(first, min(_BATCH, num_images - first), seed, Purpose.GENERATED_LATENTS, label)


def sampler_of(source: TrainedNetwork) -> Sampler:
    """Returns the sampler that makes images with a trained generator."""
    return Sampler(source.network, source.config, source.num_classes)


def chosen_label(config: Config, source: TrainedNetwork) -> int | None:
    """Returns the number of the label of all images to make, or None if they have several labels or unknown ones.

    It is --label for a conditional generator, and otherwise the label that the run was trained on.

    Raises:
        UserError: if --label is unknown, or the generator cannot make images of it.
    """
    trained_on = source.config.label
    if source.config.conditional:
        return None if config.label is None else label_number(config.label, source.class_names)
    if trained_on is None and config.label is not None:
        raise UserError(
            f"--label={config.label}: {source.directory} was trained on all labels without --conditional, and cannot "
            f"make images of one of them; leave --label out"
        )
    number = None if trained_on is None else label_number(trained_on, source.class_names)
    if config.label is not None and label_number(config.label, source.class_names) != number:
        raise UserError(
            f"--label={config.label}: {source.directory} was trained on label {trained_on} only; leave --label out, or "
            f"choose another --run"
        )
    return number


class _PngWriter:
    """Writes each image as a PNG file to the folder of its label."""

    def __init__(self, folders: dict[int, Path], num_images: int) -> None:
        self._folders = folders
        for folder in folders.values():
            folder.mkdir()
        self._num_digits = max(5, len(str(num_images - 1)))
        self._count = 0

    def write(self, images: np.ndarray, labels: np.ndarray) -> None:
        for image, label in zip(images, labels, strict=True):
            path = self._folders[int(label)] / f"{self._count:0{self._num_digits}d}.png"
            pictures.to_pillow(image).save(path, format="PNG")
            self._count += 1


class _NpzWriter:
    """Writes one npz file batch by batch.

    It holds `images`, uint8 (num_images, height, width, channels), and, if known, `labels`, int32 (num_images,).
    """

    def __init__(self, stack: contextlib.ExitStack, path: Path, labels: np.ndarray | None, num_images: int) -> None:
        self._archive = stack.enter_context(zipfile.ZipFile(path, "w", zipfile.ZIP_STORED))
        if labels is not None:
            with self._archive.open("labels.npy", "w") as file:
                np.lib.format.write_array(file, labels, allow_pickle=False)
        self._stack, self._num_images, self._file = stack, num_images, None

    def write(self, images: np.ndarray, labels: np.ndarray) -> None:
        if self._file is None:
            self._file = self._stack.enter_context(self._archive.open("images.npy", "w", force_zip64=True))
            header = {"descr": "|u1", "fortran_order": False, "shape": (self._num_images, *images.shape[1:])}
            np.lib.format.write_array_header_1_0(self._file, header)
        self._file.write(images.tobytes())
