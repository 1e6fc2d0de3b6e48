"""Writes the study's report.html from the files in the study's directory."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from histogan_tf.classifier.prediction import backbone_note
from histogan_tf.config import Config
from histogan_tf.data.positive_class import positive_note
from histogan_tf.errors import counted
from histogan_tf.metrics.rates import FEW_IMAGES
from histogan_tf.paper.class_truths import class_truth_report
from histogan_tf.paper.configs import StudyConfigs, command_line
from histogan_tf.paper.curve_tables import CURVES, curves_text, few_patients_table
from histogan_tf.paper.report_tables import TABLE1, number_text, result_tables
from histogan_tf.paper.rows import PUBLISHED_SETS, SELECTION_ROWS, STAIN, SYNTHETIC
from histogan_tf.paper.study_images import LABELS
from histogan_tf.paper.study_maps import slide_map_figures
from histogan_tf.paper.study_pictures import PATCHES_SHOWN, PICTURES, patch_path
from histogan_tf.paper.study_warnings import seeds_note, study_warnings
from histogan_tf.paper.table_plots import differences_plot
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
from histogan_tf.synthesis.measure import REPORT_COLUMNS as SYNTHESIS_COLUMNS

_THRESHOLDS = (
    "Precision and recall of the first repeat's classifiers at every threshold. Dots are the threshold of Table 1, "
    "stars the paper's numbers. Training images that only move a dot along its curve make no better classifier: "
    "another threshold would do the same."
)
_FEW_EPOCHS = (
    "The last layer trained by stochastic gradient descent and measured after each epoch, on real images and with "
    "synthetic ones beside them; means over three starts. Where the lines on the right lie upon one another, synthetic "
    "images do what more epochs would do. The classifiers of Table 1 are trained to their optimum."
)
# Files of the study that the report's numbers are read from.
_DATASET, _STUDY = "split/dataset.json", "study.json"


def write_study_report(directory: Path, config: Config, synthetic: Sequence[str]) -> None:
    """Writes the study's report.html.

    Args:
        directory: the study's directory; all other stages of the study are done.
        config: the resolved flags of --mode=paper.
        synthetic: the sets of synthetic images that are shown, keys of rows.SYNTHETIC. The directory may hold results
            of other sets, which the study made before its --generators changed.
    """
    table, dataset, study = (_read(directory / name) for name in (TABLE1, _DATASET, _STUDY))
    configs = StudyConfigs(config)
    folders = [configs.folder(seed) for seed in configs.seeds]
    counts = [
        f"{part}: {', '.join(f'{count} {name}' for name, count in dataset[part].items())}"
        for part in ("train", "validation")
    ]
    seed = "" if dataset["split_seed"] is None else f" with seed {dataset['split_seed']}"
    (height, width, _), names = dataset["image_shape"], dataset["class_names"]
    network = "ResNet-18, " if config.backbone == "resnet18" else ""  # `backbone_note` names any other
    report = Report(
        title=f"Do synthetic images help? The paper's study on {dataset['name']}",
        question="Which augmentation raises precision without losing recall?",
        summary=(
            f"{dataset['name']}, {height}x{width} pixels, split by {dataset['split_by']}{seed} "
            f"({'; '.join(counts)}). {seeds_note(configs)} Classifier: {network}"
            f"{backbone_note(configs.data(model='resnet18'))}. Precision and recall are about the "
            f"positive class, {names[1]}; specificity is about {names[0]}.",
        ),
        summary_made_from=_DATASET,
        warnings=list(study_warnings(configs, config, dataset, table)),
        answer=table["answer"],
        answer_made_from=TABLE1,
        gallery=_gallery(directory, names, synthetic),
        plots=(_forest(table, names),),
        tables=result_tables(table, names),
        figures=list(_figures(directory, folders[0], names, synthetic, configs.gan_runs)),
        details=_details(
            directory, folders[0], names, synthetic, configs.generator("tissue", configs.seeds[0]).backbone
        ),
        settings=_settings(study),
        settings_made_from=_STUDY,
        command=command_line(config),
    )
    write_html_report(directory / "report.html", report)


def _read(path: Path) -> dict[str, Any]:
    return json.loads(path.read_text(encoding="utf-8"))


def _gallery(directory: Path, names: Sequence[str], synthetic: Sequence[str]) -> Gallery:
    """Returns the patches of both classes side by side: real ones, and those of each set of synthetic ones."""
    rows = {}
    for name, title in {"real": "real", **{name: SYNTHETIC[name] for name in synthetic}}.items():
        paths = [[patch_path(directory, name, label, n) for n in range(PATCHES_SHOWN)] for label in LABELS]
        found = [[path for path in of_class if path.exists()] for of_class in paths]
        if any(found):
            rows[title] = found
    text = "Random training patches: real ones above, and what each network makes of them below. First repeat."
    return Gallery("What the classifiers were shown", text, names, rows, f"{PICTURES}/patches")


def _forest(table: Mapping[str, Any], names: Sequence[str]) -> PlotSection:
    """Returns the forest plot of the differences to Real."""
    patients = table["num_validation_patients"]
    of = "" if patients is None else f" of {counted(patients, 'patient')}"
    text = (
        f"Each row's metric minus that of the classifier trained on real patches alone, with its 95 % interval, on "
        f"{counted(table['num_validation'], 'validation image')}{of}; {positive_note(names)}. An interval that crosses "
        f"the dark line shows no clear difference; an arrow points to what lies beyond the axis."
    )
    legend = {
        "raises": "clearly higher than Real",
        "lowers": "clearly lower than Real",
        "unsure": "ring: not clear; in colour, clear but for Holm's correction for the number of rows",
        "untold": f"dashed: cannot be told, as with fewer than {FEW_IMAGES} images to rest on",
    }
    return PlotSection("Better or worse than Real?", text, differences_plot(table), legend, TABLE1)


def _figures(
    directory: Path, folder: Path, names: Sequence[str], synthetic: Sequence[str], generators: Sequence[str]
) -> Iterator[Figure]:
    """Yields Figures 1 to 8, and those that the paper does not have, of the first repeat."""
    pictures = directory / PICTURES
    description = [Picture(directory / "description" / "dataset.png", "random images of each class", True)]
    yield Figure("Figures 1 and 2", "The two classes, and the mean colour of each beside its name.", description)
    if "ccan" in synthetic:
        translated = [
            Picture(folder / "synthetic" / "ccan" / f"{direction}.png", f"{text} at its right", is_pixelated=True)
            for direction, text in (
                ("A2B", f"{names[0]}, each with its translation to {names[1]}"),
                ("B2A", f"{names[1]}, each with its translation to {names[0]}"),
            )
        ]
        yield Figure("Figure 3", "CCAN: training images translated by the CycleGAN.", translated)
    clusters = [
        Picture(path, f"cluster {path.stem.removeprefix('cluster_')}", True)
        for path in sorted((directory / "clusters").glob("cluster_*.png"))
    ]
    clusters.append(Picture(pictures / "k_selection.svg", "choice of the number of clusters", True))
    yield Figure("Figure 4", f"SIFT bag-of-visual-words clusters of the {names[1]} training images.", clusters)
    runs = [folder / f"{model}-cluster" for model in ("dcgan1", "dcgan2", "dcgan3")]
    text = "DCGAN1, 2 and 3 on the largest cluster: samples, losses."
    yield Figure("Figure 5", text, list(_of_runs(pictures, runs)))
    runs = [folder / run for run in ("dcgan3-0", "dcgan3-1") if run in generators]
    if runs:
        yield Figure("Figure 6", "DCGAN3 on each class of the training images.", list(_of_runs(pictures, runs)))
    text = (
        f"The paper's classifiers side by side, with 95 % intervals; diamonds are the paper's own values; "
        f"{positive_note(names)}."
    )
    yield Figure("Figure 7", text, [Picture(pictures / "figure7.svg", "precision, recall and accuracy", True)])
    if not PUBLISHED_SETS.isdisjoint(synthetic):
        yield _neighbours(directory)
    at_every_threshold = [
        Picture(pictures / "precision_recall.svg", "precision over recall, a curve for each row", True)
    ]
    yield Figure("Beyond the paper: every threshold", _THRESHOLDS, at_every_threshold)
    text = "Samples and losses."
    runs = [folder / run for run in generators if run not in ("dcgan3-0", "dcgan3-1")]
    if runs:
        yield Figure("Beyond the paper: the other generators", text, list(_of_runs(pictures, runs)), is_folded=True)
    curves = [Picture(directory / "curves" / "curves.svg", "AUC with 95 % intervals", True)]
    stopped = [
        Picture(directory / "few_epochs" / "few_epochs.svg", "precision, recall and accuracy after each epoch", True)
    ]
    yield Figure("Beyond the paper: a classifier that was stopped early", _FEW_EPOCHS, stopped)
    text = curves_text(_read(directory / CURVES))
    yield Figure("Beyond the paper: how few patients, how many synthetic images", text, curves)
    yield from slide_map_figures(directory)
    if not SELECTION_ROWS.keys().isdisjoint(synthetic):
        yield Figure(
            "Selected and rejected images",
            "The images that each rule lets into the training set and those that it keeps out, by label.",
            list(_selected(folder, names, synthetic)),
            is_folded=True,
        )


def _neighbours(directory: Path) -> Figure:
    """Returns Figure 8."""
    pictures = [
        Picture(path, path.stem.removeprefix("neighbours-classifier-"), True)
        for path in sorted((directory / "comparison").glob("neighbours-*.png"))
    ]
    text = "Validation images that Real or another alone gets right, and the training images nearest to them."
    return Figure("Figure 8", text if pictures else "All classifiers are right on the same images.", pictures)


def _of_runs(pictures: Path, runs: Sequence[Path]) -> Iterator[Picture]:
    """Yields the last sheets of samples of the runs, then the plots of their losses."""
    for run in runs:
        sheets = sorted((run / "samples").glob("*_*[0-9].png"))
        last = sheets[-1].stem.rsplit("_", 1)[1]
        for sheet in sheets:
            name, step = sheet.stem.rsplit("_", 1)
            if step == last:
                text = f"{run.name}: {name.replace('_', ' ')} after {counted(int(step), 'step')}"
                yield Picture(sheet, text, is_pixelated=True)
    for run in runs:
        yield Picture(pictures / f"losses-{run.name}.svg", f"{run.name}: losses")


def _selected(folder: Path, names: Sequence[str], synthetic: Sequence[str]) -> Iterator[Picture]:
    for name in synthetic:
        for rule in SELECTION_ROWS.get(name, ()):
            for label in (0, 1):
                for sort in ("kept", "rejected"):
                    path = folder / "synthetic" / f"{name}-{rule}" / f"label-{label}" / f"{sort}.png"
                    if path.exists():
                        yield Picture(path, f"{SYNTHETIC[name]}, {names[label]}: {sort} by {rule}", is_pixelated=True)


def _details(
    directory: Path, folder: Path, names: Sequence[str], synthetic: Sequence[str], tissue_backbone: str
) -> tuple[ReportTable, ...]:
    """Returns the tables that measure the images of GANs, and that of few patients, each if the study has its numbers.

    A study that trains no GAN but those of Figure 5 has none of the first, one of unknown patients none of the last.
    """
    few_patients = few_patients_table(_read(directory / CURVES))
    of_images = []
    if any(name != STAIN for name in synthetic):
        of_images = [
            _synthesis(directory, folder, names, synthetic, tissue_backbone),
            class_truth_report(directory, folder, names, synthetic),
        ]
    return (*of_images, *([few_patients] if few_patients else []))


def _synthesis(
    directory: Path, folder: Path, names: Sequence[str], synthetic: Sequence[str], tissue_backbone: str
) -> ReportTable:
    """Returns the table of the synthesis metrics of each set of images in `folder`, that of the first repeat.

    `tissue_backbone` is the network that the tissue GAN was trained against.
    """
    paths = {
        f"{SYNTHETIC[name]}, {names[label]}": folder / "synthesis" / f"{name}-{label}" / "synthesis.json"
        for name in synthetic
        for label in (0, 1)
    }
    paths = {heading: path for heading, path in paths.items() if path.exists()}
    reports = {heading: _read(path) for heading, path in paths.items()}
    rows = {}
    for heading, found in reports.items():
        rows[heading] = [_synthesis_cell(columns) for columns in found["metrics"].values()]
        copies = found["copies"]
        expected = f"{copies['num_expected_by_chance']:.2g} expected by chance"
        rows[heading].append(Cell(str(copies["num_suspected"]), expected))
    # The names end in sample sizes, which differ with the labels.
    metrics = [name.split("-n")[0] for name in next(iter(reports.values()))["metrics"]]
    text = (
        "Synthetic images compared with real training images of the same label, of the first repeat. Below each value: "
        "the value of other real images (that of a perfect generator), and that of white noise, or for checkerboards "
        "of real images whose pixels are repeated."
    )
    if "tissue" in synthetic and any(tissue_backbone in name.split("-") for name in metrics):
        text += (
            f" The {SYNTHETIC['tissue']} was trained against the features of {tissue_backbone}, so "
            f"distances of these flatter it: trust those of other features."
        )
    made_from = [path.relative_to(directory).as_posix() for path in paths.values()]
    return ReportTable("Synthesis metrics", text, ["images", *metrics, "suspected copies"], rows, made_from)


def _synthesis_cell(columns: Mapping[str, Mapping[str, float | None]]) -> Cell:
    synthetic, floor, ceiling = (number_text(columns[name]["value"], "{:.4g}") for name in SYNTHESIS_COLUMNS)
    return Cell(synthetic, f"{floor} … {ceiling}")


def _settings(study: Mapping[str, Any]) -> dict[str, str]:
    shown = {name: value for name, value in study["settings"].items() if value is not None}
    return {**{f"--{name}": str(value) for name, value in shown.items()}, **study["versions"]}
