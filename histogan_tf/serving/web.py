"""Writes a page that runs a network in the browser: one file that opens by a double click and loads nothing."""

from __future__ import annotations

import base64
import dataclasses
import gzip
import json
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histogan_tf.classifier.prediction import untrained_columns
from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.config.families import CLASSIFIER, GENERATOR, TRANSLATOR
from histogan_tf.data.image_set import label_number
from histogan_tf.data.sources import reader_of
from histogan_tf.data.sources.idc import PATCH_SIZE, pad_to_patch
from histogan_tf.errors import UserError, counted
from histogan_tf.reporting.single_page import render_page
from histogan_tf.runs.pretrained import PRETRAINED_FOLDER
from histogan_tf.serving.model_card import NOT_A_MEDICAL_DEVICE, data_facts, epochs_made, model_card
from histogan_tf.serving.onnx_model import (
    built_in_patches,
    example_inputs,
    in_half_precision,
    interface,
    largest_difference,
    largest_level_difference,
    outside_network,
    to_onnx,
    translated_classes,
)
from histogan_tf.serving.web_runtime import WebRuntime, fetch_runtime
from histogan_tf.trained.directions import find_directions
from histogan_tf.trained.load import TrainedNetwork

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "page"
_LEVELS = 1  # 8-bit levels by which half precision may change an image; the browser's arithmetic may add one more
_COMPRESSION = 6  # of gzip, from 1 (fast) to 9 (small)
_PROBABILITY = 5e-5  # by which a conversion may change a probability; the browser's arithmetic adds about 1e-6
_HALF_PROBABILITY = 0.01  # by which half precision may change the probability of a patch

# What a page of each kind says first, its body, and its scripts beside network.js and files.js.
_KINDS = {
    GENERATOR: (
        "A neural network invents these patches here, in your browser. None of them shows a patient.",
        "generator.html.j2",
        ("latents.js", "generator.js"),
    ),
    TRANSLATOR: (
        "A neural network repaints images here, in your browser. What a translation shows was never in the tissue.",
        "own_images.html.j2",
        ("reading.js", "own_images.js"),
    ),
    CLASSIFIER: (
        "A neural network tells two classes of images apart here, in your browser.",
        "own_images.html.j2",
        ("reading.js", "own_images.js"),
    ),
}


