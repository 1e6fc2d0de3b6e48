"""Converts a network to ONNX and checks that it computes what the Keras network computes."""

from __future__ import annotations

import tempfile
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import keras
import numpy as np
from keras import layers

from histogan_tf.classifier.results import THRESHOLD
from histogan_tf.config.families import CLASSIFIER, TRANSLATOR
from histogan_tf.data.pipeline import to_uint8
from histogan_tf.data.sources.phantom import MIN_PHANTOM_SIZE, make_phantom
from histogan_tf.errors import UserError, escaped
from histogan_tf.models.latents import draw_latents
from histogan_tf.reporting.text_tables import markdown_table
from histogan_tf.serving.signatures import Z_RANGES
from histogan_tf.trained.load import TrainedNetwork

if TYPE_CHECKING:
    import onnx

_TOLERANCE = 1e-4  # runtimes add in different orders, which changes outputs in [-1, 1] by about 1e-6
_HALF_ELEMENTS = 2**16
_CHECKED_IMAGES, _CHECKED_PATCHES = 3, 32


def write_onnx(trained: TrainedNetwork, folder: Path) -> str:
    """Writes model.onnx, in float32.

    Args:
        trained: the network.
        folder: an existing folder.

    Returns:
        Markdown for the model card that describes inputs and outputs.

    Raises:
        UserError: if the packages of the extra `export` are not installed, or the converted model differs too much.
    """
    network = outside_network(trained)
    model = to_onnx(network)
    difference = largest_difference(model, network, example_inputs(trained))
    if not difference <= _TOLERANCE:
        raise UserError(
            f"{trained.name} as ONNX differs by {difference:.2g} from the Keras network (at most {_TOLERANCE:g} is "
            f"allowed), so it was not written: try other versions of tf2onnx and onnxruntime"
        )
    (folder / "model.onnx").write_bytes(model.SerializeToString())
    return interface(model, trained)


def outside_network(trained: TrainedNetwork) -> keras.Model:
    """Returns the network with one output: `images`, or `probability` (not the logit) if it is a classifier."""
    if trained.kind == "classifier":
        logits = _classifier_by_matrices(trained.network)
        if len(trained.class_names) > 2:
            probability = layers.Softmax(name="probability")(logits.output)
        else:
            probability = layers.Reshape((), name="probability")(keras.ops.sigmoid(logits.output))
        return keras.Model(logits.input, probability, name="probability")
    return keras.Model(trained.network.input, trained.network.output, name="images")


def _classifier_by_matrices(network: keras.Model) -> keras.Model:
    """Returns an equal classifier that resizes by two matrix products, because ONNX cannot resize as TensorFlow does.

    Resizing is linear, so each of the two matrices is the resized unit matrix.
    """
    features = network.get_layer("features")
    preprocessing = features.get_layer("preprocessing")
    image = keras.Input(network.input_shape[1:], dtype="uint8", name="image")
    preparation, size = preprocessing.preparation, preprocessing.resized
    height, width = network.input_shape[1:3]
    centre = slice(preprocessing.margin, preprocessing.margin + preprocessing.size)
    shrinks, interpolation = max(height, width) > size, preparation.interpolation
    rows, columns = (_resizing_matrix(side, size, interpolation, shrinks=shrinks)[centre] for side in (height, width))
    x = keras.ops.cast(image, "float32") / 255.0
    x = keras.ops.transpose(x, (0, 3, 1, 2))
    x = keras.ops.matmul(keras.ops.matmul(rows, x), columns.T)
    x = keras.ops.transpose(x, (0, 2, 3, 1))
    x = (x - np.float32(preparation.mean)) / np.float32(
        preparation.stddev
    )  # broadcasting makes three channels of a grey one
    after = keras.Model(preprocessing.output, features.output)
    return keras.Model(image, network.get_layer("head")(after(x)))


