"""Stages with small files for outputs: what is skipped, what is redone, and what is said of it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from histogan_tf.errors import UserError
from histogan_tf.paper.stages import Stage, Stages


class Kitchen:
    """`flour` and `butter` make a file each, `dough` reads both, `bread` the dough; and what was done, in order."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.done = directory, []
        self.grams, self.minutes = 500, 40
        self.is_stopped = self.is_vegan = False

    def stages(self) -> Stages:
        return Stages(
            self.directory,
            [
                Stage("flour", "shop", {"grams": self.grams}, (), ("flour.txt",), self._flour),
                Stage("butter", "shop", {}, (), ("butter.txt",), self._butter),
                Stage("dough", "knead", {}, self._ingredients(), ("dough",), self._dough, can_resume=True),
                Stage("bread", "bake", {"minutes": self.minutes}, ("dough",), ("bread.txt",), self._bread),
            ],
        )

    def run(self, *kinds: str) -> list[str]:
        self.done = []
        self.stages().run(kinds or ("shop", "knead", "bake"))
        return self.done

    def _flour(self) -> None:
        self.done.append("flour")
        (self.directory / "flour.txt").write_text("much" if self.grams > 300 else "little")

    def _butter(self) -> None:
        (self.directory / "butter.txt").write_text("a bit")

    def _ingredients(self) -> tuple[str, ...]:
        return ("flour",) if self.is_vegan else ("flour", "butter")

    def _dough(self) -> None:
        folder = self.directory / "dough"
        self.done.append("dough goes on" if folder.exists() else "dough")
        folder.mkdir(exist_ok=True)
        (folder / "log.txt").write_text(f"{len(self.done)}")
        (folder / "config.json").write_text(f"begun as {len(self.done)}")
        if self.is_stopped:
            raise KeyboardInterrupt
        (folder / "dough.txt").write_text((self.directory / "flour.txt").read_text() * 2)

    def _bread(self) -> None:
        self.done.append("bread")
        assert not (self.directory / "bread.txt").exists()
        (self.directory / "bread.txt").write_text((self.directory / "dough" / "dough.txt").read_text())
        if self.is_stopped:
            raise KeyboardInterrupt


@pytest.fixture
def kitchen(tmp_path: Path) -> Kitchen:
    kitchen = Kitchen(tmp_path)
    assert kitchen.run() == ["flour", "dough", "bread"]
    return kitchen


def test_nothing_is_done_twice(kitchen):
    assert kitchen.stages().plan() == {}
    assert kitchen.run() == []


@pytest.mark.parametrize("damage", ["missing", "not as it was written"])
def test_a_damaged_output_is_made_again_and_what_reads_it_is_not_if_it_is_the_same(kitchen, caplog, damage):
    path = kitchen.directory / "dough" / "dough.txt"
    path.unlink() if damage == "missing" else path.write_text("mould")
    assert kitchen.stages().plan() == {"dough": f"dough/dough.txt is {damage}: redone", "bread": "follows dough"}
    assert kitchen.run() == ["dough"]
    assert f"stage 3/4, dough: dough/dough.txt is {damage}: redone" in caplog.text
    assert path.read_text() == "muchmuch"


def test_what_a_later_command_may_change_is_no_damage(kitchen):
    (kitchen.directory / "dough" / "log.txt").write_text("more")
    (kitchen.directory / "dough" / "evaluated.txt").write_text("more")
    assert kitchen.run() == []


def test_other_settings_are_told_with_all_that_they_invalidate_before_anything_is_redone(kitchen, caplog):
    kitchen.grams = 100
    stages = kitchen.stages()
    stages.tell_invalidated()
    assert (
        "settings have changed: flour (grams was 500 and is now 100); that invalidates dough, bread too" in caplog.text
    )
    assert kitchen.run() == ["flour", "dough", "bread"]
    assert (kitchen.directory / "bread.txt").read_text() == "littlelittle"


def test_a_stage_that_reads_fewer_stages_than_before_is_redone(kitchen):
    kitchen.is_vegan = True
    reason = "it does not read butter any more"
    assert kitchen.stages().plan() == {"dough": reason, "bread": "follows dough"}
    assert kitchen.run() == ["dough"]
    assert kitchen.stages().plan() == {}


