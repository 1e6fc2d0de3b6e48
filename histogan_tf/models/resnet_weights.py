"""Where ResNet-18's weights come from: Hugging Face, a folder with a timm checkpoint, or a seed; never a pickle."""

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
# Of ImageNet's training images in [0, 1], as torchvision and timm have them.
IMAGENET_MEAN, IMAGENET_STDDEV = [0.485, 0.456, 0.406], [0.229, 0.224, 0.225]
ARCHITECTURE = {
    "input_conv_filters": [64],
    "input_conv_kernel_sizes": [7],
    "stackwise_num_filters": [64, 128, 256, 512],
    "stackwise_num_blocks": [2, 2, 2, 2],
    "stackwise_num_strides": [1, 2, 2, 2],
    "block_type": "basic_block",
}

_CONFIG_FILE, _WEIGHTS_FILE = "config.json", "model.safetensors"
_IGNORED_SUFFIX = ".num_batches_tracked"  # torch counts its updates of the moving statistics
_HOW_TO_GET = (
    f"download {_CONFIG_FILE} and {_WEIGHTS_FILE} from https://huggingface.co/{IMAGENET_REPOSITORY} on a machine that "
    f"has a network, put both into one folder, and give it with --weights=FOLDER"
)


def load_backbone(weights: str, *, seed: int, size: int, precision: str = "float32") -> keras.Model:
    """keras-hub's ResNet-18: normalized RGB float (batch, size, size, 3) to (batch, ceil(size / 32), …, 512).

    Args:
        weights: `imagenet`, fetched by keras-hub from Hugging Face and kept in its cache; `random`, drawn by `seed`; or
            a folder with a timm checkpoint of a resnet18, config.json and model.safetensors.
        seed: of random weights.
        size: side of the input.
        precision: a Keras dtype policy.

    Raises:
        UserError: if there is no network or no such folder, or if its files are damaged or of another architecture.
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
        except Exception as error:  # the hub's client raises nearly everything, and keras-hub hides why
            raise UserError(f"--weights=imagenet: Hugging Face cannot be reached or read; {_HOW_TO_GET}") from error
    folder = Path(weights).expanduser()
    check_timm_folder(folder)
    return ResNetBackbone.from_preset(str(folder), **options)


def check_timm_folder(folder: Path) -> None:
    """Checks that a folder holds a whole timm checkpoint of a resnet18, before any of it is used.

    keras-hub takes a tensor of another layer where a name is missing, and would build whatever a config.json asks for.

    Raises:
        UserError: if not; it names the file, and the first tensor that does not fit.
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


def timm_shapes() -> dict[str, tuple[int, ...]]:
    """Shape of each tensor of a timm resnet18 but for its classifier, by name, in the order of the network."""
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
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"{path} is no timm config ({_first_line(error)}): {_HOW_TO_GET}") from error
    if list(mean) != IMAGENET_MEAN or list(stddev) != IMAGENET_STDDEV:
        raise UserError(
            f"{path}: its network was trained on images normalized by mean {mean} and deviation {stddev}; only "
            f"ImageNet's {IMAGENET_MEAN} and {IMAGENET_STDDEV} are supported"
        )
    if "registered_name" in config or "model_type" in config:
        return "a model that is not timm's"  # keras-hub would follow these before the architecture
    return config.get("architecture")


def _first_misfit(path: Path) -> str:
    """What is wrong with the first tensor that does not fit; "" if all do."""
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
    except (SafetensorError, OSError, TypeError) as error:  # TypeError: a number format that NumPy does not have
        raise UserError(
            f"{path} is truncated, damaged, or no safetensors file ({_first_line(error)}): {_HOW_TO_GET}"
        ) from error
    unknown = [name for name in names if name not in expected and not name.startswith("fc.")]
    unknown = [name for name in unknown if not name.endswith(_IGNORED_SUFFIX)]
    return f"a resnet18 has no tensor {listing(map(repr, sorted(unknown)), most=1)}" if unknown else ""


def _draw_weights(backbone: keras.Model, seed: int) -> None:
    """torchvision's initialization: He normal by fan-out in convolutions; normalization as Keras sets it, the identity.

    He et al., "Delving Deep into Rectifiers" (ICCV 2015), section 2.2.
    """
    generator = np.random.default_rng(seed)
    for variable in backbone.variables:
        if variable.name == "kernel":
            height, width, _, num_filters = variable.shape
            stddev = math.sqrt(2 / (height * width * num_filters))
            variable.assign(generator.standard_normal(variable.shape, np.float32) * np.float32(stddev))


def _first_line(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
