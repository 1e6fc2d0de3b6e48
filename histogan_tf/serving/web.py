"""Writes a web page that runs a generator in the browser: static files that load nothing from other servers."""

from __future__ import annotations

import importlib.resources
import json
import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

from histogan_tf.errors import UserError
from histogan_tf.serving.model_card import NOT_A_MEDICAL_DEVICE, data_facts, epochs_made
from histogan_tf.serving.onnx_model import (
    example_inputs,
    in_half_precision,
    interface,
    largest_level_difference,
    outside_network,
    to_onnx,
)
from histogan_tf.trained.load import TrainedNetwork

logger = logging.getLogger(__name__)

_PAGE_FILES = ("index.html", "style.css", "page.js", "latents.js")
_NPM_FILES = ("package.json", "package-lock.json")
_RUNTIME_FILES = ("ort.wasm.min.mjs", "ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
_NPM = ("npm", "ci", "--ignore-scripts", "--no-audit", "--no-fund", "--prefer-offline", "--loglevel=error")
_LEVELS = 1  # 8-bit levels by which half precision may change an image; the browser's arithmetic may add one more


def write_web_page(trained: TrainedNetwork, folder: Path) -> str:
    """Writes the page, the generator as ONNX, its description (model.json), and onnxruntime-web.

    Args:
        trained: a generator.
        folder: an existing folder.

    Returns:
        Markdown for the model card that describes the generator's inputs and outputs.

    Raises:
        UserError: if the network is not a generator, the packages of the extra `export` are not installed, the
            converted generator differs too much, or npm is missing or cannot fetch onnxruntime-web.
    """
    if trained.kind != "generator":
        raise UserError(f"--format=web shows a generator, and {trained.name} is a {trained.kind}: choose another --run")
    network, inputs = outside_network(trained), example_inputs(trained)
    model = to_onnx(network)
    halved = in_half_precision(model)
    for candidate in (halved, model):
        difference = largest_level_difference(candidate, network, inputs)
        logger.info(
            "%s: %.1f MB as ONNX, at most %d of 255 levels off the Keras network",
            trained.name,
            candidate.ByteSize() / 1e6,
            difference,
        )
        if difference <= _LEVELS:
            break
    else:
        raise UserError(
            f"{trained.name} as ONNX differs by {difference} of 255 levels from the Keras network (at most {_LEVELS} "
            f"is allowed), so it was not written: try other versions of tf2onnx and onnxruntime"
        )
    page = importlib.resources.files("histogan_tf.serving") / "page"
    for name in _PAGE_FILES:
        (folder / name).write_bytes((page / name).read_bytes())
    (folder / "model.onnx").write_bytes(candidate.SerializeToString())
    _write_description(folder / "model.json", trained, candidate.ByteSize())
    with tempfile.TemporaryDirectory() as npm_folder:
        for name in _NPM_FILES:
            (Path(npm_folder) / name).write_bytes((page / name).read_bytes())
        _install_runtime(Path(npm_folder), folder / "onnxruntime-web")
    return interface(candidate)


def _write_description(path: Path, trained: TrainedNetwork, num_bytes: int) -> None:
    """Writes the facts about the generator that the page reads."""
    height, width, channels = trained.image_shape
    description = {
        "name": trained.name,
        "num_bytes": num_bytes,
        "z_dim": trained.config.z_dim,
        "z_dist": trained.config.z_dist,
        "height": height,
        "width": width,
        "channels": channels,
        "labels": list(trained.class_names) if trained.num_classes else [],
        "facts": {
            "model": trained.config.model,
            **{name: fact for name, fact in data_facts(trained).items() if fact},
            "trained for": f"{epochs_made(trained):.3g} epochs, {trained.step} steps",
        },
        "warning": NOT_A_MEDICAL_DEVICE,
    }
    path.write_text(json.dumps(description, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _install_runtime(npm_folder: Path, target: Path) -> None:
    """Fetches by npm the onnxruntime-web that package-lock.json pins, and copies the files that the page loads."""
    try:
        subprocess.run(_NPM, cwd=npm_folder, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise UserError(
            "--format=web needs npm, which comes with Node.js, to fetch onnxruntime-web: install Node.js 18 or newer"
        ) from error
    except subprocess.CalledProcessError as error:
        reason = (error.stderr.strip() or error.stdout.strip() or "no reason given")[:300]
        raise UserError(
            f"npm cannot fetch onnxruntime-web ({reason}): check npm's access to its registry (npm ping)"
        ) from error
    target.mkdir()
    package = npm_folder / "node_modules" / "onnxruntime-web"
    for name in _RUNTIME_FILES:
        shutil.copyfile(package / "dist" / name, target / name)
    shutil.copyfile(package / "package.json", target / "package.json")  # names its version and licence
