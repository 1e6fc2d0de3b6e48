"""One short function per --mode: it wires config, data, model, trainer and run directory."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from histogan_tf import clustering, device, distribution, figures, generation, translation, visualization
from histogan_tf.checkpoints import Checkpoints, best_directory
from histogan_tf.classifier.comparison import compare
from histogan_tf.classifier.evaluation import evaluate as evaluate_classifier
from histogan_tf.classifier.prediction import classify
from histogan_tf.classifier.training import train as train_classifier
from histogan_tf.config import Config, flag_fields
from histogan_tf.data import pipeline
from histogan_tf.data.domains import load_domains
from histogan_tf.data.download import download
from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.loading import load
from histogan_tf.describe import describe
from histogan_tf.errors import UserError
from histogan_tf.models.tables import network_table
from histogan_tf.paper.command import run_study
from histogan_tf.runs import Run, begin_run, read_metrics, read_run, sole_writer
from histogan_tf.serving.export import export
from histogan_tf.synthesis import evaluation as synthesis_evaluation
from histogan_tf.synthesis.best_checkpoint import MAX_IMAGES, MeasuredDCGANTrainer
from histogan_tf.training import loop
from histogan_tf.training.cyclegan import CycleGANTrainer
from histogan_tf.training.dcgan import DCGANTrainer, generator_of, sampled_state
from histogan_tf.training.sampling import Sampler

logger = logging.getLogger(__name__)

_DEFAULT_SAMPLE_FREQ = 200
_CLUSTERING_FLAGS = ("num_clusters", "vocabulary_size", "upsample", "dense", "root_sift", "tf_idf")


def run_command(config: Config) -> None:
    """Does what --mode says.

    Raises:
        UserError: for a mistake of the user.
        loop.Interrupted: when training was stopped by a signal.
    """
    device.prepare(config)
    distribution.start(config)
    perform(config)


def perform(config: Config) -> None:
    """Does what --mode says on a device that is prepared: the study's stages are commands too.

    Raises:
        UserError: for a mistake of the user.
        loop.Interrupted: when training was stopped by a signal.
    """
    commands = {
        "train": train_classifier if config.model == "resnet18" else train,
        "classify": classify,
        "evaluate": evaluate,
        "generate": generate,
        "translate": translation.translate,
        "visualize": visualize,
        "cluster": cluster,
        "paper": functools.partial(run_study, perform=perform),
        "export": export,
        "describe": describe,
        "download": download,
    }
    commands[config.mode](config)


def train(config: Config) -> None:
    """Trains --model on every replica of --distribution, or goes on where its run stopped."""
    distribution.check_batch_size(config)
    with distribution.scope(config):
        _train(config)


def _train(config: Config) -> None:
    job = _cyclegan_job(config) if config.model == "cyclegan" else _dcgan_job(config)
    total_steps = min(config.epoch * job.steps_per_epoch, config.max_steps or config.epoch * job.steps_per_epoch)
    directory = begin_run(config, job.dataset)
    with sole_writer(directory), distribution.workers_watched():
        run = Run(directory, config)
        checkpoints = Checkpoints(run.checkpoint_directory, job.trainer.state(), config.max_to_keep)
        start_step = checkpoints.restore()
        distribution.check_same("the steps made and in all", [start_step, total_steps])
        if start_step >= total_steps:
            logger.info("%s is finished: %d of %d steps; raise --epoch to go on", directory, start_step, total_steps)
            return
        _tell_settings(config, job.trainer, directory, start_step, total_steps)
        if start_step == 0:
            for name, images in job.reals.items():
                run.save_sheet(name, images)
        schedule = loop.Schedule(
            steps_per_epoch=job.steps_per_epoch,
            total_steps=total_steps,
            sample_freq=config.sample_freq or min(_DEFAULT_SAMPLE_FREQ, job.steps_per_epoch),
            ckpt_freq=config.ckpt_freq,
            ckpt_minutes=config.ckpt_minutes,
        )
        started = time.monotonic()
        batches = job.batches(start_step, total_steps, *distribution.this_worker())
        loop.train(job.trainer, batches, run, checkpoints, schedule)
        if distribution.is_chief():
            title = f"{config.model} on {config.dataset}"
            figures.plot_losses(directory / "losses.png", read_metrics(directory), job.plotted_losses, title)
        seconds = time.monotonic() - started
        logger.info("trained %d steps in %.0f s: %s", total_steps - start_step, seconds, directory)


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """What `train` needs of a model family.

    Attributes:
        trainer: its networks and its step.
        dataset: what the run records of its images.
        reals: sheets of real images by name, uint8 (num_images, height, width, channels).
        steps_per_epoch: steps in which all images are seen once.
        batches: the trainer's batches from one global step to before another, or one of so many equal parts of each.
        plotted_losses: names of the losses in the plot at the end.
    """

    trainer: loop.Trainer
    dataset: Mapping[str, Any]
    reals: Mapping[str, np.ndarray]
    steps_per_epoch: int
    batches: Callable[[int, int, int, int], tf.data.Dataset]
    plotted_losses: Sequence[str]


def _dcgan_job(config: Config) -> TrainingJob:
    image_set = load(config)
    if config.conditional and not image_set.num_classes:
        raise UserError(f"--conditional needs labels, and {image_set.name} has none: sort its images into sub-folders")
    steps_per_epoch = pipeline.steps_per_epoch(len(image_set), config.batch_size)
    trainer = DCGANTrainer(config, image_set.image_shape, image_set.num_classes if config.conditional else 0)
    if config.eval_freq:
        trainer = MeasuredDCGANTrainer(trainer, config, _spread(image_set.images, MAX_IMAGES))
    return TrainingJob(
        trainer=trainer,
        dataset=describe_dataset(image_set),
        reals={"reals": _spread(image_set.images, config.sample_num)},
        steps_per_epoch=steps_per_epoch,
        batches=functools.partial(pipeline.batches, image_set, config.batch_size, config.seed),
        plotted_losses=("d_loss", "g_loss"),
    )


def _cyclegan_job(config: Config) -> TrainingJob:
    domains = load_domains(config)
    set_a, set_b = (domain.image_set for domain in domains)
    # An epoch ends when the larger domain has been seen once.
    steps_per_epoch = max(pipeline.steps_per_epoch(len(images), config.batch_size) for images in (set_a, set_b))
    samples = [_spread(image_set.images, config.sample_num) for image_set in (set_a, set_b)]
    return TrainingJob(
        trainer=CycleGANTrainer(config, set_a.image_shape, steps_per_epoch, samples),
        dataset={
            "name": set_a.name,
            "image_shape": list(set_a.image_shape),
            "class_names": list(set_a.class_names),
            "domains": [{"label": domain.label, **describe_dataset(domain.image_set)} for domain in domains],
        },
        reals={"reals_A": samples[0], "reals_B": samples[1]},
        steps_per_epoch=steps_per_epoch,
        batches=functools.partial(pipeline.two_domain_batches, set_a, set_b, config.batch_size, config.seed),
        plotted_losses=("G_A2B", "G_B2A", "cycle_A", "cycle_B", "D_A", "D_B"),
    )


def _spread(images: np.ndarray, most: int) -> np.ndarray:
    """At most so many of the images, evenly spread, for sets are often sorted by class."""
    return images[np.linspace(0, len(images) - 1, min(most, len(images))).astype(int)]


def generate(config: Config) -> None:
    """Makes --num_images images with a trained generator."""
    generation.generate(config, *_trained_generator(config))


def visualize(config: Config) -> None:
    """Draws what --visualize says of a trained generator's latent space."""
    visualization.visualize(config, *_trained_generator(config))


