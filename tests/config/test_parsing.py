"""Keyword arguments mean what the same flags mean on a command line, and their mistakes read the same."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from histogan_tf.config import Config
from histogan_tf.config.parsing import parse_flags, parse_keywords
from histogan_tf.errors import UserError


def message_of(parse, argument) -> str:
    with pytest.raises(UserError) as caught:
        parse(argument)
    return str(caught.value)


@pytest.mark.parametrize(
    ("keywords", "arguments"),
    [
        ({}, []),
        ({"model": "dcgan1", "strides": (2, 2, 1, 1)}, ["--model=dcgan1", "--strides=2,2,1,1"]),
        ({"strides": [2], "diffaugment": ["color", "cutout"]}, ["--strides=2", "--diffaugment=color,cutout"]),
        ({"strides": "2,2,1,1", "epoch": "7"}, ["--strides=2,2,1,1", "--epoch=7"]),
        ({"crop": True, "input_height": 20, "conditional": False}, ["--crop", "--input_height=20", "--noconditional"]),
        ({"learning_rate": 1e-4, "label": 1}, ["--learning_rate=0.0001", "--label=1"]),
        ({"epoch": np.int64(3), "beta1": np.float64(0.25)}, ["--epoch=3", "--beta1=0.25"]),
        ({"data_path": Path("data/mine"), "dataset": "mine"}, ["--data_path=data/mine", "--dataset=mine"]),
        ({"epoch": 3, "run": None}, ["--epoch=3"]),
    ],
)
def test_keywords_are_flags(keywords, arguments):
    config = parse_keywords(keywords)
    assert config == parse_flags(arguments)
    assert config.given == {name for name, value in keywords.items() if value is not None}


def test_a_float_keeps_every_bit():
    assert parse_keywords({"learning_rate": 0.1 + 0.2}).learning_rate == 0.1 + 0.2


@pytest.mark.parametrize(
    ("keywords", "argument"),
    [
        ({"modle": "dcgan1"}, "--modle=dcgan1"),
        ({"model": "dcgan4"}, "--model=dcgan4"),
        ({"epoch": "many"}, "--epoch=many"),
        ({"epoch": 2.5}, "--epoch=2.5"),
        ({"epoch": 0}, "--epoch=0"),
        ({"epoch": True}, "--epoch=true"),
        ({"crop": "perhaps"}, "--crop=perhaps"),
        ({"nocrop": True}, "--nocrop=true"),
        ({"strides": (2, "x")}, "--strides=2,x"),
        ({"learning_rate": float("nan")}, "--learning_rate=nan"),
        ({"diffaugment": ("colour",)}, "--diffaugment=colour"),
        ({"run": "../elsewhere"}, "--run=../elsewhere"),
        ({"flagfile": "does-not-exist.cfg"}, "--flagfile=does-not-exist.cfg"),
    ],
)
def test_a_mistake_reads_as_on_the_command_line(keywords, argument):
    assert message_of(parse_keywords, keywords) == message_of(parse_flags, [argument])


def test_an_unknown_name_is_refused_whatever_its_value_and_the_nearest_is_named():
    for value in ("dcgan1", None):
        assert "Did you mean: mode, model" in message_of(parse_keywords, {"modle": value})


def test_keywords_hold_against_a_flagfile(tmp_path: Path):
    recipe = tmp_path / "recipe.cfg"
    recipe.write_text("--epoch=3\n--model=dcgan1\n")
    config = parse_keywords({"epoch": 4, "flagfile": recipe})
    assert (config.model, config.epoch) == ("dcgan1", 4)
    assert isinstance(config, Config)
