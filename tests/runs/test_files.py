from __future__ import annotations

import json
from pathlib import Path

import pytest

from histogan_tf.runs import files


def test_a_file_is_whole_or_as_it_was(tmp_path: Path):
    path = tmp_path / "folder" / "file.txt"
    files.write_text(path, "first")
    with pytest.raises(RuntimeError), files.written_aside(path) as aside:
        aside.write_text("half")
        raise RuntimeError
    assert path.read_text() == "first"
    files.write_json(path, {"é": 1})
    assert json.loads(path.read_text(encoding="utf-8")) == {"é": 1}
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_appears_whole_or_not_at_all(tmp_path: Path):
    folder = tmp_path / "folder"
    with pytest.raises(RuntimeError), files.written_aside(folder) as aside:
        (aside / "inner").mkdir(parents=True)
        raise RuntimeError
    assert not any(tmp_path.iterdir())
    with files.written_aside(folder) as aside:
        (aside / "inner").mkdir(parents=True)
        (aside / "inner" / "file").write_text("x")
        assert not folder.exists()
    assert (folder / "inner" / "file").read_text() == "x"


def test_leftovers_are_removed_and_nothing_else(tmp_path: Path):
    files.write_text(tmp_path / "kept", "x")
    (tmp_path / ".writing-1-folder").mkdir()
    (tmp_path / ".writing-1-file").write_text("half")
    files.remove_leftovers(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_removing_a_link_leaves_what_it_points_to(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]
