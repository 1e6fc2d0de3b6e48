"""Loading of ResNet-18's weights from Hugging Face or a timm checkpoint, never a pickle, or drawing them by a seed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from histogan_tf.errors import UserError, listing

if TYPE_CHECKING:
    import keras

IMAGENET_REPOSITORY = "timm/resnet18.tv_in1k"  # torchvision's published weights
# Mean and standard deviation of the channels of ImageNet's training images in [0, 1], as in torchvision and timm.
IMAGENET_MEAN, IMAGENET_STDDEV = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ARCHITECTURE = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128, 256, 512],
    "stackwise_num_blocks": [2, 2, 2, 2],
    "stackwise_num_strides": [1, 2, 2, 2],
    "block_type": "basic_block",
}

NUM_STAGES = len(ARCHITECTURE["stackwise_num_blocks"])

_CONFIG_FILE, _WEIGHTS_FILE = "config.json", "model.safetensors"
_IGNORED_SUFFIX = ".num_batches_tracked"  # PyTorch's count of updates of batch norm's moving statistics
_HOW_TO_GET = (
    f"download {_CONFIG_FILE} and {_WEIGHTS_FILE} from https://huggingface.co/{IMAGENET_REPOSITORY} on a machine that "
    f"has a network, put both into one folder, and give it with --weights=FOLDER"
)


def load_backbone(
    weights: str, *, seed: int, size: int, precision: str = "float32", last_stage: int = NUM_STAGES
) -> keras.Model:
    """Builds keras-hub's ResNet-18 with its weights.

    Args:
        weights: `imagenet`, which keras-hub downloads from Hugging Face and keeps in its cache; `random`, drawn with
            `seed`; or a folder with a timm checkpoint of a resnet18, config.json and model.safetensors.
        seed: the seed of random weights.
        size: the side of the input images, in pixels.
        precision: a Keras dtype policy, `float32` or `mixed_bfloat16`.
        last_stage: the number of the last stage whose features are used, from 1 to 4. A folder's convolutions up to
            there must not be zeros.

    Returns:
        A model from normalized RGB images, float (batch, size, size, 3), to feature maps,
        (batch, ceil(size / 32), ceil(size / 32), 512).

    Raises:
        UserError: if Hugging Face cannot be reached, the folder does not exist, or its files are damaged or hold
            another architecture.
    """
    from keras_hub.models import ResNetBackbone

    options = {"image_shape": (size, size, 3), "dtype": precision}
    if weights == "random":
        backbone = ResNetBackbone(**ARCHITECTURE, **options)
        _draw_weights(backbone, seed)
        return backbone
    if weights == "imagenet":
        try:
            return ResNetBackbone.from_preset(f"hf://{IMAGENET_REPOSITORY}", **options)
        except Exception as error:  # Hugging Face's client raises errors of many types, and keras-hub hides the cause
            raise UserError(f"--weights=imagenet: Hugging Face cannot be reached or read; {_HOW_TO_GET}") from error
    folder = Path(weights).expanduser()
    check_timm_folder(folder, last_stage)
    return ResNetBackbone.from_preset(str(folder), **options)


def downloaded_imagenet() -> Path | None:
    """Returns the folder of Hugging Face's cache that holds the weights `imagenet`; None if they are not downloaded."""
    from huggingface_hub import try_to_load_from_cache

    found = [try_to_load_from_cache(IMAGENET_REPOSITORY, name) for name in (_CONFIG_FILE, _WEIGHTS_FILE)]
    folders = {Path(path).parent for path in found if isinstance(path, str)}
    return folders.pop() if len(folders) == 1 and all(isinstance(path, str) for path in found) else None


def are_at_hand(weights: str) -> bool:
    """Returns whether pretrained weights can be loaded without a download.

    Args:
        weights: as in `load_backbone`. A folder counts even if nothing is there: loading it then says what is missing.
            `random` does not count, because those weights are not pretrained.
    """
    return weights != "random" and (weights != "imagenet" or downloaded_imagenet() is not None)


def check_timm_folder(folder: Path, last_stage: int = NUM_STAGES) -> None:
    """Checks that a folder holds a complete timm checkpoint of a resnet18, before any of it is used.

    keras-hub does not check this: it uses a tensor of another layer where a name is missing, and builds any network
    that config.json asks for.

    Args:
        folder: with config.json and model.safetensors.
        last_stage: the number of the last stage whose features are used. A checkpoint may have zeros in stages after
            it, as one does that is known up to a stage only. Up to this stage, zeros would make features that are the
            same for every image.

    Raises:
        UserError: if the checkpoint is missing, incomplete or of another architecture; the message names the file, or
            the first tensor that does not fit.
    """
    if not folder.is_dir():
        raise UserError(f"--weights={folder}: give imagenet, random, or a folder; there is no such folder")
    missing = [name for name in (_CONFIG_FILE, _WEIGHTS_FILE) if not (folder / name).is_file()]
    if missing:
        raise UserError(f"--weights={folder} has no {' and no '.join(missing)}: {_HOW_TO_GET}")
    architecture = _read_architecture(folder / _CONFIG_FILE)
    misfit = _first_misfit(folder / _WEIGHTS_FILE)
    if architecture != "resnet18" or misfit:
        raise UserError(
            f"--weights={folder} holds no resnet18: {_CONFIG_FILE} says {architecture!r}, and "
            f"{misfit or 'all tensors fit'}; {_HOW_TO_GET}"
        )
    whole_stages = _num_stages_with_weights(folder / _WEIGHTS_FILE)
    if whole_stages < last_stage:
        known = [f"stage{stage}" for stage in range(1, whole_stages + 1)]
        remedy = f"use an earlier stage: --feature_layer={'+'.join(known[-2:])}" if known else "give other weights"
        raise UserError(
            f"--weights={folder}: the convolutions of stage {whole_stages + 1} hold zeros only, so that its features "
            f"are the same for every image; {remedy}"
        )