def _resizing_matrix(side: int, size: int, interpolation: str, *, shrinks: bool) -> np.ndarray:
    """Returns the matrix, float32 (size, side), that resizes a row of `side` pixels to `size` pixels."""
    unit = np.eye(side, dtype=np.float32)[..., np.newaxis]
    return keras.ops.convert_to_numpy(keras.ops.image.resize(unit, (size, side), interpolation, antialias=shrinks))[
        ..., 0
    ]


def to_onnx(network: keras.Model) -> onnx.ModelProto:
    """Converts a network; the output gets the network's name, and the first dimension of all tensors is `batch`.

    Raises:
        UserError: if the packages of the extra `export` are not installed.
    """
    try:
        import onnx
        import onnxruntime  # noqa: F401
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise UserError(
            f"ONNX needs the packages onnx, onnxruntime and tf2onnx ({error}): pip install 'histogan_tf[export]'"
        ) from error
    # Keras can export only networks that have been called.
    network(keras.tree.map_structure(lambda tensor: np.zeros((1, *tensor.shape[1:]), tensor.dtype), network.input))
    with tempfile.TemporaryDirectory() as folder, warnings.catch_warnings():
        warnings.filterwarnings("ignore", "In the future `np.object`", FutureWarning)  # Keras looks it up in NumPy
        path = Path(folder) / "model.onnx"
        network.export(path, format="onnx", verbose=False)
        model = onnx.load(path)
    old_name = model.graph.output[0].name
    for node in model.graph.node:
        node.output[:] = [network.name if name == old_name else name for name in node.output]
        if node.op_type == "Tile":  # repeats a label over all pixels; so does Expand, which OpenVINO gets right
            node.op_type = "Expand"
    model.graph.output[0].name = network.name
    for value in (*model.graph.input, *model.graph.output):
        value.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.checker.check_model(model)
    return model


def in_half_precision(model: onnx.ModelProto) -> onnx.ModelProto:
    """Returns a copy whose large weights are stored in float16, at half the size; it still computes in float32."""
    import onnx

    halved = onnx.ModelProto.FromString(model.SerializeToString())
    casts = []
    for initializer in halved.graph.initializer:
        is_large = initializer.data_type == onnx.TensorProto.FLOAT and np.prod(initializer.dims) >= _HALF_ELEMENTS
        if is_large:
            name, weights = initializer.name, onnx.numpy_helper.to_array(initializer)
            stored = f"{name}:float16"
            initializer.CopyFrom(onnx.numpy_helper.from_array(weights.astype(np.float16), stored))
            casts.append(onnx.helper.make_node("Cast", [stored], [name], f"{name}:cast", to=onnx.TensorProto.FLOAT))
    nodes = [*casts, *halved.graph.node]
    del halved.graph.node[:]
    halved.graph.node.extend(nodes)
    onnx.checker.check_model(halved)
    return halved


def example_inputs(trained: TrainedNetwork) -> dict[str, np.ndarray]:
    """Returns inputs, by name, to check a converted network with; they are drawn from a fixed seed."""
    if trained.kind == "generator":
        z = draw_latents(_CHECKED_IMAGES, trained.config.z_dim, trained.config.z_dist, (0, 0)).numpy()
        labels = np.arange(_CHECKED_IMAGES, dtype=np.int32) % max(1, trained.num_classes)
        return {"z": z, "label": labels} if trained.num_classes else {"z": z}
    shape = (_CHECKED_IMAGES, *trained.image_shape)
    pixels = np.random.default_rng(0).integers(0, 256, shape, np.uint8)
    return {"image": pixels if trained.kind == "classifier" else pixels.astype(np.float32) / 127.5 - 1.0}


