"""The program as a person meets it: exit codes, one-line errors, odd sizes."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest

from histogan_tf.cli import commands, entry
from histogan_tf.errors import UserError, listing

REPOSITORY = Path(__file__).parents[2]


def run_main(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program, in this process."""
    monkeypatch.setattr(entry, "_log_to_console", lambda: None)
    try:
        entry.main(["main.py", *arguments])
        code = 0
    except SystemExit as stop:
        code = stop.code or 0
    captured = capsys.readouterr()
    return code, captured.out, captured.err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--model=gan"], ["--model=gan", "dcgan1"]),
        (["--data_path=DIR/none", "--dataset=idc"], ["DIR/none", "--data_path"]),
        (["--data_path=DIR/empty", "--dataset=mine"], ["no image", "DIR/empty"]),
        (["--data_path=DIR/mixed", "--dataset=mine"], ["size", "--crop"]),
        (["--data_path=DIR/few", "--dataset=mine", "--batch_size=64"], ["6 images", "64", "--batch_size=6"]),
        (["--data_path=DIR/few", "--dataset=mine", "--label=idc"], ["--label=idc"]),
        (["--data_path=DIR/few", "--dataset=mine", "--conditional", "--batch_size=4"], ["--conditional", "labels"]),
        (["--label=benign"], ["--label=benign", "idc"]),
        (["--output_height=16", "--strides=4", "--batch_size=4", "--model=dcgan1"], ["16 pixels", "--strides=4,4,4,4"]),
        (["--data_path=DIR/damaged", "--dataset=mine", "--strict"], ["broken.png"]),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(monkeypatch, capsys, tmp_path, write_images, arguments, words):
    (tmp_path / "empty").mkdir()
    write_images(tmp_path / "few", 6)
    write_images(tmp_path / "mixed" / "a", 2, height=20)
    write_images(tmp_path / "mixed" / "b", 2, height=24)
    write_images(tmp_path / "damaged", 2)
    (tmp_path / "damaged" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    arguments = [argument.replace("DIR", str(tmp_path)) for argument in arguments]
    code, _, stderr = run_main(monkeypatch, capsys, f"--checkpoint_dir={tmp_path / 'runs'}", *arguments)
    assert code == 2
    assert stderr.startswith("error: ")
    assert stderr.count("\n") == 1
    for word in words:
        assert word.replace("DIR", str(tmp_path)) in stderr
    assert not (tmp_path / "runs").exists()


def test_what_the_system_refuses_is_one_line_too(monkeypatch, capsys):
    def full_disk(config):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "checkpoints/run/log.txt")

    monkeypatch.setattr(commands, "run_command", full_disk)
    code, _, stderr = run_main(monkeypatch, capsys)
    assert code == 2
    assert stderr == f"error: checkpoints/run/log.txt: {os.strerror(errno.ENOSPC)}; the last checkpoint is good\n"


def test_our_own_bugs_keep_their_traceback(monkeypatch, capsys):
    def bug(config):
        raise AssertionError("a bug")

    monkeypatch.setattr(commands, "run_command", bug)
    with pytest.raises(AssertionError, match="a bug"):
        run_main(monkeypatch, capsys)


def test_an_unreadable_image_is_named_skipped_and_counted(tiny_config, tmp_path, write_images, caplog):
    write_images(tmp_path / "images", 6)
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    flags = ["--dataset=mine", f"--data_path={tmp_path / 'images'}", "--max_steps=1", "--train_size=6"]
    commands.run_command(tiny_config("--model=dcgan1", *flags))
    assert "broken.png" in caplog.text
    assert "1 files skipped" in caplog.text


@pytest.mark.parametrize(
    ("height", "width", "channels", "batch_size"), [(28, 28, 1, 17), (33, 57, 3, 20), (64, 64, 3, 5), (16, 40, 3, 7)]
)
@pytest.mark.parametrize("model", ["dcgan1", "dcgan3"])
def test_any_size_and_batch_trains_and_draws(
    tiny_config, tmp_path, write_images, height, width, channels, batch_size, model
):
    write_images(tmp_path / "images", 20, height, width, channels)
    flags = [f"--model={model}", "--gf_dim=1", "--df_dim=1", "--dataset=mine", f"--data_path={tmp_path / 'images'}"]
    sizes = [f"--batch_size={batch_size}", "--max_steps=1", "--sample_num=3", f"--output_height={height}"]
    commands.run_command(tiny_config(*flags, *sizes, f"--output_width={width}", "--train_size=20"))
    assert (tmp_path / f"{model}-mine" / "samples" / "samples_00000001.png").exists()
    assert (tmp_path / f"{model}-mine" / "losses.png").exists()


@pytest.mark.slow
def test_the_whole_program_is_quiet_on_stderr_and_tells_what_it_does(tmp_path: Path):
    arguments = ["--gf_dim=2", "--df_dim=2", "--max_steps=2", "--output_height=16", f"--checkpoint_dir={tmp_path}"]
    result = subprocess.run(
        [sys.executable, "main.py", "--model=dcgan3", "--epoch=50", *arguments],
        cwd=REPOSITORY,
        env={name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    for words in ("built-in", "--dataset", "device: ", "generator: ", "discriminator: ", "step 2/2", "trained 2 steps"):
        assert words in result.stdout


def test_a_user_error_is_one_line_whatever_it_was_made_of():
    assert str(UserError("two\nlines  and spaces")) == "two lines and spaces"
    assert listing(range(3)) == "0, 1, 2"
    assert listing(range(10), most=2) == "0, 1, … (8 more)"
