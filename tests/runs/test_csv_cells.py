from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

import histogan_tf
from histogan_tf.runs.csv_cells import neutral_cells, original_text


@pytest.mark.parametrize(
    "text",
    [
        '=HYPERLINK("http://x")',
        "+1+cmd",
        "-a.png",
        "@SUM(A1)",
        "\t=1",
        "\r=1",
        "\n=1",
        "'=1",
        "-",
        "-1-2",
        "-1\n",
        "-inf",
    ],
)
def test_a_formula_becomes_text(text):
    assert neutral_cells([text]) == [f"'{text}"]


def test_other_text_and_numbers_stay():
    cells = ["a.png", "a=b", "", "'quoted'", -1, -0.5, np.float64(-2.5), np.int32(-3), None]
    assert neutral_cells(cells) == cells
    numbers = ["-0.5", "+3", "-1e-05", "-7", "12", "-0.000000"]
    assert neutral_cells(numbers) == numbers


@given(st.text(alphabet="'=+-@\t\r\n1a,\"", max_size=6))
@example("''=")
@example("'")
def test_each_text_comes_back_and_none_begins_as_a_formula(text):
    file = io.StringIO(newline="")
    csv.writer(file).writerow(["first", *neutral_cells([text])])
    file.seek(0)
    (row,) = csv.reader(file)
    assert original_text(row[1]) == text
    assert row[1][:1] not in tuple("=+-@\t\r\n") or float(row[1]) is not None


def test_every_csv_file_of_the_package_is_written_so():
    package = Path(histogan_tf.__file__).parent
    texts = {path: path.read_text(encoding="utf-8") for path in package.rglob("*.py")}
    writers = [path for path, text in texts.items() if "csv.writer(" in text or "csv.DictWriter(" in text]
    assert len(writers) >= 7
    assert [path.name for path in writers if texts[path].count("neutral_cells") < 2] == []
