"""The whole study, small: every row and figure, what is skipped, and that being stopped changes no number."""

from __future__ import annotations

import csv
import html
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest

from histogan_tf.classifier.predictions_file import read_predictions
from histogan_tf.cli import commands
from histogan_tf.errors import UserError
from histogan_tf.metrics.classification import evaluate_classifier, mcnemar_test
from histogan_tf.paper.rows import BASELINE, ROWS, SYNTHETIC
from histogan_tf.paper.stages import Stages
from histogan_tf.paper.study_pictures import PATCHES_SHOWN
from histogan_tf.paper.study_report import write_study_report
from histogan_tf.training.loop import Interrupted

pytestmark = pytest.mark.slow
SHOWN = [row for row in ROWS if row.synthetic not in ("small", "conditional")]
FIGURES = ("Figures 1 and 2", *(f"Figure {number}" for number in range(3, 9)))


@pytest.fixture
def table(study: Path) -> dict:
    return json.loads((study / "table1.json").read_text())


@pytest.fixture
def page(study: Path) -> str:
    return (study / "report.html").read_text()


@pytest.fixture
def copied(study: Path, tmp_path: Path) -> Path:
    """A copy of the study, to damage."""
    shutil.copytree(study, tmp_path / study.name)
    return tmp_path / study.name


def stages_done_before(caplog) -> list[str]:
    return re.findall(r"stage \d+/\d+, (\S+): done before", caplog.text)


def test_every_row_and_figure_is_there(table, page):
    assert [row["title"] for row in table["rows"]] == [row.title for row in SHOWN]
    headings = [html.unescape(heading) for heading in re.findall(r"<h2>(.*?)</h2>", page)]
    assert [heading for heading in headings if heading.startswith("Figure")] == list(FIGURES)
    sections = page.split("<h2>")
    for figure in FIGURES:
        section = next(section for section in sections if section.startswith(figure))
        assert "data:image/" in section or "right on the same images" in section
    for heading in (
        "Table 1",
        "Against Real",
        "What the classifiers were shown",
        "Better or worse than Real?",
        "Synthesis metrics",
        "Class-wise truth",
        "Selected and rejected images",
        "Settings",
    ):
        assert heading in headings


def test_the_positive_class_is_named_in_every_table(study, table, page):
    assert table["positive_class"] == "idc"
    assert json.loads((study / "study.json").read_text())["settings"]["positive_class"] == "idc"
    assert json.loads((study / "split" / "dataset.json").read_text())["positive_class"] == "idc"
    sections = page.split("<h2>")
    for heading in ("Table 1", "Against Real", "Figure 7"):
        assert "positive class: idc" in next(section for section in sections if section.startswith(heading)), heading
    for name in ("dcgan", "ccan"):
        classes = json.loads((study / "seed-42" / "synthetic" / name / "classes.json").read_text())
        assert classes == {"class_names": ["non-idc", "idc"]}, name


def test_the_table_follows_from_the_predictions(study, table):
    real = read_predictions(study / "seed-42" / f"classifier-{BASELINE}" / "predictions.csv")
    for row in table["rows"]:
        if row["metrics"] is None:
            assert row["training_images"][0]["synthetic"] == 0 and not row["against_real"]
            continue
        predictions = read_predictions(study / "seed-42" / f"classifier-{row['name']}" / "predictions.csv")
        labels, groups = predictions.labels, predictions.groups
        metrics = evaluate_classifier(labels, predictions.probabilities, groups=groups)
        for name in ("precision", "recall", "accuracy", "specificity", "balanced_accuracy", "roc_auc"):
            expected = [None if np.isnan(x) else x for x in (getattr(metrics[name], end) for end in ("value", "low"))]
            assert [row["metrics"][name][end] for end in ("value", "low")] == pytest.approx(expected)
        if row["against_real"]:
            pair = (run.probabilities >= 0.5 for run in (real, predictions))
            assert row["against_real"]["mcnemar"][0]["p_value"] == mcnemar_test(labels, *pair).p_value