def write_web_page(networks: Sequence[TrainedNetwork], folder: Path) -> str:
    """Writes index.html, which holds the networks of a run, its model card, and onnxruntime-web.

    Args:
        networks: of one run: a generator, a classifier, or the networks of a CycleGAN, one for each direction.
        folder: an existing folder.

    Returns:
        Markdown for the model card that describes the networks' inputs and outputs.

    Raises:
        UserError: if the packages of the extra `export` are not installed, a converted network differs too much,
            onnxruntime-web cannot be fetched, or a classifier tells more than two classes apart.
    """
    if networks[0].kind == CLASSIFIER and len(networks[0].class_names) > 2:
        raise UserError(
            f"--format=web shows the probability of the positive class of two, and {networks[0].directory} has "
            f"{len(networks[0].class_names)} classes: export it with --format=onnx or --format=saved_model"
        )
    runtime = fetch_runtime()
    models = [_smallest_model(trained) for trained in networks]
    described = interface(models[0], networks[0])
    run = whole_run(networks)
    lead, page_body, scripts = _KINDS[run.kind]
    page = render_page(
        _FOLDER,
        "index.html.j2",
        style="page.css",
        scripts=("network.js", "files.js", *scripts),
        body=page_body,
        lead=lead,
        description=_description(run, networks),
        warning=NOT_A_MEDICAL_DEVICE,
        card=model_card(run, described),
        blocks=_blocks(runtime, models),
        runtime_version=runtime.version,
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    logger.info("%s: the page has %.1f MB", run.name, len(page) / 1e6)
    return described


def whole_run(networks: Sequence[TrainedNetwork]) -> TrainedNetwork:
    """Returns the first network of a run under the name of the run, which that of a direction begins with."""
    return dataclasses.replace(networks[0], name=networks[0].output_directory.name)


def _smallest_model(trained: TrainedNetwork) -> onnx.ModelProto:
    """Returns the network as ONNX, with weights in half precision if that changes its outputs little enough.

    Images may change by one level, and probabilities of built-in patches by 0.01.

    Raises:
        UserError: if already with weights in single precision, the outputs are not those of the Keras network.
    """
    network, inputs = outside_network(trained), example_inputs(trained)
    is_classifier = trained.kind == CLASSIFIER
    measure, most = (largest_difference, _PROBABILITY) if is_classifier else (largest_level_difference, _LEVELS)
    unit = "" if is_classifier else " of 255 levels"
    model = to_onnx(network)
    difference = measure(model, network, inputs)
    if difference > most:
        raise UserError(
            f"{trained.name} as ONNX differs by {difference:.2g}{unit} from the Keras network (at most {most:g} is "
            f"allowed), so it was not written: try other versions of tf2onnx and onnxruntime"
        )
    if is_classifier:
        inputs, most = {"image": built_in_patches(trained.image_shape)}, _HALF_PROBABILITY
    halved = in_half_precision(model)
    difference = measure(halved, network, inputs)
    chosen = halved if difference <= most else model
    logger.info(
        "%s: %.1f MB as ONNX; with weights in half precision, %.1f MB and at most %.2g%s off the Keras network (%.2g "
        "is allowed)",
        trained.name,
        chosen.ByteSize() / 1e6,
        halved.ByteSize() / 1e6,
        difference,
        unit,
        most,
    )
    return chosen


def _description(run: TrainedNetwork, networks: Sequence[TrainedNetwork]) -> dict[str, Any]:
    """Returns the facts about a run and its networks that the page reads."""
    height, width, channels = run.image_shape
    epochs = epochs_made(run)
    of_kind = {GENERATOR: _generator_facts, TRANSLATOR: _image_facts, CLASSIFIER: _image_facts}[run.kind]
    facts = {"model": run.config.model, **{name: fact for name, fact in data_facts(run).items() if fact}}
    if epochs is not None:
        facts["trained for"] = f"{counted(f'{epochs:.3g}', 'epoch')}, {counted(run.step, 'step')}"
    return {
        "name": run.name,
        "kind": run.kind,
        "height": height,
        "width": width,
        "channels": channels,
        "networks": [_ends(trained) for trained in networks],
        "facts": facts,
        **of_kind(run),
    }


def _ends(trained: TrainedNetwork) -> dict[str, str]:
    """Returns the names of the classes from which and to which a network translates; none for other networks."""
    if trained.kind != TRANSLATOR:
        return {}
    source, target = translated_classes(trained)
    return {"source": source, "target": target}


def _generator_facts(trained: TrainedNetwork) -> dict[str, Any]:
    """Returns what the page needs to make the images that --mode=generate makes, and the directions."""
    config, class_names = trained.config, list(trained.class_names)
    is_one_class = not config.conditional and config.label is not None
    is_pretrained = trained.directory.parent == PRETRAINED_FOLDER
    return {
        "run": f"pretrained:{trained.directory.name}" if is_pretrained else trained.name,
        "z_dim": config.z_dim,
        "z_dist": config.z_dist,
        "labels": class_names if config.conditional else [],
        "only_label": label_number(config.label, trained.class_names) if is_one_class else None,
        "class_file": json.dumps({"class_names": class_names}, indent=2, ensure_ascii=False) + "\n",
        "directions": [
            {
                "name": direction.name,
                "vector": [round(float(number), 6) for number in direction.vector],
                "low": direction.low,
                "high": direction.high,
            }
            for direction in find_directions(trained)
        ],
    }


def _image_facts(trained: TrainedNetwork) -> dict[str, Any]:
    """Returns how the page prepares the reader's images, as the run prepared its own, and the classes."""
    config, (height, width, channels) = trained.config, trained.image_shape
    is_padded = reader_of(config.dataset).before_sizing is pad_to_patch
    takes = "any size" if config.output_height and not config.crop else f"{width} × {height} pixels"
    if config.crop:
        takes = f"at least {config.input_width} × {config.input_height} pixels"
    elif is_padded:
        takes = f"at most {PATCH_SIZE} × {PATCH_SIZE} pixels"
    facts: dict[str, Any] = {
        "preparation": {
            "pad": PATCH_SIZE if is_padded else None,
            "crop": [config.input_height, config.input_width] if config.crop else None,
            "size": [config.output_height, config.output_width] if config.output_height else None,
        },
        "takes": takes if channels == 3 else f"{takes}, grey",
    }
    if trained.kind == CLASSIFIER:
        negative, positive = trained.class_names
        columns = {"positive_class": positive} | untrained_columns(config)
        facts |= {
            "negative_class": negative,
            "positive_class": positive,
            "threshold": THRESHOLD,
            "columns": list(columns.items()),  # a list, since Jinja sorts the names of a mapping
        }
    return facts


def _blocks(runtime: WebRuntime, models: Sequence[onnx.ModelProto]) -> dict[str, str]:
    """Returns what the page unpacks, by name: the worker's script, and what that runs; gzip in base 64."""
    worker = (_FOLDER / "worker.js").read_bytes()
    contents = {
        "runtime": runtime.script + b"\n" + worker,
        "glue": runtime.glue,
        "wasm": runtime.wasm,
        **{f"model-{number}": model.SerializeToString() for number, model in enumerate(models)},
    }
    return {
        name: base64.b64encode(gzip.compress(content, _COMPRESSION, mtime=0)).decode("ascii")
        for name, content in contents.items()
    }
