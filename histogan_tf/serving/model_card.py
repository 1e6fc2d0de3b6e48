"""Writes MODEL_CARD.md: what an exported model was trained on and how, its metrics, and its intended use."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import histogan_tf
from histogan_tf.config import Config, flag_fields
from histogan_tf.config.families import CLASSIFIER, family_of, flags_unused_by
from histogan_tf.config.parsing import as_text
from histogan_tf.errors import counted, escaped, listing
from histogan_tf.reporting.text_tables import markdown_table
from histogan_tf.runs.provenance import seen_patients
from histogan_tf.runs.run_directory import read_metrics
from histogan_tf.synthesis.class_truth import CLASS_TRUTH_ROWS
from histogan_tf.trained.load import TrainedNetwork

NOT_A_MEDICAL_DEVICE = (
    "This is not a medical device. It must not be used for diagnosis, or for any decision about a patient."
)
_SHOWN_PATIENTS = 8
_CLASS_TRUTH = "class_truth.json"


def write_model_card(path: Path, trained: TrainedNetwork, interface: str, *, all_patients: bool = False) -> None:
    """Writes the model card of an export to a file.

    Args:
        path: the file to write.
        trained: the network.
        interface: Markdown that describes the inputs and outputs.
        all_patients: whether to list every patient; if not, some of many.
    """
    path.write_text(model_card(trained, interface, all_patients=all_patients), encoding="utf-8")


def model_card(trained: TrainedNetwork, interface: str, *, all_patients: bool = False) -> str:
    """Returns the model card of an export in Markdown.

    Args:
        trained: the network.
        interface: Markdown that describes the inputs and outputs.
        all_patients: whether to list every patient; if not, some of many.
    """
    family = family_of(trained.config.model)
    parts = [
        f"# {trained.name}",
        f"{trained.config.model}: {family.description}. Exported by histogan_tf {histogan_tf.__version__}. "
        f"{NOT_A_MEDICAL_DEVICE}",
        f"## Data\n\n{_bullets(data_facts(trained) | _patients(trained, all_patients))}",
        f"## Training\n\n{_bullets(_training_facts(trained))}",
        f"## Metrics\n\n{_metrics(trained)}",
        f"## Inputs and outputs\n\n{interface}",
        f"## Intended use\n\n{family.use}\n\n{NOT_A_MEDICAL_DEVICE}",
    ]
    return "\n\n".join(parts) + "\n"


def data_facts(trained: TrainedNetwork) -> dict[str, str]:
    """Returns facts about the images that the model was trained on, by name; facts without content are empty."""
    config, dataset = trained.config, trained.dataset
    height, width, channels = trained.image_shape
    facts = {
        "dataset": dataset["name"],
        "images": f"{height}x{width} pixels, {'RGB' if channels == 3 else 'grey'}",
        "labels": ", ".join(f"{label} = {name}" for label, name in enumerate(trained.class_names)) or "none",
        "positive class": _positive_class(trained),
        "restricted to": ", ".join(
            f"--{name}={as_text(getattr(config, name))}"
            for name in _restrictions(config)
            if getattr(config, name) is not None
        ),
    }
    for name, part in _parts(trained):
        counts = ", ".join(f"{count} {label}" for label, count in part["images_per_class"].items() if count)
        number = sum(part["images_per_class"].values()) or part.get("num_images", "no")
        shown, _, noun = counted(number, "image").partition(" ")
        facts[name] = f"{counts or shown} {noun}, fingerprint {part['fingerprint'][:16]}"
    return facts


def _positive_class(trained: TrainedNetwork) -> str:
    """Returns which class a classifier's probabilities and metrics are about; "" for other networks."""
    if trained.kind != CLASSIFIER:
        return ""
    if len(trained.class_names) > 2:
        return (
            f"none: probabilities are those of the {len(trained.class_names)} classes {', '.join(trained.class_names)}"
        )
    negative, positive = trained.class_names
    return f"{positive} (label 1); probabilities, precision and recall are those of {positive}, against {negative}"


def _patients(trained: TrainedNetwork, all_patients: bool) -> dict[str, str]:
    """Returns the patients whose images the model has seen, and the run that it started from."""
    facts = {}
    if (seen := seen_patients(trained.record)) is not None:
        shown = listing(seen, most=len(seen) if all_patients else _SHOWN_PATIENTS)
        facts["patients seen"] = f"{len(seen)} ({shown})" if seen else "none"
    if origin := trained.record.get("initialized_from"):
        facts["started from"] = (
            f"the weights of {origin['run']} ({origin['model']}, {counted(origin['step'], 'step')} on "
            f"{origin['dataset']['name']}); its patients, if they are known, are among those seen"
        )
    return facts


def _restrictions(config: Config) -> tuple[str, ...]:
    """Returns the names of the flags that leave out some of a dataset's images."""
    names = ("medmnist", "classes", "magnification", "max_groups", "images_per_class", "label", "clusters", "cluster")
    names = (*names, "train_size")
    if config.part != "all":
        return (*names, "part", "split_seed", "split_by")
    return names if config.max_groups is None and config.images_per_class is None else (*names, "split_seed")


def _parts(trained: TrainedNetwork) -> Iterator[tuple[str, dict[str, Any]]]:
    """Yields the sets of images that the run recorded: the name of each, then its counts and fingerprint."""
    dataset = trained.dataset
    if "parts" in dataset:
        yield from dataset["parts"].items()
    elif "domains" in dataset:
        for letter, domain in zip("AB", dataset["domains"], strict=True):
            yield f"domain {letter} ({trained.class_names[domain['label']]})", domain
    else:
        yield "seen in training", dataset