def test_a_stage_that_only_comes_after_another_is_not_redone_with_it(kitchen):
    def stages(grams: int) -> Stages:
        flour = Stage("flour", "shop", {"grams": grams}, (), ("flour.txt",), kitchen._flour)
        dough = Stage("dough", "knead", {}, (), ("dough",), kitchen._dough, after=("flour",))
        return Stages(kitchen.directory, [flour, dough])

    dough = kitchen.directory / "stages" / "dough.json"
    record = json.loads(dough.read_text())
    # A record of a time when the stage was said to read the other one is as good.
    dough.write_text(json.dumps({**record, "inputs": {"flour": record["inputs"]["flour"]}}))
    kitchen.grams, kitchen.done = 100, []
    assert stages(100).plan() == {"flour": "grams was 500 and is now 100"}
    stages(100).run(("shop", "knead"))
    assert kitchen.done == ["flour"] and (kitchen.directory / "flour.txt").read_text() == "little"
    with pytest.raises(UserError, match="dough needs flour"):
        stages(200).run(("knead",))


def test_settings_that_change_no_output_redo_their_own_stage_only(kitchen):
    kitchen.grams = 400
    assert kitchen.run() == ["flour"]
    kitchen.minutes = 50
    assert kitchen.run() == ["bread"]


def test_a_stage_that_was_stopped_goes_on_inside_if_it_can_and_else_begins_anew(kitchen):
    (kitchen.directory / "dough" / "dough.txt").write_text("mould")
    kitchen.minutes, kitchen.is_stopped = 60, True
    with pytest.raises(KeyboardInterrupt):
        kitchen.run()
    with pytest.raises(KeyboardInterrupt):
        kitchen.run()
    assert kitchen.done == ["dough goes on"]
    kitchen.is_stopped = False
    assert kitchen.run() == ["dough goes on", "bread"]
    kitchen.minutes, kitchen.is_stopped = 70, True
    with pytest.raises(KeyboardInterrupt):
        kitchen.run()
    kitchen.is_stopped = False
    assert kitchen.run() == ["bread"]


def test_a_flag_that_is_newer_than_a_record_had_its_default_then():
    def changed(recorded: dict, settings: dict) -> str | None:
        return Stage("a", "a", settings, (), (), lambda: None).settings_changed({"settings": recorded})

    assert changed({"seed": 1}, {"seed": 1, "views": 3}) is None  # 3 is the default of --views
    assert changed({"seed": 1}, {"seed": 1, "views": 2}) == "views was 3 and is now 2"
    assert changed({"seed": 1, "views": 3}, {"seed": 1}) == "views was 3 and is now None"


def test_a_stopped_stage_of_other_settings_is_cleared_away(tmp_path):
    kitchen = Kitchen(tmp_path)
    kitchen.is_stopped = True
    with pytest.raises(KeyboardInterrupt):
        kitchen.run()
    kitchen.is_stopped, kitchen.grams = False, 100
    assert kitchen.run() == ["flour", "dough", "bread"]


def test_a_damaged_record_is_named_and_its_stage_redone(kitchen, caplog):
    (kitchen.directory / "stages" / "flour.json").write_text('{"settings": ')
    assert kitchen.run() == ["flour"]
    assert "flour.json is damaged: flour is done anew" in caplog.text


def test_some_stages_only_and_what_they_need(tmp_path):
    kitchen = Kitchen(tmp_path)
    assert kitchen.run("shop") == ["flour"]
    with pytest.raises(UserError, match=r"bread needs dough \(not done yet\): add knead to --stages"):
        kitchen.run("bake")
    assert kitchen.run("knead", "bake") == ["dough", "bread"]


def test_a_missing_need_is_told_before_anything_is_done(tmp_path):
    kitchen = Kitchen(tmp_path)
    with pytest.raises(UserError, match="bread needs dough"):
        kitchen.run("shop", "bake")
    assert kitchen.done == []
    assert list(tmp_path.iterdir()) == []


def test_a_mistake_in_a_stage_names_it_and_leaves_it_unfinished(kitchen):
    def fail():
        raise UserError("no yeast")

    stage = Stage("dough", "knead", {"yeast": 0}, (), ("dough",), fail)
    with pytest.raises(UserError, match="in the stage dough: no yeast"):
        Stages(kitchen.directory, [stage]).run(("knead",))
    record = json.loads((kitchen.directory / "stages" / "dough.json").read_text())
    assert record == {"settings": {"yeast": 0}, "inputs": {}, "outputs": None}
