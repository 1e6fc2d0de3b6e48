"""Defines the stages of the study: what each reads, does and writes. The study's directory holds:

<checkpoint_dir>/<run>/
  study.json        every setting, the dataset, versions
  log.txt           what the terminal showed
  stages/           the record of each stage: its settings, inputs and outputs
  description/      a description of the dataset: its classes and their mean colours (Figures 1 and 2)
  split/            which images are for training and which for validation
  clusters/         clusters of the training images of the positive class, label 1 (Figure 4)
  seed-<seed>/      one repeat: its runs, its synthetic images in synthetic/ (Figure 3), their metrics in synthesis/,
                    whether they belong to their labels in class_truth/, and in few/ the tissue GANs of the few patients
                    that are drawn with this seed; --few_draws may be more than --repeats
  features/         features of the classifier's backbone, named by the content that they were computed from
  comparison/       Figures 7 and 8
  few_epochs/       the last layer after each of a few epochs of gradient descent
  curves/           AUC over the number of patients, and over the number of synthetic images
  table1.json       Table 1 with its intervals and tests; table1.csv holds the same as a table
  pictures/         the report's own pictures: patches side by side, and plots as SVG
  maps/             slide maps of three validation patients, where the names of patches say their places
  report.html       all of it, in one file
"""

from __future__ import annotations

import functools
from collections.abc import Iterator

from histogan_tf.classifier.comparison import compare
from histogan_tf.metrics.measured import INTERVALS
from histogan_tf.paper.classifier_stages import ClassifierStages
from histogan_tf.paper.configs import command_line, decisive_settings
from histogan_tf.paper.generator_stages import FIGURE5_MODELS, GeneratorStages
from histogan_tf.paper.rows import BASELINE
from histogan_tf.paper.stage_maker import StageMaker
from histogan_tf.paper.stages import Stage
from histogan_tf.paper.study_images import write_split
from histogan_tf.paper.study_maps import MAPS, write_study_maps
from histogan_tf.paper.study_pictures import PICTURES, write_study_pictures
from histogan_tf.paper.study_report import write_study_report
from histogan_tf.paper.table1 import write_table
from histogan_tf.runs.run_directory import versions

_CLUSTERING = ("num_clusters", "vocabulary_size", "upsample", "dense", "root_sift", "tf_idf")


class Study(StageMaker):
    """Makes all stages of one study."""

    @functools.cached_property
    def _generators(self) -> GeneratorStages:
        return GeneratorStages(self._config, self._images, self._backbone, self._perform)

    @functools.cached_property
    def _classifiers(self) -> ClassifierStages:
        return ClassifierStages(self._config, self._images, self._backbone, self._perform)

    def stages(self) -> list[Stage]:
        """Returns all stages, each after the stages that it needs."""
        stages = [*self._data_stages(), *self._generators.figure5_stages()]
        for seed in self._configs.seeds:
            if seed in self._configs.gan_seeds:
                stages += self._generators.image_stages(seed)
            stages += self._classifiers.stages(seed)
        draws = {seed: self._generators.draws(seed) for seed in self._configs.draw_seeds}
        for seed in draws:
            stages += self._generators.few_stages(seed)
        stages += [*self._generators.more_stages(), self._classifiers.few_epochs_stage()]
        stages.append(self._classifiers.curve_stage(draws))
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

    def _result_stages(self) -> Iterator[Stage]:
        """Yields the last stages: Figures 7 and 8 of the first repeat, Table 1, and the report."""
        first = self._configs.seeds[0]
        yield from self._compare_stages()
        needs = self._classifiers.needs_of_table()
        folder = self._configs.folder(first)
        outputs = ("table1.json", "table1.csv")
        settings = {"seed": self._config.seed, "repeats": len(self._configs.seeds), "intervals": INTERVALS}
        positive_class = self._images.whole.class_names[1]
        runs = self._classifiers.runs()
        run = functools.partial(write_table, self._directory, runs, positive_class, seed=self._config.seed)
        yield Stage("table", "table", settings, needs, outputs, run)
        shown = self._configs.gan_runs
        read = ("cluster", *(f"{model}-cluster" for model in FIGURE5_MODELS), "table")
        read += tuple(f"{run}-seed-{first}" for run in shown)
        # The report's own pictures show nothing of these, so that more draws of few patients leave them alone.
        others = ("describe", *(stage.name for stage in self._compare_stages()), "curves", "few-epochs")
        others += self._classifiers.needs_of_measures()
        pictures = ("split", *read, *self._classifiers.sources(first))
        drawn = [*(f"{model}-cluster" for model in FIGURE5_MODELS), *shown]
        curves = [self._classifiers.rows[0], *self._classifiers.rows_of_networks()]
        run = functools.partial(
            write_study_pictures,
            self._directory,
            folder,
            self._images,
            self._classifiers.synthetic,
            drawn,
            curves,
            self._config.seed,
        )
        settings = {"seed": self._config.seed, "rows_of_curves": [row.name for row in curves]}
        yield Stage("pictures", "report", settings, pictures, (PICTURES,), run, after=others)
        run = functools.partial(write_study_maps, self._directory, folder, self._images)
        yield Stage("maps", "report", {}, ("split", f"classifier-{BASELINE}-seed-{first}"), (MAPS,), run)
        needs = (*read, *others, "pictures", "maps")
        settings = {"command": command_line(self._config), "versions": versions()}
        run = functools.partial(write_study_report, self._directory, self._config, self._classifiers.synthetic)
        yield Stage("report", "report", settings, needs, ("report.html",), run)

    def _compare_stages(self) -> Iterator[Stage]:
        """Yields the stage that compares the paper's classifiers, if the study has another of them than Real."""
        first = self._configs.seeds[0]
        rows = [row.name for row in self._classifiers.rows if row.published]
        if len(rows) == 1:
            return
        needs = tuple(f"classifier-{name}-seed-{first}" for name in rows)
        config = self._configs.command(
            "evaluate",
            first,
            compare=tuple(f"classifier-{name}" for name in rows),
            output_dir=str(self._directory / "comparison"),
        )
        run = functools.partial(compare, config, self._directory / "features")
        yield Stage("compare", "compare", {"intervals": INTERVALS}, needs, ("comparison",), run)