def evaluate(config: Config) -> None:
    """Measures a classifier, compares several, or measures synthetic images: whatever --run and the flags name."""
    if config.compare:
        compare(config)
    elif config.synthetic_dir:
        synthesis_evaluation.evaluate_folder(config)
    else:
        directory, run_config, dataset = read_run(config)
        if run_config.model == "resnet18":
            evaluate_classifier(config)
        elif run_config.model == "cyclegan":
            raise UserError(f"{directory} translates: use --mode=translate, then evaluate with --synthetic_dir")
        else:
            synthesis_evaluation.evaluate_generator(config, *_trained_generator(config), dataset)


def cluster(config: Config) -> None:
    """Groups the images of a dataset by what SIFT sees in them."""
    image_set = load(config)
    if config.vocabulary:
        ignored = sorted(set(_CLUSTERING_FLAGS) & config.given)
        if ignored:
            raise UserError(f"--vocabulary={config.vocabulary} has its own --{', --'.join(ignored)}: leave them out")
        model = clustering.load_model(Path(config.vocabulary).expanduser())
        result = clustering.assign_images(image_set, model, num_workers=config.num_workers)
    else:
        settings = {name: getattr(config, name) for name in _CLUSTERING_FLAGS}
        result = clustering.cluster_images(image_set, seed=config.seed, num_workers=config.num_workers, **settings)
    label = f"-{config.label}" if config.label else ""
    default_directory = Path(config.checkpoint_dir) / f"clusters-{image_set.name}{label}"
    directory = Path(config.output_dir or default_directory).expanduser()
    summary = clustering.write_clusters(result, image_set, directory, seed=config.seed)
    if summary["num_images_without_descriptors"]:
        logger.warning("%d images have no key point: cluster -1", summary["num_images_without_descriptors"])
    sizes = ", ".join(f"{row['size']} in {row['cluster']}" for row in summary["clusters"])
    logger.info("clusters: %s; see %s", sizes, directory)


