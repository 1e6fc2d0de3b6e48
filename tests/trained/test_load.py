"""Which weights are exported."""

from __future__ import annotations

import numpy as np
import pytest

from histogan_tf.cli import command_line
from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints, best_directory
from histogan_tf.runs.run_directory import begin_run
from histogan_tf.trained.load import load_networks
from histogan_tf.training.dcgan_step import DCGANTrainer


@pytest.fixture
def averaging_run(tmp_path):
    """Makes a run with an average of the generator, as training would leave it; returns its trainer and its flags."""
    flags = ["main.py", f"--checkpoint_dir={tmp_path}", "--run=run"]
    network = ["--model=dcgan1", "--gf_dim=2", "--df_dim=2", "--z_dim=3", "--batch_size=4"]
    config = command_line.parse([*flags, *network, "--ema_decay=0.9", "--precision=bfloat16"])
    record = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": ["non-idc", "idc"]}
    trainer = DCGANTrainer(config, (16, 16, 3), 0)
    directory = begin_run(config, record)
    return trainer, directory / "ckpt", [*flags, "--mode=export"]


def fill(network, value: float) -> None:
    for weight in network.weights:
        weight.assign(np.full(weight.shape, value))


def test_the_average_is_exported_where_there_is_one_and_in_float32(averaging_run):
    trainer, folder, flags = averaging_run
    fill(trainer.generator, 1.0)
    fill(trainer.sampled_generator, 2.0)
    Checkpoints(folder, trainer.state()).save(5)
    (trained,) = load_networks(command_line.parse(flags), precision="float32")
    assert trained.step == 5
    assert {float(value) for weight in trained.network.weights for value in np.ravel(weight)} == {2.0}
    assert {layer.compute_dtype for layer in trained.network.layers} == {"float32"}


def test_the_best_checkpoint_can_be_asked_for(averaging_run):
    trainer, folder, flags = averaging_run
    fill(trainer.sampled_generator, 2.0)
    Checkpoints(folder, trainer.state()).save(5)
    with pytest.raises(UserError, match="no best checkpoint: train it with --eval_freq"):
        load_networks(command_line.parse([*flags, "--checkpoint=best"]))
    fill(trainer.sampled_generator, 3.0)
    Checkpoints(best_directory(folder), trainer.state()).save(4)
    (trained,) = load_networks(command_line.parse([*flags, "--checkpoint=best"]))
    assert trained.step == 4
    assert {float(value) for weight in trained.network.weights for value in np.ravel(weight)} == {3.0}
