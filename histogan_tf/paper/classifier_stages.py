"""Defines the stages of the study that train classifiers, choose images for them, and measure both."""

from __future__ import annotations

import functools
import logging
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from histogan_tf.classifier.transfer import train_classifier
from histogan_tf.metrics.measured import INTERVALS
from histogan_tf.paper.class_truths import write_class_truth
from histogan_tf.paper.colour_baseline import train_colour_classifier
from histogan_tf.paper.configs import decisive_settings
from histogan_tf.paper.curves import CurveSources, write_curves
from histogan_tf.paper.estimate import classifier_cost
from histogan_tf.paper.few_epochs import write_few_epochs
from histogan_tf.paper.few_patients import FewPatients
from histogan_tf.paper.rows import BASELINE, COLOUR, SELECTION_ROWS, STAIN, Row, rows_of
from histogan_tf.paper.selecting import has_images, select_images
from histogan_tf.paper.stage_maker import StageMaker
from histogan_tf.paper.stages import Stage
from histogan_tf.paper.study_images import LABELS

logger = logging.getLogger(__name__)

_SOURCES = {"ccan": "translate", STAIN: "stain"}  # stages that make a set of images; else generate-<set>


class ClassifierStages(StageMaker):
    """Makes the stages of a study that train classifiers on real and synthetic images."""

    @functools.cached_property
    def synthetic(self) -> list[str]:
        """The sets of synthetic images that the study makes, keys of rows.SYNTHETIC."""
        return [name for name in self._configs.synthetic if name != STAIN or self._images.is_colour]

    @functools.cached_property
    def rows(self) -> tuple[Row, ...]:
        """The rows of the table, the first of which is the baseline."""
        return rows_of(self.synthetic, is_colour=self._images.is_colour, fine_tune=self._config.fine_tune)

    def stages(self, seed: int) -> Iterator[Stage]:
        """Yields the stages of one repeat.

        They train classifiers, select images by the classifier of real ones, and measure the synthetic images of the
        repeats that have their own.
        """
        baseline, *others = self.rows
        yield self._classifier_stage(baseline, seed)
        makes_images = seed in self._configs.gan_seeds
        for name, rules in SELECTION_ROWS.items():
            if makes_images and name in self.synthetic:
                yield self._selection(name, rules, seed)
        for row in others:
            if seed in self._seeds_of(row):
                yield self._classifier_stage(row, seed)
        for name in self._measured_sets if makes_images else ():
            yield self._synthesis_stage(name, seed)
            yield self._class_truth_stage(name, seed)

    @property
    def _measured_sets(self) -> list[str]:
        """The sets of images that networks made; those with other stains are real ones, and are not measured."""
        return [name for name in self.synthetic if name != STAIN]

    @property
    def _backbone_settings(self) -> dict[str, Any]:
        """The settings that decide the backbone's features, for stages that compare sets of images by them."""
        names = ("classifier_size", "feature_layer", "center_crop")
        return {"weights": self._backbone, **{name: getattr(self._config, name) for name in names}}

    def _seeds_of(self, row: Row) -> range:
        """Returns the seeds of a row's repeats: where the network is tuned, which takes long, as few as of a GAN."""
        return self._configs.seeds if row.fine_tune is None else self._configs.gan_seeds

    def needs_of_table(self) -> tuple[str, ...]:
        """Returns the names of the stages of the classifiers of all rows and repeats."""
        return tuple(f"classifier-{row.name}-seed-{seed}" for row in self.rows for seed in self._seeds_of(row))

    def rows_of_networks(self) -> list[Row]:
        """Returns the rows with all images of a network, alone or beside the real ones, in the order of the table."""
        return [row for row in self.rows if row.images in self._measured_sets and row.fine_tune is None]

    def runs(self) -> dict[Row, list[Path]]:
        """Returns the run directories of the classifiers of each row, one for each of its repeats."""
        return {
            row: [self._configs.folder(seed) / f"classifier-{row.name}" for seed in self._seeds_of(row)]
            for row in self.rows
        }

    def sources(self, seed: int) -> tuple[str, ...]:
        """Returns the names of the stages that make the sets of synthetic images of a repeat."""
        return tuple(self._source_stage(name, seed) for name in self.synthetic)

    def needs_of_measures(self) -> tuple[str, ...]:
        """Returns the names of the stages that measure synthetic images."""
        return tuple(
            f"{measure}-{name}-seed-{seed}"
            for measure in ("synthesis", "class-truth")
            for name in self._measured_sets
            for seed in self._configs.gan_seeds
        )

    def _classifier_stage(self, row: Row, seed: int) -> Stage:
        """Returns the stage of a row's classifier, whose synthetic images may be those of another repeat."""
        gan_seed = self._configs.gan_seed(seed)
        synthetic_dir = None if row.images is None else self._configs.folder(gan_seed) / "synthetic" / row.images
        config = self._configs.classifier(row, seed, synthetic_dir=synthetic_dir)
        sections = ("classifier",) if config.fine_tune == "none" else ("classifier", "training")
        settings = decisive_settings(config, *sections)
        settings |= {"precision": config.precision, "backbone": self._backbone}
        needs = ("split",) if row.images is None else ("split", self._source_stage(row.images, gan_seed))

        def train() -> None:
            if row.name == COLOUR:
                train_colour_classifier(config, self._directory / output)
                return
            of_row = config
            if row.rule and not has_images(synthetic_dir):
                logger.warning("%s: the rule kept no synthetic image; training on real images alone", row.title)
                of_row = self._configs.classifier(row, seed, synthetic_dir=None)
            train_classifier(of_row, self._directory / "features")

        name = f"classifier-{row.name}"
        output = f"seed-{seed}/{name}"
        # The features of real images are computed once for all rows; each other row adds those of its new images.
        num_training = int(self._images.is_training.sum())
        num_images = len(self._images.whole) if row.name == BASELINE else num_training
        views = config.views if row.perturbations else 1
        num_training *= 1 if row.images is None else 2
        cost = functools.partial(classifier_cost, config, num_images * views, num_training * views)
        return Stage(f"{name}-seed-{seed}", "classify", settings, needs, (output,), train, can_resume=True, cost=cost)

    def _source_stage(self, images: str, seed: int) -> str:
        """Returns the name of the stage that makes a set of synthetic images."""
        by_rule = {f"{name}-{rule}": name for name, rules in SELECTION_ROWS.items() for rule in rules}
        if images in by_rule:
            return f"select-{by_rule[images]}-seed-{seed}"
        return f"{_SOURCES.get(images, f'generate-{images}')}-seed-{seed}"

    def _selection(self, name: str, rules: tuple[str, ...], seed: int) -> Stage:
        synthetic = self._configs.folder(seed) / "synthetic"
        config = self._configs.command("evaluate", seed, run=f"classifier-{BASELINE}")
        needs = ("split", self._source_stage(name, seed), f"classifier-{BASELINE}-seed-{seed}")
        outputs = tuple(f"seed-{seed}/synthetic/{name}-{rule}" for rule in rules)
        settings = {"features": config.features, **self._backbone_settings}
        run = functools.partial(select_images, config, synthetic / name, rules, synthetic / name)
        return Stage(f"select-{name}-seed-{seed}", "select", settings, needs, outputs, run)

    def _synthesis_stage(self, images: str, seed: int) -> Stage:
        folder = self._configs.folder(seed)
        outputs = tuple(f"seed-{seed}/synthesis/{images}-{label}" for label in LABELS)

        def measure() -> None:
            for label, output in zip(LABELS, outputs, strict=True):
                changes = {"label": str(label), "output_dir": str(self._directory / output)}
                source = str(folder / "synthetic" / images)
                self._perform(self._configs.command("evaluate", seed, synthetic_dir=source, **changes))

        settings = {"features": self._config.features, **self._backbone_settings}
        needs = ("split", self._source_stage(images, seed))
        return Stage(f"synthesis-{images}-seed-{seed}", "synthesis", settings, needs, outputs, measure)

    def _class_truth_stage(self, images: str, seed: int) -> Stage:
        output = f"seed-{seed}/class_truth/{images}.json"
        synthetic_dir = self._configs.folder(seed) / "synthetic" / images
        config = self._configs.classifier(self.rows[0], seed, synthetic_dir=None)
        settings = {"precision": config.precision, **self._backbone_settings}
        needs = ("split", self._source_stage(images, seed))
        features = self._directory / "features"
        run = functools.partial(write_class_truth, config, synthetic_dir, self._directory / output, features)
        return Stage(f"class-truth-{images}-seed-{seed}", "synthesis", settings, needs, (output,), run)

    def few_epochs_stage(self) -> Stage:
        """Returns the stage that trains the last layer for a few epochs of SGD, on real images and with synthetic ones.

        Its rows are Real and those of each network's images beside the real ones.
        """
        first = self._configs.seeds[0]
        baseline = self.rows[0]
        enlarged = [row for row in self.rows_of_networks() if row.train_on == "both"]
        synthetic = self._configs.folder(first) / "synthetic"
        configs = {baseline: self._configs.classifier(baseline, first, synthetic_dir=None)}
        configs |= {row: self._configs.classifier(row, first, synthetic_dir=synthetic / row.images) for row in enlarged}
        settings = decisive_settings(configs[baseline], "classifier")
        settings |= {"precision": configs[baseline].precision, "backbone": self._backbone}
        needs = ("split", *(self._source_stage(row.images, first) for row in enlarged))
        run = functools.partial(write_few_epochs, configs, self._directory)
        return Stage("few-epochs", "few_epochs", settings, needs, ("few_epochs",), run)

    def curve_stage(self, draws: Mapping[int, Sequence[FewPatients]]) -> Stage:
        """Returns the stage that measures the curves over the number of patients and of synthetic images.

        Args:
            draws: by each seed of draws of few patients, its draws; a tissue GAN is trained on each.
        """
        first = self._configs.seeds[0]
        config = self._configs.classifier(self.rows[0], first, synthetic_dir=None)
        synthetic = self._configs.folder(first) / "synthetic"
        sets = {name: [synthetic / name] for name in self.synthetic}
        needs = ["split", *(self._source_stage(name, first) for name in self.synthetic)]
        for name in self._configs.enlarged_sets:
            sets[name].append(synthetic / f"{name}-more")
            needs.append(f"generate-{name}-more-seed-{first}")
        few = {}
        for seed, of_seed in draws.items():
            for draw in of_seed:
                few[seed, draw.num_patients] = self._configs.few_folder(seed) / f"images-{draw.num_patients}"
                needs.append(f"generate-few-{draw.num_patients}-seed-{seed}")
        if "tissue" in sets:
            few[first, self._images.num_training_patients] = synthetic / "tissue"
        settings = {
            **decisive_settings(config, "classifier"),
            "few_patients": list(self._config.few_patients),
            "precision": config.precision,
            "backbone": self._backbone,
            "intervals": INTERVALS,
        }
        sources = CurveSources(sets, few, self._config.few_patients)
        run = functools.partial(write_curves, config, self._images, sources, self._directory)
        return Stage("curves", "curves", settings, tuple(needs), ("curves",), run)
