"""--mode=evaluate --quiz=...: readers' measures from their files, and files that are none."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sklearn import metrics

from histogan_tf.cli import command_line, commands
from histogan_tf.errors import UserError

HEADER = "quiz,reader,question,size,width,answer,sure,truth,seconds"
TRUTH = ["real", "synthetic"] * 10
FIRST = ["real"] * 7 + ["synthetic"] * 13
SECOND = (["real"] * 2 + ["synthetic"] * 2) * 5


def write(path: Path, answers: list[str], reader: str = "", quiz: str = "0123456789ab", sure: int = 3) -> Path:
    rows = [
        f"{quiz},{reader},{number},{100 if number % 3 else 300},100,{answer},{sure},{truth},1.5"
        for number, (answer, truth) in enumerate(zip(answers, TRUTH, strict=True), start=1)
    ]
    path.write_text("\n".join([HEADER, *rows, ""]), encoding="utf-8")
    return path


def evaluate(*paths: Path, flags: tuple[str, ...] = ()) -> None:
    named = ",".join(map(str, paths))
    commands.run_command(command_line.parse(["main.py", "--mode=evaluate", f"--quiz={named}", *flags]))


def test_two_readers_are_measured_and_compared(tmp_path):
    evaluate(write(tmp_path / "a.csv", FIRST, "Ada"), write(tmp_path / "b.csv", SECOND, "Bo"))
    found = json.loads((tmp_path / "evaluation" / "readers.json").read_text())
    assert (found["num_patches"], found["num_synthetic"], found["guessed_right"]) == (20, 10, [6, 14])
    for name, answers in (("Ada", FIRST), ("Bo", SECOND)):
        reader, is_synthetic = found["readers"][name], [truth == "synthetic" for truth in TRUTH]
        called = [answer == "synthetic" for answer in answers]
        assert reader["accuracy"]["value"] == metrics.accuracy_score(is_synthetic, called)
        assert reader["auc"]["value"] == metrics.roc_auc_score(is_synthetic, called)
        assert reader["sensitivity"]["value"] == metrics.recall_score(is_synthetic, called)
        assert reader["specificity"]["value"] == metrics.recall_score(is_synthetic, called, pos_label=False)
        assert {"accuracy_100px", "accuracy_300px"} < reader.keys()
    assert found["readers"]["Ada"]["sensitivity"]["value"] == 0.7
    (pair,) = found["agreement"]
    assert pair["readers"] == ["Ada", "Bo"]
    assert pair["kappa"]["value"] == pytest.approx(metrics.cohen_kappa_score(FIRST, SECOND))
    assert pair["kappa"]["low"] < pair["kappa"]["value"] < pair["kappa"]["high"]
    report = (tmp_path / "evaluation" / "readers.md").read_text()
    assert "| Ada " in report
    assert "Who guesses gets 6 to 14 of 20 right" in report


def test_three_readers_are_compared_in_pairs_and_one_alone_is_measured(tmp_path):
    paths = [write(tmp_path / f"{name}.csv", FIRST, "the same name") for name in "abc"]
    evaluate(*paths, flags=(f"--output_dir={tmp_path / 'all'}",))
    found = json.loads((tmp_path / "all" / "readers.json").read_text())
    assert [pair["readers"] for pair in found["agreement"]] == [["a", "b"], ["a", "c"], ["b", "c"]]
    assert found["agreement"][0]["kappa"]["value"] == 1
    evaluate(paths[0], flags=(f"--output_dir={tmp_path / 'one'}",))
    alone = json.loads((tmp_path / "one" / "readers.json").read_text())
    assert list(alone["readers"]) == ["the same name"]
    assert alone["agreement"] == []


def test_how_sure_a_reader_is_changes_the_auc_alone(tmp_path):
    lines = write(tmp_path / "a.csv", FIRST).read_text().splitlines()
    # Sure where right, and a guess where wrong.
    for number, (answer, truth) in enumerate(zip(FIRST, TRUTH, strict=True), start=1):
        fields = lines[number].split(",")
        fields[6] = "5" if answer == truth else "1"
        lines[number] = ",".join(fields)
    (tmp_path / "b.csv").write_text("\n".join(lines))
    evaluate(tmp_path / "a.csv", tmp_path / "b.csv")
    readers = json.loads((tmp_path / "evaluation" / "readers.json").read_text())["readers"]
    assert readers["a"]["accuracy"] == readers["b"]["accuracy"]
    assert readers["b"]["auc"]["value"] > readers["a"]["auc"]["value"] + 0.1


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (HEADER, "a,b,c", "bad.csv has no column 'quiz'"),
        ("\n0123456789ab,,3,", "\n0123456789ab,,4,", "question 4: question is '4', not 3"),
        (",real,3,synthetic", ",maybe,3,synthetic", "question 2: answer is 'maybe', not real or synthetic"),
        (",real,3,synthetic", ",real,6,synthetic", "question 2: sure is '6', not 1 or 2 or 3 or 4 or 5"),
        (",real,3,synthetic", ",real,3,", "question 2: truth is '', not real or synthetic"),
        (",2,100,100", ",2,large,100", "names several quizzes, or a size that is no number"),
        ("\n0123456789ab,,2,", "\nffff,,2,", "names several quizzes"),
    ],
)
def test_a_file_that_is_no_quizs_is_refused(tmp_path, old, new, message):
    text = write(tmp_path / "good.csv", FIRST).read_text()
    assert old in text
    (tmp_path / "bad.csv").write_text(text.replace(old, new, 1))
    with pytest.raises(UserError, match=message):
        evaluate(tmp_path / "good.csv", tmp_path / "bad.csv")
    assert not (tmp_path / "evaluation").exists()


def test_files_that_do_not_belong_together_are_refused(tmp_path):
    good = write(tmp_path / "good.csv", FIRST)
    with pytest.raises(UserError, match="good.csv is given twice"):
        evaluate(good, good)
    other = write(tmp_path / "other.csv", FIRST, quiz="ba9876543210")
    with pytest.raises(UserError, match=r"answers quiz 0123456789ab \(20 patches\), and .* answers quiz ba9876543210"):
        evaluate(good, other)
    with pytest.raises(UserError, match=r"absent.csv cannot be read \(.*No such file"):
        evaluate(good, tmp_path / "absent.csv")
    (tmp_path / "picture.csv").write_bytes(b"\x89PNG\r\n\xff\x00")
    with pytest.raises(UserError, match="picture.csv cannot be read"):
        evaluate(tmp_path / "picture.csv")
    (tmp_path / "empty.csv").write_text(HEADER + "\n")
    with pytest.raises(UserError, match="empty.csv has no answer"):
        evaluate(tmp_path / "empty.csv")
    with pytest.raises(UserError, match="is empty: name"):
        commands.run_command(command_line.parse(["main.py", "--mode=evaluate", "--quiz="]))
