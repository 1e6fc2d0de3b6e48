"""Starts the training of each model family: its images and networks, its run directory, its log, and the loop."""

from __future__ import annotations

import dataclasses
import functools
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import CLASSIFIER, FAMILIES, family_of
from histogan_tf.config.parsing import parse_keywords
from histogan_tf.data import pipeline
from histogan_tf.data.domains import load_domains
from histogan_tf.data.given_images import config_for, flags_of
from histogan_tf.data.image_set import WAYS_TO_LABEL, ImageSet
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.stain import check_stainable
from histogan_tf.data.synthetic import synthetic_of
from histogan_tf.errors import UserError, counted, doing
from histogan_tf.machine import workers
from histogan_tf.machine.console import details_logger
from histogan_tf.machine.device import prepare
from histogan_tf.models.cpu_kernels.algorithm_choice import algorithms_chosen_by
from histogan_tf.models.tables import network_table, num_trainable
from histogan_tf.reporting import pictures
from histogan_tf.runs.checkpoints import Checkpoints
from histogan_tf.runs.run_directory import (
    begin_run,
    read_metrics,
    recorded_machine,
    recorded_precision,
    run_directory,
    writing_run,
)
from histogan_tf.runs.run_writer import Run
from histogan_tf.runs.settings_history import record_settings
from histogan_tf.training import loop
from histogan_tf.training.best_checkpoint import MAX_MEASURED_IMAGES, MeasuredTrainer
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.generator_trainer import GeneratorTrainer
from histogan_tf.training.memory_need import warn_of_memory
from histogan_tf.training.projected_step import ProjectedTrainer
from histogan_tf.training.recorded_algorithms import algorithms_of_run
from histogan_tf.training.starting import start_from

logger = logging.getLogger(__name__)

_LOSS_PLOT = "losses.png"
_MOST_STEPS_BETWEEN_SHEETS = 200
_MOST_IMAGES_FOR_MODES = 4000


@dataclasses.dataclass(frozen=True)
class TrainingJob:
    """The parts of `train_network` that differ between model families.

    Attributes:
        trainer: the networks and their training step.
        dataset: the run's record of its images.
        reals: sheets of real images by name, each uint8 (num_images, height, width, channels).
        steps_per_epoch: the number of steps in which all images are seen once.
        batches: a function of start_step, stop_step, part and num_parts that returns this worker's part of the
            trainer's batches for the steps start_step to stop_step - 1; see `pipeline.batches`.
        plotted_losses: the names of the losses in the plot at the end.
        patients: the patients of the images, sorted; None if unknown.
        after_start: is called when the networks have taken over the weights of another run.
    """

    trainer: loop.Trainer
    dataset: Mapping[str, Any]
    reals: Mapping[str, np.ndarray]
    steps_per_epoch: int
    batches: Callable[[int, int, int, int], tf.data.Dataset]
    plotted_losses: Sequence[str]
    patients: Sequence[str] | None = None
    after_start: Callable[[], None] = lambda: None


def train_given_images(
    images: ImageSet, flags: Mapping[str, Any], synthetic: ImageSet | Mapping[Any, np.ndarray] | str | None = None
) -> Path:
    """Trains on images that a Python program hands over, or goes on where the run stopped.

    Args:
        images: to train on; of labelled ones the training part, as on the command line.
        flags: values by flag name; the flags that the images were loaded with hold.
        synthetic: images for a classifier's training set, by label, or the folder that holds them; None for none.

    Returns:
        The run directory.

    Raises:
        UserError: for a mistake of the user.
        loop.Interrupted: when training was stopped by a signal.
    """
    model = parse_keywords({name: flags.get(name) for name in ("flagfile", "model")}).model
    family = family_of(model)
    in_memory: dict[str, ImageSet] = {}
    if synthetic is not None:
        if family.kind != CLASSIFIER:
            raise UserError(f"synthetic is for a classifier, such as model='resnet18', not for {model}: leave it out")
        if flags.get("synthetic_dir") is not None:
            raise UserError(f"synthetic and synthetic_dir={flags['synthetic_dir']!r} are both given: leave one out")
        if not isinstance(synthetic, str | Path):
            in_memory["synthetic"] = synthetic_of(synthetic, images.class_names)
        flags = {"train_on": "both", **flags, "synthetic_dir": "images in memory" if in_memory else synthetic}
    chosen_images = images
    if family.kind == CLASSIFIER and images.is_as_loaded and "label" in images.settings:
        logger.warning(
            "a classifier learns all labels, and images were loaded with label=%s: the whole of %s is loaded for it",
            images.settings["label"],
            images.name,
        )
        chosen_images = None
        images = dataclasses.replace(images, settings={**images.settings, "label": None})
    config = config_for(images, flags, mode="train", function="train()", own_flags=_training_flags())
    if in_memory:
        config = dataclasses.replace(config, synthetic_dir=None)
    config = prepare(config, recorded_machine(config), recorded_precision(config))
    workers.start(config)
    family.call("train", config, images=chosen_images, **in_memory)
    return run_directory(config)


