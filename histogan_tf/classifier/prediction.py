"""A trained classifier: read from its run, and applied to images."""

from __future__ import annotations

import csv
import dataclasses
import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.classifier.head import probabilities_of
from histogan_tf.classifier.slide_maps import SlideMaps, map_files, write_slide_maps
from histogan_tf.config import Config
from histogan_tf.config.families import CLASSIFIER, family_of, models_of_kind
from histogan_tf.data.decoding import Prepare, UnusableImageError, decode_image, sizing
from histogan_tf.data.file_remarks import FileRemarks
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.positive_class import positive_note
from histogan_tf.data.sources import reader_of
from histogan_tf.data.sources.file_search import list_images, readable_name
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.memory import limit_decoding
from histogan_tf.machine.progress import Progress
from histogan_tf.models.backbones import Preparation
from histogan_tf.models.inference import INFERENCE_BATCH, compiled
from histogan_tf.models.resnet import configured_classifier
from histogan_tf.runs.checkpoints import Restorable
from histogan_tf.runs.csv_cells import neutral_cells
from histogan_tf.runs.files import written_aside
from histogan_tf.runs.own_results import own_results
from histogan_tf.runs.provenance import seen_patients, warn_of_seen_patients
from histogan_tf.runs.run_directory import output_folder
from histogan_tf.runs.together import require_free
from histogan_tf.trained.load import TrainedNetwork, load_networks

logger = logging.getLogger(__name__)

OF_CLASS = "probability of "  # how the names of the columns of three classes or more begin

_FILES_AT_ONCE = 16 * INFERENCE_BATCH
# The flags that choose images of a dataset; where files are classified, all are, those of the training part too.
_CHOOSING = frozenset(
    {
        *("part", "label", "clusters", "cluster", "train_size", "classes", "max_groups", "images_per_class"),
        *("magnification", "labels_csv", "csv_columns"),
    }
)


class Predictor:
    """From uint8 (num_images, height, width, channels) to the probability of label 1, float64 (num_images,).

    For a network of three labels or more, to the probabilities of all labels, float64 (num_images, num_classes).

    Args:
        network: from images to logits, (batch, 1), or (batch, num_classes) for three labels or more.
    """

    def __init__(self, network: keras.Model) -> None:
        self._compute = compiled(network)

    def __call__(self, images: np.ndarray) -> np.ndarray:
        starts = range(0, len(images), INFERENCE_BATCH)
        logits = [self._compute(tf.constant(images[start : start + INFERENCE_BATCH])).numpy() for start in starts]
        return probabilities_of(np.concatenate(logits).astype(np.float64))


def classifier_networks(config: Config, dataset: Mapping[str, Any], **_: Any) -> list[Restorable]:
    """The classifier of a run, to be restored; no weights from elsewhere are needed.

    Args:
        config: of the run.
        dataset: what the run recorded of its images.
    """
    classifier = configured_classifier(
        config,
        tuple(dataset["image_shape"]),
        weights="random",
        seed=0,
        preparation=Preparation.from_json(dataset.get("preparation")),
        num_classes=len(dataset["class_names"]),
    )
    return [Restorable("", classifier.network, classifier.state())]


def require_classifier(directory: Path, run_config: Config) -> None:
    """Refuses a run of another model.

    Raises:
        UserError: if it is no classifier.
    """
    if family_of(run_config.model).kind != CLASSIFIER:
        able = ", ".join(models_of_kind(CLASSIFIER))
        raise UserError(f"{directory} is a run of {run_config.model}: choose a classifier's ({able}) with --run")


def backbone_note(run_config: Config) -> str:
    """Where the features come from, for every output; it says so where the backbone's weights were never trained."""
    details = [] if run_config.backbone == "resnet18" else [run_config.backbone]
    details += [] if run_config.feature_layer is None else [f"features of {run_config.feature_layer}"]
    details += ["centre of the images"] if run_config.center_crop else []
    detail = "".join(f", {text}" for text in details)
    if is_untrained(run_config):
        return f"random weights, UNTRAINED backbone{detail}"
    if run_config.init_from is not None:
        origin = f"weights of the run {run_config.init_from}"
    else:
        origins = {"random": "random weights", "imagenet": "ImageNet weights"}
        origin = origins.get(run_config.weights, f"weights of {Path(run_config.weights).name}")
    return f"{origin}{detail}" + ("" if run_config.fine_tune == "none" else f", fine-tuned ({run_config.fine_tune})")


