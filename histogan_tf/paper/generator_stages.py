"""Defines the stages of the study that train GANs and make synthetic images with them."""

from __future__ import annotations

import dataclasses
import functools
import json
import logging
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from histogan_tf.config import Config
from histogan_tf.config.families import family_of
from histogan_tf.errors import counted
from histogan_tf.paper.configs import FEW, MOST_SYNTHETIC, STUDY_GENERATORS, decisive_settings
from histogan_tf.paper.estimate import Cost, sampling_cost, training_cost
from histogan_tf.paper.few_patients import FewPatients, draw_patients, write_few_patients
from histogan_tf.paper.rows import STAIN
from histogan_tf.paper.stage_maker import StageMaker
from histogan_tf.paper.stages import Stage
from histogan_tf.paper.stain_moved import write_stain_moved
from histogan_tf.paper.study_images import LABELS

logger = logging.getLogger(__name__)

_OTHER_DRAW = 1_000_000  # added to a repeat's seed for latent vectors that are not those of its own images
FIGURE5_MODELS = ("dcgan1", "dcgan2", "dcgan3")


@dataclasses.dataclass(frozen=True)
class _MadeImages:
    """A set of images that a stage makes with trained generators.

    Attributes:
        stage: the name of the stage.
        kind: the kind of the stages that trained the generators.
        seed: the seed of the latent vectors.
        needs: the names of the stages that trained the generators.
        runs: the run that makes the images of each label.
        counts: the number of images of each label.
        checkpoint_dir: the folder of the runs.
        folder: the folder to write the images to.
    """

    stage: str
    kind: str
    seed: int
    needs: tuple[str, ...]
    runs: Mapping[int, str]
    counts: Mapping[int, int]
    checkpoint_dir: Path
    folder: Path