def epochs_made(trained: TrainedNetwork) -> float | None:
    """Returns the epochs of training; None for a classifier, whose head is not trained by the epoch."""
    if trained.kind == CLASSIFIER:
        return None
    num_images = max(part["num_images"] for _, part in _parts(trained))
    return trained.step / (num_images // trained.config.batch_size)


def _training_facts(trained: TrainedNetwork) -> dict[str, str]:
    config, epochs = trained.config, epochs_made(trained)
    family = family_of(config.model)
    facts = {"run": trained.output_directory.name}
    if epochs is not None:
        facts["steps made"] = f"{trained.step}, which is {counted(f'{epochs:.3g}', 'epoch')}"
    facts["begun"] = trained.record.get("begun", "")
    facts["versions"] = ", ".join(f"{name} {version}" for name, version in trained.record.get("versions", {}).items())
    unlisted = family.unlisted | flags_unused_by(family)
    listed = [
        field.name
        for field in flag_fields()
        if field.metadata["section"] in family.card_sections and field.name not in unlisted
    ]
    facts["settings"] = ", ".join(
        f"{name}={_shown(getattr(config, name))}" for name in listed if getattr(config, name) is not None
    )
    facts["earlier settings"] = "; ".join(_earlier(trained.record.get("continued", []), listed))
    if losses := read_metrics(trained.directory):
        facts["last losses"] = ", ".join(f"{name} {value:.4g}" for name, value in losses[-1].items())
    if config.precision != "float32":
        facts["precision"] = f"trained in {config.precision}, exported in float32"
    return facts


def _earlier(continued: list[dict[str, Any]], listed: list[str]) -> Iterator[str]:
    """Yields, for each time that the run went on with others of the listed settings, those that it had until then."""
    for entry in continued:
        before = [f"{name}={_shown(was)}" for name, (was, _) in entry["changed"].items() if name in listed]
        if before:
            yield f"until step {entry['step']}: {', '.join(before)}"


def metric_files(directory: Path) -> list[Path]:
    """Returns the JSON files with the metrics that --mode=evaluate wrote in a run directory."""
    names = ("metrics.json", "synthesis.json", _CLASS_TRUTH)
    found = sorted(path for name in names for path in directory.rglob(name))
    return [path for path in found if "exported" not in path.relative_to(directory).parts]


def _metrics(trained: TrainedNetwork) -> str:
    """Shows as Markdown the metrics that --mode=evaluate wrote in the run directory."""
    sections = []
    for path in metric_files(trained.directory):
        measured = json.loads(path.read_text(encoding="utf-8"))
        if path.name == _CLASS_TRUTH:
            sections.append(_class_truth(path.relative_to(trained.directory), measured, trained.class_names))
            continue
        about = f" (positive class: {measured['positive_class']})" if "positive_class" in measured else ""
        sections.append(f"{path.relative_to(trained.directory)}{about}:\n\n{_table(measured['metrics'])}")
        sections.extend(f"Mind: {escaped(warning)}." for warning in measured.get("warnings", []))
    if not sections:
        return "No metrics were measured."
    return "\n\n".join(sections)


def _class_truth(path: Path, measured: dict[str, Any], class_names: Sequence[str]) -> str:
    """Shows as Markdown whether images belong to their label, as `class_truth.class_truth_json` has it."""
    keys = ["accuracy", *(f"label_{label}" for label in range(len(class_names)))]
    lines = [["classifier", "accuracy (mean over labels)", *map(escaped, class_names)]]
    for row, title in CLASS_TRUTH_ROWS.items():
        if found := measured["accuracies"].get(row):
            lines.append([title, *(_shown_metric(found[key]) if key in found else "–" for key in keys)])
    text = (
        f"{path}, accuracies of linear classifiers on features {measured['features']}, measured on "
        f"{measured['num_real']} real and {counted(measured['num_synthetic'], 'synthetic image')}."
    )
    if measured["num_real_seen"]:
        text += f" The generator may have seen {measured['num_real_seen']} of the real ones."
    return f"{text}\n\n{markdown_table(lines)}"


def _table(rows: dict[str, dict[str, Any]]) -> str:
    """Shows metrics as a Markdown table: a row for each metric, and a column for each set of images."""
    is_flat = all("value" in row for row in rows.values())
    columns = ["value"] if is_flat else list(next(iter(rows.values())))
    lines = [["metric", *columns]]
    for name, row in rows.items():
        lines.append([name, *([_shown_metric(row)] if is_flat else [_shown_metric(row[column]) for column in columns])])
    return markdown_table(lines)


def _shown_metric(metric: dict[str, float | None]) -> str:
    if metric["value"] is None:
        return "undefined"
    shown = f"{metric['value']:.4g}"
    if metric.get("deviation") is not None:
        return f"{shown} ± {metric['deviation']:.2g}"
    return shown if metric.get("low") is None else f"{shown} ({metric['low']:.4g} to {metric['high']:.4g})"


def _shown(value: Any) -> str:
    return "/".join(map(str, value)) if isinstance(value, tuple | list) else str(value)


def _bullets(facts: dict[str, str]) -> str:
    return "\n".join(f"- {name}: {escaped(fact)}" for name, fact in facts.items() if fact)