def _training_flags() -> frozenset[str]:
    """The flags that training heeds, beside those of data."""
    of_families = {family.section for family in FAMILIES.values() if family.section}
    return flags_of("command", "network", "training", "backbone", "watching", *of_families) | {"recall_at_least"}


def train_dcgan(config: Config, images: ImageSet | None = None) -> None:
    """Trains a DCGAN on given images, or on those of --dataset if None; see `train_network`."""
    train_network(config, functools.partial(_generator_job, images=images, make_trainer=_dcgan_trainer))


def train_projected(config: Config, images: ImageSet | None = None) -> None:
    """Trains a projected GAN on given images, or on those of --dataset if None; see `train_network`."""
    train_network(config, functools.partial(_generator_job, images=images, make_trainer=_projected_trainer))


def train_cyclegan(config: Config, images: ImageSet | None = None) -> None:
    """Trains a CycleGAN on given images, or on those of --dataset if None; see `train_network`."""
    train_network(config, functools.partial(_cyclegan_job, images=images))


def train_network(config: Config, make_job: Callable[[Config], TrainingJob]) -> None:
    """Trains networks step by step on every replica of --distribution, or continues where their run stopped.

    Args:
        config: the resolved flags.
        make_job: a function that loads the family's images and builds its networks; called in the scope of the
            replicas.

    Raises:
        UserError: for a mistake of the user.
        loop.Interrupted: when training was stopped by a signal.
    """
    workers.check_batch_size(config)
    with workers.scope(config):
        _train_in_scope(config, make_job)


def _train_in_scope(config: Config, make_job: Callable[[Config], TrainingJob]) -> None:
    with doing("reading the images and building the networks"):
        job = make_job(config)
    total_steps = min(config.epoch * job.steps_per_epoch, config.max_steps or config.epoch * job.steps_per_epoch)
    own_checkpoints = run_directory(config) / "ckpt"
    start = start_from(config, job.trainer.state(), job.dataset, job.patients, own_checkpoints)
    origin = None if start is None else start.record
    with writing_run(config), workers.workers_watched():
        directory = begin_run(config, job.dataset, patients=job.patients, initialized_from=origin)
        run = Run(directory, config)
        checkpoints = Checkpoints(run.checkpoint_directory, job.trainer.state(), config.max_to_keep)
        start_step = checkpoints.restore()
        if start is not None:
            start.tell()
            job.after_start()
            checkpoints.save(0)  # from now on the run does not need the other one
        workers.check_same("the steps made and in all", [start_step, total_steps])
        if start_step >= total_steps:
            made = f"{start_step} of {counted(total_steps, 'step')}"
            if start_step > total_steps:
                made = f"{counted(start_step, 'step')} made, more than the {total_steps} asked for"
            limit = "epoch" if total_steps == config.epoch * job.steps_per_epoch else "max_steps"
            logger.info("%s is finished: %s; raise --%s to go on", directory, made, limit)
            if not (directory / _LOSS_PLOT).exists():  # a kill after the last checkpoint came before the plot
                _plot_losses(directory, config, job)
            return
        record_settings(directory, config, start_step)
        schedule = loop.Schedule(
            steps_per_epoch=job.steps_per_epoch,
            total_steps=total_steps,
            sample_freq=config.sample_freq or min(_MOST_STEPS_BETWEEN_SHEETS, -(-job.steps_per_epoch // 2)),
            ckpt_freq=config.ckpt_freq,
            ckpt_minutes=config.ckpt_minutes,
        )
        _tell_settings(config, job.trainer.networks, directory, start_step, schedule)
        if start_step == 0:
            for name, images in job.reals.items():
                loop.save_sheet(run, name, images)
        started = time.monotonic()
        batches = job.batches(start_step, total_steps, *workers.this_worker())
        with algorithms_chosen_by(algorithms_of_run(config, directory, start_step)):
            loop.run_loop(job.trainer, batches, run, checkpoints, schedule)
        _plot_losses(directory, config, job)
        seconds = time.monotonic() - started
        made = counted(total_steps - start_step, "step")
        logger.info("trained %s in %.0f s: %s", made, seconds, directory)


@workers.chief_only
def _plot_losses(directory: Path, config: Config, job: TrainingJob) -> None:
    """Draws the losses of all steps whose losses are in the run's log, unless these lines are lost."""
    if rows := [row for row in read_metrics(directory) if row.keys() >= {*job.plotted_losses}]:
        title = f"{config.model} on {config.dataset}"
        pictures.plot_losses(directory / _LOSS_PLOT, rows, job.plotted_losses, title)


def _generator_job(
    config: Config,
    *,
    images: ImageSet | None,
    make_trainer: Callable[[Config, ImageSet], GeneratorTrainer],
) -> TrainingJob:
    image_set = load_dataset(config, images)
    if config.conditional and not image_set.num_classes:
        raise UserError(f"--conditional needs labels, and {image_set.name} has none: {WAYS_TO_LABEL}")
    if "stain" in (config.diffaugment or ()):  # before the run is begun, which would have to be thrown away
        check_stainable(image_set.image_shape[-1])
    steps_per_epoch = pipeline.steps_per_epoch(len(image_set), config.batch_size)
    trainer = make_trainer(config, image_set)
    measured = trainer
    if config.eval_freq:
        measured_with = _spread_indices(len(image_set), MAX_MEASURED_IMAGES)
        labels = None if image_set.labels is None else image_set.labels[measured_with]
        measured = MeasuredTrainer(trainer, config, np.asarray(image_set.images[measured_with]), labels)
    return TrainingJob(
        trainer=measured,
        dataset=dataset_record(image_set),
        reals={"reals": _spread(image_set.images, config.sample_num)},
        steps_per_epoch=steps_per_epoch,
        batches=functools.partial(pipeline.batches, image_set, config.batch_size, config.seed),
        plotted_losses=("d_loss", "g_loss"),
        patients=image_set.patients(),
        after_start=trainer.after_start,
    )


def _dcgan_trainer(config: Config, image_set: ImageSet) -> DCGANTrainer:
    trainer = DCGANTrainer(config, image_set.image_shape, image_set.num_classes)
    warn_of_memory((trainer.generator, trainer.discriminator), config)
    return trainer


def _projected_trainer(config: Config, image_set: ImageSet) -> ProjectedTrainer:
    if config.weights == "random":
        logger.warning(
            "--weights=random: the discriminators see features of an untrained network, to try things out: patches "
            "look like tissue only with pretrained weights, --weights=imagenet or a folder that holds them"
        )
    chosen = _spread_indices(len(image_set), _MOST_IMAGES_FOR_MODES)
    labels = None if image_set.labels is None else image_set.labels[chosen]
    return ProjectedTrainer(config, np.asarray(image_set.images[chosen]), labels, image_set.num_classes)


def _cyclegan_job(config: Config, images: ImageSet | None = None) -> TrainingJob:
    domains = load_domains(config, images)
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
            "domains": [{"label": domain.label, **dataset_record(domain.image_set)} for domain in domains],
        },
        reals={"reals_A": samples[0], "reals_B": samples[1]},
        steps_per_epoch=steps_per_epoch,
        batches=functools.partial(pipeline.two_domain_batches, set_a, set_b, config.batch_size, config.seed),
        plotted_losses=("G_A2B", "G_B2A", "cycle_A", "cycle_B", "D_A", "D_B"),
        patients=None if set_a.groups is None else sorted({*set_a.patients(), *set_b.patients()}),
    )


