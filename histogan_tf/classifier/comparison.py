"""Classifier runs side by side: a table, McNemar's test, the paper's Figures 7 and 8 (nearest neighbours)."""

from __future__ import annotations

import dataclasses
import logging
from pathlib import Path

import numpy as np

from histogan_tf.classifier import plots
from histogan_tf.classifier.class_results import class_metrics_table
from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.classifier.features import feature_cache
from histogan_tf.classifier.metric_tables import metrics_table, to_json
from histogan_tf.classifier.prediction import backbone_note, require_classifier
from histogan_tf.classifier.predictions_file import Predictions, read_predictions
from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.config import Config
from histogan_tf.config.families import CLASSIFIER
from histogan_tf.data.positive_class import positive_note
from histogan_tf.errors import UserError, counted, escaped
from histogan_tf.machine.console import Lines
from histogan_tf.metrics.classification import evaluate_classifier, mcnemar_test
from histogan_tf.metrics.distances import nearest
from histogan_tf.metrics.measured import Metric
from histogan_tf.metrics.multiclass import evaluate_classes, overall_metrics
from histogan_tf.runs import files
from histogan_tf.runs.own_results import own_results
from histogan_tf.runs.run_directory import read_run
from histogan_tf.trained.load import load_networks

logger = logging.getLogger(__name__)

SHOWN_NEIGHBOURS = 5
_MOST_QUERIES = 8
_DRAWN = ("precision", "recall", "accuracy", "specificity", "f1", "roc_auc")


@dataclasses.dataclass(frozen=True)
class ComparedRun:
    """A run with what it predicted for the validation images."""

    name: str
    config: Config
    class_names: tuple[str, ...]
    predictions: Predictions

    @property
    def is_right(self) -> np.ndarray:
        """Whether the run is right about each image, bool (num_images,)."""
        probabilities = self.predictions.probabilities
        called = probabilities >= THRESHOLD if self.is_of_two else probabilities.argmax(axis=1)
        return called == self.predictions.labels

    @property
    def is_of_two(self) -> bool:
        """Whether the classifier tells two classes apart, and not more."""
        return len(self.class_names) == 2

    @property
    def about(self) -> str:
        """What the metrics are about, for titles."""
        return positive_note(self.class_names) if self.is_of_two else f"{len(self.class_names)} classes"

    def metrics(self, seed: int) -> dict[str, Metric]:
        """Returns the metrics of the predictions, with the seed of their intervals."""
        labels, groups = self.predictions.labels, self.predictions.groups
        if self.is_of_two:
            return evaluate_classifier(labels, self.predictions.probabilities, groups=groups, seed=seed)
        return overall_metrics(evaluate_classes(labels, self.predictions.probabilities, groups=groups, seed=seed))


def compare(config: Config, features_directory: Path | None = None) -> None:
    """Compares the runs of --compare on the validation images that they share; the first is the baseline.

    Writes to --output_dir, or to the first run's folder compared/: comparison.json, comparison.md, comparison.png
    (Figure 7) and, for each other run, neighbours-RUN.png (Figure 8), if the two differ on an image and the images are
    still where that run found them.

    Args:
        config: resolved.
        features_directory: of cached features, where runs share them; each run's own features/ if None.

    Raises:
        UserError: if there are fewer than two runs, or they are not classifiers measured on the same images.
    """
    if len(set(config.compare)) < 2:
        raise UserError(f"--compare={','.join(config.compare)}: name two runs or more, separated by commas")
    runs = [_read(config, name) for name in dict.fromkeys(config.compare)]
    baseline, others = runs[0], runs[1:]
    for other in others:
        _check_same_images(baseline, other)
    directory = Path(config.checkpoint_dir).expanduser() / baseline.name / "compared"
    if config.output_dir:
        directory = Path(config.output_dir).expanduser()
    neighbours = [f"neighbours-{other.name}.png" for other in others]
    names = ["comparison.json", "comparison.md", "comparison.png", *neighbours]
    with own_results(directory, names, stale=r"neighbours-.*\.png"):
        _compare_into(directory, config, runs, features_directory)


def _compare_into(directory: Path, config: Config, runs: list[ComparedRun], features_directory: Path | None) -> None:
    baseline, others = runs[0], runs[1:]
    metrics = {run.name: run.metrics(config.seed) for run in runs}
    everything = np.ones(len(baseline.predictions.labels), np.int32)  # the test asks only which images a run gets right
    tests = {other.name: mcnemar_test(everything, baseline.is_right, other.is_right) for other in others}
    notes = {run.name: f"{backbone_note(run.config)}, trained on {run.config.train_on}" for run in runs}
    verdicts = [
        f"{name} against {baseline.name}: right where the other is wrong on {counted(test.num_only_second, 'image')}, "
        f"wrong where it is right on {test.num_only_first}; McNemar's exact p = {test.p_value:.3g}"
        for name, test in tests.items()
    ]
    table = metrics_table(metrics, baseline.class_names[1]) if baseline.is_of_two else class_metrics_table(metrics)
    shown_notes = [escaped(f"- {name}: {note}") for name, note in notes.items()]
    text = "\n".join([table, "", *shown_notes, "", *map(escaped, verdicts)])
    logger.info("%s", Lines(text))
    files.write_text(directory / "comparison.md", text + "\n")
    result = {
        name: {"note": notes[name], "metrics": to_json(metrics[name])}
        | ({"mcnemar": dataclasses.asdict(tests[name])} if name in tests else {})
        for name in metrics
    }
    classes = {"class_names": list(baseline.class_names)}
    if baseline.is_of_two:
        classes = {"positive_class": baseline.class_names[1]}
    summary = {"baseline": baseline.name, **classes, "runs": result}
    files.write_json(directory / "comparison.json", summary)
    title = "; ".join([*sorted({backbone_note(run.config) for run in runs}), baseline.about])
    drawn = _DRAWN if baseline.is_of_two else tuple(metrics[baseline.name])
    plots.plot_comparison(directory / "comparison.png", metrics, drawn, title)
    for other in others:
        _draw_neighbours(config, baseline, other, directory, features_directory)
    logger.info("comparison: %s", directory)


