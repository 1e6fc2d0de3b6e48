"""The program as a person meets it: exit codes, one-line errors, odd sizes."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

import histogan_tf
from histogan_tf.cli import commands, entry
from histogan_tf.errors import UserError, doing, listing

REPOSITORY = Path(__file__).parents[2]


def run_main(monkeypatch, capsys, *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of the program, in this process."""
    monkeypatch.setattr(entry, "log_to_console", lambda: None)
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


def failing(monkeypatch, error: BaseException) -> None:
    """Lets the command raise an exception."""

    def fail(config):
        raise error

    monkeypatch.setattr(commands, "run_command", fail)


class ResourceExhaustedError(Exception):
    """Has the name of TensorFlow's own."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/run/log.txt"), "runs/run/log.txt: No space left"),
        (OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)), "a file, while --mode=train with --model=dcgan3"),
        (OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), "x" * 300), "File name too long"),
        (OSError(errno.ELOOP, os.strerror(errno.ELOOP), "link"), "link: Too many levels of symbolic links"),
        (FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), b"caf\xe9"), "caf\\udce9: File exists"),
        (MemoryError(), "not enough memory (while --mode=train"),
        (ResourceExhaustedError("OOM when allocating a tensor"), "not enough memory"),
        (ResourceExhaustedError("log.v2; No space left on device"), "the disk is full"),
    ],
)
def test_what_the_machine_refuses_is_one_line_that_promises_no_checkpoint(monkeypatch, capsys, error, words):
    failing(monkeypatch, error)
    code, _, stderr = run_main(monkeypatch, capsys)
    assert (code, stderr.count("\n")) == (2, 1)
    assert stderr.startswith("error: ") and words in stderr
    assert "checkpoint is good" not in stderr


def test_a_fault_of_the_program_is_one_line_that_names_what_was_done_and_where_the_traceback_is(
    monkeypatch, capsys, tmp_path
):
    def bug(config):
        with doing("training step 7"):
            raise AssertionError("a\nbug")

    monkeypatch.setattr(commands, "run_command", bug)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    code, _, stderr = run_main(monkeypatch, capsys, "--model=dcgan1", "--run=mine")
    assert (code, stderr.count("\n")) == (70, 1)
    doing_what = "while training step 7, in --mode=train with --model=dcgan1, --run=mine: AssertionError: a bug"
    assert stderr.startswith(f"error: {doing_what}. This is a fault of the program; please report it with the tr")
    (path,) = tmp_path.iterdir()
    assert str(path) in stderr
    text = path.read_text(encoding="utf-8")
    assert "'--run=mine'" in text and "in bug" in text and "AssertionError" in text
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "missing"))
    code, _, stderr = run_main(monkeypatch, capsys)
    assert code == 70
    assert "in bug" in stderr and stderr.splitlines()[-1].endswith("its traceback stands above")


def test_an_interrupt_that_an_import_wraps_in_an_error_is_an_interrupt(monkeypatch, capsys):
    error = ImportError("numpy could not be imported")
    error.__cause__ = KeyboardInterrupt()
    for raised in (KeyboardInterrupt(), error):
        failing(monkeypatch, raised)
        assert run_main(monkeypatch, capsys) == (130, "", "")


@pytest.mark.slow
def test_closed_streams_change_nothing(tmp_path: Path):
    tiny = f"--gf_dim=1 --df_dim=1 --max_steps=1 --output_height=16 --batch_size=4 --checkpoint_dir={tmp_path}"
    command = f"{sys.executable} main.py --model=dcgan1 --train_size=4 {tiny} <&- >&- 2>&-"
    assert subprocess.run(command, shell=True, cwd=REPOSITORY, capture_output=True, check=False).returncode == 0
    (log,) = tmp_path.rglob("log.txt")
    assert "trained 1 step in" in log.read_text()


def test_the_version_is_told(monkeypatch, capsys):
    assert run_main(monkeypatch, capsys, "--version") == (0, f"histogan_tf {histogan_tf.__version__}\n", "")


@pytest.mark.parametrize("encoding", ["ascii", "cp932"])
def test_help_can_be_read_on_any_terminal(encoding):
    environment = os.environ | {"PYTHONIOENCODING": encoding}
    program = [sys.executable, "main.py", "--help"]
    result = subprocess.run(program, cwd=REPOSITORY, env=environment, capture_output=True, check=False)
    assert (result.returncode, result.stderr) == (0, b"")
    assert result.stdout.decode(encoding).rstrip().count("--") > 50


def test_a_pipe_that_is_closed_keeps_the_exit_code(tmp_path: Path):
    program = f"{sys.executable} main.py --model=gan 2>&1 | true; echo ${{PIPESTATUS[0]}}"
    result = subprocess.run(["bash", "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=False)
    assert result.stdout == "2\n"


def test_an_unreadable_image_is_named_skipped_and_counted(tiny_config, tmp_path, write_images, caplog):
    write_images(tmp_path / "images", 6)
    (tmp_path / "images" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n nothing more")
    flags = ["--dataset=mine", f"--data_path={tmp_path / 'images'}", "--max_steps=1", "--train_size=6"]
    commands.run_command(tiny_config("--model=dcgan1", *flags))
    assert "broken.png" in caplog.text
    assert "1 file skipped" in caplog.text


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
    lines = result.stdout.splitlines()
    for words in ("built-in", "device: ", "data: ", "model: ", "run: ", "samples: ", "stop: ", "step 2/2", "trained 2"):
        assert sum(words in line for line in lines) == 1, words
    log = (tmp_path / "dcgan3-phantom" / "log.txt").read_text()
    for words in ("generator: ", "discriminator: ", "g_h0_lin", "settings: ", "gf_dim=2", "step 2/2"):
        assert words in log
    assert "g_h0_lin" not in result.stdout and "gf_dim=2" not in result.stdout


def screen_of(program: list[str], folder: Path, columns: int) -> tuple[int, str]:
    """Exit code of a program, and all that it writes, on a terminal of 24 lines and so many columns."""
    terminal, other_end = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    environment = {name: value for name, value in os.environ.items() if name != "TF_CPP_MIN_LOG_LEVEL"}
    process = subprocess.Popen(
        program,
        cwd=folder,
        stdin=other_end,
        stdout=other_end,
        stderr=other_end,
        env=environment | {"COLUMNS": str(columns)},
    )
    os.close(other_end)
    written = b""
    try:
        while chunk := os.read(terminal, 65536):
            written += chunk
    except OSError as error:  # the other end is closed
        if error.errno != errno.EIO:
            raise
    finally:
        os.close(terminal)
    return process.wait(), written.decode("utf-8")


@pytest.mark.slow
def test_the_first_minute_on_a_terminal_is_a_dozen_lines_and_a_bar(tmp_path: Path):
    tiny = ["--gf_dim=2", "--df_dim=2", "--output_height=16", "--max_steps=120"]
    program = [sys.executable, str(REPOSITORY / "main.py"), "--model=dcgan3", "--epoch=50", *tiny]
    code, written = screen_of(program, tmp_path, columns=80)
    assert code == 0
    # A line feed ends a line; what follows a carriage return is written over the line.
    drawn = [text.rstrip() for line in written.split("\r\n") for text in line.split("\r")]
    assert max(map(len, drawn)) <= 80
    bars = [text for text in drawn if "|" in text]
    before = [text for text in drawn[: drawn.index(bars[0])] if text]
    assert 8 <= len(before) <= 14
    for words in ("device: ", "data: ", "model: ", "run: ", "samples: ", "stop: "):
        assert sum(line.startswith(words) for line in before) == 1, words
    assert "samples: checkpoints/dcgan3-phantom/samples, one sheet every 6 steps" in before
    parts = r"epoch (\d+)/10 \|(.{10,})\| \d+/120(?: steps|, [\d.,]+ steps/s, [\d:]+ left)((?:  \w+ -?\d+\.\d{3})*)"
    found = [re.fullmatch(parts, bar) for bar in bars]
    assert all(found), [bar for bar, match in zip(bars, found, strict=True) if not match]
    assert " left" in bars[-1] and "d_loss " in bars[-1]
    trained = next(text for text in drawn if text.startswith("trained 120 steps"))
    assert drawn.index(trained) > drawn.index(bars[-1])


@pytest.mark.parametrize("flag", ["--help", "--model=gan"])
def test_a_closed_pipe_is_no_news(flag):
    program = [sys.executable, "main.py", flag]
    process = subprocess.Popen(program, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    process.stdout.close()
    stderr = process.stderr.read()
    assert process.wait() == (0 if flag == "--help" else 2)
    assert stderr == "" if flag == "--help" else stderr.startswith("error: --model=gan")


def test_a_user_error_is_one_line_whatever_it_was_made_of():
    assert str(UserError("two\nlines  and spaces")) == "two lines and spaces"
    assert listing(range(3)) == "0, 1, 2"
    assert listing(range(10), most=2) == "0, 1, … (8 more)"
