"""Runs --mode=paper: begins a study, or goes on with one that was stopped."""

from __future__ import annotations

import dataclasses
import logging
import re
import shutil
from collections.abc import Callable
from pathlib import Path

from histogan_tf.config import Config
from histogan_tf.config.feature_layers import stage_numbers
from histogan_tf.config.paper_flags import STAGES
from histogan_tf.data.positive_class import tell_positive_class
from histogan_tf.machine.console import Lines
from histogan_tf.machine.processor import machine_record
from histogan_tf.models.backbone_weights import downloaded_imagenet, load_backbone
from histogan_tf.models.backbones import BACKBONES
from histogan_tf.models.feature_extractors import weights_fingerprint
from histogan_tf.paper.configs import TISSUE_KINDS, StudyConfigs
from histogan_tf.paper.estimate import machine_pace
from histogan_tf.paper.stages import Stage, Stages, recorded_setting
from histogan_tf.paper.study import Study
from histogan_tf.paper.study_images import find_images
from histogan_tf.reporting.text_tables import plain_table
from histogan_tf.runs import files
from histogan_tf.runs.locking import Kind, folder_entries, sole_writer
from histogan_tf.runs.run_directory import recorded_machine, run_directory, versions

logger = logging.getLogger(__name__)


def run_study(config: Config, perform: Callable[[Config], None]) -> None:
    """Runs the stages of --stages (all if it is not given) that are not done; with --dry_run, only lists them.

    The dataset and the pretrained weights are checked first: a mistake in them shows before hours of training.

    Args:
        config: the resolved Config of --mode=paper.
        perform: runs the command of a Config of another mode.

    Raises:
        UserError: for a mistake of the user.
    """
    images = find_images(config)
    directory = run_directory(config)
    if not config.dry_run:
        _load_tissue_weights(config)
    backbone = _known_backbone(config, directory) if config.dry_run else _backbone(config)
    study = Study(config, images, backbone, perform)
    stages = study.stages()
    tell_positive_class(images.whole.class_names)
    if config.dry_run:
        _tell_plan(directory, stages, config.stages or STAGES)
        return
    with sole_writer(directory, _study_kind(directory, stages), restart=config.restart):
        settings = dataclasses.replace(config, positive_class=images.whole.class_names[1]).to_json()
        machine = recorded_machine(config) or machine_record()
        record = {"settings": settings, "versions": versions(), "machine": machine}
        files.write_json(directory / "study.json", record)
        runner = Stages(directory, stages)
        runner.tell_invalidated()
        runner.run(config.stages or STAGES)
        if (directory / "report.html").exists():
            logger.info("see %s", directory / "report.html")


def _backbone(config: Config) -> str:
    """Returns a digest of the classifier's pretrained weights.

    Random weights follow from the seed and the network: they are "random", with the network's name unless it is the
    study's own, ResNet-18.
    """
    if config.weights == "random":
        return "random" if config.backbone == "resnet18" else f"random {config.backbone}"
    last_stage = stage_numbers(config.feature_layer, BACKBONES[config.backbone].num_stages)[-1]
    options = {"seed": 0, "size": config.classifier_size, "last_stage": last_stage}
    return weights_fingerprint(load_backbone(config.weights, backbone=config.backbone, **options))


def _load_tissue_weights(config: Config) -> None:
    """Loads the weights of the network that the tissue GANs are trained against, so that a mistake in them shows."""
    configs = StudyConfigs(config)
    for kind in TISSUE_KINDS if "tissue" in config.generators else ():
        trained = configs.generator(kind, config.seed)
        if kind in (config.stages or STAGES) and trained.weights != "random":
            options = {"seed": 0, "size": trained.feature_size, "last_stage": max(trained.feature_stages)}
            load_backbone(trained.weights, backbone=trained.backbone, **options)


def _known_backbone(config: Config, directory: Path) -> str:
    """Returns what `_backbone` does, without a network: a plan needs no weights.

    If the weights are not downloaded yet, it returns the digest that the study has recorded, if it has.
    """
    if config.weights != "imagenet":
        return _backbone(config)
    if folder := downloaded_imagenet(config.backbone):
        return _backbone(dataclasses.replace(config, weights=str(folder)))
    logger.info("the pretrained weights are not on this machine yet: the study begins by downloading them")
    return recorded_setting(directory, "backbone") or "not downloaded yet"


def _study_kind(directory: Path, stages: list[Stage]) -> Kind:
    """Returns what a study's folder is known by, with all that this study or one with other repeats writes there."""
    repeats = {path.name for path in directory.glob("seed-*") if re.fullmatch(r"seed-\d+", path.name)}
    own = {"study.json", "log.txt", "stages", "features"}
    outputs = folder_entries(output for stage in stages for output in stage.outputs)
    return Kind("study", "study.json", frozenset({"settings", "versions"}), outputs | repeats | own)


def _tell_plan(directory: Path, stages: list[Stage], kinds: tuple[str, ...]) -> None:
    """Logs what would be done, with an estimate of time and disk space for each stage, and the free disk space."""
    reasons = Stages(directory, stages).plan()
    pace = machine_pace()
    rows, seconds, num_bytes = [("stage", "--stages", "minutes", "MB", "")], 0.0, 0.0
    for stage in stages:
        if stage.kind not in kinds:
            continue
        reason = reasons.get(stage.name)
        if reason is None:
            rows.append((stage.name, stage.kind, "", "", "done before"))
            continue
        cost = stage.cost()
        seconds, num_bytes = seconds + cost.seconds(pace), num_bytes + cost.num_bytes
        rows.append((stage.name, stage.kind, f"{cost.seconds(pace) / 60:.1f}", f"{cost.num_bytes / 1e6:.0f}", reason))
    existing = next(folder for folder in (directory, *directory.resolve().parents) if folder.exists())
    free = shutil.disk_usage(existing).free
    logger.info(
        "the plan, in %s:\n  %s\nin all about %.1f hours on this machine at its present load (it may take half or "
        "three times that), and %.2f GB of %.0f GB free; nothing was done",
        directory,
        Lines(plain_table(rows).replace("\n", "\n  ")),
        seconds / 3600,
        num_bytes / 1e9,
        free / 1e9,
    )