def _spread(images: np.ndarray, most: int) -> np.ndarray:
    """Returns at most `most` images, evenly spread over the set, because sets are often sorted by class."""
    return images[_spread_indices(len(images), most)]


def _spread_indices(num_images: int, most: int) -> np.ndarray:
    return np.linspace(0, num_images - 1, min(most, num_images)).astype(int)


def dataset_record(image_set: ImageSet) -> dict[str, Any]:
    """Returns the run's record of its images: enough to recognize them, and to build the networks without them."""
    return {
        "name": image_set.name,
        "num_images": len(image_set),
        "image_shape": list(image_set.image_shape),
        "class_names": list(image_set.class_names),
        "images_per_class": image_set.counts(),
        "fingerprint": image_set.fingerprint(),
    }


def _tell_settings(
    config: Config, networks: Sequence[keras.Model], directory: Path, start_step: int, schedule: loop.Schedule
) -> None:
    """Logs what is trained, where the run and its samples are, and how to stop; tables and settings go to log.txt."""
    for network in networks:
        details_logger.info(network_table(network))
    own_section = family_of(config.model).section
    settings = {
        field.name: getattr(config, field.name)
        for field in flag_fields()
        if field.metadata["section"] in ("data", "network", "training", "backbone", own_section, "watching")
    }
    shown = "  ".join(f"{name}={value}" for name, value in settings.items() if value is not None)
    details_logger.info("settings: %s", shown)
    parameters = ", ".join(f"{network.name} {num_trainable(network):,}" for network in networks)
    logger.info("model: %s; parameters: %s", config.model, parameters)
    begin = f"going on after step {start_step}" if start_step else "starting"
    logger.info("run: %s, %s, up to step %d; settings in its log.txt", directory, begin, schedule.total_steps)
    often = "step" if schedule.sample_freq == 1 else counted(schedule.sample_freq, "step")
    logger.info("samples: %s, one sheet every %s", directory / config.sample_dir, often)
    logger.info("stop: Ctrl-C saves a checkpoint; the same command goes on from there")