def test_the_pages_numbers_are_those_of_the_table(table, page):
    section = next(section for section in page.split("<h2>") if section.startswith("Table 1"))
    lines = re.findall(r'<tr><th scope="row">(.*?)</th>(.*?)</tr>', section, re.DOTALL)
    assert len(lines) == len(SHOWN)
    for (title, cells), row in zip(lines, table["rows"], strict=True):
        assert html.unescape(title) == row["title"]
        shown = re.findall(r"<td[^>]*>([^<]*)", cells)
        if row["metrics"] is None:
            assert shown[1:] == ["no image passed", "–", "–"]
            continue
        columns = ("precision", "recall", "accuracy")
        own = [row["metrics"][name]["value"] for name in columns]
        assert shown[1:] == ["undefined" if value is None else f"{value:.3f}" for value in own]
        papers = re.findall(r"<small>paper: (.*?)</small>", cells)
        assert papers == ([f"{row['published'][name]:.3f}" for name in columns] if row["published"] else [])


def test_the_page_is_one_file_and_warns_of_what_it_is_made_of(page):
    assert not re.search(r'(src|href)="(?!data:)', page)
    assert "Classifier: ResNet-18, random weights" in page
    assert "built-in phantom" in page
    assert "intervals by patient are too narrow" in page
    assert "python main.py" in page


@pytest.mark.parametrize("generators", ["dcgan,tissue", ""])
def test_results_of_generators_that_were_dropped_are_not_shown(copied, study_config, generators):
    synthetic = [name for name in (*generators.split(","), "stain") if name]
    write_study_report(copied, study_config(copied.parent, f"--generators={generators}"), synthetic)
    sections = (copied / "report.html").read_text().split("<h2>")[1:]
    shown = {html.unescape(section.partition("<")[0]): section for section in sections}
    gone = {title for name, title in SYNTHETIC.items() if name not in synthetic}
    # Table 1 and its plots are made by stages of their own, which run again when rows are dropped.
    for heading in {"What the classifiers were shown", "Synthesis metrics", "Class-wise truth"} & set(shown):
        assert not [title for title in gone if re.search(rf">{title}\b", shown[heading])], heading
    details = {"Figure 6", "Figure 8", "Synthesis metrics", "Class-wise truth", "Selected and rejected images"}
    assert details & set(shown) == (details if generators else set())
    assert "Figure 3" not in shown and "cyclegan" not in "".join(shown.values()).partition("Settings</h2>")[0]
    if generators:
        assert "CCAN" not in shown["Selected and rejected images"] and "tissue GAN" in shown["Class-wise truth"]


def test_every_table_and_picture_names_a_file_of_the_study(study, page):
    tables = re.findall(r"<table>.*?</table>", page, re.DOTALL)
    captions = [re.findall(r"<caption>(.*?)</caption>", text, re.DOTALL) for text in tables]
    assert [len(found) for found in captions] == [1] * 7
    files = [re.findall(r"<code>(.*?)</code>", caption) for (caption,) in captions]
    assert files[:4] == [["table1.json"]] * 4
    synthesis = json.loads((study / files[4][0]).read_text())["metrics"]
    first_cell = re.search(r"<td[^>]*>([^<]*)<small>", tables[4]).group(1)
    assert first_cell == f"{next(iter(synthesis.values()))['synthetic']['value']:.4g}"
    truth = json.loads((study / files[5][0]).read_text())["accuracies"]
    shown = re.findall(r"<td[^>]*>([^<]*)<small>", tables[5])[:5]
    wanted = [("real", "accuracy"), *(("gan_test", name) for name in ("accuracy", "label_0", "label_1"))]
    wanted.append(("gan_train", "accuracy"))
    assert shown == [f"{truth[row][name]['value']:.3f}" for row, name in wanted]
    pictures = [re.findall(r"<code>(.*?)</code>", text) for text in re.findall(r"<figcaption>(.*?)</figcaption>", page)]
    patches = page.count("<img ") - len(pictures)
    assert all(len(names) == 1 for names in pictures) and 0 < patches <= 6 * 2 * PATCHES_SHOWN
    for name in re.findall(r"<code>(.*?)</code>", page):
        assert (study / html.unescape(name)).exists(), name


