from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from histogan_tf.cli import command_line, commands
from histogan_tf.config import flag_fields
from histogan_tf.config.flags_of_modes import flags_without_effect
from histogan_tf.errors import UserError


def test_types_lists_and_booleans_are_read():
    config = command_line.parse(["main.py", "--model=dcgan1", "--strides=2,2,1,1", "--crop", "--input_height=108"])
    assert (config.model, config.strides, config.crop, config.input_height) == ("dcgan1", (2, 2, 1, 1), True, 108)
    assert config.given == {"model", "strides", "crop", "input_height"}


def test_later_flags_override_a_flagfile(tmp_path: Path):
    flagfile = tmp_path / "recipe.cfg"
    flagfile.write_text("# a comment\n--epoch=3\n--model=dcgan1\n")
    config = command_line.parse(["main.py", f"--flagfile={flagfile}", "--epoch=4"])
    assert (config.model, config.epoch) == ("dcgan1", 4)


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("--modle=dcgan1", ["modle", "model"]),
        ("--model=dcgan4", ["--model=dcgan4", "dcgan1", "dcgan3"]),
        ("--epoch=many", ["--epoch=many: give a whole number"]),
        ("--learning_rate=quick", ["--learning_rate=quick: give a number"]),
        ("--restart=maybe", ["--restart=maybe: give true or false, or --restart or --norestart without a value"]),
        ("--seed=99999999999", ["the largest allowed value is 2147483647"]),
        ("--checkpoint_dir=", ["--checkpoint_dir= is empty", "leave --checkpoint_dir out"]),
        ("--label=", ["--label= is empty"]),
        ("--epoch=0", ["--epoch=0", "1"]),
        ("--strides=2,x", ["--strides=2,x", "2,2,2,2"]),
        ("--strides=", ["--strides="]),
        ("--learning_rate=nan", ["--learning_rate", "finite"]),
        ("--batch_size=0", ["--batch_size=0"]),
        ("--label_smoothing=1.5", ["--label_smoothing=1.5", "1"]),
        ("--run=../elsewhere", ["--run", "plain folder name"]),
        ("--flagfile=does-not-exist.cfg", ["does-not-exist.cfg"]),
        ("train", ["'train'", "--help"]),
    ],
)
def test_a_bad_argument_is_one_line_that_names_it(argument: str, words: list[str]):
    with pytest.raises(UserError) as caught:
        command_line.parse(["main.py", argument])
    message = str(caught.value)
    assert "\n" not in message
    for word in words:
        assert word in message


def test_help_names_every_flag_and_its_default():
    text = command_line.help_text(columns=80)
    for field in flag_fields():
        assert f"  --{field.name}" in text or f"  --[no]{field.name}" in text
    assert "[transposed]" in text


@pytest.mark.parametrize("columns", [40, 80, 200])
def test_help_fits_the_terminal(columns: int):
    texts = command_line.help_text(columns), command_line.short_help_text(columns)
    lines = [line for text in texts for line in text.splitlines() if "main.py" not in line and " " in line.strip()]
    assert len(lines) > 200
    assert max(map(len, lines)) <= min(columns, 113)
    assert max(map(len, lines)) > min(columns, 113) - 3  # and uses its width


def test_short_help_lists_every_flag_once_below_its_section():
    words = command_line.short_help_text(columns=80).split("command:")[1].split()
    assert [word[2:] for word in words if word.startswith("--")] == [field.name for field in flag_fields()]


def test_the_first_commands_of_the_help_are_commands():
    for command, _ in command_line._FIRST_COMMANDS:
        assert command_line.parse(["main.py", *command.split()]).given


def test_help_needs_no_tensorflow():
    program = (
        "import sys; from histogan_tf.cli import entry\n"
        "try: entry.main(['main.py', '--help'])\n"
        "except SystemExit as stop: assert stop.code == 0\n"
        "assert not {'tensorflow', 'keras', 'matplotlib', 'cv2', 'scipy', 'sklearn'} & set(sys.modules)\n"
    )
    result = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    assert "usage: python main.py" in result.stdout


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["--mode=generate", "--export_dir=a"], {"export_dir": ("export",)}),
        (["--mode=export", "--export_dir=a"], {}),
        (["--visualize=grid"], {"visualize": ("visualize",)}),
        (
            ["--num_images=9", "--quick"],
            {"num_images": ("generate", "visualize", "evaluate", "translate"), "quick": ("paper",)},
        ),
        (["--mode=visualize", "--visualize=grid", "--num_images=9"], {}),
        (["--mode=paper", "--quick", "--num_clusters=3"], {}),
        (["--mode=generate", "--num_clusters=3"], {"num_clusters": ("cluster", "paper")}),
    ],
)
def test_flags_that_another_mode_uses_are_known(arguments, expected):
    assert flags_without_effect(command_line.parse(["main.py", *arguments])) == expected


def test_a_flag_that_does_nothing_is_told(monkeypatch, caplog):
    monkeypatch.setattr(commands, "perform", lambda config: None)
    commands.run_command(command_line.parse(["main.py", "--visualize=grid"]))
    assert "--visualize does nothing with --mode=train: it is for --mode=visualize" in caplog.text
