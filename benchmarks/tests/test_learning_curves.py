"""Stretches of training, what is read of an evaluation, and that a stopped benchmark goes on."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks import learning_curves
from benchmarks.learning_curves import CommandFailed, Stretch, plot_learning_curves, read_measures, train_for

TINY = ["--model=dcgan1", "--phantom_images=24", "--output_height=16", "--gf_dim=2", "--df_dim=2", "--gfc_dim=4"]
TINY += ["--dfc_dim=4", "--batch_size=4", "--sample_num=4"]


def test_a_stretch_is_stopped_in_time_and_the_next_goes_on(tmp_path: Path):
    flags = [*TINY, f"--checkpoint_dir={tmp_path}", "--run=tiny", "--max_steps=100000", "--epoch=100000"]
    first = train_for(flags, 1.0)
    assert first.seconds == 1.0 and first.step >= 1
    second = train_for(flags, 1.0)
    assert second.step > first.step
    assert f"stopped after step {second.step}" in (tmp_path / "tiny" / "log.txt").read_text()


def test_a_training_that_ends_before_its_time_counts_what_it_took(tmp_path: Path):
    stretch = train_for([*TINY, f"--checkpoint_dir={tmp_path}", "--run=tiny", "--max_steps=2"], 600.0)
    assert stretch.step == 2 and stretch.seconds < 300


def test_a_failure_tells_the_last_words_of_the_program(tmp_path: Path):
    with pytest.raises(CommandFailed, match="--gf_dim"):
        train_for(["--gf_dim=0", f"--checkpoint_dir={tmp_path}"], 1.0)


def test_the_measures_are_read_without_the_names_of_their_features():
    sides = {"synthetic": {"value": 0.5}, "floor": {"value": 0.9}}
    written = {"metrics": {"recall-random-n1000": sides, "kid-random-n99": sides, "checkerboard-2px": sides}}
    assert read_measures(written) == {name: {"value": 0.5, "floor": 0.9} for name in ("recall", "kid")}


def test_a_stopped_benchmark_goes_on_from_its_last_mark(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    trained = []

    def train(flags: list[str], seconds: float) -> Stretch:
        trained.append((next(flag for flag in flags if flag.startswith("--run=")), seconds))
        return Stretch(seconds, 10 * len(trained))

    metrics = {name: {"value": 0.5, "floor": 0.9} for name in ("kid", "precision", "recall", "coverage")}
    monkeypatch.setattr(learning_curves, "train_for", train)
    monkeypatch.setattr(learning_curves, "measure", lambda flags, folder: metrics)
    arguments = ["--output", str(tmp_path), "--recipes=dcgan1,tissue", "--training=--label=idc"]
    learning_curves.main([*arguments, "--minutes=1,3"])
    assert trained == [("--run=dcgan1", 60), ("--run=dcgan1", 120), ("--run=tissue", 60), ("--run=tissue", 120)]
    learning_curves.main([*arguments, "--minutes=3,4"])
    assert trained[4:] == [("--run=dcgan1", 60), ("--run=tissue", 60)]
    curves = json.loads((tmp_path / "learning_curves.json").read_text())
    assert [(mark["minutes"], mark["step"]) for mark in curves["tissue"]] == [(1, 30), (3, 40), (4, 60)]
    assert (tmp_path / "learning_curves.png").read_bytes().startswith(b"\x89PNG")


def test_a_floor_below_zero_has_no_place_on_a_logarithmic_axis(tmp_path: Path):
    metrics = {"kid": {"value": 0.5, "floor": -0.001}, "recall": {"value": 0.5, "floor": 0.8}}
    plot_learning_curves(tmp_path / "curves.png", {"tissue": [{"minutes": 2.0, "step": 9, "metrics": metrics}]})
    assert (tmp_path / "curves.png").stat().st_size > 1000
