from __future__ import annotations

import numpy as np
import tensorflow as tf
from PIL import Image

from histogan_tf.runs import run_directory
from histogan_tf.runs.run_writer import Run
from histogan_tf.training.loop import save_sheet

DATASET = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": [], "fingerprint": "abc"}


def test_losses_of_steps_that_are_made_again_are_forgotten(tiny_config):
    config = tiny_config()
    run = Run(run_directory.begin_run(config, DATASET), config)
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
    run = Run(run_directory.begin_run(config, DATASET), config)
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
        run = Run(directory, config)
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
    Run(directory, config).show_image("reals", np.zeros((4, 4, 3), np.uint8), 0)
    again = Run(directory, config)
    again.show_image("reals", np.zeros((4, 4, 3), np.uint8), 0)
    again.forget_after(0)
    (file,) = (directory / "logs").iterdir()
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert [value.tag for event in events for value in event.summary.value] == ["reals"]


def test_a_file_that_a_kill_cut_off_keeps_its_whole_points(tiny_config):
    config = tiny_config()
    directory = run_directory.begin_run(config, DATASET)
    run = Run(directory, config)
    run.log_losses({step: {"d_loss": 1.0} for step in range(1, 9)})
    run.flush()
    (file,) = (directory / "logs").iterdir()
    file.write_bytes(file.read_bytes()[:-5])
    Run(directory, config).forget_after(6)
    events = list(tf.compat.v1.train.summary_iterator(str(file)))
    assert [event.step for event in events if event.summary.value] == [1, 2, 3, 4, 5, 6]