def test_as_many_images_as_there_are_to_train_on(study):
    dataset = json.loads((study / "split" / "dataset.json").read_text())
    assert dataset["patients_on_both_sides"] == 0
    for name in ("dcgan", "tissue"):
        for label, count in enumerate(dataset["train"].values()):
            with np.load(study / "seed-42" / "synthetic" / name / f"{label}.npz", allow_pickle=False) as archive:
                assert archive["images"].shape == (count, 32, 32, 3)
    translated = study / "seed-42" / "synthetic" / "ccan"
    assert [len(list((translated / f"{label}").iterdir())) for label in (1, 0)] == list(dataset["train"].values())


def test_the_curves_are_measured_at_few_patients_and_at_all(study):
    curves = json.loads((study / "curves" / "curves.json").read_text())
    by_way = {(point["num_patients"], point["way"]): point for point in curves["over_patients"]}
    dataset = json.loads((study / "split" / "dataset.json").read_text())
    num_all = max(number for number, _ in by_way)
    assert {number for number, _ in by_way} == {3, num_all}
    assert {way for _, way in by_way} == {"real", "perturbed", "stain", "tissue"}
    assert by_way[num_all, "real"]["num_images"] == sum(dataset["train"].values()) > by_way[3, "real"]["num_images"]
    assert by_way[3, "tissue"]["num_draws"] == 1 < by_way[3, "stain"]["num_draws"]
    # Of all patients, the curve's classifiers are those of the table.
    table = json.loads((study / "table1.json").read_text())
    rows = {row["name"]: row["metrics"]["roc_auc"]["value"] for row in table["rows"] if row["metrics"]}
    for way, row in (("real", "real"), ("perturbed", "perturbed"), ("tissue", "tissue-and-real")):
        assert by_way[num_all, way]["metrics"]["roc_auc"]["value"] == pytest.approx(rows[row], abs=1e-9), way
    ratios = {(point["images"], point["ratio"]): point for point in curves["over_ratio"]}
    assert ratios["dcgan", 4.0]["num_synthetic"] == 4 * sum(dataset["train"].values())
    assert ("ccan", 1.0) in ratios and ("ccan", 2.0) not in ratios
    assert (study / "curves" / "curves.svg").read_text().startswith("<?xml")


def test_more_draws_of_few_patients_leave_every_other_stage_alone(study, study_config, stages_of):
    stages = stages_of(study_config(study.parent, "--few_draws=2"))
    reasons = Stages(study, list(stages.values())).plan()
    new = {f"{name}-seed-43" for name in ("few-patients", "tissue-3-patients", "generate-few-3")}
    assert {name for name, reason in reasons.items() if reason == "not done yet"} == new
    assert set(reasons) - new == {"curves", "report"}


def test_the_table_of_few_patients_is_that_of_the_curves(study, page):
    curves = json.loads((study / "curves" / "curves.json").read_text())
    section = next(section for section in page.split("<h2>") if section.startswith("How few patients?"))
    assert curves["intervals_over"] in section
    first = re.search(r'<th scope="row">3</th>(.*?)</tr>', section, re.DOTALL).group(1)
    real = next(p for p in curves["over_patients"] if (p["num_patients"], p["way"]) == (3, "real"))
    shown = re.findall(r"<td[^>]*>([^<]*)", first)
    assert shown[:2] == [f"{real['num_images']:,.0f}", f"{real['metrics']['roc_auc']['value']:.3f}"]
    assert first.count("<small>2 draws</small>") == 3 and first.count("<small>1 draw</small>") == 1