def timm_shapes() -> dict[str, tuple[int, ...]]:
    """Returns the shapes of the tensors of a timm resnet18 without its classifier, by name, in the network's order."""
    shapes = {"conv1.weight": (64, 3, 7, 7), **_norm_shapes("bn1", 64)}
    num_inputs = 64
    for stage, width in enumerate(ARCHITECTURE["stackwise_num_filters"], start=1):
        for block in range(2):
            name = f"layer{stage}.{block}"
            shapes |= {f"{name}.conv1.weight": (width, num_inputs, 3, 3), **_norm_shapes(f"{name}.bn1", width)}
            shapes |= {f"{name}.conv2.weight": (width, width, 3, 3), **_norm_shapes(f"{name}.bn2", width)}
            if num_inputs != width:
                shapes |= {f"{name}.downsample.0.weight": (width, num_inputs, 1, 1)}
                shapes |= _norm_shapes(f"{name}.downsample.1", width)
            num_inputs = width
    return shapes


def _norm_shapes(name: str, width: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.{part}": (width,) for part in ("weight", "bias", "running_mean", "running_var")}


def _read_architecture(path: Path) -> Any:
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
        normalization = config.get("pretrained_cfg", {})
        mean, stddev = normalization.get("mean", IMAGENET_MEAN), normalization.get("std", IMAGENET_STDDEV)
        mean, stddev = list(mean), list(stddev)
    except (OSError, ValueError, AttributeError, TypeError, RecursionError) as error:
        raise UserError(f"{path} is no timm config ({_first_line(error)}): {_HOW_TO_GET}") from error
    if mean != IMAGENET_MEAN or stddev != IMAGENET_STDDEV:
        raise UserError(
            f"{path}: its network was trained on images normalized by mean {mean} and deviation {stddev}; only "
            f"ImageNet's {IMAGENET_MEAN} and {IMAGENET_STDDEV} are supported"
        )
    if "registered_name" in config or "model_type" in config:
        return "a model that is not timm's"  # keras-hub would read these entries instead of the architecture
    return config.get("architecture")


def _first_misfit(path: Path) -> str:
    """Returns what is wrong with the first tensor that does not fit a resnet18, or "" if all tensors fit."""
    from safetensors import SafetensorError, safe_open

    expected = timm_shapes()
    try:
        with safe_open(path, framework="np") as file:
            names = list(file.keys())
            for name, shape in expected.items():
                if name not in names:
                    return f"the tensor {name!r}, {shape}, is missing"
                if (was := tuple(file.get_slice(name).get_shape())) != shape:
                    return f"the tensor {name!r} is {was} where {shape} is expected"
                if not np.isfinite(file.get_tensor(name)).all():
                    return f"the tensor {name!r} holds NaN or infinity"
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a dtype that NumPy does not have
        raise UserError(
            f"{path} is truncated, damaged, or no safetensors file ({_first_line(error)}): {_HOW_TO_GET}"
        ) from error
    unknown = [name for name in names if name not in expected and not name.startswith("fc.")]
    unknown = [name for name in unknown if not name.endswith(_IGNORED_SUFFIX)]
    return f"a resnet18 has no tensor {listing(map(repr, sorted(unknown)), most=1)}" if unknown else ""


def _num_stages_with_weights(path: Path) -> int:
    """Returns the number of stages, counted from the image, before the first convolution that holds zeros only."""
    from safetensors import safe_open

    with safe_open(path, framework="np") as file:
        for name, shape in timm_shapes().items():
            if len(shape) == 4 and not file.get_tensor(name).any():
                return int(name[len("layer")]) - 1 if name.startswith("layer") else 0
    return NUM_STAGES


def _draw_weights(backbone: keras.Model, seed: int) -> None:
    """Draws the weights of the convolutions as torchvision does: He's normal distribution with the fan-out.

    Batch normalization keeps Keras's initial weights, with which it is the identity. Source: He et al., "Delving Deep
    into Rectifiers" (ICCV 2015), section 2.2.
    """
    generator = np.random.default_rng(seed)
    for variable in backbone.variables:
        if variable.name == "kernel":
            height, width, _, num_filters = variable.shape
            stddev = math.sqrt(2 / (height * width * num_filters))
            variable.assign(generator.standard_normal(variable.shape, np.float32) * np.float32(stddev))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
