"""Stages with small files for outputs: what is skipped, what is redone, and what is said of it."""

from __future__ import annotations

import json
import signal
from pathlib import Path

import pytest

from histogan_tf.errors import UserError
from histogan_tf.paper import stages as stages_module
from histogan_tf.paper.stage_seconds import seconds_before
from histogan_tf.paper.stages import Stage, Stages
from histogan_tf.training.loop import Interrupted


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


@pytest.fixture
def clock(monkeypatch) -> list[float]:
    """The seconds that have passed, which a test moves on by hand."""
    now = [1000.0]
    monkeypatch.setattr(stages_module.time, "monotonic", lambda: now[0])
    return now


def training(directory: Path, clock: list[float], seconds: float, error: BaseException | None = None) -> Stages:
    """A stage that can go on and takes `seconds`, until it is done or an error stops it."""

    def run() -> None:
        clock[0] += seconds
        (directory / "gan").mkdir(exist_ok=True)
        (directory / "gan" / "weights.txt").write_text("heavy")
        if error is not None:
            raise error

    return Stages(directory, [Stage("gan", "train", {}, (), ("gan",), run, can_resume=True)])


def record_of_training(directory: Path) -> dict:
    return json.loads((directory / "stages" / "gan.json").read_text())


def test_the_seconds_of_a_stage_are_the_sum_over_its_stretches(tmp_path, clock):
    for seconds, error in ((40.0, KeyboardInterrupt()), (3.5, UserError("full")), (7.0, Interrupted(signal.SIGTERM))):
        with pytest.raises((KeyboardInterrupt, UserError, Interrupted)):
            training(tmp_path, clock, seconds, error).run(("train",))
    assert record_of_training(tmp_path) == {"settings": {}, "inputs": {}, "outputs": None, "seconds": 50.5}
    training(tmp_path, clock, 10.0).run(("train",))
    assert record_of_training(tmp_path)["seconds"] == 60.5
    (tmp_path / "gan" / "weights.txt").write_text("light")  # it is made anew, which takes as long as it takes
    training(tmp_path, clock, 25.0).run(("train",))
    assert record_of_training(tmp_path)["seconds"] == 25.0


def test_a_stretch_that_was_killed_lasted_until_the_last_line_of_its_log(tmp_path, clock):
    with pytest.raises(KeyboardInterrupt):
        training(tmp_path, clock, 40.0, KeyboardInterrupt()).run(("train",))
    killed = {**record_of_training(tmp_path), "begun": "2026-03-01 23:59:00"}
    (tmp_path / "stages" / "gan.json").write_text(json.dumps(killed))
    lines = ["2026-03-01 22:00:00,000 INFO of an earlier stretch", "2026-03-02 00:01:30,999 INFO step 3/9", "  a table"]
    (tmp_path / "gan" / "log.txt").write_text("\n".join(lines))
    training(tmp_path, clock, 10.0).run(("train",))
    record = record_of_training(tmp_path)
    assert (record["seconds"], "begun" in record) == (40 + 150 + 10, False)


@pytest.mark.parametrize(
    ("record", "log", "seconds"),
    [
        (None, None, 0.0),
        ({}, None, 0.0),  # of an earlier version
        ({"seconds": 5.0}, "2026-03-01 10:00:00,000 INFO a\n", 5.0),  # it was stopped in order
        ({"seconds": 5.0, "begun": "2026-03-01 09:59:00"}, "2026-03-01 10:00:00,000 INFO a\n", 65.0),
        ({"seconds": 5.0, "begun": "2026-03-01 10:01:00"}, "2026-03-01 10:00:00,000 INFO a\n", 5.0),
        ({"seconds": 5.0, "begun": "2026-03-01 10:01:00"}, "no date\n", 5.0),
        ({"seconds": "many", "begun": "yesterday"}, "2026-03-01 10:00:00,000 INFO a\n", 0.0),
    ],
)
def test_the_seconds_of_an_unfinished_stage_follow_from_its_record_and_its_log(tmp_path, record, log, seconds):
    if log is not None:
        (tmp_path / "log.txt").write_text(log)
    assert seconds_before(record, [tmp_path, tmp_path / "missing"]) == seconds
