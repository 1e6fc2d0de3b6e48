"""--mode=evaluate --quiz=a.csv,b.csv: measures the readers of one quiz, and compares each pair of them."""

from __future__ import annotations

import csv
import dataclasses
import itertools
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from histogan_tf.config import Config
from histogan_tf.errors import UserError, counted, escaped, reason_of
from histogan_tf.machine.console import Lines
from histogan_tf.metrics.estimates import Estimate, proportion
from histogan_tf.metrics.reading import guessed_right, kappa, rating_auc
from histogan_tf.reporting.text_tables import markdown_table
from histogan_tf.runs import files
from histogan_tf.runs.own_results import own_results
from histogan_tf.synthesis.quiz_html import SURENESS

logger = logging.getLogger(__name__)

_COLUMNS = ("quiz", "reader", "question", "size", "answer", "sure", "truth")
_ORIGINS = ("real", "synthetic")
_MEASURES = {
    "accuracy": "right answers",
    "auc": "AUC",
    "sensitivity": "synthetic recognized (sensitivity)",
    "specificity": "real recognized (specificity)",
}


@dataclasses.dataclass(frozen=True)
class QuizAnswers:
    """What one person answered in a quiz.

    Attributes:
        name: the person's name in the file, or the file's name.
        path: the file.
        quiz: the name of the quiz.
        truth: bool (num_questions,), whether each patch is synthetic, in the order of the quiz.
        answers: bool (num_questions,), whether the person called it synthetic.
        sureness: int (num_questions,), from 1 (a guess) to 5 (certain).
        sizes: int (num_questions,), the size of each patch on the screen, in CSS pixels.
    """

    name: str
    path: Path
    quiz: str
    truth: np.ndarray
    answers: np.ndarray
    sureness: np.ndarray
    sizes: np.ndarray

    @property
    def ratings(self) -> np.ndarray:
        """The ratings, int (num_questions,), from -5 (certainly real) to 5 (certainly synthetic), without 0."""
        return np.where(self.answers, self.sureness, -self.sureness)

    def measures(self) -> dict[str, Estimate]:
        """Returns accuracy, AUC, sensitivity (among synthetic patches), specificity, and the accuracy of each size."""
        is_right = self.answers == self.truth
        sizes = np.unique(self.sizes)
        return {
            "accuracy": _share(is_right),
            "auc": rating_auc(self.truth, self.ratings),
            "sensitivity": _share(is_right[self.truth]),
            "specificity": _share(is_right[~self.truth]),
            **{f"accuracy_{size}px": _share(is_right[self.sizes == size]) for size in sizes if len(sizes) > 1},
        }


def compare_readers(config: Config) -> None:
    """Measures the readers whose answers --quiz names, and how much each pair of them agrees.

    Writes readers.json and readers.md to --output_dir, or to the folder evaluation/ beside the first file.

    Raises:
        UserError: if a file cannot be read, is no complete answer to a quiz, is given twice, or answers another quiz.
    """
    readers = [read_answers(Path(path).expanduser()) for path in config.quiz]
    _check_one_quiz(readers)
    readers = _with_names_of_their_own(readers)
    measures = {reader.name: reader.measures() for reader in readers}
    agreement = {
        (first.name, second.name): {
            "same_answer": _share(first.answers == second.answers),
            "kappa": kappa(first.answers, second.answers, seed=config.seed),
        }
        for first, second in itertools.combinations(readers, 2)
    }
    directory = Path(config.output_dir).expanduser() if config.output_dir else readers[0].path.parent / "evaluation"
    text = _report(readers[0], measures, agreement)
    logger.info("%s", Lines(text))
    with own_results(directory, ("readers.md", "readers.json")):
        files.write_text(directory / "readers.md", text + "\n")
        files.write_json(directory / "readers.json", _to_json(readers[0], measures, agreement))
    logger.info("readers: %s", directory)


def read_answers(path: Path) -> QuizAnswers:
    """Reads a file that a quiz's page wrote.

    Raises:
        UserError: if the file is missing, is not such a file, or lacks questions.
    """
    remedy = "give the file as the page of --mode=quiz wrote it"
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            table = csv.DictReader(file)
            missing = [name for name in _COLUMNS if name not in (table.fieldnames or ())]
            rows = [] if missing else list(table)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"--quiz: {path} cannot be read ({reason_of(error)}): {remedy}") from error
    if missing or not rows:
        what = f"no column {missing[0]!r}" if missing else "no answer"
        raise UserError(f"--quiz: {path} has {what}: {remedy}")
    for number, row in enumerate(rows, start=1):
        _allowed(row, "question", [str(number)], path)
    truth, answers = ([_allowed(row, name, _ORIGINS, path) for row in rows] for name in ("truth", "answer"))
    sureness = [_allowed(row, "sure", [str(step + 1) for step in range(len(SURENESS))], path) for row in rows]
    sizes = [row["size"] or "" for row in rows]
    if len({row["quiz"] for row in rows}) > 1 or not all(size.isdecimal() and len(size) < 6 for size in sizes):
        raise UserError(f"--quiz: {path} names several quizzes, or a size that is no number: {remedy}")
    return QuizAnswers(
        name=rows[0]["reader"] or path.stem,
        path=path,
        quiz=rows[0]["quiz"],
        truth=np.array(truth) == "synthetic",
        answers=np.array(answers) == "synthetic",
        sureness=np.array(sureness, np.int64),
        sizes=np.array(sizes, np.int64),
    )


