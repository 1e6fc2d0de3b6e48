"""One small study that several tests look at."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.paper import curves
from histogan_tf.paper.stages import Stage
from histogan_tf.paper.study import Study
from histogan_tf.paper.study_images import find_images
from histogan_tf.training import loop

SMALL = (
    "--quick",
    "--phantom_images=96",
    "--max_steps=4",
    "--epoch=2",
    "--sample_num=4",
    "--batch_size=8",
    "--split_by=patient",
    "--generators=dcgan,ccan,tissue",
    "--feature_layer=stage2",  # heads of 128 features converge in a fraction of the time of 512
    "--feature_stages=1,2",  # so that the tissue GANs have two discriminators, not three
)


@pytest.fixture(scope="session")
def study_config():
    """Makes the Config of a small study: `study_config(checkpoint_dir, *flags)`."""

    def make(checkpoint_dir: Path, *flags: str) -> Config:
        return command_line.parse(["main.py", "--mode=paper", f"--checkpoint_dir={checkpoint_dir}", *SMALL, *flags])

    return make


@pytest.fixture(scope="session")
def stages_of():
    """The stages of a study by name, none of which can be run: `stages_of(config)`."""

    def make(config: Config) -> dict[str, Stage]:
        def refuse(config: Config) -> None:
            raise AssertionError(f"a stage of the plan was run: {config}")

        return {stage.name: stage for stage in Study(config, find_images(config), "random", refuse).stages()}

    return make


@pytest.fixture
def stopped_after_two_steps():
    """Within this context, the next training is sent SIGTERM in its second step."""

    @contextlib.contextmanager
    def context() -> Iterator[None]:
        add = loop._LossLog.add

        def add_and_stop(self, step, losses):
            add(self, step, losses)
            if step == 2:
                os.kill(os.getpid(), signal.SIGTERM)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(loop._LossLog, "add", add_and_stop)
            yield

    return context


@pytest.fixture(scope="session")
def study(tmp_path_factory, study_config) -> Path:
    """The directory of a finished study, which nobody changes."""
    logging.getLogger("histogan_tf").setLevel(logging.INFO)
    checkpoint_dir = tmp_path_factory.mktemp("study")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(curves, "NUM_DRAWS", 2)
        commands.run_command(study_config(checkpoint_dir))
    return checkpoint_dir / "paper-phantom"