class GeneratorStages(StageMaker):
    """Makes the stages of a study that end in synthetic images."""

    def figure5_stages(self) -> Iterator[Stage]:
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
            stage = self._training(name, "figure5", config, needs, f"seed-{seed}/{name}", self._train_on_cluster)
            yield dataclasses.replace(stage, cost=functools.partial(self._cost_on_cluster, config))

    def _train_on_cluster(self, config: Config) -> None:
        size = self._cluster_size(config.cluster)
        if size < config.batch_size:
            number = counted(size, "image")
            logger.warning("the cluster has only %s: %s is trained in batches of that size", number, config.model)
            config = dataclasses.replace(config, batch_size=size)
        self._perform(config)

    def _cost_on_cluster(self, config: Config) -> Cost:
        """Estimates the cost of training on a cluster; on its whole class, if the clusters are not made yet."""
        try:
            size = self._cluster_size(config.cluster)
        except (OSError, ValueError, LookupError, TypeError, StopIteration):  # missing, or damaged and to be redone
            size = self._images.num_training(int(config.label))
        config = dataclasses.replace(config, batch_size=min(config.batch_size, size))
        return training_cost(config, self._images.whole, size)

    def _cluster_size(self, cluster: int) -> int:
        """Returns the number of images in a cluster, as the stage of the clusters wrote it."""
        summary = json.loads((self._directory / "clusters" / "summary.json").read_text(encoding="utf-8"))
        return next(row["size"] for row in summary["clusters"] if row["cluster"] == cluster)

    def image_stages(self, seed: int) -> Iterator[Stage]:
        """Yields the stages of one repeat that train generators and make a set of synthetic images with each."""
        for name in self._configs.synthetic:
            if name in STUDY_GENERATORS:
                yield from self._generator_stages(name, seed)
            elif name == "ccan":
                yield from self._translation_stages(seed)
            elif self._images.is_colour:
                yield self._stain_stage(seed)

    def _generator_stages(self, name: str, seed: int) -> Iterator[Stage]:
        generator = STUDY_GENERATORS[name]
        for run, label in generator.runs.items():
            config = self._configs.generator(name, seed, run=run, label=label)
            yield self._training(f"{run}-seed-{seed}", name, config, ("split",), f"seed-{seed}/{run}")
        yield self._generation(self._set_of(name, seed))

    def _set_of(self, name: str, seed: int) -> _MadeImages:
        """Returns a repeat's set of images of a generator: of each label as many as there are real ones to train on."""
        generator, folder = STUDY_GENERATORS[name], self._configs.folder(seed)
        return _MadeImages(
            stage=f"generate-{name}-seed-{seed}",
            kind=name,
            seed=seed,
            needs=tuple(f"{run}-seed-{seed}" for run in generator.runs),
            runs={label: generator.run(label) for label in LABELS},
            counts={label: self._images.num_training(label) for label in LABELS},
            checkpoint_dir=folder,
            folder=folder / "synthetic" / name,
        )

    def _generation(self, made: _MadeImages) -> Stage:
        def generate() -> None:
            where = {"checkpoint_dir": str(made.checkpoint_dir), "output_dir": str(made.folder)}
            for label, count in made.counts.items():
                self._perform(self._configs.generation(made.runs[label], made.seed, label, count, **where))

        settings = {"seed": made.seed, "num_images": {str(label): count for label, count in made.counts.items()}}
        generator = self._configs.generator(made.kind, made.seed)
        cost = functools.partial(sampling_cost, generator, self._images.whole, sum(made.counts.values()))
        outputs = (self._relative(made.folder),)
        return Stage(made.stage, "generate", settings, made.needs, outputs, generate, cost=cost)

    def _translation_stages(self, seed: int) -> Iterator[Stage]:
        config = self._configs.cyclegan(seed)
        name, output = f"cyclegan-seed-{seed}", f"seed-{seed}/synthetic/ccan"
        yield self._training(name, "cyclegan", config, ("split",), f"seed-{seed}/cyclegan")
        translate = self._configs.command("translate", seed, run="cyclegan", output_dir=str(self._directory / output))
        run = functools.partial(self._perform, translate)
        cost = functools.partial(sampling_cost, config, self._images.whole, int(self._images.is_training.sum()))
        yield Stage(f"translate-seed-{seed}", "translate", {}, (name,), (output,), run, cost=cost)

    def _stain_stage(self, seed: int) -> Stage:
        """Returns the stage that moves the stain of each real training image to the mean of the other class."""
        output = f"seed-{seed}/synthetic/{STAIN}"
        run = functools.partial(write_stain_moved, self._config, self._directory / output)
        return Stage(f"stain-seed-{seed}", "stain", {}, ("split",), (output,), run)

    def more_stages(self) -> Iterator[Stage]:
        """Yields the stages that make more images, of the first repeat, for the curve over the number of images.

        With those of the table there are then MOST_SYNTHETIC for each real training image.
        """
        seed = self._configs.seeds[0]
        for name in self._configs.enlarged_sets:
            made = self._set_of(name, seed)
            more = dataclasses.replace(
                made,
                stage=f"generate-{name}-more-seed-{seed}",
                seed=seed + _OTHER_DRAW,
                counts={label: (MOST_SYNTHETIC - 1) * count for label, count in made.counts.items()},
                folder=made.folder.with_name(f"{name}-more"),
            )
            yield self._generation(more)

    def few_stages(self, seed: int) -> Iterator[Stage]:
        """Yields the stages of a seed's draws, which train a tissue GAN on few patients each and make images with it.

        Args:
            seed: the seed of the draws and of the GANs; it need not be that of a repeat.
        """
        draws = self.draws(seed)
        if not draws:
            return
        folder = self._configs.few_folder(seed)
        csv_path, name = folder / "patients.csv", f"few-patients-seed-{seed}"
        run = functools.partial(write_few_patients, self._images, draws, csv_path)
        settings = {"num_patients": [draw.num_patients for draw in draws], "seed": seed}
        yield Stage(name, FEW, settings, ("split",), (self._relative(csv_path),), run)
        for draw in draws:
            chosen = {"clusters": str(csv_path), "cluster": draw.num_patients, "checkpoint_dir": str(folder)}
            config = self._configs.generator(FEW, seed, run=f"tissue-{draw.num_patients}-patients", **chosen)
            trained = f"{config.run}-seed-{seed}"
            output = self._relative(folder / config.run)
            stage = self._training(trained, FEW, config, ("split",), output, num_images=sum(draw.counts.values()))
            # Another number in --few_patients changes the file, but not the lines of this number: they follow from
            # the split, the seed and the number.
            yield dataclasses.replace(stage, after=(name,))
            made = _MadeImages(
                stage=f"generate-few-{draw.num_patients}-seed-{seed}",
                kind=FEW,
                seed=seed,
                needs=(trained,),
                runs=dict.fromkeys(LABELS, config.run),
                counts=draw.counts,
                checkpoint_dir=folder,
                folder=folder / f"images-{draw.num_patients}",
            )
            yield self._generation(made)

    def _training(
        self,
        name: str,
        kind: str,
        config: Config,
        needs: tuple[str, ...],
        run: str,
        train: Callable[[Config], None] | None = None,
        *,
        num_images: int | None = None,
    ) -> Stage:
        """Returns the stage that trains a GAN; `num_images` is an epoch's length where the flags do not tell it."""
        own_section = family_of(config.model).section
        sections = ["network", "training", *([own_section] if own_section else [])]
        network = {}
        if "backbone" in family_of(config.model).card_sections:
            sections.append("backbone")
            # Not recorded of a ResNet-18, so that stages that were done before there was a choice stay done.
            network = {} if config.backbone == "resnet18" else {"trained_against": config.backbone}
        counts = [self._images.num_training(label) for label in LABELS]
        # A CycleGAN's epoch is as long as its larger domain.
        of_flags = max(counts) if config.label is None and not config.conditional else sum(counts)
        of_flags = counts[int(config.label)] if config.label else of_flags
        return Stage(
            name,
            kind,
            decisive_settings(config, *sections) | network,
            needs,
            (run,),
            functools.partial(train or self._perform, config),
            can_resume=True,
            cost=functools.partial(training_cost, config, self._images.whole, num_images or of_flags),
        )

    def _relative(self, path: Path) -> str:
        return path.relative_to(self._directory).as_posix()

    def draws(self, seed: int) -> list[FewPatients]:
        """Returns a seed's draws of few patients on which a tissue GAN is trained, one for each number of them.

        All training patients are no draw: the first repeat's own tissue GAN is trained on them. A draw with too few
        images of a label is left out.
        """
        if "tissue" not in self._configs.synthetic:
            return []
        fewest, num_all = self._configs.generator(FEW, seed).batch_size, self._images.num_training_patients
        numbers = sorted({number for number in self._config.few_patients if number < num_all})
        drawn = [draw_patients(self._images, number, seed) for number in numbers]
        return [draw for draw in drawn if draw and sum(draw.counts.values()) >= fewest]