def built_in_patches(image_shape: tuple[int, int, int]) -> np.ndarray:
    """Returns built-in patches of both classes, uint8 (32, height, width, channels), to check a classifier with.

    Args:
        image_shape: their (height, width, channels), cut out of square ones; grey ones are means over the channels.
    """
    height, width, channels = image_shape
    patches = make_phantom(_CHECKED_PATCHES, max(height, width, MIN_PHANTOM_SIZE)).images[:, :height, :width]
    if channels == 3:
        return patches
    return patches.mean(axis=-1, keepdims=True).round().astype(np.uint8)


def largest_difference(model: onnx.ModelProto, network: keras.Model, inputs: Mapping[str, np.ndarray]) -> float:
    """Returns the largest absolute difference between the outputs of onnxruntime and Keras."""
    return float(np.abs(_run(model, inputs) - _call(network, inputs)).max())


def largest_level_difference(model: onnx.ModelProto, network: keras.Model, inputs: Mapping[str, np.ndarray]) -> int:
    """Returns the largest difference between the outputs of onnxruntime and Keras as 8-bit images, in levels."""
    ours, theirs = to_uint8(_run(model, inputs)).numpy(), to_uint8(_call(network, inputs)).numpy()
    return int(np.abs(ours.astype(int) - theirs).max())


def _run(model: onnx.ModelProto, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    import onnxruntime

    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    return session.run(None, dict(inputs))[0]


def _call(network: keras.Model, inputs: Mapping[str, np.ndarray]) -> np.ndarray:
    given = dict(inputs) if isinstance(network.input, dict) else next(iter(inputs.values()))
    return network(given, training=False).numpy()


def interface(model: onnx.ModelProto, trained: TrainedNetwork) -> str:
    """Describes in Markdown the inputs and outputs of a converted network: a table of them, and what they mean."""
    import onnx

    rows = [("tensor", "type", "shape")]
    for role, values in (("input", model.graph.input), ("output", model.graph.output)):
        for value in values:
            tensor = value.type.tensor_type
            sides = ", ".join(side.dim_param or str(side.dim_value) for side in tensor.shape.dim)
            kind = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type).name
            rows.append((f"{role} `{value.name}`", kind, f"({sides})"))
    return f"{markdown_table(rows)}\n\n{_meaning(trained)}"


def translated_classes(trained: TrainedNetwork) -> tuple[str, str]:
    """Returns the names of the class from which and of that to which a network of a CycleGAN translates."""
    first, second = (trained.class_names[domain["label"]] for domain in trained.dataset["domains"])
    return (first, second) if trained.name.endswith("A2B") else (second, first)


def _meaning(trained: TrainedNetwork) -> str:
    """Says what to put into the tensors of a converted network, and what comes out of them."""
    names = [escaped(name) for name in trained.class_names]
    channels = "RGB" if trained.image_shape[-1] == 3 else "grey"
    to_levels = "level = round((x + 1) * 127.5), from 0 to 255"
    if trained.kind == CLASSIFIER:
        outputs = f"is that of {names[1]}, the positive class: label 1 where it is {THRESHOLD} or more"
        if len(names) > 2:
            outputs = f"has a column for each class: {', '.join(names)}"
        return (
            f"`image` holds levels from 0 to 255, {channels}, of images of the size and magnification of the training "
            f"images. `probability` {outputs}."
        )
    if trained.kind == TRANSLATOR:
        source, target = map(escaped, translated_classes(trained))
        return (
            f"`image` holds images of {source}, {channels}, in [-1, 1]: x = level / 127.5 - 1. `images` are their "
            f"translations to {target}, in [-1, 1]: {to_levels}."
        )
    distribution = "drawn from N(0, 1)"
    if trained.config.z_dist != "normal01":
        distribution = f"drawn uniformly from {Z_RANGES[trained.config.z_dist]}"
    numbers = ", ".join(f"{label} = {name}" for label, name in enumerate(names))
    parts = [f"Each number of `z` is {distribution}, as in training."]
    if trained.num_classes:
        parts.append(f"`label` is the number of each image's class: {numbers}.")
    return " ".join([*parts, f"`images` are {channels}, in [-1, 1]: {to_levels}."])