def describe_dataset(image_set: ImageSet) -> dict[str, Any]:
    """What a run records of its images, to know them again and to build its networks without them."""
    return {
        "name": image_set.name,
        "num_images": len(image_set),
        "image_shape": list(image_set.image_shape),
        "class_names": list(image_set.class_names),
        "images_per_class": image_set.counts(),
        "fingerprint": image_set.fingerprint(),
    }


def _trained_generator(config: Config) -> tuple[Sampler, generation.TrainedRun]:
    directory, run_config, dataset = read_run(config)
    if not run_config.model.startswith("dcgan"):
        raise UserError(
            f"{directory} is a run of {run_config.model}; --mode={config.mode} needs a DCGAN: choose its --run"
        )
    class_names = tuple(dataset["class_names"])
    num_classes = len(class_names) if run_config.conditional else 0
    generator = generator_of(run_config, tuple(dataset["image_shape"]), num_classes)
    last_directory = directory / "ckpt"
    chosen_directory = best_directory(last_directory) if config.checkpoint == "best" else last_directory
    step = Checkpoints(chosen_directory, sampled_state(run_config, generator)).restore(partial=True)
    if step == 0 and config.checkpoint == "best":
        raise UserError(f"{directory} has no best checkpoint: train it with --eval_freq, or leave --checkpoint out")
    if step == 0:
        raise UserError(f"{directory} has no checkpoint yet: train it with --mode=train first")
    logger.info("%s, trained for %d steps", directory, step)
    return Sampler(generator, run_config, num_classes), generation.TrainedRun(directory, run_config, class_names)


def _tell_settings(config: Config, trainer: loop.Trainer, directory: Path, start_step: int, total_steps: int) -> None:
    for network in trainer.networks:
        logger.info(network_table(network))
    own_section = {"cyclegan": "cyclegan", "resnet18": "classifier"}.get(config.model)
    settings = {
        field.name: getattr(config, field.name)
        for field in flag_fields()
        if field.metadata["section"] in ("data", "network", "training", own_section, "watching")
    }
    logger.info("settings: %s", "  ".join(f"{name}={value}" for name, value in settings.items() if value is not None))
    begin = f"going on after step {start_step}" if start_step else "starting"
    logger.info("%s, up to step %d; run directory %s", begin, total_steps, directory)
