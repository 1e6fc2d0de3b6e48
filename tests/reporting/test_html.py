"""The page of a report: one file, whatever the text holds."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import numpy as np

from histogan_tf.reporting import pictures
from histogan_tf.reporting.html import Cell, Figure, Picture, Report, Table, write_html_report


def test_text_is_escaped_pictures_are_inside_and_cells_stand_in_their_rows(tmp_path: Path):
    pictures.save_png(tmp_path / "dot.png", np.zeros((2, 2, 3), np.uint8))
    report = Report(
        title="A <b> & B",
        summary=("one",),
        warnings=("<script>alert(1)</script>",),
        answer="none",
        tables=(Table("Numbers", "text", ("row", "value"), {"x > y": [Cell("0.5", "0.4 to 0.6", "raises")]}),),
        figures=(Figure("Figure 1", "a dot", (Picture(tmp_path / "dot.png", 'a "dot"', True),)),),
        details=(),
        settings={"--seed": "1"},
        command="python main.py",
    )
    write_html_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "<title>A &lt;b&gt; &amp; B</title>" in page
    assert "<script" not in page
    assert '<th scope="row">x &gt; y</th><td class="raises">0.5<small>0.4 to 0.6</small></td>' in page
    (source,) = re.findall(r'src="data:image/png;base64,([^"]+)" alt="a &#34;dot&#34;"', page)
    assert base64.b64decode(source) == (tmp_path / "dot.png").read_bytes()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
