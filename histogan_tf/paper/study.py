"""Defines the stages of the study: what each reads, does and writes. The study's directory holds:

<checkpoint_dir>/<run>/
  study.json        every setting, the dataset, versions
  log.txt           what the terminal showed
  stages/           the record of each stage: its settings, inputs and outputs
  description/      a description of the dataset: its classes and their mean colours (Figures 1 and 2)
  split/            which images are for training and which for validation
  clusters/         clusters of the training images of the positive class, label 1 (Figure 4)
  seed-<seed>/      one repeat: its runs, its synthetic images in synthetic/ (Figure 3), their metrics in synthesis/,
                    and whether they belong to their labels in class_truth/
  features/         features of the classifier's backbone, named by the content that they were computed from
  comparison/       Figures 7 and 8
  table1.json       Table 1 with its intervals and tests; table1.csv holds the same as a table
  pictures/         the report's own pictures: patches side by side, and plots as SVG
  report.html       all of it, in one file
"""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Iterator

from histogan_tf.classifier.comparison import compare
from histogan_tf.classifier.transfer import train_classifier as train_classifier
from histogan_tf.config import Config
from histogan_tf.config.families import family_of
from histogan_tf.paper.class_truths import write_class_truth
from histogan_tf.paper.configs import SMALL_DATA, TISSUE, StudyConfigs, command_line, decisive_settings
from histogan_tf.paper.estimate import classifier_cost, sampling_cost, training_cost
from histogan_tf.paper.rows import BASELINE, PUBLISHED_ROWS, ROWS, SELECTION_ROWS, SYNTHETIC, Row
from histogan_tf.paper.selecting import has_images, select_images
from histogan_tf.paper.stages import Stage
from histogan_tf.paper.study_images import LABELS, StudyImages, write_split
from histogan_tf.paper.study_pictures import PICTURES, write_study_pictures
from histogan_tf.paper.study_report import write_study_report
from histogan_tf.paper.table1 import write_table
from histogan_tf.runs.run_directory import versions

logger = logging.getLogger(__name__)

_CLUSTERING = ("num_clusters", "vocabulary_size", "upsample", "dense", "root_sift", "tf_idf")
FIGURE5_MODELS = ("dcgan1", "dcgan2", "dcgan3")


