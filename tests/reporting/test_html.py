"""The page of a report: one file, whatever the text holds."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.reporting import pictures
from histogan_tf.reporting.html import Cell, Figure, Picture, Report, ReportTable, write_html_report


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "numbers.json").write_text("{}")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a&b.json").write_text("{}")
    pictures.save_png(tmp_path / "parts" / "dot.png", np.zeros((2, 2, 3), np.uint8))
    rows = {"x > y": [Cell("0.5", "0.4 to 0.6", "raises")]}
    return Report(
        title="A <b> & B",
        summary=("one",),
        summary_made_from="numbers.json",
        warnings=("<script>alert(1)</script>",),
        answer="none",
        answer_made_from="numbers.json",
        tables=(ReportTable("Numbers", "text", ("row", "value"), rows, ("numbers.json", "parts/a&b.json")),),
        figures=(Figure("Figure 1", "a dot", (Picture(tmp_path / "parts" / "dot.png", 'a "dot"', True),)),),
        details=(ReportTable("Details", "text", ("row", "value"), rows, ("parts/a&b.json",)),),
        settings={"--seed": "1"},
        settings_made_from="numbers.json",
        command="python main.py",
    )


def test_text_is_escaped_pictures_are_inside_and_cells_stand_in_their_rows(tmp_path: Path, report: Report):
    write_html_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>A &lt;b&gt; &amp; B</title>" in page
    assert "<script" not in page
    assert '<th scope="row">x &gt; y</th><td class="raises">0.5<small>0.4 to 0.6</small></td>' in page
    (source,) = re.findall(r'src="data:image/png;base64,([^"]+)" alt="a &#34;dot&#34;"', page)
    assert base64.b64decode(source) == (tmp_path / "parts" / "dot.png").read_bytes()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_each_table_and_picture_names_the_file_it_was_made_from(tmp_path: Path, report: Report):
    write_html_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    captions = [re.findall(r"<code>(.*?)</code>", caption) for caption in re.findall(r"<caption>(.*?)</caption>", page)]
    assert captions == [["numbers.json", "parts/a&amp;b.json"], ["parts/a&amp;b.json"]]
    assert "a &#34;dot&#34; " in page and "<code>parts/dot.png</code>" in page
    assert page.count("<code>numbers.json</code>") == 4  # summary, answer, a table, settings


def test_a_page_that_names_a_file_that_is_not_there_is_not_written(tmp_path: Path, report: Report):
    (tmp_path / "parts" / "a&b.json").unlink()
    with pytest.raises(AssertionError, match="a&b.json"):
        write_html_report(tmp_path / "report.html", report)
    assert not (tmp_path / "report.html").exists()
