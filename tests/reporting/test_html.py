"""The page of a report: one file, whatever the text holds."""

from __future__ import annotations

import base64
import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.reporting import pictures
from histogan_tf.reporting.html import (
    Cell,
    Figure,
    Gallery,
    Picture,
    PlotSection,
    Report,
    ReportTable,
    write_html_report,
)
from histogan_tf.reporting.interval_plot import IntervalPlot, Mark, Panel, PlotRow


@pytest.fixture
def report(tmp_path: Path) -> Report:
    (tmp_path / "numbers.json").write_text("{}")
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "a&b.json").write_text("{}")
    pictures.save_png(tmp_path / "parts" / "dot.png", np.zeros((2, 2, 3), np.uint8))
    (tmp_path / "parts" / "plot.svg").write_text("<svg/>")
    rows = {"x > y": [Cell("0.5", "0.4 to 0.6\nn = 9", "raises")]}
    patches = [[tmp_path / "parts" / "dot.png"] * 2, [tmp_path / "parts" / "dot.png"]]
    plot = IntervalPlot([Panel("recall", -1, 1, (-1, 0, 1), 0)], [PlotRow("C & D", [Mark(0.5, 0.4, 0.6, "+0.50")])])
    return Report(
        title="A <b> & B",
        question="Is it?",
        gallery=Gallery("Patches", "text", ("no", "yes"), {"real": patches}, "parts"),
        plots=(PlotSection("Forest", "text", plot, {"raises": "higher"}, "numbers.json"),),
        summary=("one",),
        summary_made_from="numbers.json",
        warnings=("<script>alert(1)</script>",),
        answer="none",
        answer_made_from="numbers.json",
        tables=(ReportTable("Numbers", "text", ("row", "value"), rows, ("numbers.json", "parts/a&b.json")),),
        figures=(
            Figure("Figure 1", "a dot", (Picture(tmp_path / "parts" / "dot.png", 'a "dot"', True),)),
            Figure("More", "", (Picture(tmp_path / "parts" / "plot.svg", "a plot"),), is_folded=True),
        ),
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
    assert '<th scope="row">x &gt; y</th><td data-column="value" class="raises">0.5' in page
    assert "<small>0.4 to 0.6</small><small>n = 9</small></td></tr>" in page
    (source,) = re.findall(r'src="data:image/png;base64,([^"]+)" alt="a &#34;dot&#34;"', page)
    assert base64.b64decode(source) == (tmp_path / "parts" / "dot.png").read_bytes()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)


def test_each_table_and_picture_names_the_file_it_was_made_from(tmp_path: Path, report: Report):
    write_html_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    captions = [re.findall(r"<code>(.*?)</code>", caption) for caption in re.findall(r"<caption>(.*?)</caption>", page)]
    assert captions == [["numbers.json", "parts/a&amp;b.json"], ["parts/a&amp;b.json"]]
    assert "a &#34;dot&#34; " in page and "<code>parts/dot.png</code>" in page
    assert page.count("<code>numbers.json</code>") == 5  # summary, answer, plot, a table, settings


def test_a_page_that_names_a_file_that_is_not_there_is_not_written(tmp_path: Path, report: Report):
    (tmp_path / "parts" / "a&b.json").unlink()
    with pytest.raises(AssertionError, match="a&b.json"):
        write_html_report(tmp_path / "report.html", report)
    assert not (tmp_path / "report.html").exists()


def test_the_answer_comes_first_then_patches_then_the_plot_and_tables_are_folded(tmp_path: Path, report: Report):
    write_html_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    body = page[page.index("<body>") :]
    places = [body.index(text) for text in ("Is it?", "<h2>Patches</h2>", "<h2>Forest</h2>", "<h2>Numbers</h2>")]
    assert places == sorted(places)
    folded = re.findall(r"<details>\s*<summary><h2>(.*?)</h2>", page)
    assert folded == ["Numbers", "More", "Details", "Settings"]
    assert body.count('alt="real, no"') == 2 and body.count('alt="real, yes"') == 1


def test_the_plot_is_there_for_wide_and_for_narrow_windows(tmp_path: Path, report: Report):
    write_html_report(tmp_path / "report.html", report)
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r'<div class="wide"><svg [^>]*viewBox="0 0 1080 ', page)
    assert re.search(r'<div class="narrow"><svg [^>]*viewBox="0 0 336 ', page)
    assert "C &amp; D" in page


def test_only_patches_are_pixelated_and_plots_are_vectors(tmp_path: Path, report: Report):
    patches = Figure("Figure 2", "", (Picture(tmp_path / "parts" / "dot.png", "patches", is_pixelated=True),))
    write_html_report(tmp_path / "report.html", dataclasses.replace(report, figures=(*report.figures, patches)))
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert re.search(r'src="data:image/svg\+xml,[^"]+" alt="a plot"', page)
    assert re.search(r'src="data:image/png;base64,[^"]+" class="pixelated" alt="patches"', page)
    assert page.count('class="pixelated"') == 1
