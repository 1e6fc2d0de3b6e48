"""--init_from: networks start from another run's weights, everything else anew, and what does not fit is refused."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

from histogan_tf.cli import commands
from histogan_tf.errors import UserError
from histogan_tf.runs.checkpoints import Checkpoints, checkpoint_folders
from histogan_tf.runs.run_directory import read_metrics
from histogan_tf.runs.weights_file import named_weights
from histogan_tf.training.cyclegan_step import CycleGANTrainer
from histogan_tf.training.dcgan_step import DCGANTrainer
from histogan_tf.training.starting import start_from

REPOSITORY = Path(__file__).parents[2]
DATASET = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": ["non-idc", "idc"]}
EXPORT_OF_A = "a/exported/a-safetensors/1"


def train(tiny_config, *flags: str) -> None:
    commands.run_command(tiny_config("--model=dcgan1", "--generator_updates=1", "--sample_num=2", *flags))


def values(network) -> list[np.ndarray]:
    return [weight.numpy() for weight in network.weights]


def assert_equal(first, second) -> None:
    for one, other in zip(values(first), values(second), strict=True):
        np.testing.assert_array_equal(one, other)


def record_of(run: Path) -> dict:
    return json.loads((run / "config.json").read_text())


def digests(run: Path) -> dict[str, str]:
    reader = tf.train.load_checkpoint(str(checkpoint_folders(run / "ckpt")[-1] / "state"))
    names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
    return {name: hashlib.sha256(reader.get_tensor(name).tobytes()).hexdigest() for name in names}


@pytest.fixture
def source(tiny_config, tmp_path) -> DCGANTrainer:
    """The trainer of the run `a`, as it was left after 3 steps; the average differs from the generator."""
    train(tiny_config, "--run=a", "--max_steps=3", "--ema_decay=0.9")
    trainer = DCGANTrainer(tiny_config("--model=dcgan1", "--ema_decay=0.9"), (16, 16, 3), 0)
    Checkpoints(tmp_path / "a" / "ckpt", trainer.state()).restore(partial=True)
    return trainer


def test_generator_average_and_discriminator_start_from_the_source_and_optimizers_anew(tiny_config, tmp_path, source):
    config = tiny_config("--model=dcgan2", "--run=b", "--init_from=a", "--ema_decay=0.5")
    trainer = DCGANTrainer(config, (16, 16, 3), 0)
    start = start_from(config, trainer.state(), DATASET, None, tmp_path / "b" / "ckpt")
    assert_equal(trainer.generator, source.sampled_generator)
    assert_equal(trainer.sampled_generator, source.sampled_generator)
    assert_equal(trainer.discriminator, source.discriminator)
    assert not np.array_equal(values(source.generator)[0], values(source.sampled_generator)[0])
    assert int(trainer.g_optimizer.iterations.numpy()) == 0
    assert int(source.g_optimizer.iterations.numpy()) == 3
    assert (start.record["run"], start.record["model"], start.record["step"]) == ("a", "dcgan1", 3)
    assert start.begun_anew == ()
    assert not (tmp_path / "b").exists()
    # A --restart that was killed has left a checkpoint, but no record of its run: it is no run that goes on.
    (tmp_path / "b" / "ckpt" / "step-00000005").mkdir(parents=True)
    assert start_from(config, trainer.state(), DATASET, None, tmp_path / "b" / "ckpt").record == start.record


def test_an_exported_run_is_a_start_too_and_without_discriminators_they_begin_anew(tiny_config, tmp_path, source):
    train(tiny_config, "--run=a", "--mode=export", "--format=safetensors")
    config = tiny_config("--model=dcgan1", "--run=b", f"--init_from={tmp_path / EXPORT_OF_A}")
    trainer = DCGANTrainer(config, (16, 16, 3), 0)
    assert start_from(config, trainer.state(), DATASET, None, tmp_path / "b").begun_anew == ()
    for weight, value in zip(values(trainer.generator), values(source.sampled_generator), strict=True):
        np.testing.assert_allclose(weight, value, rtol=2**-11, atol=2**-25)

    from safetensors.numpy import load_file, save_file

    path = tmp_path / EXPORT_OF_A / "weights.safetensors"
    save_file({name: tensor for name, tensor in load_file(path).items() if name.startswith("generator/")}, path)
    anew, untouched = (DCGANTrainer(config, (16, 16, 3), 0) for _ in range(2))
    start = start_from(config, anew.state(), DATASET, None, tmp_path / "b")
    assert start.begun_anew == ("discriminator",)
    assert_equal(anew.discriminator, untouched.discriminator)


def test_all_networks_of_a_cyclegan_start_from_the_source(tiny_config, tmp_path):
    flags = ("--model=cyclegan", "--batch_size=1", "--output_height=32", "--num_blocks=1", "--sample_num=2")
    commands.run_command(tiny_config(*flags, "--run=a", "--max_steps=1"))
    config = tiny_config(*flags, "--run=b", "--init_from=a")
    samples = [np.zeros((1, 32, 32, 3), np.uint8)] * 2
    first, second = (CycleGANTrainer(config, (32, 32, 3), 5, samples) for _ in range(2))
    Checkpoints(tmp_path / "a" / "ckpt", first.state()).restore()
    start = start_from(config, second.state(), {**DATASET, "image_shape": [32, 32, 3]}, None, tmp_path / "b")
    assert start.begun_anew == ()
    for one, other in zip(first.networks, second.networks, strict=True):
        assert_equal(one, other)


def test_a_run_tells_and_records_its_start_and_the_patients_of_all_its_sources(tiny_config, tmp_path, source, caplog):
    path = tmp_path / "a" / "config.json"
    record = record_of(tmp_path / "a")
    assert record["patients"] == sorted(record["patients"]) and record["initialized_from"] is None
    earlier = {"run": "before", "model": "dcgan1", "step": 9, "dataset": {"name": "x"}, "patients": ["from-before"]}
    record["initialized_from"] = earlier
    path.write_text(json.dumps(record))
    train(tiny_config, "--run=b", "--init_from=a", "--max_steps=1")
    origin = record_of(tmp_path / "b")["initialized_from"]
    assert (origin["run"], origin["model"], origin["step"]) == ("a", "dcgan1", 3)
    assert origin["dataset"] == record["dataset"]
    assert origin["patients"] == sorted(["from-before", *record["patients"]])
    log = (tmp_path / "b" / "log.txt").read_text()
    assert "start: the weights of a (dcgan1, trained for 3 steps)" in log
    num = len(record["patients"])
    assert log.count(f"WARNING a has seen {num} of the {num} patients of these images") == 1
    train(tiny_config, "--run=b", "--mode=export", "--format=safetensors")
    card = (tmp_path / "b" / "exported" / "b-safetensors" / "1" / "MODEL_CARD.md").read_text()
    assert "- started from: the weights of a (dcgan1, 3 steps on phantom)" in card
    assert f"- patients seen: {num + 1} (from-before," in card


def test_two_halves_equal_the_whole_and_the_second_needs_no_source(tiny_config, tmp_path, source):
    flags = ("--init_from=a", "--ema_decay=0.5")
    train(tiny_config, "--run=whole", *flags, "--max_steps=6")
    train(tiny_config, "--run=halves", *flags, "--max_steps=2")
    shutil.rmtree(tmp_path / "a")
    train(tiny_config, "--run=halves", *flags, "--max_steps=6")
    assert len(digests(tmp_path / "whole")) > 50
    assert digests(tmp_path / "halves") == digests(tmp_path / "whole")
    assert read_metrics(tmp_path / "halves") == read_metrics(tmp_path / "whole")


def test_a_run_that_stopped_before_its_first_step_needs_no_source_either(tiny_config, tmp_path, source, monkeypatch):
    from histogan_tf.training import loop

    def cut(*_):
        raise KeyboardInterrupt

    train(tiny_config, "--run=whole", "--init_from=a", "--max_steps=2")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(loop, "run_loop", cut)
        train(tiny_config, "--run=b", "--init_from=a", "--max_steps=2")
    assert [folder.name for folder in checkpoint_folders(tmp_path / "b" / "ckpt")] == ["step-00000000"]
    shutil.rmtree(tmp_path / "a")
    train(tiny_config, "--run=b", "--init_from=a", "--max_steps=2")
    assert digests(tmp_path / "b") == digests(tmp_path / "whole")


def test_a_source_that_went_on_before_the_run_had_taken_its_weights_is_told(tiny_config, tmp_path, source):
    train(tiny_config, "--run=b", "--init_from=a", "--max_steps=1")
    shutil.rmtree(tmp_path / "b" / "ckpt")
    train(tiny_config, "--run=a", "--ema_decay=0.9", "--max_steps=5")
    with pytest.raises(UserError, match="had made 3 steps and has now made 5.*--restart"):
        train(tiny_config, "--run=b", "--init_from=a", "--max_steps=1")


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--gf_dim=8"], r"generator/g_h0_lin/kernel is \(5, 64\) here and \(5, 32\) in that run; .* has --gf_dim=4:"),
        (["--df_dim=8"], r"discriminator/d_h0_conv/kernel is \(5, 5, 3, 8\) here .* has --df_dim=4: give the same"),
        (["--z_dim=6"], r"\(6, 32\) here and \(5, 32\) in that run; that run has --z_dim=5: give the same"),
        (["--output_height=32"], "that run has --output_height=16 --output_width=16: give the same"),
        (["--conditional"], r"the weight generator/g_h0_lin/kernel is \(7, 8\) here .*--conditional=false"),
        (
            ["--spectral_norm"],
            "d_h0_conv/u is .* here and not there in that run; .*--spectral_norm=false",
        ),
        (["--init_from=nothing"], r"there is no run nothing in .*holds a.*choose one with --init_from"),
        (["--init_from=pretrained:x"], "--init_from=pretrained:x does not come with the program"),
        (["--run=a", "--init_from=a", "--restart"], "--init_from=a is the run itself"),
    ],
)
def test_what_does_not_fit_is_refused_before_there_is_a_run(tiny_config, tmp_path, source, flags, words):
    with pytest.raises(UserError, match=words):
        train(tiny_config, "--run=b", "--init_from=a", "--max_steps=1", *flags)
    assert not (tmp_path / "b").exists()
    assert (tmp_path / "a" / "ckpt").exists()


def test_a_run_of_another_kind_is_refused_before_there_is_a_run(tiny_config, tmp_path, source):
    flags = ("--model=cyclegan", "--batch_size=1", "--num_blocks=1", "--output_height=32", "--sample_num=2")
    with pytest.raises(UserError, match=r"a is a DCGAN \(dcgan1\), and --model=cyclegan is a C"):
        commands.run_command(tiny_config(*flags, "--run=b", "--init_from=a", "--max_steps=1"))
    assert not (tmp_path / "b").exists()


def test_another_number_of_labels_is_told_by_name(tiny_config, tmp_path):
    train(tiny_config, "--run=a", "--max_steps=1", "--conditional")
    config = tiny_config("--model=dcgan1", "--run=b", "--init_from=a", "--conditional")
    trainer = DCGANTrainer(config, (16, 16, 3), 3)
    with pytest.raises(UserError, match=r"images of 2 labels \(non-idc, idc\), and these images have 3 \(x, y, z\)"):
        start_from(config, trainer.state(), {**DATASET, "class_names": ["x", "y", "z"]}, None, tmp_path / "b")
    trainer = DCGANTrainer(config, (16, 16, 3), 2)
    start_from(config, trainer.state(), DATASET, None, tmp_path / "b")


def test_the_start_is_fixed_once_a_run_has_begun(tiny_config, tmp_path, source):
    train(tiny_config, "--run=b", "--init_from=a", "--max_steps=1")
    with pytest.raises(UserError, match="init_from was a and is now None"):
        train(tiny_config, "--run=b", "--max_steps=2")
    record = record_of(tmp_path / "a")
    for name in ("patients", "initialized_from"):  # a run that was begun by an earlier version
        del record[name]
    del record["settings"]["init_from"]
    (tmp_path / "a" / "config.json").write_text(json.dumps(record))
    train(tiny_config, "--run=a", "--ema_decay=0.9", "--max_steps=4")
    assert len(read_metrics(tmp_path / "a")) == 4


@pytest.mark.slow
def test_all_replicas_start_from_the_source(tiny_config, tmp_path, source):
    flags = ("--run=b", "--init_from=a", "--max_steps=1", "--distribution=mirrored", "--num_replicas=2")
    config = tiny_config("--model=dcgan1", "--generator_updates=1", "--learning_rate=1e-12", *flags)
    arguments = [f"--{name}={value}" for name, value in config.to_json().items() if name in config.given]
    subprocess.run([sys.executable, "main.py", *arguments], cwd=REPOSITORY, check=True, capture_output=True)
    trainer = DCGANTrainer(tiny_config("--model=dcgan1"), (16, 16, 3), 0)
    Checkpoints(tmp_path / "b" / "ckpt", trainer.state()).restore()
    wanted = named_weights({"generator": source.sampled_generator})
    for name, weight in named_weights({"generator": trainer.generator}).items():
        if "moving" not in name:
            np.testing.assert_allclose(weight.numpy(), wanted[name].numpy(), atol=1e-9)
