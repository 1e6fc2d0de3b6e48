"""--mode=quiz: writes a page on which readers tell real patches from synthetic ones, and the key to it."""

from __future__ import annotations

import csv
import dataclasses
import io
import logging
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histogan_tf.config import Config
from histogan_tf.config.families import GENERATOR
from histogan_tf.data.class_file import labels_among
from histogan_tf.data.image_set import ImageSet, label_number
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.errors import UserError, counted
from histogan_tf.machine.randomness import Purpose
from histogan_tf.metrics.checks import check_images
from histogan_tf.runs import files
from histogan_tf.runs.csv_cells import neutral_cells
from histogan_tf.runs.own_results import own_results
from histogan_tf.runs.run_directory import output_folder
from histogan_tf.synthesis.evaluation import real_images_of
from histogan_tf.synthesis.quiz_html import Question, quiz_html, quiz_id
from histogan_tf.trained.generate import chosen_label, sampler_of
from histogan_tf.trained.load import load_networks

logger = logging.getLogger(__name__)

_JPEG = (".jpg", ".jpeg")


@dataclasses.dataclass(frozen=True)
class _Patch:
    """A question with what the key says of it."""

    question: Question
    patch_id: str
    label: str


def make_quiz(config: Config) -> None:
    """Writes quiz.html and key.csv to --output_dir, or to the run's folder quiz/.

    Half of the --num_questions patches are real: those that --mode=evaluate would compare with the run's, or with the
    images of --synthetic_dir. If both sets have labels, each label has as many real patches as synthetic ones. The same
    --seed makes the same page.

    Raises:
        UserError: if there is no such run, or either set cannot be read, is too small, or they differ in size.
    """
    num_synthetic = config.num_questions // 2
    if config.synthetic_dir:
        real, synthetic, directory = _images_of_folder(config)
    else:
        real, synthetic, directory = _images_of_run(config, num_synthetic)
    _warn_of_jpeg(real)
    patches = _choose(real, synthetic, config.num_questions - num_synthetic, num_synthetic, config)
    questions = [patch.question for patch in patches]
    height, width, _ = questions[0].image.shape
    labels = {patch.label for patch in patches} - {""}
    subject = f"{labels.pop() + ' ' if len(labels) == 1 else ''}patches of {width}x{height} pixels"
    salt = np.random.default_rng([config.seed, len(patches)]).bytes(8).hex()
    with own_results(directory, ("quiz.html", "key.csv")):
        files.write_text(directory / "quiz.html", quiz_html(questions, subject, salt))
        files.write_text(directory / "key.csv", _key(patches))
    logger.info(
        "quiz %s with %d %s: give your readers %s, but not key.csv, which says what each patch is",
        quiz_id(questions),
        len(questions),
        subject,
        directory / "quiz.html",
    )


def _images_of_folder(config: Config) -> tuple[ImageSet, ImageSet, Path]:
    real = load_dataset(config)
    synthetic = load_synthetic(config.synthetic_dir, real.class_names, strict=config.strict, needs_labels=False)
    if config.label is not None and synthetic.labels is not None:
        number = label_number(config.label, real.class_names)
        synthetic = synthetic.select(np.flatnonzero(synthetic.labels == number))
    beside = Path(config.output_dir or Path(config.synthetic_dir) / "quiz").expanduser()
    return real, synthetic, beside


def _images_of_run(config: Config, num_synthetic: int) -> tuple[ImageSet, ImageSet, Path]:
    """Makes the first synthetic images of --seed, which --mode=generate makes too."""
    (source,) = load_networks(config, kind=GENERATOR)
    label = chosen_label(config, source)
    real = real_images_of(config, source, label)
    sampler = sampler_of(source)
    images = sampler.numbered(0, num_synthetic, config.seed, Purpose.GENERATED_LATENTS, label)
    numbers = sampler.numbered_labels(0, num_synthetic, label)
    is_labelled = real.labels is not None and (label is not None or source.config.conditional)
    synthetic = ImageSet(
        images=images,
        labels=labels_among(numbers, source.class_names, real.class_names) if is_labelled else None,
        ids=np.array([f"{source.output_directory.name}/{config.seed}/{number}" for number in range(num_synthetic)]),
        groups=None,
        name="synthetic",
        class_names=real.class_names if is_labelled else (),
    )
    return real, synthetic, output_folder(config, "quiz")


def _choose(real: ImageSet, synthetic: ImageSet, num_real: int, num_synthetic: int, config: Config) -> list[_Patch]:
    """Returns the patches of the quiz in their order; real and synthetic ones have the same labels and sizes."""
    rng = np.random.default_rng(config.seed)
    # Where labels cannot be kept even, patches of all labels are drawn alike.
    has_labels = real.labels is not None and synthetic.labels is not None
    labels = np.unique(synthetic.labels) if has_labels else None
    drawn = [
        images.take(_drawn(images, labels, number, rng))
        for images, number in ((real, num_real), (synthetic, num_synthetic))
    ]
    check_images(*(pixels for pixels, _ in drawn))
    patches = []
    for images, (pixels, indices), is_synthetic in zip((real, synthetic), drawn, (False, True), strict=True):
        sizes = rng.permutation(np.resize(config.quiz_sizes, len(indices)))
        for image, index, size in zip(pixels, indices, sizes, strict=True):
            label = images.class_names[images.labels[index]] if has_labels else ""
            patches.append(_Patch(Question(image, is_synthetic, int(size)), str(images.ids[index]), label))
    return [patches[place] for place in rng.permutation(len(patches))]


def _drawn(images: ImageSet, labels: np.ndarray | None, number: int, rng: np.random.Generator) -> np.ndarray:
    """Returns randomly drawn indices of images, int (number,), with the same number of each label if there are labels.

    Raises:
        UserError: if there are too few images, in all or of a label.
    """
    if labels is None:
        groups = {"": np.arange(len(images))}
    else:
        groups = {f" of label {label}": np.flatnonzero(images.labels == label) for label in labels}
    drawn = []
    for place, (words, group) in enumerate(groups.items()):
        wanted = len(range(place, number, len(groups)))  # the numbers differ by one at most
        if len(group) < wanted:
            raise UserError(
                f"{images.name!r} has {counted(len(group), 'image')}{words}, and the quiz needs {wanted}: give a "
                f"smaller --num_questions{', or one --label' if len(groups) > 1 else ', or more images'}"
            )
        drawn.append(rng.choice(group, wanted, replace=False))
    return np.concatenate(drawn)


def _warn_of_jpeg(real: ImageSet) -> None:
    if any(str(name).lower().endswith(_JPEG) for name in real.ids):
        logger.warning(
            "the real images of %r are JPEG files: their 8x8 blocks may tell readers which patches are real, so prefer "
            "files without loss, or train the generator on these",
            real.name,
        )


def _key(patches: Sequence[_Patch]) -> str:
    """Returns a CSV table: the number of each question, and its patch's origin, label, id and size on the screen."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["question", "truth", "label", "patch", "size"])
    for number, patch in enumerate(patches, start=1):
        question = patch.question
        writer.writerow(neutral_cells([number, question.origin, patch.label, patch.patch_id, question.size]))
    return text.getvalue()
