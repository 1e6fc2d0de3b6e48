"""What is said before any training: the plan, and mistakes."""

from __future__ import annotations

from pathlib import Path

import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.config import Config
from histogan_tf.errors import UserError
from histogan_tf.paper.configs import SMALL_DATA, StudyConfigs
from histogan_tf.paper.configs import command_line as line_of
from histogan_tf.paper.study_images import find_images

REPOSITORY = Path(__file__).parents[2]


def test_a_dry_run_tells_every_stage_and_does_nothing(tmp_path: Path, caplog, study_config):
    commands.run_command(study_config(tmp_path, "--dry_run"))
    assert caplog.text.count("not done yet") == 38
    assert "nothing was done" in caplog.text
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--label=idc"], "--label: --mode=paper sets this flag itself"),
        (["--batch_size=64"], "training images of non-idc: .* fewer than a batch of 64"),
        (["--output_height=24"], "too small for the study's CycleGAN: give --output_height=32"),
        (["--weights=NONE", "--classifier_size=32"], "NONE"),
        (["--stages=table"], "table needs classifier-real-seed-42"),
        (["--stages=all"], "--stages=all: choose among"),
    ],
)
def test_a_mistake_is_said_before_anything_is_trained(tmp_path: Path, flags, words, study_config):
    with pytest.raises(UserError, match=words):
        commands.run_command(study_config(tmp_path, *(flag.replace("NONE", f"{tmp_path}/NONE") for flag in flags)))
    assert not list(tmp_path.glob("paper-phantom/seed-42"))


def test_a_folder_that_is_no_study_is_left_alone(tmp_path: Path, study_config):
    (tmp_path / "paper-phantom").mkdir()
    (tmp_path / "paper-phantom" / "thesis.txt").write_text("mine")
    for flags in ([], ["--restart"]):
        with pytest.raises(UserError, match="is not a study of this program"):
            commands.run_command(study_config(tmp_path, "--stages=split", *flags))
    assert (tmp_path / "paper-phantom" / "thesis.txt").read_text() == "mine"


def test_restart_throws_the_study_away(tmp_path: Path, caplog, study_config):
    for flags in ([], [], ["--restart"]):
        commands.run_command(study_config(tmp_path, "--stages=split", *flags))
    assert caplog.text.count("split: not done yet") == 2
    assert "--restart: removed" in caplog.text


def test_a_dataset_of_three_labels_is_refused(tmp_path: Path, write_images, study_config):
    for name in "abc":
        write_images(tmp_path / "images" / name, 6)
    with pytest.raises(UserError, match="two labels, and 'mine' has 3"):
        find_images(study_config(tmp_path, "--dataset=mine", f"--data_path={tmp_path / 'images'}"))


def paper(*flags: str) -> Config:
    return command_line.parse(["main.py", "--mode=paper", *flags])


def test_quick_fills_in_what_is_left_out_only():
    config = paper("--quick", "--gf_dim=6")
    assert (config.gf_dim, config.df_dim, config.repeats, config.weights) == (6, 4, 1, "random")
    assert (paper().repeats, paper().weights, paper().gf_dim) == (3, "imagenet", 16)


def test_the_stages_settings_are_the_papers():
    configs = StudyConfigs(paper("--dataset=idc", "--data_path=here", "--seed=5"))
    assert list(configs.seeds) == [5, 6, 7]
    dcgans = [configs.dcgan("figure5", 5, model=f"dcgan{number}") for number in (1, 2, 3)]
    assert [(config.epoch, config.batch_size, config.gf_dim) for config in dcgans] == [
        (25, 64, 64),
        (25, 64, 64),
        (25, 64, 16),
    ]
    assert [config.label_smoothing for config in dcgans] == [1.0, 0.9, 0.9]
    assert configs.dcgan("dcgan", 6).epoch == 50
    recipe = command_line.parse(["main.py", f"--flagfile={REPOSITORY}/flags/dcgan_small.cfg"])
    small = configs.dcgan("small", 6, **SMALL_DATA)
    for name in ("model", "epoch", "batch_size", "gf_dim", "diffaugment", "ema_decay", "learning_rate"):
        assert getattr(small, name) == getattr(recipe, name)
    cyclegan = configs.cyclegan(7)
    assert (cyclegan.epoch, cyclegan.batch_size, cyclegan.gf_dim, cyclegan.seed) == (25, 1, 64, 7)
    assert {config.data_path for config in (*dcgans, cyclegan)} == {"here"}


def test_given_epochs_widths_and_batches_reach_the_gans():
    configs = StudyConfigs(paper("--epoch=3", "--gf_dim=8", "--batch_size=16"))
    dcgan, cyclegan = configs.dcgan("dcgan", 42), configs.cyclegan(42)
    assert (dcgan.epoch, dcgan.gf_dim, dcgan.batch_size) == (3, 8, 16)
    assert (cyclegan.epoch, cyclegan.gf_dim, cyclegan.batch_size) == (3, 8, 1)


def test_the_command_repeats_the_study():
    config = paper("--dataset=idc", "--repeats=2", "--stages=split", "--strict")
    line = line_of(config)
    assert line == "python main.py --dataset=idc --mode=paper --repeats=2 --strict"
    assert command_line.parse(line.split()[1:]).repeats == 2
