"""Every recipe in flags/ parses, and says what it needs and gives."""

from __future__ import annotations

from pathlib import Path

import pytest

from histogan_tf.cli import command_line

RECIPES = sorted((Path(__file__).parents[1] / "flags").glob("*.cfg"))


def test_there_is_one_for_each_model():
    models = {command_line.parse(["main.py", f"--flagfile={recipe}"]).model for recipe in RECIPES}
    assert {"dcgan1", "dcgan2", "dcgan3", "cyclegan"} <= models


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda recipe: recipe.stem)
def test_a_recipe_says_command_data_machine_time_and_what_to_expect(recipe: Path):
    header = [line for line in recipe.read_text().splitlines() if line.startswith("#")]
    for word in ("command", "data", "machine", "time", "expect"):
        assert any(line.startswith(f"# {word} ") for line in header), word
    command = next(line for line in header if line.startswith("# command "))
    assert f"--flagfile=flags/{recipe.name}" in command
