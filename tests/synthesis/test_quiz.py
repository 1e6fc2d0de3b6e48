"""--mode=quiz: which patches the page has, in which order and sizes, and that nothing but looks tells their origin."""

from __future__ import annotations

import csv
import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from histogan_tf.cli import command_line, commands
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError
from histogan_tf.runs.pretrained import PRETRAINED_FOLDER

REAL = ("--phantom_images=60", "--output_height=16")


def make(*flags: str) -> None:
    commands.run_command(command_line.parse(["main.py", "--mode=quiz", *flags]))


def page_data(folder: Path) -> dict:
    page = (folder / "quiz.html").read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])


def key(folder: Path) -> list[dict[str, str]]:
    with (folder / "key.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def synthetic(tmp_path, write_images) -> Path:
    """A folder of 30 images of each label."""
    for label in (0, 1):
        write_images(tmp_path / "made" / str(label), 30, 16, 16, seed=label)
    return tmp_path / "made"


def test_kinds_labels_and_sizes_are_even_and_mixed(synthetic, tmp_path):
    make(f"--synthetic_dir={synthetic}", *REAL, "--num_questions=24", "--quiz_sizes=50,100,200")
    rows = key(synthetic / "quiz")
    assert [int(row["question"]) for row in rows] == list(range(1, 25))
    for kind in ("real", "synthetic"):
        chosen = [row for row in rows if row["truth"] == kind]
        assert len({row["patch"] for row in chosen}) == 12
        assert sorted(row["label"] for row in chosen) == ["idc"] * 6 + ["non-idc"] * 6
        assert sorted(int(row["size"]) for row in chosen) == [50] * 4 + [100] * 4 + [200] * 4
        assert {row["patch"].startswith("synthetic/") for row in chosen} == {kind == "synthetic"}
    truths = [row["truth"] for row in rows]
    assert truths not in (sorted(truths), sorted(truths, reverse=True))
    questions = page_data(synthetic / "quiz")["questions"]
    assert [question["size"] for question in questions] == [int(row["size"]) for row in rows]


def test_the_source_tells_no_origin(synthetic):
    make(f"--synthetic_dir={synthetic}", *REAL, "--num_questions=20")
    page, rows = (synthetic / "quiz" / "quiz.html").read_text(encoding="utf-8"), key(synthetic / "quiz")
    data = page_data(synthetic / "quiz")
    # Noise and phantom patches have PNG files of very different lengths, unless nothing is compressed.
    assert len({len(question["image"]) for question in data["questions"]}) == 1
    assert len({question["answer"] for question in data["questions"]}) == 20
    assert {*data} == {"quiz", "salt", "questions"}
    assert {name for question in data["questions"] for name in question} == {"image", "size", "answer"}
    assert not any(row["patch"] in page for row in rows)


def test_the_page_may_load_and_send_nothing(synthetic):
    make(f"--synthetic_dir={synthetic}", *REAL, "--num_questions=2")
    page = (synthetic / "quiz" / "quiz.html").read_text(encoding="utf-8")
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]*)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["script-src"])
    assert re.fullmatch(r"'sha256-[\w+/]{43}='", rules["style-src"])
    assert set(rules) == {"default-src", "img-src", "script-src", "style-src", "base-uri", "form-action"}
    assert not re.search(r"https?:|//[a-z]+\.|\b(src|href)=\"(?!data:)", page)


def test_the_same_seed_makes_the_same_page_and_another_one_another(synthetic, tmp_path):
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        make(f"--synthetic_dir={synthetic}", *REAL, f"--output_dir={tmp_path / name}", f"--seed={seed}")
    pages = [(tmp_path / name / "quiz.html").read_bytes() for name in "abc"]
    assert pages[0] == pages[1] != pages[2]
    first, other = page_data(tmp_path / "a"), page_data(tmp_path / "c")
    assert first["quiz"] != other["quiz"]
    assert first["salt"] != other["salt"]