def _allowed(row: Mapping[str, str | None], name: str, choices: Sequence[str], path: Path) -> str:
    if row[name] not in choices:
        raise UserError(
            f"--quiz: {path}, question {row['question']}: {name} is {row[name]!r}, not {' or '.join(choices)}: give "
            f"the file as the page of --mode=quiz wrote it, with its rows in their order"
        )
    return row[name]


def _check_one_quiz(readers: Sequence[QuizAnswers]) -> None:
    first = readers[0]
    for number, reader in enumerate(readers[1:], start=1):
        if any(reader.path.resolve() == other.path.resolve() for other in readers[:number]):
            raise UserError(f"--quiz: {reader.path} is given twice: name the file of each reader once")
        is_same = reader.quiz == first.quiz and np.array_equal(reader.truth, first.truth)
        if not is_same or not np.array_equal(reader.sizes, first.sizes):
            raise UserError(
                f"--quiz: {first.path} answers quiz {first.quiz} ({counted(len(first.truth), 'patch')}), and "
                f"{reader.path} answers quiz {reader.quiz} ({counted(len(reader.truth), 'patch')}): compare readers of "
                "one page"
            )


def _with_names_of_their_own(readers: Sequence[QuizAnswers]) -> list[QuizAnswers]:
    """Names readers by their files if two have one name, and by their paths if two files have one name too."""
    for names in ([reader.name for reader in readers], [reader.path.stem for reader in readers]):
        if len(set(names)) == len(names):
            break
    else:
        names = [str(reader.path) for reader in readers]
    return [dataclasses.replace(reader, name=name) for reader, name in zip(readers, names, strict=True)]


def _share(is_hit: np.ndarray) -> Estimate:
    return proportion(int(np.sum(is_hit)), len(is_hit))


_Measures = Mapping[str, Mapping[str, Estimate]]
_Agreement = Mapping[tuple[str, str], Mapping[str, Estimate]]


def _report(reader: QuizAnswers, measures: _Measures, agreement: _Agreement) -> str:
    """Returns the result of one quiz as Markdown."""
    num_patches, num_synthetic = len(reader.truth), int(reader.truth.sum())
    low, high = guessed_right(num_patches)
    names = next(iter(measures.values()))
    rows = [["reader", *(_MEASURES.get(name, f"right at {name.partition('_')[2]}") for name in names)]]
    rows += [[name, *(estimate.text() for estimate in found.values())] for name, found in measures.items()]
    rows += [["chance", *["0.50"] * len(names)]]
    lines = [
        f"Quiz {escaped(reader.quiz)}: {counted(num_patches, 'patch')}, {num_synthetic} of them synthetic. 95 % "
        f"intervals: Wilson's of shares, Newcombe's (method 5) of the AUC, 2000 resamples of the patches of kappa.",
        "",
        markdown_table(rows, right=range(1, len(names) + 1)),
        "",
        f"Who guesses gets {low} to {high} of {num_patches} right, in 95 of 100 cases: an accuracy of "
        f"{low / num_patches:.2f} to {high / num_patches:.2f}.",
    ]
    if agreement:
        rows = [["readers", "same answer", "Cohen's kappa"]]
        rows += [
            [" and ".join(pair), *(estimate.text() for estimate in found.values())] for pair, found in agreement.items()
        ]
        lines += ["", markdown_table(rows, right=(1, 2))]
    return "\n".join(lines)


def _to_json(reader: QuizAnswers, measures: _Measures, agreement: _Agreement) -> dict[str, Any]:
    def numbers(found: Mapping[str, Estimate]) -> dict[str, dict[str, float | None]]:
        return {name: estimate.to_json() for name, estimate in found.items()}

    return {
        "quiz": reader.quiz,
        "num_patches": len(reader.truth),
        "num_synthetic": int(reader.truth.sum()),
        "guessed_right": guessed_right(len(reader.truth)),
        "readers": {name: numbers(found) for name, found in measures.items()},
        "agreement": [{"readers": list(pair), **numbers(found)} for pair, found in agreement.items()],
    }
