"""Numbers with what they count: "1 image", never "1 images"."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from histogan_tf.errors import counted

PACKAGE = Path(__file__).parent.parent / "histogan_tf"
NOUNS = "images|patients|steps|patches|seeds|draws|repeats|slides|files|epochs|replicas|translations|ids|neighbours"
ADJECTIVES = "real|synthetic|training|validation|other|more"
# What stands before these nouns is no number, or a number that is never 1.
NEVER_ONE = {
    "{FEW_IMAGES} images",
    "{found} images",  # of a public set
    "{len(images)} images",  # more than two
    "{len(images[1])} images",  # after a plus
    "{num_replicas} replicas",  # every batch can be divided by 1
    "{repeats} repeats",  # several
    "{patients} patients",  # one patient has a sentence of its own
    "%d images",  # of a set that does not fit into memory
    "{{ num_slides }} slides",  # more than those on the page
    "{noun} images",
    "{part} images",
    "{names[1]} training images",
    "{trained} images",
}


@pytest.mark.parametrize(
    ("number", "noun", "words"),
    [
        (0, "image", "0 images"),
        (1, "image", "1 image"),
        (3, "validation image", "3 validation images"),
        (1, "class", "1 class"),
        (2, "class", "2 classes"),
        (2, "patch", "2 patches"),
        (1, "probability", "1 probability"),
        (2, "probability", "2 probabilities"),
        ("1", "epoch", "1 epoch"),
        ("0.5", "epoch", "0.5 epochs"),
        ("no", "image", "no images"),
    ],
)
def test_one_thing_is_not_named_in_the_plural(number, noun, words):
    assert counted(number, noun) == words


def plural_after_a_number(tree: ast.AST) -> Iterator[str]:
    """The texts in which a number is followed by a noun in the plural."""
    in_words = re.compile(rf"(\{{[^{{}}]*\}}|%d) (?:(?:{ADJECTIVES}) )?(?:{NOUNS})\b")
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [
                part.value if isinstance(part, ast.Constant) else f"{{{ast.unparse(part.value).replace('{', '')}}}"
                for part in node.values
            ]
            yield from (found[0] for found in in_words.finditer("".join(parts)))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from (found[0] for found in in_words.finditer(node.value) if found[1] == "%d")


def test_messages_and_pages_count_with_the_one_function():
    found = []
    for path in sorted(PACKAGE.rglob("*.py")):
        for text in plural_after_a_number(ast.parse(path.read_text(encoding="utf-8"))):
            if text not in NEVER_ONE:
                found.append(f"{path.relative_to(PACKAGE)}: {text}")
    for path in sorted(PACKAGE.rglob("*.j2")):
        in_page = re.findall(rf"\{{\{{[^{{}}]*\}}\}} (?:{NOUNS})\b", path.read_text(encoding="utf-8"))
        found += [f"{path.relative_to(PACKAGE)}: {text}" for text in in_page if text not in NEVER_ONE]
    assert found == []
