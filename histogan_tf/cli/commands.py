"""Dispatch of a command: each value of --mode and the function of the package that carries it out."""

from __future__ import annotations

import functools
import logging

from histogan_tf.classifier.comparison import compare
from histogan_tf.classifier.prediction import classify
from histogan_tf.classifier.results import measure_classifier
from histogan_tf.clustering.cluster_dataset import cluster_dataset
from histogan_tf.config import Config
from histogan_tf.config.families import CLASSIFIER, family_of
from histogan_tf.config.flags_of_modes import flags_without_effect
from histogan_tf.data.describe import describe_dataset
from histogan_tf.data.download import download
from histogan_tf.machine import workers
from histogan_tf.machine.device import prepare
from histogan_tf.paper.run_study import run_study
from histogan_tf.runs.run_directory import read_run, recorded_machine, recorded_precision
from histogan_tf.serving.export import export
from histogan_tf.synthesis.evaluation import evaluate_folder, evaluate_generator
from histogan_tf.synthesis.quiz import make_quiz
from histogan_tf.synthesis.quiz_readers import compare_readers
from histogan_tf.trained.generate import generate_images
from histogan_tf.trained.translate import translate_dataset
from histogan_tf.trained.visualize import visualize_latents

logger = logging.getLogger(__name__)


def run_command(config: Config) -> None:
    """Prepares the device and the workers, and carries out the command that --mode names.

    Raises:
        UserError: if the user made a mistake, such as a wrong flag.
        loop.Interrupted: if training was stopped by a signal.
    """
    for name, modes in flags_without_effect(config).items():
        logger.warning("--%s does nothing with --mode=%s: it is for --mode=%s", name, config.mode, " and ".join(modes))
    config = prepare(config, recorded_machine(config), recorded_precision(config))
    workers.start(config)
    perform(config)


def perform(config: Config) -> None:
    """Carries out the command that --mode names, on a prepared device; the stages of the study call it too.

    Raises:
        UserError: if the user made a mistake, such as a wrong flag.
        loop.Interrupted: if training was stopped by a signal.
    """
    commands = {
        "train": lambda config: family_of(config.model).call("train", config),
        "classify": classify,
        "evaluate": _evaluate,
        "generate": generate_images,
        "translate": translate_dataset,
        "visualize": visualize_latents,
        "cluster": cluster_dataset,
        "paper": functools.partial(run_study, perform=perform),
        "export": export,
        "describe": describe_dataset,
        "download": download,
        "quiz": make_quiz,
    }
    commands[config.mode](config)


def _evaluate(config: Config) -> None:
    """Carries out --mode=evaluate on what the flags name: classifiers, readers, images, a classifier or a GAN."""
    if config.compare:
        compare(config)
    elif config.quiz:
        compare_readers(config)
    elif config.synthetic_dir:
        evaluate_folder(config)
    elif family_of(read_run(config)[1].model).kind == CLASSIFIER:
        measure_classifier(config)
    else:
        evaluate_generator(config)
