"""Measures from how few patients on synthetic images help a classifier, and how many of them.

Two curves, both of linear classifiers on the features of the frozen backbone, measured on all validation images:

- over the number of training patients, with perturbed views of the real images, and with images of a tissue GAN that
  was trained on the same few patients and saw no other;
- over the number of synthetic images for each real one, with all training patients.

Each is compared with the classifier of the same real images alone. Means over several draws of patients have
intervals for other draws and other validation patients (metrics/random_draws.py); what was measured once has intervals
for other validation patients.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.classifier.classifier_data import load_data
from histogan_tf.classifier.head import HeadFitter, TrainingFeatures, choose_penalty
from histogan_tf.classifier.metric_tables import to_json
from histogan_tf.config import Config
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.synthetic import load_synthetic
from histogan_tf.errors import counted
from histogan_tf.metrics.differences import mean_differences
from histogan_tf.metrics.random_draws import metrics_over_draws
from histogan_tf.metrics.repeats import mean_metrics
from histogan_tf.paper.configs import MOST_SYNTHETIC
from histogan_tf.paper.curve_plots import plot_curves
from histogan_tf.paper.few_patients import draw_patients
from histogan_tf.paper.rows import BASELINE
from histogan_tf.paper.study_features import study_features
from histogan_tf.paper.study_images import LABELS, StudyImages
from histogan_tf.runs import files

logger = logging.getLogger(__name__)

NUM_DRAWS = 10  # of patients at each number of them, where no GAN has to be trained
# What an interval of curves.json takes into account; files of earlier versions lack this and count no draws.
COUNTS_DRAWS = "the draws of patients, where there are several, and the validation patients"
RATIOS = (0.25, 0.5, 1.0, 2.0, float(MOST_SYNTHETIC))
_FEWEST_OF_WANTED = 0.8  # a set that has this share of the images wanted is measured with all that it has
# The keys of curve_plots.WAYS that need no training: name -> --perturbations.
_PERTURBED = {"perturbed": ("rotation", "flips", "noise"), "stain": ("stain",)}
_METRICS = ("roc_auc", "recall_at_precision_90", "precision", "recall", "accuracy")


@dataclasses.dataclass(frozen=True)
class CurveSources:
    """Where the synthetic images of the curves lie.

    Attributes:
        sets: by the name of each set of images of generators trained on all patients, the folders that hold it.
        few: by the seed of a draw and its number of patients, the folder of images of a tissue GAN trained on those;
            the whole training part is drawn by the seed of the first draw.
        num_patients: the numbers of patients of the curve; the whole training part is added.
    """

    sets: Mapping[str, Sequence[Path]]
    few: Mapping[tuple[int, int], Path]
    num_patients: Sequence[int]

    def seeds_of(self, number: int) -> list[int]:
        """Returns the seeds of the draws of a number of patients that a tissue GAN was trained on."""
        return [seed for seed, of_number in self.few if of_number == number]


def write_curves(config: Config, images: StudyImages, sources: CurveSources, directory: Path) -> None:
    """Writes curves/curves.json and its plot, curves/curves.svg.

    Args:
        config: the settings of the classifier that is trained on real images.
        images: the images of the study.
        sources: where the synthetic images lie.
        directory: the study's directory; it holds the features that its classifiers share.

    Raises:
        UserError: if images cannot be read.
    """
    measuring = _Measuring(config, directory / "features")
    curves = {
        "intervals_over": COUNTS_DRAWS,
        "over_patients": list(_over_patients(measuring, images, sources)),
        "over_ratio": list(_over_ratio(measuring, sources)),
    }
    files.write_json(directory / "curves" / "curves.json", curves)
    plot_curves(directory / "curves" / "curves.svg", curves)


class _Measuring:
    """Fits linear classifiers to chosen training images, and measures them on the validation images.

    Args:
        config: the settings of the classifier that is trained on real images.
        features_directory: the folder of cached features.
    """

    def __init__(self, config: Config, features_directory: Path) -> None:
        self._config = config
        self._data = load_data(config)
        self._cache = study_features(config, self._data.validation.image_shape, features_directory)
        self._validation = self._cache.views(self._data.validation)[0]

    @property
    def seed(self) -> int:
        """The seed of the first draw of patients, and of the folds."""
        return self._config.seed

    @property
    def real(self) -> ImageSet:
        """The real training images."""
        return self._data.real

    def features_of(self, images: ImageSet, perturbations: Collection[str] = ()) -> np.ndarray:
        """Returns the features of images and of their perturbed views, float32 (num_views, num_images, d)."""
        return self._cache.views(images, perturbations, self._config.views if perturbations else 0)

    def synthetic(self, folders: Sequence[Path]) -> ImageSet:
        """Returns the synthetic images in folders, as one set."""
        parts = [load_synthetic(str(folder), self.real.class_names) for folder in folders]
        columns = {
            name: np.concatenate([getattr(part, name) for part in parts]) for name in ("images", "labels", "ids")
        }
        return dataclasses.replace(parts[0], **columns)

    def probabilities(
        self, real: np.ndarray, chosen: np.ndarray, synthetic: tuple[np.ndarray, np.ndarray] | None = None
    ) -> np.ndarray:
        """Trains a classifier and returns its probabilities of label 1 for the validation images.

        Args:
            real: float32 (num_views, num_real, d), features of all real training images.
            chosen: int (num_chosen,), the real images to train on.
            synthetic: features, float32 (num_synthetic, d), and labels of synthetic images to train on as well.
        """
        labels, groups = self.real.labels[chosen], None if self.real.groups is None else self.real.groups[chosen]
        features, num_synthetic = real[:, chosen], 0
        if synthetic is not None:
            num_synthetic = len(synthetic[1])
            features = np.concatenate([features, synthetic[0][None]], axis=1)
            labels = np.concatenate([labels, synthetic[1]])
            if groups is not None:
                groups = np.concatenate([groups, [f"synthetic {number}" for number in range(num_synthetic)]])
        is_real = np.arange(len(labels)) < len(chosen)
        training = TrainingFeatures(features, labels, groups, is_real)
        fitter = HeadFitter(training)
        penalty, _ = choose_penalty(training, fitter, self._config.seed)
        return fitter.fits(np.ones(len(labels), bool))(penalty).probabilities(self._validation)

    def point(self, runs: Sequence[np.ndarray], baselines: Sequence[np.ndarray] | None) -> dict[str, Any]:
        """Returns the metrics of several classifiers, and their differences from others, as means with intervals.

        Args:
            runs: the probabilities of the classifier of each draw of patients.
            baselines: the probabilities of the classifier of the same real images alone, for each; None to leave the
                differences out.
        """
        labels, groups = self._data.validation.labels, self._data.validation.groups
        options = {"groups": groups, "seed": self._config.seed}
        several = len(runs) > 1
        point = {"metrics": (metrics_over_draws if several else mean_metrics)(labels, runs, **options)}
        if baselines is not None:
            compare = metrics_over_draws if several else mean_differences
            point["against_real"] = compare(labels, runs, baselines, **options)
        return {key: to_json({name: metrics[name] for name in _METRICS}) for key, metrics in point.items()}


def _over_patients(measuring: _Measuring, images: StudyImages, sources: CurveSources) -> Iterator[dict[str, Any]]:
    """Yields a point for each number of patients and each way of enlarging their images."""
    real = measuring.real
    if real.groups is None:
        return
    seed = measuring.seed
    features = {name: measuring.features_of(real, names) for name, names in ({BASELINE: ()} | _ways(real)).items()}
    num_all = len(np.unique(real.groups))
    for number in sorted({*(count for count in sources.num_patients if count < num_all), num_all}):
        seeds = [seed] if number == num_all else sorted({*range(seed, seed + NUM_DRAWS), *sources.seeds_of(number)})
        draws = {draw: draw_patients(images, number, draw) for draw in seeds}
        found = {draw: drawn for draw, drawn in draws.items() if drawn is not None}
        chosen = {
            draw: np.flatnonzero(np.isin(real.ids, images.whole.ids[drawn.indices])) for draw, drawn in found.items()
        }
        if not chosen:
            logger.warning("no draw of %s has enough images of both labels: it is left out", counted(number, "patient"))
            continue
        alone = {draw: measuring.probabilities(features[BASELINE], indices) for draw, indices in chosen.items()}
        about = {"num_patients": number, "num_images": float(np.mean([len(indices) for indices in chosen.values()]))}
        yield {**about, "way": BASELINE, "num_draws": len(alone), **measuring.point(list(alone.values()), None)}
        for way in _ways(real):
            runs = [measuring.probabilities(features[way], indices) for indices in chosen.values()]
            yield {**about, "way": way, "num_draws": len(runs), **measuring.point(runs, list(alone.values()))}
        few = [draw for draw in chosen if (draw, number) in sources.few]
        runs = []
        for draw in few:
            made = measuring.synthetic([sources.few[draw, number]])
            extra = measuring.features_of(made)[0], made.labels
            runs.append(measuring.probabilities(features[BASELINE], chosen[draw], extra))
        if runs:
            point = measuring.point(runs, [alone[draw] for draw in few])
            yield {**about, "way": "tissue", "num_draws": len(runs), **point}
        logger.info("%s: measured with %s", counted(number, "patient"), counted(len(chosen), "draw"))


def _ways(real: ImageSet) -> dict[str, tuple[str, ...]]:
    """Returns the perturbations that the images allow: stain needs three channels."""
    return {way: names for way, names in _PERTURBED.items() if real.image_shape[-1] == 3 or "stain" not in names}


def _over_ratio(measuring: _Measuring, sources: CurveSources) -> Iterator[dict[str, Any]]:
    """Yields a point for each set of synthetic images and each number of them for each real one."""
    real = measuring.real
    features, everything = measuring.features_of(real), np.arange(len(real))
    alone = measuring.probabilities(features, everything)
    yield {"ratio": 0.0, "images": BASELINE, "num_synthetic": 0, **measuring.point([alone], None)}
    for name, folders in sources.sets.items():
        made = measuring.synthetic(folders)
        extra = measuring.features_of(made)[0]
        order = np.random.default_rng(measuring.seed).permutation(len(made))
        for ratio in RATIOS:
            wanted = {label: round(ratio * int(np.sum(real.labels == label))) for label in LABELS}
            of_label = {label: order[made.labels[order] == label] for label in LABELS}
            if any(len(of_label[label]) < _FEWEST_OF_WANTED * count for label, count in wanted.items()):
                continue
            chosen = np.concatenate([of_label[label][:count] for label, count in wanted.items()])
            run = measuring.probabilities(features, everything, (extra[chosen], made.labels[chosen]))
            point = measuring.point([run], [alone])
            yield {"ratio": ratio, "images": name, "num_synthetic": len(chosen), **point}
        logger.info("%s: measured with up to %s", name, counted(len(made), "image"))