def test_one_label(synthetic):
    make(f"--synthetic_dir={synthetic}", *REAL, "--num_questions=8", "--label=idc")
    assert {row["label"] for row in key(synthetic / "quiz")} == {"idc"}
    assert "You will see 8 idc patches of 16x16 pixels." in (synthetic / "quiz" / "quiz.html").read_text()


def test_a_run_of_ones_own_takes_its_real_patches_from_those_it_was_trained_on(tmp_path):
    network = ("--gf_dim=2", "--df_dim=2", "--gfc_dim=2", "--dfc_dim=2", "--z_dim=2", "--batch_size=4", "--max_steps=1")
    train = ("--model=dcgan1", "--conditional", *network, "--train_size=20", *REAL)
    where = ("--run=own", f"--checkpoint_dir={tmp_path}")
    commands.run_command(command_line.parse(["main.py", *where, *train]))
    trained_on = load_dataset(command_line.parse(["main.py", "--train_size=20", *REAL]))
    make(*where, "--label=idc", "--num_questions=6")
    rows = key(tmp_path / "own" / "quiz")
    assert {row["label"] for row in rows} == {"idc"}
    real = {row["patch"] for row in rows if row["truth"] == "real"}
    assert len(real) == 3
    assert real <= {*trained_on.ids[trained_on.labels == 1]}
    synthetic = sorted(row["patch"] for row in rows if row["truth"] == "synthetic")
    assert synthetic == ["own/42/0", "own/42/1", "own/42/2"]


def test_a_run_that_comes_with_the_program_takes_its_real_patches_from_the_dataset(tmp_path):
    assert (PRETRAINED_FOLDER / "idc").is_dir()
    make(
        "--run=pretrained:idc",
        f"--checkpoint_dir={tmp_path}",
        "--dataset=phantom",
        "--phantom_images=40",
        "--num_questions=8",
    )
    rows = key(tmp_path / "pretrained-idc" / "quiz")
    for kind, ids in (("real", r"(?!pretrained).*"), ("synthetic", r"pretrained-idc/42/[0-3]")):
        chosen = [row for row in rows if row["truth"] == kind]
        assert sorted(row["label"] for row in chosen) == ["idc", "idc", "non-idc", "non-idc"]
        assert all(re.fullmatch(ids, row["patch"]) for row in chosen)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (("--num_questions=200",), r"'phantom' has \d+ images of label 0, and the quiz needs 50: .* or one --label"),
        (
            ("--num_questions=200", "--label=1"),
            r"'phantom' has \d+ images of label 1, and the quiz needs 100: .* or more",
        ),
        (("--output_height=20",), "give both in one size"),
        (("--quiz=a.csv",), "--quiz=a.csv names readers' answers, which --mode=evaluate reads"),
        (("--num_questions=1",), "the smallest allowed value is 2"),
        (("--quiz_sizes=100,7",), "--quiz_sizes=7: the smallest allowed value is 16"),
        (("--quiz_sizes=",), "--quiz_sizes= is empty"),
    ],
)
def test_what_cannot_be_is_refused(synthetic, flags, message):
    with pytest.raises(UserError, match=message):
        make(f"--synthetic_dir={synthetic}", *REAL, *flags)
    assert not (synthetic / "quiz").exists()


def test_real_jpeg_files_are_warned_of_and_unlabelled_images_will_do(tmp_path, write_images, caplog):
    write_images(tmp_path / "made" / "images", 5, 16, 16)
    (tmp_path / "photos").mkdir()
    for number, pixels in enumerate(np.random.default_rng(0).integers(0, 256, (4, 16, 16, 3), np.uint8)):
        Image.fromarray(pixels).save(tmp_path / "photos" / f"{number}.jpg")
    photos = ("--dataset=photos", f"--data_path={tmp_path / 'photos'}")
    make(f"--synthetic_dir={tmp_path / 'made'}", *photos, "--num_questions=5")
    assert (
        sorted((row["truth"], row["label"]) for row in key(tmp_path / "made" / "quiz"))
        == [("real", "")] * 3 + [("synthetic", "")] * 2
    )
    assert "the real images of 'photos' are JPEG files" in caplog.text
