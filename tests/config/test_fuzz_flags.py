"""Whatever stands on a command line or in a flagfile, it is a Config or one line about a mistake."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from histogan_tf.cli import command_line
from histogan_tf.config import Config, flag_fields, resolve
from histogan_tf.errors import UserError

_NAMES = [field.name for field in flag_fields()]
_FIELDS = {field.name: field for field in flag_fields()}
_ODD = st.sampled_from(
    ["", "-1", "0", "1e25", "9" * 400, "nan", "inf", "true", "None", "٣", "1,2", ",", "[v2]", "gs://b"]
)


@st.composite
def _arguments(draw) -> str:
    name = draw(st.sampled_from(_NAMES) | st.text(max_size=8))
    choices = tuple(_FIELDS[name].metadata["choices"] or ()) if name in _FIELDS else ()
    fitting = st.sampled_from(choices) if choices else st.integers(-2, 40).map(str)
    value = draw(fitting | _ODD | st.text() | st.integers().map(str) | st.floats().map(str))
    return draw(st.sampled_from(["--{0}={1}", "-{0}={1}", "--no{0}", "--no{0}={1}", "--{0}", "{1}"])).format(
        name, value
    )


def parsed(arguments: list[str]) -> Config | None:
    """The Config, or None after a mistake, which is one line."""
    try:
        return command_line.parse(["main.py", *arguments])
    except UserError as error:
        require_one_line(error)
        return None


def require_one_line(error: UserError) -> None:
    assert str(error) and "\n" not in str(error)


def is_within_limits(config: Config) -> bool:
    for field in flag_fields():
        value = getattr(config, field.name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, (int, float)) and not isinstance(item, bool):
                assert field.metadata["minimum"] <= item <= field.metadata["maximum"], (field.name, item)
    return True


@pytest.mark.fuzz
@given(st.lists(_arguments(), max_size=4))
def test_flags(arguments: list[str]):
    config = parsed([argument for argument in arguments if "flagfile" not in argument])
    assert config is None or is_within_limits(config)
    if config is not None:
        record = json.loads(json.dumps(config.to_json()))
        assert Config.from_json(record) == dataclasses.replace(config, given=frozenset())


@pytest.mark.fuzz
@given(
    st.binary(max_size=60)
    | st.tuples(
        st.lists(_arguments() | st.text() | st.just("--epoch=3"), max_size=4).map("\n".join),
        st.sampled_from(["utf-8", "utf-8-sig", "utf-16", "utf-16-be", "utf-32", "latin-1", "cp932"]),
    ).map(lambda pair: pair[0].encode(pair[1], "replace"))
)
def test_flagfiles(tmp_path_factory, content: bytes):
    path = tmp_path_factory.getbasetemp() / "recipe.cfg"
    path.write_bytes(content)
    config = parsed([f"--flagfile={path}"])
    assert config is None or is_within_limits(config)


def test_every_number_has_a_smallest_and_a_largest_value():
    numbers = [field for field in flag_fields() if "int" in field.type or "float" in field.type]
    assert len(numbers) > 40
    assert [field.name for field in numbers if None in (field.metadata["minimum"], field.metadata["maximum"])] == []


@pytest.mark.parametrize(
    "flag",
    [
        "views=" + 25 * "9",
        "num_replicas=1000000",
        "z_dim=100000000",
        "gf_dim=1000000",
        "num_images=1e25",
    ],
)
def test_numbers_that_would_never_end_are_refused(flag):
    with pytest.raises(UserError, match="the largest allowed value is|give a whole number"):
        command_line.parse(["main.py", f"--{flag}"])


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-32"])
def test_a_flagfile_says_in_which_encoding_it_is(tmp_path: Path, encoding):
    path = tmp_path / "recipe.cfg"
    path.write_bytes("# für Ärzte\r\n  // too\r\n\r\n--epoch=3\r\n--label=é\r\n".encode(encoding))
    config = command_line.parse(["main.py", f"--flagfile={path}"])
    assert (config.epoch, config.label, config.given) == (3, "é", {"epoch", "label"})


@pytest.mark.parametrize(
    ("content", "words"),
    [
        ("--epoch=3\n# für".encode("latin-1"), r"not in UTF-8 \(line 2\): save it as UTF-8"),
        ("--epoch=3".encode("utf-16-le"), "save it as UTF-8"),
        (b"--epoch=3\n" * 200_000, "larger than 1 MB"),
    ],
)
def test_other_flagfiles_are_told(tmp_path: Path, content, words):
    path = tmp_path / "recipe.cfg"
    path.write_bytes(content)
    with pytest.raises(UserError, match=words):
        command_line.parse(["main.py", f"--flagfile={path}"])


def test_flagfiles_name_others_but_not_themselves(tmp_path: Path):
    inner, outer = tmp_path / "inner.cfg", tmp_path / "outer.cfg"
    inner.write_text("--epoch=3\n--model=dcgan1\n")
    outer.write_text(f"--flagfile={inner}\n--epoch=4\n")
    config = command_line.parse(["main.py", "--flagfile", str(outer)])
    assert (config.model, config.epoch) == ("dcgan1", 4)
    inner.write_text(f"--flagfile={outer}\n")
    with pytest.raises(UserError, match="outer.cfg.* names itself: .*outer.cfg names .*inner.cfg names .*outer.cfg"):
        command_line.parse(["main.py", f"--flagfile={outer}"])


@pytest.mark.parametrize(
    "argument", ["--nocrop=1", "--nocrop=true", "--crop=2", "--run=a\0b", "--run=caf\udce9", "--flagfile"]
)
def test_odd_arguments_are_mistakes(argument):
    assert parsed([argument]) is None


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"gf_dim": "64"}, "gf_dim is '64', which is not of its type, int"),
        ({"batch_size": None}, None),
        ({"epoch": None}, "epoch is None"),
        ({"crop": 1}, "crop is 1"),
        ({"strides": [2, "2"]}, "strides is"),
        ({"beta1": True}, "beta1 is True"),
        ({"model": "gan"}, "--model=gan: choose one of"),
        ({"model": ["dcgan1"]}, "model is"),
        ({"z_dim": 10**9}, "the largest allowed value is 16384"),
        ({"learning_rate": float("nan")}, "finite"),
    ],
)
def test_settings_in_a_file_have_the_types_and_limits_of_the_flags(settings, words):
    config = resolve(Config(model="dcgan1"))
    record = config.to_json() | settings
    if words is None:
        assert Config.from_json(record) == config
    else:
        with pytest.raises(UserError, match=words):
            Config.from_json(record)