def is_untrained(run_config: Config) -> bool:
    """Returns whether the backbone's weights are random still."""
    return run_config.weights == "random" and run_config.fine_tune == "none"


def probability_columns(class_names: Sequence[str]) -> list[str]:
    """Returns the names of the columns of probabilities: one for two classes, one for each class of three or more."""
    return ["probability"] if len(class_names) == 2 else [f"{OF_CLASS}{name}" for name in class_names]


def shared_columns(run_config: Config, class_names: Sequence[str]) -> dict[str, str]:
    """Returns the columns, by name, that are the same in every row: what the probabilities are about and come from."""
    positive = {"positive_class": class_names[1]} if len(class_names) == 2 else {}
    return positive | untrained_columns(run_config)


def untrained_columns(run_config: Config) -> dict[str, str]:
    """Returns the column, by name, that marks predictions by a backbone whose weights are random; empty for others."""
    return {"backbone": backbone_note(run_config)} if is_untrained(run_config) else {}


def classify(config: Config) -> None:
    """Writes the probability of the positive class for each image below --data_path to predictions.csv in --output_dir.

    Of a --dataset whose images are not files of their own, such as pcam, it takes the images of --part, or all. Images
    are read and forgotten in turn, so that memory does not grow with their number. Columns: id, probability,
    positive_class (the name of the class, the same in each row); and backbone, if its weights are random. A classifier
    of three classes or more writes id, prediction (the name of the most probable class) and each class's probability.
    --map also draws maps/, see slide_maps.

    Raises:
        UserError: if there is no such run or folder, a flag chooses among files, if no image can be used, if one is
            of another size than those that the classifier was trained on, or if --map is given and no name says a
            place.
    """
    limit_decoding(config.memory_budget_gb)
    is_stored = "dataset" in config.given and not reader_of(config.dataset).has_files
    root = config.dataset_folder() if is_stored else _find_images_folder(config)
    (trained,) = load_networks(config, kind=CLASSIFIER)
    output_directory = output_folder(config, "classified")
    path = output_directory / "predictions.csv"
    require_free(path)
    if is_stored:
        image_set = _load_stored(config, trained)
        names, batches = image_set.ids, _take_in_turn(image_set, trained)
    else:
        names = list_images(root, config.input_fname_pattern)
        batches = _read_in_turn(root, names, trained, config.strict)
    note = backbone_note(trained.config)
    class_names = trained.class_names
    if config.map and len(class_names) > 2:
        raise UserError(
            f"--map draws the probability of the positive class of two, and {trained.directory} has {len(class_names)} "
            f"classes: leave --map out"
        )
    about = positive_note(class_names) if len(class_names) == 2 else f"{len(class_names)} classes"
    logger.info("%s: %s; %s; %s", trained.directory, note, about, counted(len(names), "image"))
    maps, maps_directory = SlideMaps(class_names), output_directory / "maps"
    map_names = map_files(names) if config.map else []
    columns, extra = probability_columns(class_names), shared_columns(trained.config, class_names)
    prediction = [] if len(class_names) == 2 else ["prediction"]
    predict, num_done = Predictor(trained.network), 0
    with written_aside(path) as aside, aside.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *prediction, *columns, *extra])
        for ids, images in batches:
            probabilities = predict(images)
            for name, of_image in zip(ids, probabilities, strict=True):
                called = [class_names[of_image.argmax()]] if prediction else []
                texts = [f"{probability:.6f}" for probability in np.atleast_1d(of_image)]
                writer.writerow(neutral_cells([name, *called, *texts, *extra.values()]))
            if config.map:
                maps.add(ids, probabilities, images)
            num_done += len(ids)
        if not num_done:
            raise UserError(f"none of {counted(len(names), 'image')} in {root!r} can be used; see the warnings above")
    if config.map:
        with own_results(maps_directory, map_names):
            _write_maps(maps_directory, maps, trained, note)
    logger.info("%s classified, %d skipped: %s", counted(num_done, "image"), len(names) - num_done, path)