class Study:
    """Makes the stages of one study.

    Args:
        config: the resolved Config of --mode=paper.
        images: the images of its dataset, with their split.
        backbone: digest of the classifier's pretrained weights.
        perform: runs the command of a Config of another mode.
    """

    def __init__(self, config: Config, images: StudyImages, backbone: str, perform: Callable[[Config], None]) -> None:
        self._config, self._images, self._backbone, self._perform = config, images, backbone, perform
        self._configs = StudyConfigs(config)
        self._directory = self._configs.directory

    def stages(self) -> list[Stage]:
        """Returns all stages, each after the stages that it needs."""
        stages = [*self._data_stages(), *self._figure5_stages()]
        for seed in self._configs.seeds:
            stages += self._image_stages(seed)
            stages += self._classifier_stages(seed)
        return [*stages, *self._result_stages()]

    def _data_stages(self) -> Iterator[Stage]:
        data = self._configs.data(mode="describe", output_dir=str(self._directory / "description"))
        settings = {**decisive_settings(data), "images": self._images.whole.fingerprint()}
        settings.pop("model")
        yield Stage("describe", "describe", settings, (), ("description",), functools.partial(self._perform, data))
        split = functools.partial(write_split, self._images, self._config, self._directory / "split")
        yield Stage("split", "split", settings, (), ("split",), split)
        cluster = self._configs.data(mode="cluster", label="1", output_dir=str(self._directory / "clusters"))
        settings = decisive_settings(cluster)
        settings |= {name: getattr(cluster, name) for name in _CLUSTERING}
        run = functools.partial(self._perform, cluster)
        yield Stage("cluster", "cluster", settings, ("split",), ("clusters",), run)

    def _figure5_stages(self) -> Iterator[Stage]:
        """Yields the stages of Figure 5: three DCGANs on the largest cluster of label 1, in the first repeat alone."""
        seed = self._configs.seeds[0]
        for model in FIGURE5_MODELS:
            config = self._configs.generator(
                "figure5",
                seed,
                model=model,
                run=f"{model}-cluster",
                label="1",
                clusters=str(self._directory / "clusters" / "clusters.csv"),
                cluster=0,
            )
            name, needs = f"{model}-cluster", ("split", "cluster")
            yield self._training(name, "figure5", config, needs, f"seed-{seed}/{name}", self._train_on_cluster)

    def _train_on_cluster(self, config: Config) -> None:
        summary = json.loads((self._directory / "clusters" / "summary.json").read_text(encoding="utf-8"))
        size = next(row["size"] for row in summary["clusters"] if row["cluster"] == config.cluster)
        if size < config.batch_size:
            logger.warning("the cluster has only %d images: %s is trained in batches of that size", size, config.model)
            config = dataclasses.replace(config, batch_size=size)
        self._perform(config)

    def _training(
        self,
        name: str,
        kind: str,
        config: Config,
        needs: tuple[str, ...],
        run: str,
        train: Callable[[Config], None] | None = None,
    ) -> Stage:
        own_section = family_of(config.model).section
        sections = ["network", "training", *([own_section] if own_section else [])]
        if "backbone" in family_of(config.model).card_sections:
            sections.append("backbone")
        train = train or self._perform
        counts = [self._images.num_training(label) for label in LABELS]
        # A CycleGAN's epoch is as long as its larger domain. A cluster's size is not known yet: its class bounds it.
        num_images = max(counts) if config.label is None and not config.conditional else sum(counts)
        num_images = counts[int(config.label)] if config.label else num_images
        return Stage(
            name,
            kind,
            decisive_settings(config, *sections),
            needs,
            (run,),
            functools.partial(train, config),
            can_resume=True,
            cost=functools.partial(training_cost, config, self._images.whole, num_images),
        )

    def _image_stages(self, seed: int) -> Iterator[Stage]:
        """Yields the stages of one repeat that train generators and make synthetic images with them."""
        configs, synthetic = self._configs, f"seed-{seed}/synthetic"
        for kind, prefix, changes in (
            ("dcgan", "dcgan3", {}),
            ("small", "small", SMALL_DATA),
            ("tissue", "tissue", TISSUE),
        ):
            runs = {label: f"{prefix}-{label}" for label in LABELS}
            for label, run in runs.items():
                config = configs.generator(kind, seed, run=run, label=str(label), **changes)
                yield self._training(f"{run}-seed-{seed}", kind, config, ("split",), f"seed-{seed}/{run}")
            needs = tuple(f"{run}-seed-{seed}" for run in runs.values())
            yield self._generation(kind, seed, needs, runs)
        run = "dcgan3-conditional"
        config = configs.generator("conditional", seed, run=run, conditional=True)
        yield self._training(f"{run}-seed-{seed}", "conditional", config, ("split",), f"seed-{seed}/{run}")
        needs = (f"{run}-seed-{seed}",)
        yield self._generation("conditional", seed, needs, dict.fromkeys(LABELS, run))
        config = configs.cyclegan(seed)
        name, run = f"cyclegan-seed-{seed}", f"seed-{seed}/cyclegan"
        yield self._training(name, "cyclegan", config, ("split",), run)
        output = f"{synthetic}/ccan"
        translate = configs.command("translate", seed, run="cyclegan", output_dir=str(self._directory / output))
        run = functools.partial(self._perform, translate)
        cost = functools.partial(sampling_cost, config, self._images.whole, int(self._images.is_training.sum()))
        yield Stage(f"translate-seed-{seed}", "translate", {}, (name,), (output,), run, cost=cost)

    def _generation(self, images: str, seed: int, needs: tuple[str, ...], runs: dict[int, str]) -> Stage:
        """Returns the stage that makes as many synthetic images of each label as it has real training images."""
        counts = {label: self._images.num_training(label) for label in LABELS}
        output = f"seed-{seed}/synthetic/{images}"

        def generate() -> None:
            for label, run in runs.items():
                self._perform(
                    self._configs.command(
                        "generate",
                        seed,
                        run=run,
                        label=str(label),
                        num_images=counts[label],
                        format="npz",
                        output_dir=str(self._directory / output),
                    )
                )

        settings = {"seed": seed, "num_images": {str(label): count for label, count in counts.items()}}
        changes = {"small": SMALL_DATA, "conditional": {"conditional": True}, "tissue": TISSUE}.get(images, {})
        generator = self._configs.generator(images, seed, **changes)
        cost = functools.partial(sampling_cost, generator, self._images.whole, sum(counts.values()))
        return Stage(f"generate-{images}-seed-{seed}", "generate", settings, needs, (output,), generate, cost=cost)

    def _source_stage(self, images: str, seed: int) -> str:
        """Returns the name of the stage that makes a set of synthetic images."""
        by_rule = {f"{name}-{rule}": name for name, rules in SELECTION_ROWS.items() for rule in rules}
        if images in by_rule:
            return f"select-{by_rule[images]}-seed-{seed}"
        return f"{'translate' if images == 'ccan' else f'generate-{images}'}-seed-{seed}"

    def _classifier_stages(self, seed: int) -> Iterator[Stage]:
        """Yields the stages that train classifiers, select images (by the classifier of real ones) and measure them."""
        baseline, *others = ROWS
        yield self._classifier_stage(baseline, seed)
        for name, rules in SELECTION_ROWS.items():
            yield self._selection(name, rules, seed)
        for row in others:
            yield self._classifier_stage(row, seed)
        for images in SYNTHETIC:
            yield self._synthesis_stage(images, seed)
            yield self._class_truth_stage(images, seed)

    def _classifier_stage(self, row: Row, seed: int) -> Stage:
        synthetic_dir = None if row.images is None else self._configs.folder(seed) / "synthetic" / row.images
        config = self._configs.classifier(row, seed, synthetic_dir=synthetic_dir)
        sections = ("classifier",) if config.fine_tune == "none" else ("classifier", "training")
        settings = decisive_settings(config, *sections)
        settings |= {"precision": config.precision, "backbone": self._backbone}
        needs = ("split",) if row.images is None else ("split", self._source_stage(row.images, seed))

        def train() -> None:
            of_row = config
            if row.rule and not has_images(synthetic_dir):
                logger.warning("%s: the rule kept no synthetic image; training on real images alone", row.title)
                of_row = self._configs.classifier(row, seed, synthetic_dir=None)
            train_classifier(of_row, self._directory / "features")

        name = f"classifier-{row.name}"
        output = f"seed-{seed}/{name}"
        # The features of real images are computed once for all rows; each other row adds those of its new images.
        num_images = len(self._images.whole) if row.name == BASELINE else int(self._images.is_training.sum())
        cost = functools.partial(classifier_cost, config, num_images * (config.views if row.is_perturbed else 1))
        return Stage(f"{name}-seed-{seed}", "classify", settings, needs, (output,), train, can_resume=True, cost=cost)

    def _selection(self, name: str, rules: tuple[str, ...], seed: int) -> Stage:
        synthetic = self._configs.folder(seed) / "synthetic"
        config = self._configs.command("evaluate", seed, run=f"classifier-{BASELINE}")
        needs = ("split", self._source_stage(name, seed), f"classifier-{BASELINE}-seed-{seed}")
        outputs = tuple(f"seed-{seed}/synthetic/{name}-{rule}" for rule in rules)
        settings = {"features": config.features, "weights": self._backbone}
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

        settings = {"features": self._config.features, "weights": self._backbone}
        needs = ("split", self._source_stage(images, seed))
        return Stage(f"synthesis-{images}-seed-{seed}", "synthesis", settings, needs, outputs, measure)

    def _class_truth_stage(self, images: str, seed: int) -> Stage:
        output, synthetic_dir = (
            f"seed-{seed}/class_truth/{images}.json",
            self._configs.folder(seed) / "synthetic" / images,
        )
        config = self._configs.classifier(ROWS[0], seed, synthetic_dir=None)
        settings = {"classifier_size": config.classifier_size, "precision": config.precision, "weights": self._backbone}
        needs = ("split", self._source_stage(images, seed))
        features = self._directory / "features"
        run = functools.partial(write_class_truth, config, synthetic_dir, self._directory / output, features)
        return Stage(f"class-truth-{images}-seed-{seed}", "synthesis", settings, needs, (output,), run)

    def _result_stages(self) -> Iterator[Stage]:
        """Yields the last stages: Figures 7 and 8 of the first repeat, Table 1, and the report."""
        first = self._configs.seeds[0]
        needs = tuple(f"classifier-{name}-seed-{first}" for name in PUBLISHED_ROWS)
        config = self._configs.command(
            "evaluate",
            first,
            compare=tuple(f"classifier-{name}" for name in PUBLISHED_ROWS),
            output_dir=str(self._directory / "comparison"),
        )
        run = functools.partial(compare, config, self._directory / "features")
        yield Stage("compare", "compare", {}, needs, ("comparison",), run)
        needs = tuple(f"classifier-{row.name}-seed-{seed}" for seed in self._configs.seeds for row in ROWS)
        folders = [self._configs.folder(seed) for seed in self._configs.seeds]
        outputs = ("table1.json", "table1.csv")
        settings = {"seed": self._config.seed, "repeats": len(folders)}
        positive_class = self._images.whole.class_names[1]
        run = functools.partial(write_table, self._directory, folders, positive_class, seed=self._config.seed)
        yield Stage("table", "table", settings, needs, outputs, run)
        needs = ("describe", "cluster", *(f"{model}-cluster" for model in FIGURE5_MODELS), "compare", "table")
        needs += tuple(
            f"{measure}-{images}-seed-{seed}"
            for measure in ("synthesis", "class-truth")
            for images in SYNTHETIC
            for seed in self._configs.seeds
        )
        shown = (
            *(f"{run}-{label}" for run in ("dcgan3", "small", "tissue") for label in LABELS),
            "dcgan3-conditional",
            "cyclegan",
        )
        needs += tuple(f"{run}-seed-{first}" for run in shown)
        pictures = ("split", *needs, *dict.fromkeys(self._source_stage(images, first) for images in SYNTHETIC))
        drawn = [*(f"{model}-cluster" for model in FIGURE5_MODELS), *shown]
        run = functools.partial(
            write_study_pictures, self._directory, folders[0], self._images, drawn, self._config.seed
        )
        yield Stage("pictures", "report", {"seed": self._config.seed}, pictures, (PICTURES,), run)
        needs += ("pictures",)
        settings = {"command": command_line(self._config), "versions": versions()}
        run = functools.partial(write_study_report, self._directory, self._config)
        yield Stage("report", "report", settings, needs, ("report.html",), run)