def test_the_classifiers_that_stop_early_see_real_images_and_those_of_each_network(study):
    written = json.loads((study / "few_epochs" / "few_epochs.json").read_text())
    rows = {row["name"]: row for row in written["rows"]}
    assert list(rows) == ["real", "ccan-and-real", "dcgan-and-real", "tissue-and-real"]
    num_real = sum(json.loads((study / "split" / "dataset.json").read_text())["train"].values())
    assert {name: row["num_images"] for name, row in rows.items()} == {
        name: num_real if name == "real" else 2 * num_real for name in rows
    }
    assert all([epoch["epoch"] for epoch in row["epochs"]] == list(range(1, 26)) for row in rows.values())
    # Other training images make another layer.
    assert rows["real"]["epochs"] != rows["ccan-and-real"]["epochs"] != rows["dcgan-and-real"]["epochs"]
    assert rows["dcgan-and-real"]["published"] == [0.760, 0.695, 0.731] and rows["tissue-and-real"]["published"] is None


def test_gans_of_few_patients_see_no_other_patient(study):
    with (study / "seed-42" / "few" / "patients.csv").open(newline="") as file:
        lines = list(csv.DictReader(file))
    with (study / "split" / "split.csv").open(newline="") as file:
        part_of = {line["id"]: line["part"] for line in csv.DictReader(file)}
    assert len({line["patient"] for line in lines}) == 3
    assert {part_of[line["id"]] for line in lines} == {"train"}
    record = json.loads((study / "seed-42" / "few" / "tissue-3-patients" / "config.json").read_text())
    assert record["dataset"]["num_images"] == len(lines)


def test_moved_stains_swap_the_classes(study):
    with np.load(study / "seed-42" / "synthetic" / "stain" / "1.npz", allow_pickle=False) as archive:
        moved = archive["images"]
    dataset = json.loads((study / "split" / "dataset.json").read_text())
    assert moved.shape == (dataset["train"]["non-idc"], 32, 32, 3)


def test_a_second_call_does_nothing(study, caplog, study_config, stages_of):
    config = study_config(study.parent)
    before = {path: path.stat().st_mtime_ns for path in (study / "stages").iterdir()}
    assert {path.stem for path in before} == set(stages_of(config))
    commands.run_command(config)
    assert stages_done_before(caplog) == list(stages_of(config))
    assert {path: path.stat().st_mtime_ns for path in (study / "stages").iterdir()} == before


def test_stopped_inside_a_training_and_gone_on_it_ends_with_the_same_numbers(
    study, copied, caplog, study_config, stopped_after_two_steps
):
    for record in (copied / "stages").iterdir():
        if record.stem in ("dcgan3-1-seed-42", "table", "report"):
            record.unlink()
    with stopped_after_two_steps(), pytest.raises(Interrupted):
        commands.run_command(study_config(copied.parent))
    assert (copied / "seed-42" / "dcgan3-1" / "ckpt" / "step-00000002").is_dir()
    caplog.clear()
    commands.run_command(study_config(copied.parent))
    assert "dcgan3-1-seed-42: was begun and not finished" in caplog.text
    assert "going on after step 2" in caplog.text
    # Its images are the same to the byte, so that no classifier had to be trained again.
    assert "classifier-dcgan-seed-42: done before" in caplog.text
    assert (copied / "table1.json").read_bytes() == (study / "table1.json").read_bytes()


def test_a_classifier_that_is_gone_is_trained_again_to_the_same_numbers(study, copied, caplog, study_config, stages_of):
    config = study_config(copied.parent)
    (copied / "seed-42" / "classifier-dcgan" / "predictions.csv").unlink()
    commands.run_command(config)
    assert "classifier-dcgan/predictions.csv is missing: redone" in caplog.text
    assert stages_done_before(caplog) == [name for name in stages_of(config) if name != "classifier-dcgan-seed-42"]
    assert (copied / "table1.json").read_bytes() == (study / "table1.json").read_bytes()


def test_other_settings_say_what_they_invalidate(copied, caplog, study_config):
    commands.run_command(study_config(copied.parent, "--views=2", "--stages=describe"))
    assert "settings have changed: classifier-perturbed-seed-42 (views was 1 and is now 2)" in caplog.text
    assert "that invalidates table, " in caplog.text
    with pytest.raises(UserError, match="add classify to --stages"):
        commands.run_command(study_config(copied.parent, "--views=2", "--stages=table"))
