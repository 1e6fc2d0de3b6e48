from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
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


def test_leftovers_of_dead_processes_are_removed_and_nothing_else(tmp_path: Path):
    files.write_text(tmp_path / "kept", "x")
    here, dead = files._host(), 2**22 + 1  # larger than the largest number of a process
    (tmp_path / f".writing-{here}-{dead}-folder").mkdir()
    (tmp_path / f".writing-{here}-{dead}-file").write_text("half")
    (tmp_path / ".writing-0a1b2c3d-7-old").write_text("half")
    os.utime(tmp_path / ".writing-0a1b2c3d-7-old", (0, 0))
    kept = {"kept", f".writing-{here}-{os.getppid()}-file", ".writing-0a1b2c3d-7-new", ".writing-paper.txt"}
    for name in kept - {"kept"}:
        (tmp_path / name).write_text("half")
    files.remove_leftovers(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == kept


def test_a_killed_process_leaves_what_the_next_one_that_writes_there_removes(tmp_path: Path):
    program = (
        "import os, sys, pathlib; from histogan_tf.runs.files import written_aside\n"
        "with written_aside(pathlib.Path(sys.argv[1])) as aside: aside.write_text('half'); os._exit(1)\n"
    )
    subprocess.run([sys.executable, "-c", program, tmp_path / "one"], check=False)
    assert [path.name.split("-")[0] for path in tmp_path.iterdir()] == [".writing"]
    files.write_text(tmp_path / "two", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["two"]


def test_an_error_of_writing_names_the_file(tmp_path: Path):
    for error in (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), OSError("100 requested and 8 written")):
        with pytest.raises(OSError, match="No space left on device") as caught, files.written_aside(tmp_path / "a"):
            raise error
        assert (caught.value.errno, caught.value.filename) == (errno.ENOSPC, str(tmp_path / "a"))
    assert list(tmp_path.iterdir()) == []


def test_an_error_of_a_library_without_a_number_is_not_taken_for_a_full_disk(tmp_path: Path):
    with pytest.raises(OSError, match="^cannot identify image file$") as caught, files.written_aside(tmp_path / "a"):
        raise OSError("cannot identify image file")
    assert caught.value.errno is None and list(tmp_path.iterdir()) == []


def test_removing_a_link_leaves_what_it_points_to(tmp_path: Path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "link").symlink_to(tmp_path / "folder")
    files.remove(tmp_path / "link")
    files.remove(tmp_path / "absent")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_names_that_are_not_utf8_come_back_from_json(tmp_path: Path):
    files.write_json(tmp_path / "a.json", {"é": "caf\udce9.png"})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == {"é": "caf\udce9.png"}
