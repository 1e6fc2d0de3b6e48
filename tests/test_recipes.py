"""Every recipe in flags/ says what it needs and gives; the commands in its comments are commands of this program."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from histogan_tf.cli import command_line

REPOSITORY = Path(__file__).parents[1]
RECIPES = sorted((REPOSITORY / "flags").glob("*.cfg"))
each_recipe = pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)


def header_of(recipe: Path) -> list[str]:
    return [line for line in recipe.read_text(encoding="utf-8").splitlines() if line.startswith("#")]


def test_there_is_one_for_each_model():
    models = {command_line.parse(["main.py", f"--flagfile={recipe}"]).model for recipe in RECIPES}
    assert {"dcgan1", "dcgan2", "dcgan3", "cyclegan"} <= models


@each_recipe
def test_a_recipe_says_command_data_machine_time_and_what_to_expect(recipe: Path):
    for word in ("command", "data", "machine", "time", "expect"):
        assert sum(line.startswith(f"# {word} ") for line in header_of(recipe)) == 1, word


@each_recipe
def test_the_commands_of_a_recipe_are_understood(recipe: Path, monkeypatch: pytest.MonkeyPatch):
    """The first gives the recipe, and at most the folder of the data beside it; others use the run that it makes."""
    monkeypatch.chdir(REPOSITORY)
    found = [re.fullmatch(r"# (\w+) +(python main\.py .*)", line) for line in header_of(recipe)]
    parsed = {match[1]: command_line.parse(shlex.split(match[2])[1:]) for match in found if match}
    alone = command_line.parse(["main.py", f"--flagfile=flags/{recipe.name}"])
    assert parsed["command"].given - alone.given <= {"data_path"}
    assert parsed["command"].to_json() == alone.to_json() | {"data_path": parsed["command"].data_path}
    if "then" in parsed:
        assert parsed["then"].run == alone.run_name()
