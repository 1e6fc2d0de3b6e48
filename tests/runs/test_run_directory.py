from __future__ import annotations

import json

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from histogan_tf.errors import UserError
from histogan_tf.runs import run_directory
from histogan_tf.training.loop import save_sheet

DATASET = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": [], "fingerprint": "abc"}


def test_a_new_run_explains_itself(tiny_config):
    config = tiny_config("--model=dcgan1")
    saved = json.loads((run_directory.begin_run(config, DATASET) / "config.json").read_text())
    assert saved["settings"]["gf_dim"] == 4
    assert saved["dataset"] == DATASET
    assert saved["versions"]["tensorflow"] == tf.__version__


def test_the_same_settings_go_on_and_free_ones_may_change(tiny_config):
    directory = run_directory.begin_run(tiny_config("--model=dcgan1"), DATASET)
    again = tiny_config("--model=dcgan1", "--epoch=99", "--sample_freq=3", "--max_to_keep=2")
    assert run_directory.begin_run(again, DATASET) == directory


def test_other_settings_or_images_are_refused_by_name(tiny_config):
    directory = run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine"), DATASET)
    before = (directory / "config.json").read_bytes()
    with pytest.raises(UserError, match="learning_rate was 0.0002 and is now 0.1.*--restart"):
        run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine", "--learning_rate=0.1"), DATASET)
    with pytest.raises(UserError, match="model was dcgan1 and is now dcgan2"):
        run_directory.begin_run(tiny_config("--model=dcgan2", "--run=mine"), DATASET)
    with pytest.raises(UserError, match="images were"):
        run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine"), DATASET | {"fingerprint": "def"})
    assert (directory / "config.json").read_bytes() == before


def test_labels_that_are_numbered_otherwise_are_refused_with_the_flag_that_mends_it(tiny_config):
    flags = ("--model=dcgan1", "--run=mine")
    before, after = DATASET | {"class_names": ["idc", "non-idc"]}, DATASET | {"class_names": ["non-idc", "idc"]}
    directory = run_directory.begin_run(tiny_config(*flags), before)
    with pytest.raises(UserError, match="labels 0, 1, … were idc, non-idc and are now non-idc, idc; --positive_class"):
        run_directory.begin_run(tiny_config(*flags), after)
    # What the message advises goes on, although the run was begun without the flag; another class does not.
    assert run_directory.begin_run(tiny_config(*flags, "--positive_class=non-idc"), before) == directory
    with pytest.raises(UserError, match="positive_class was non-idc and is now idc"):
        run_directory.begin_run(tiny_config(*flags, "--positive_class=idc"), after)
    # The images of the run are read again as they were numbered.
    assert run_directory.read_run(tiny_config(*flags))[1].positive_class == "non-idc"


def test_a_damaged_config_is_told(tiny_config):
    directory = run_directory.begin_run(tiny_config(), DATASET)
    (directory / "config.json").write_text('{"settings": ')
    with pytest.raises(UserError, match="config.json cannot be read"):
        run_directory.begin_run(tiny_config(), DATASET)
    with pytest.raises(UserError, match="config.json cannot be read"):
        run_directory.read_run(tiny_config())


def test_reading_a_run_needs_no_model_flags_and_refuses_contradictions(tiny_config):
    directory = run_directory.begin_run(tiny_config("--model=dcgan1", "--run=mine"), DATASET)
    from histogan_tf.cli import command_line

    def command(*flags: str):
        given = ["main.py", "--mode=generate", f"--checkpoint_dir={directory.parent}", "--run=mine", *flags]
        return run_directory.read_run(command_line.parse(given))

    found, config, dataset = command("--seed=7")
    assert (found, config.gf_dim, config.model, dataset) == (directory, 4, "dcgan1", DATASET)
    with pytest.raises(UserError, match="--gf_dim=64.*has 4"):
        command("--gf_dim=64")
    with pytest.raises(UserError, match="--model=dcgan2.*has dcgan1"):
        command("--model=dcgan2")


def test_a_missing_run_is_told_with_those_that_exist(tiny_config):
    run_directory.begin_run(tiny_config("--run=mine"), DATASET)
    with pytest.raises(UserError, match="no run other .*mine.*--run"):
        run_directory.read_run(tiny_config("--run=other"))


def test_losses_of_steps_that_are_made_again_are_forgotten(tiny_config):
    config = tiny_config()
    run = run_directory.Run(run_directory.begin_run(config, DATASET), config)
    run.log_losses({step: {"d_loss": float(step)} for step in (1, 2, 3)})
    with (run.directory / "metrics.jsonl").open("a") as file:
        file.write('{"step": 4, "d_')  # a power cut
    run.forget_after(2)
    run.log_losses({3: {"d_loss": 3.5}})
    assert run_directory.read_metrics(run.directory) == [
        {"step": 1, "d_loss": 1.0},
        {"step": 2, "d_loss": 2.0},
        {"step": 3, "d_loss": 3.5},
    ]


def test_tensorboard_files_hold_scalars_images_and_histograms(tiny_config):
    config = tiny_config()
    run = run_directory.Run(run_directory.begin_run(config, DATASET), config)
    run.log_losses({1: {"d_loss": 0.5}})
    run.log_histograms(1, {"z": tf.zeros((4, 2))})
    save_sheet(run, "samples", np.zeros((3, 16, 16, 1), np.uint8), 1)
    path = run.directory / "samples" / "samples_00000001.png"
    assert Image.open(path).size == (16 * 2 + 2, 16 * 2 + 2)
    tags = {
        value.tag
        for file in (run.directory / "logs").iterdir()
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    }
    assert tags == {"d_loss", "z", "samples"}


def test_points_of_steps_that_are_made_again_are_taken_out_of_tensorboards_files(tiny_config):
    config = tiny_config()
    directory = run_directory.begin_run(config, DATASET)
    for first, last, restored in ((1, 13, 0), (8, 12, 7), (11, 15, 10)):
        run = run_directory.Run(directory, config)
        run.forget_after(restored)
        run.log_losses({step: {"d_loss": step / 2, "g_loss": 1.0} for step in range(first, last + 1)})
        run.show_image("samples", np.zeros((4, 4, 3), np.uint8), last)
    files = sorted((directory / "logs").iterdir())
    assert len(files) == 3
    found = [
        (value.tag, event.step)
        for file in files
        for event in tf.compat.v1.train.summary_iterator(str(file))
        for value in event.summary.value
    ]
    losses = [(name, step) for step in range(1, 16) for name in ("d_loss", "g_loss")]
    assert sorted(found) == sorted([*losses, ("samples", 15)])


def test_a_run_that_begins_once_more_begins_its_tensorboard_files_too(tiny_config):
    config = tiny_config()
    directory = run_directory.begin_run(config, DATASET)
    run_directory.Run(directory, config).show_image("reals", np.zeros((4, 4, 3), np.uint8), 0)
    again = run_directory.Run(directory, config)
    again.show_image("reals", np.zeros((4, 4, 3), np.uint8), 0)
    again.forget_after(0)
    (file,) = (directory / "logs").iterdir()
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert [value.tag for event in events for value in event.summary.value] == ["reals"]


def test_a_file_that_a_kill_cut_off_keeps_its_whole_points(tiny_config):
    config = tiny_config()
    directory = run_directory.begin_run(config, DATASET)
    run = run_directory.Run(directory, config)
    run.log_losses({step: {"d_loss": 1.0} for step in range(1, 9)})
    run.flush()
    (file,) = (directory / "logs").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    run_directory.Run(directory, config).forget_after(6)
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert [event.step for event in events if event.summary.value] == [1, 2, 3, 4, 5, 6]
