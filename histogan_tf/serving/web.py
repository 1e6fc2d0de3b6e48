"""Writes a page that runs a network in the browser: one file that opens by a double click and loads nothing."""

from __future__ import annotations

import base64
import gzip
import json
import logging
from pathlib import Path
from typing import TYPE_CHECKING, Any

from histogan_tf.config.families import GENERATOR
from histogan_tf.data.image_set import label_number
from histogan_tf.errors import UserError
from histogan_tf.reporting.single_page import render_page
from histogan_tf.runs.pretrained import PRETRAINED_FOLDER
from histogan_tf.serving.model_card import NOT_A_MEDICAL_DEVICE, data_facts, epochs_made, model_card
from histogan_tf.serving.onnx_model import (
    example_inputs,
    in_half_precision,
    interface,
    largest_level_difference,
    outside_network,
    to_onnx,
)
from histogan_tf.serving.web_runtime import WebRuntime, fetch_runtime
from histogan_tf.trained.directions import find_directions
from histogan_tf.trained.load import TrainedNetwork

if TYPE_CHECKING:
    import onnx

logger = logging.getLogger(__name__)

_FOLDER = Path(__file__).parent / "page"
_LEVELS = 1  # 8-bit levels by which half precision may change an image; the browser's arithmetic may add one more
_LEAD = "A neural network invents these patches here, in your browser. None of them shows a patient."


def write_web_page(trained: TrainedNetwork, folder: Path) -> str:
    """Writes index.html, which holds the network, its model card, and onnxruntime-web.

    Args:
        trained: a generator.
        folder: an existing folder.

    Returns:
        Markdown for the model card that describes the network's inputs and outputs.

    Raises:
        UserError: if the network is not a generator, the packages of the extra `export` are not installed, the
            converted network differs too much, or onnxruntime-web cannot be fetched.
    """
    if trained.kind != GENERATOR:
        raise UserError(f"--format=web shows a generator, and {trained.name} is a {trained.kind}: choose another --run")
    runtime = fetch_runtime()
    model = _smallest_model(trained)
    described = interface(model)
    page = render_page(
        _FOLDER,
        "index.html.j2",
        style="page.css",
        scripts=("network.js", "files.js", "latents.js", "generator.js"),
        body="generator.html.j2",
        lead=_LEAD,
        description=_description(trained),
        warning=NOT_A_MEDICAL_DEVICE,
        card=model_card(trained, described),
        blocks=_blocks(runtime, model),
        runtime_version=runtime.version,
    )
    (folder / "index.html").write_text(page, encoding="utf-8")
    logger.info("%s: the page has %.1f MB", trained.name, len(page) / 1e6)
    return described


def _smallest_model(trained: TrainedNetwork) -> onnx.ModelProto:
    """Returns the network as ONNX, with weights in half precision if that changes images by a level at most."""
    network, inputs = outside_network(trained), example_inputs(trained)
    model = to_onnx(network)
    for candidate in (in_half_precision(model), model):
        difference = largest_level_difference(candidate, network, inputs)
        logger.info(
            "%s: %.1f MB as ONNX, at most %d of 255 levels off the Keras network",
            trained.name,
            candidate.ByteSize() / 1e6,
            difference,
        )
        if difference <= _LEVELS:
            return candidate
    raise UserError(
        f"{trained.name} as ONNX differs by {difference} of 255 levels from the Keras network (at most {_LEVELS} "
        f"is allowed), so it was not written: try other versions of tf2onnx and onnxruntime"
    )


def _description(trained: TrainedNetwork) -> dict[str, Any]:
    """Returns the facts about the generator that the page reads."""
    height, width, channels = trained.image_shape
    config, class_names = trained.config, list(trained.class_names)
    is_one_class = not config.conditional and config.label is not None
    is_pretrained = trained.directory.parent == PRETRAINED_FOLDER
    return {
        "name": trained.name,
        "run": f"pretrained:{trained.directory.name}" if is_pretrained else trained.output_directory.name,
        "z_dim": config.z_dim,
        "z_dist": config.z_dist,
        "height": height,
        "width": width,
        "channels": channels,
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
        "facts": {
            "model": config.model,
            **{name: fact for name, fact in data_facts(trained).items() if fact},
            "trained for": f"{epochs_made(trained):.3g} epochs, {trained.step} steps",
        },
    }


def _blocks(runtime: WebRuntime, model: onnx.ModelProto) -> dict[str, str]:
    """Returns what the page unpacks, by name: the worker's script, and what that runs; gzip in base 64."""
    worker = (_FOLDER / "worker.js").read_bytes()
    contents = {
        "runtime": runtime.script + b"\n" + worker,
        "glue": runtime.glue,
        "wasm": runtime.wasm,
        "model": model.SerializeToString(),
    }
    return {
        name: base64.b64encode(gzip.compress(content, mtime=0)).decode("ascii") for name, content in contents.items()
    }
