"""Writes the page of a quiz as one HTML file that includes its pictures and loads nothing."""

from __future__ import annotations

import base64
import dataclasses
import hashlib
import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from histogan_tf.reporting.pictures import to_pillow
from histogan_tf.reporting.single_page import render_page

SURENESS = ("a guess", "not very sure", "fairly sure", "very sure", "certain")  # what 1 to 5 mean
_FOLDER = Path(__file__).parent / "quiz_page"


@dataclasses.dataclass(frozen=True)
class Question:
    """A patch of a quiz.

    Attributes:
        image: uint8 (height, width, 1 or 3).
        is_synthetic: whether a network made it.
        size: the length of its longer side on the screen, in CSS pixels.
    """

    image: np.ndarray
    is_synthetic: bool
    size: int

    @property
    def origin(self) -> str:
        """The answer that is right: `real` or `synthetic`."""
        return "synthetic" if self.is_synthetic else "real"


def quiz_id(questions: Sequence[Question]) -> str:
    """Returns 12 hexadecimal digits that name a quiz: a digest of its patches, their sizes and their order."""
    digest = hashlib.sha256()
    for question in questions:
        digest.update(f"{question.image.shape} {question.size} {question.origin} ".encode())
        digest.update(np.ascontiguousarray(question.image))
    return digest.hexdigest()[:12]


def quiz_html(questions: Sequence[Question], subject: str, salt: str) -> str:
    """Returns the page.

    Its source shows no patch's origin at a glance: answers are SHA-256 digests of the salt, the patch's number and its
    origin. A program could try both origins, so the page is no secret from someone who wants to cheat. All patches are
    uncompressed PNG files of the same length, since a patch's compressed length may tell its origin.

    Args:
        questions: the patches, all of one shape, in the order in which the page shows them.
        subject: what the patches are, in the plural, such as "idc patches of 50x50 pixels".
        salt: any text; a page made with another one has other digests.
    """
    return render_page(
        _FOLDER,
        "quiz.html.j2",
        style="quiz.css",
        scripts=("quiz.js",),
        quiz=quiz_id(questions),
        salt=salt,
        subject=subject,
        num_sizes=len({question.size for question in questions}),
        sureness=SURENESS,
        questions=[
            {"image": _png(question.image), "size": question.size, "answer": _hashed_answer(salt, number, question)}
            for number, question in enumerate(questions)
        ],
    )


def _png(image: np.ndarray) -> str:
    """Returns a patch as an uncompressed PNG file in base 64."""
    file = io.BytesIO()
    to_pillow(image).save(file, format="PNG", compress_level=0)
    return base64.b64encode(file.getvalue()).decode("ascii")


def _hashed_answer(salt: str, number: int, question: Question) -> str:
    return hashlib.sha256(f"{salt}:{number}:{question.origin}".encode()).hexdigest()
