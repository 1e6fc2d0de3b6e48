"""One writer of a run, folders of others, and what --restart removes, also when it is killed."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from histogan_tf.errors import UserError
from histogan_tf.runs import files, locking
from histogan_tf.runs.locking import sole_writer
from histogan_tf.runs.run_directory import begin_run, logger, writing_run

DATASET = {"name": "phantom", "image_shape": [16, 16, 3], "class_names": [], "fingerprint": "abc"}


@pytest.fixture
def run(tiny_config) -> Path:
    """A run with a checkpoint, a sheet in a folder of another name, and a file of the user."""
    config = tiny_config("--model=dcgan1", "--sample_dir=sheets")
    with writing_run(config):
        directory = begin_run(config, DATASET)
    (directory / "ckpt" / "step-00000200").mkdir(parents=True)
    (directory / "ckpt" / "step-00000200" / "state").write_text("weights")
    (directory / "sheets").mkdir()
    (directory / "sheets" / "reals.png").write_text("sheet")
    (directory / "generated").mkdir()
    (directory / "notes.txt").write_text("mine")
    return directory


def contents(folder: Path) -> dict[str, str]:
    return {str(path.relative_to(folder)): path.read_text() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_that_is_no_run_is_never_touched(tiny_config, tmp_path: Path):
    foreign = tmp_path / "thesis"
    (foreign / "model").mkdir(parents=True)
    (foreign / "chapter1.txt").write_text("years of work")
    (foreign / "model" / "config.json").write_text('{"architectures": ["ResNet"], "settings": {}}')
    (tmp_path / "file").write_text("text")
    before = contents(tmp_path)
    for name, folder in (("thesis", tmp_path), ("model", foreign), ("file", tmp_path)):
        for flags in ([], ["--restart"]):
            config = tiny_config(f"--run={name}", f"--checkpoint_dir={folder}", *flags)
            with pytest.raises(UserError, match="is no run of this program.*--run"), writing_run(config):
                pass
    assert contents(tmp_path) == before


def test_restart_removes_what_the_program_wrote_and_nothing_else(tiny_config, run: Path, caplog):
    with writing_run(tiny_config("--model=dcgan1", "--restart", "--z_dim=7")):
        assert sorted(os.listdir(run)) == [".lock", "log.txt", "notes.txt"]
        begin_run(tiny_config("--model=dcgan1", "--restart", "--z_dim=7"), DATASET)
    assert f"--restart: removed {run} (step-00000200" in caplog.text
    assert f"notes.txt was not written by this program, and stays in {run}" in caplog.text
    assert json.loads((run / "config.json").read_text())["settings"]["z_dim"] == 7
    assert (run / "notes.txt").read_text() == "mine"


def test_restart_waits_for_nobody_and_removes_nothing_of_a_run_that_is_trained(tiny_config, run: Path):
    before = contents(run)
    with sole_writer(run):
        config = tiny_config("--model=dcgan1", "--restart")
        with pytest.raises(UserError, match="another process is working on"), writing_run(config):
            pass
    after = contents(run)
    assert after.pop("log.txt") is not None
    before.pop("log.txt")
    assert after == before


@pytest.mark.parametrize("moves_before_the_kill", range(5))
@pytest.mark.parametrize("second", [["--restart"], []])
def test_a_restart_that_was_killed_is_finished_by_the_next_start(
    tiny_config, run: Path, monkeypatch, moves_before_the_kill, second
):
    moves = []

    def killed(*arguments):
        moves.append(arguments)
        if len(moves) > moves_before_the_kill:
            raise SystemExit
        os.rename(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(locking.os, "replace", killed)
        patch.setattr(files, "remove", lambda path: None)
        with pytest.raises(SystemExit), writing_run(tiny_config("--model=dcgan1", "--restart")):
            pass
    with writing_run(tiny_config("--model=dcgan1", *second)):
        begin_run(tiny_config("--model=dcgan1"), DATASET)
    assert sorted(os.listdir(run)) == [".lock", "config.json", "log.txt", "notes.txt"]


@pytest.mark.parametrize(
    "left", [[], [".lock"], [".lock", "log.txt"], [".lock", "log.txt", ".writing-0a1b2c3d-7-config.json"]]
)
def test_whatever_a_kill_leaves_at_the_first_write_the_same_command_goes_on(tiny_config, tmp_path: Path, left):
    config = tiny_config("--model=dcgan1")
    directory = tmp_path / config.run_name()
    directory.mkdir()
    for name in left:
        (directory / name).touch()
    with writing_run(config):
        begin_run(config, DATASET)
    assert (directory / "config.json").exists()


def test_a_damaged_record_is_thrown_away_only_where_the_program_has_been(tiny_config, run: Path, tmp_path: Path):
    (run / "config.json").write_text('{"settings"')
    with writing_run(tiny_config("--model=dcgan1", "--restart")):
        assert not (run / "config.json").exists()
    foreign = tmp_path / "foreign"
    foreign.mkdir()
    (foreign / "config.json").write_text('{"settings"')
    with pytest.raises(UserError, match="no run of this program"), sole_writer(foreign, restart=True):
        pass
    assert contents(foreign) == {"config.json": '{"settings"'}


def test_of_two_first_starts_one_wins_and_the_other_says_so(tiny_config):
    config = tiny_config("--model=dcgan1")
    with writing_run(config):
        with pytest.raises(UserError, match="another process is working on .*--run"), writing_run(config):
            pass
        directory = begin_run(config, DATASET)
        logger.info("a line")
    assert "INFO a line" in (directory / "log.txt").read_text()


def test_leftovers_of_killed_processes_are_removed_by_the_next_start(tiny_config, run: Path):
    dead, alive = f".writing-{files._host()}-{2**22 + 1}-a", f".writing-{files._host()}-{os.getppid()}-b"
    for folder in (run, run / "ckpt"):
        for name in (dead, alive):
            (folder / name).touch()
    with sole_writer(run):
        pass
    assert [name for name in os.listdir(run) if name.startswith(".writing")] == [alive]
    assert os.listdir(run / "ckpt") == ["step-00000200"]  # only the one who has locked the run writes there