def _write_maps(directory: Path, maps: SlideMaps, trained: TrainedNetwork, note: str) -> None:
    """Writes the maps of slides, and tells which of their patients the classifier was trained on."""
    seen = seen_patients(trained.record) or ()
    warn_of_seen_patients(maps.patients, seen, trained.name)
    write_slide_maps(directory, maps, trained.class_names, note, seen)


def _find_images_folder(config: Config) -> str:
    if not config.data_path:
        raise UserError("--mode=classify needs --data_path, a folder of images")
    if choosing := sorted(config.given.intersection(_CHOOSING)):
        raise UserError(
            f"--{choosing[0]} has no effect here: --mode=classify takes every image file below --data_path; leave it "
            f"out, and give the folder of the images that you mean"
        )
    root = os.path.expandvars(os.path.expanduser(config.data_path))
    if not os.path.isdir(root):
        raise UserError(f"--data_path={config.data_path}: there is no such folder")
    return root


def _load_stored(config: Config, trained: TrainedNetwork) -> ImageSet:
    """Returns the images of a dataset's --part, or all, sized as the run sized its own."""
    sizes = ("crop", "input_height", "input_width", "output_height", "output_width")
    sizing_of_run = {name: getattr(trained.config, name) for name in sizes}
    image_set = load_dataset(dataclasses.replace(config, part=config.part or "all", **sizing_of_run))
    shape, expected = image_set.image_shape, trained.image_shape
    if shape != expected and shape != (*expected[:2], 1):
        raise UserError(_other_shape(image_set.name, shape, trained))
    return image_set


def _take_in_turn(image_set: ImageSet, trained: TrainedNetwork) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields (ids, uint8 images) of some images at a time, without those that cannot be used."""
    channels = trained.image_shape[-1]
    with Progress(len(image_set), 0, "image") as progress:
        for start in range(0, len(image_set), _FILES_AT_ONCE):
            asked = np.arange(start, min(start + _FILES_AT_ONCE, len(image_set)))
            images, taken = image_set.take(asked)
            is_itself = taken == asked  # and not another image in its place
            if is_itself.any():
                images = images[is_itself]
                fitted = np.repeat(images, channels, axis=-1) if images.shape[-1] < channels else images
                yield image_set.ids[asked[is_itself]].tolist(), fitted
            progress.update(start + len(asked))


def _read_in_turn(
    root: str, names: Sequence[str], trained: TrainedNetwork, strict: bool
) -> Iterator[tuple[list[str], np.ndarray]]:
    """Yields (names, uint8 images) of some files at a time, without those that cannot be used."""
    prepare, remarks = _preparation(trained), FileRemarks(root)
    with Progress(len(names), 0, "image") as progress:
        for start in range(0, len(names), _FILES_AT_ONCE):
            ids, images = [], []
            for name in names[start : start + _FILES_AT_ONCE]:
                try:
                    images.append(prepare(decode_image(os.path.join(root, name), remarks)))
                    ids.append(readable_name(name))
                except UnusableImageError as error:
                    if strict:
                        raise UserError(f"cannot use {name!r}: {error} (without --strict it is skipped)") from error
                    logger.warning("skipped %r: %s", name, error)
                    continue
                if images[-1].shape != trained.image_shape:
                    raise UserError(_other_shape(name, images[-1].shape, trained))
            if ids:
                yield ids, np.stack(images)
            progress.update(start + len(names[start : start + _FILES_AT_ONCE]))
    remarks.warn_if_dark()
    remarks.warn_of_frames()


def _preparation(trained: TrainedNetwork) -> Prepare:
    """What the run did to its own images, and grey to RGB."""
    before_sizing = reader_of(trained.config.dataset).before_sizing
    size, channels = sizing(trained.config), trained.image_shape[-1]

    def prepare(image: np.ndarray) -> np.ndarray:
        fitted = size(before_sizing(image) if before_sizing else image)
        return np.repeat(fitted, channels, axis=-1) if fitted.shape[-1] < channels else fitted

    return prepare


def _other_shape(name: str, shape: tuple[int, ...], trained: TrainedNetwork) -> str:
    return (
        f"{name!r} is {'x'.join(map(str, shape))} (height x width x channels), but {trained.directory} was trained on "
        f"{'x'.join(map(str, trained.image_shape))}: cut or resize your images to that, at the same magnification"
    )
