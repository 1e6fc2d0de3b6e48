"""Results of several files appear together, whenever the program is killed."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from histogan_tf.errors import UserError
from histogan_tf.runs import files, together
from histogan_tf.runs.together import finish_earlier, written_together

MADE_BY = {"seed": 42}


def make(directory: Path) -> None:
    with written_together(directory, MADE_BY) as aside:
        for name in ("0", "1"):
            (aside / name).mkdir()
            (aside / name / "00000.png").write_text(name)
        (aside / "images.npz").write_text("npz")


def names(directory: Path) -> list[str]:
    return sorted(str(path.relative_to(directory)) for path in directory.rglob("*") if path.is_file())


WHOLE = ["0/00000.png", "1/00000.png", "images.npz"]


class Killed(BaseException):
    """What a kill does: nothing after it happens, so nothing is tidied up either."""


def killed_at(monkeypatch, number: int) -> None:
    """Ends the program before its rename of this number, counted from 0."""
    renames = []

    def replace(source, target):
        renames.append(target)
        if len(renames) > number:
            monkeypatch.setattr(files, "remove", lambda path: None)
            raise Killed
        os.rename(source, target)

    monkeypatch.setattr(os, "replace", replace)


@pytest.mark.parametrize("number", range(6))
def test_whenever_it_is_killed_all_or_nothing_is_there_at_the_next_command(monkeypatch, tmp_path: Path, number):
    (tmp_path / "mine.txt").write_text("mine")
    with monkeypatch.context() as patch:
        killed_at(patch, number)
        with pytest.raises(Killed):
            make(tmp_path)
    made_by = finish_earlier(tmp_path)
    visible = [name for name in names(tmp_path) if not name.startswith(".writing-")]
    if number < 2:  # killed before the renames of the record and of the folder that holds all
        assert (made_by, visible) == (None, ["mine.txt"])
        make(tmp_path)
    else:
        assert (made_by, visible) == (MADE_BY, [*WHOLE, "mine.txt"])
    assert [name for name in names(tmp_path) if not name.startswith(".writing-")] == [*WHOLE, "mine.txt"]
    assert finish_earlier(tmp_path) is None


def test_nothing_is_overwritten(tmp_path: Path):
    (tmp_path / "images.npz").write_text("mine")
    with pytest.raises(UserError, match="images.npz exists: choose another --output_dir"):
        make(tmp_path)
    assert (tmp_path / "images.npz").read_text() == "mine"
    (tmp_path / "images.npz").unlink()
    assert finish_earlier(tmp_path) == MADE_BY
    assert names(tmp_path) == WHOLE


def test_a_damaged_record_is_told(tmp_path: Path):
    (tmp_path / together._COMPLETE).mkdir()
    with pytest.raises(UserError, match="is damaged.*move it away"):
        finish_earlier(tmp_path)