def _read(config: Config, name: str) -> ComparedRun:
    directory, run_config, dataset = read_run(dataclasses.replace(config, run=name), flag="compare")
    require_classifier(directory, run_config)
    class_names = tuple(dataset["class_names"])
    return ComparedRun(name, run_config, class_names, read_predictions(directory / "predictions.csv"))


def _check_same_images(baseline: ComparedRun, other: ComparedRun) -> None:
    first, second = baseline.predictions, other.predictions
    if baseline.class_names != other.class_names and not (baseline.is_of_two and other.is_of_two):
        raise UserError(
            f"{baseline.name} has the classes {', '.join(baseline.class_names)}, and {other.name} has "
            f"{', '.join(other.class_names)}: compare runs of the same dataset"
        )
    if baseline.class_names != other.class_names:
        raise UserError(
            f"{baseline.name} tells {baseline.class_names[1]} (the positive class) from {baseline.class_names[0]}, and "
            f"{other.name} tells {other.class_names[1]} from {other.class_names[0]}: compare runs of the same dataset "
            f"and --positive_class"
        )
    if not (np.array_equal(first.ids, second.ids) and np.array_equal(first.labels, second.labels)):
        raise UserError(
            f"{baseline.name} and {other.name} were measured on other images ({len(first.ids)} and {len(second.ids)}): "
            f"compare runs of the same --dataset, --split_by and --split_seed"
        )


def _draw_neighbours(
    config: Config, baseline: ComparedRun, other: ComparedRun, directory: Path, features_directory: Path | None
) -> None:
    """Draws the training images nearest to those that one run alone gets right, as the other run sees them."""
    queries = choose_queries(
        baseline.is_right, other.is_right, _shown_probabilities(baseline), _shown_probabilities(other)
    )
    if not len(queries):
        logger.info("%s and %s are right on the same images: no neighbours to show", baseline.name, other.name)
        return
    (trained,) = load_networks(dataclasses.replace(config, run=other.name, given=frozenset()), kind=CLASSIFIER)
    try:
        data = load_data(trained.config)
    except UserError as error:
        logger.warning("no neighbours of %s: its images are not where they were (%s)", other.name, error)
        return
    if not np.array_equal(data.validation.ids, other.predictions.ids):
        logger.warning("no neighbours of %s: its images have changed since it was trained", other.name)
        return
    cache = feature_cache(
        trained.config,
        trained.network.get_layer("features"),
        features_directory or trained.output_directory / "features",
    )
    features = np.concatenate([cache.views(part)[0] for part in data.parts])
    found = nearest(cache.views(data.validation)[0][queries], features, min(SHOWN_NEIGHBOURS, len(features)))
    probabilities = [_shown_probabilities(run)[queries] for run in (baseline, other)]
    rows = [
        (
            data.validation.images[query],
            f"{data.validation.class_names[data.validation.labels[query]]}\n{before:.2f} → {after:.2f}",
        )
        for query, before, after in zip(queries, *probabilities, strict=True)
    ]
    captions = np.array(data.validation.class_names)[data.labels]
    neighbours = [
        [
            (image, f"{captions[index]}\nd = {distance:.2g}", index < len(data.real))
            for image, index, distance in zip(data.images_at(indices), indices, row_distances, strict=True)
        ]
        for indices, row_distances in zip(found.indices, np.sqrt(found.squares), strict=True)
    ]
    shown = other.class_names[1] if other.is_of_two else "the true class"
    title = (
        f"Left: images that one classifier alone gets right, with the probability of {shown}: {baseline.name} → "
        f"{other.name}\nBeside each: the training images nearest to it, at distance d in the features of {other.name}\n"
        f"({backbone_note(other.config)})"
    )
    plots.plot_neighbours(directory / f"neighbours-{other.name}.png", rows, neighbours, title)


def _shown_probabilities(run: ComparedRun) -> np.ndarray:
    """Returns the probabilities of label 1; of three classes or more, those of each image's true class."""
    predictions = run.predictions
    if run.is_of_two:
        return predictions.probabilities
    return predictions.probabilities[np.arange(len(predictions.labels)), predictions.labels]


def choose_queries(
    first_is_right: np.ndarray, second_is_right: np.ndarray, first: np.ndarray, second: np.ndarray
) -> np.ndarray:
    """Returns the indices of images that one run alone gets right: up to four each way, of the largest change."""
    change = np.abs(second - first)
    chosen = []
    for mended in (second_is_right & ~first_is_right, first_is_right & ~second_is_right):
        indices = np.flatnonzero(mended)
        chosen.append(indices[np.argsort(-change[indices], kind="stable")][: _MOST_QUERIES // 2])
    return np.concatenate(chosen)
