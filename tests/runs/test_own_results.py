"""Files of the user in a folder of results are neither overwritten nor removed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from histogan_tf.errors import UserError
from histogan_tf.runs.own_results import own_results, require_own_results


def write(directory: Path, *names: str, text: str = "result") -> None:
    with own_results(directory, names, stale=r"cluster_\d\.png"):
        for name in names:
            (directory / name).write_text(text)


def visible(directory: Path) -> list[str]:
    return sorted(name for name in os.listdir(directory) if not name.startswith("."))


def test_what_the_program_wrote_it_writes_again_and_old_montages_go(tmp_path: Path):
    write(tmp_path / "out", "a.json", "cluster_0.png", "cluster_1.png")
    write(tmp_path / "out", "a.json", "cluster_0.png", text="newer")
    write(tmp_path / "out", "a.json", text="newest")
    assert visible(tmp_path / "out") == ["a.json"]
    assert (tmp_path / "out" / "a.json").read_text() == "newest"


def test_files_of_the_user_stay(tmp_path: Path):
    for name in ("cluster_7.png", "notes.txt"):
        (tmp_path / name).write_text("mine")
    write(tmp_path, "a.json", "cluster_0.png")
    write(tmp_path, "a.json")
    assert visible(tmp_path) == ["a.json", "cluster_7.png", "notes.txt"]
    (tmp_path / "b.json").write_text("mine")
    (tmp_path / "c.json").mkdir()
    (tmp_path / "d.json").symlink_to("nowhere")
    for name in ("b.json", "c.json", "d.json"):
        with pytest.raises(UserError, match=f"holds {name}, which this program did not write.*--output_dir"):
            write(tmp_path, "a.json", name)
    assert (tmp_path / "b.json").read_text() == "mine"


def test_a_result_that_the_user_changed_is_the_users(tmp_path: Path):
    write(tmp_path, "a.json", "cluster_0.png")
    for name in ("a.json", "cluster_0.png"):
        (tmp_path / name).write_text("changed by hand")
    with pytest.raises(UserError, match="a.json"):
        require_own_results(tmp_path, ["a.json"])
    write(tmp_path, "b.json")
    assert visible(tmp_path) == ["a.json", "b.json", "cluster_0.png"]


def test_whatever_a_kill_leaves_is_the_programs_own(tmp_path: Path):
    class Killed(BaseException):
        pass

    with pytest.raises(Killed), own_results(tmp_path, ["a.json", "b.json"]):
        (tmp_path / "a.json").write_text("result")
        raise Killed
    write(tmp_path, "a.json", "b.json", text="again")
    assert (tmp_path / "a.json").read_text() == "again"


def test_after_an_error_a_name_that_was_not_written_is_free_for_the_user(tmp_path: Path):
    with pytest.raises(RuntimeError), own_results(tmp_path, ["a.json", "b.json"]):
        (tmp_path / "a.json").write_text("result")
        raise RuntimeError
    (tmp_path / "b.json").write_text("mine")
    with pytest.raises(UserError, match="holds b.json"):
        require_own_results(tmp_path, ["a.json", "b.json"])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"files": 3}', '{"files": {"a.json": 4}}', "\x00\xff"])
def test_a_damaged_list_lists_nothing(tmp_path: Path, text):
    write(tmp_path, "a.json")
    (tmp_path / ".histogan-files.json").write_text(text)
    with pytest.raises(UserError, match="holds a.json"):
        require_own_results(tmp_path, ["a.json"])


def test_where_nothing_can_be_written_is_told_before_the_work(tmp_path: Path, monkeypatch):
    (tmp_path / "gone").symlink_to("nowhere")
    with pytest.raises(UserError, match="nothing can be written to .*gone: choose another --output_dir"):
        require_own_results(tmp_path / "gone" / "out", ["a.json"])
    require_own_results(tmp_path / "new" / "out", ["a.json"])  # can be made
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as on a read-only disk
    with pytest.raises(UserError, match=f"nothing can be written to {tmp_path}: choose"):
        require_own_results(tmp_path / "new" / "out", ["a.json"])
