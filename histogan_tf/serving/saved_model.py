"""Writes a network as a SavedModel, which TF Serving or plain TensorFlow loads without this program."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from histogan_tf.reporting.text_tables import markdown_table
from histogan_tf.serving.signatures import Signature, signatures_of
from histogan_tf.serving.warmup import write_warmup_requests
from histogan_tf.trained.load import TrainedNetwork

_DIMENSIONS = {1: ("batch",), 2: ("batch", "z_dim"), 4: ("batch", "height", "width", "channels")}


def write_saved_model(trained: TrainedNetwork, folder: Path) -> str:
    """Writes the SavedModel and its warm-up requests.

    Args:
        trained: the network.
        folder: an existing folder.

    Returns:
        Markdown for the model card that describes the signatures.

    Raises:
        UserError: if tensorflow-serving-api, which knows the format of warm-up requests, is not installed.
    """
    signatures = signatures_of(trained)
    module = tf.Module()
    module.weights = [variable.value for variable in trained.network.variables]
    tf.saved_model.save(module, str(folder), {name: signature.function for name, signature in signatures.items()})
    _name_dimensions(folder)
    write_warmup_requests(folder, trained.name, signatures)
    return _interface(signatures)


def _name_dimensions(folder: Path) -> None:
    """Names the dimensions of inputs and outputs, so that clients can read them in the server's metadata."""
    path = folder / "saved_model.pb"
    saved_model = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for signature in saved_model.meta_graphs[0].signature_def.values():
        for tensor in (*signature.inputs.values(), *signature.outputs.values()):
            dimensions = tensor.tensor_shape.dim
            for dimension, name in zip(dimensions, _DIMENSIONS.get(len(dimensions), ()), strict=False):
                dimension.name = name
    path.write_bytes(saved_model.SerializeToString(deterministic=True))
    (folder / "fingerprint.pb").unlink()  # it belongs to the file as it was before; servers do not need it


def _interface(signatures: Mapping[str, Signature]) -> str:
    rows = [("signature", "inputs", "outputs", "what it does")]
    for name, signature in signatures.items():
        tensors = (signature.inputs, signature.function.structured_outputs)
        cells = [", ".join(map(_tensor, named.items())) for named in tensors]
        rows.append((f"`{name}`", *cells, signature.meaning))
    return markdown_table(rows)


def _tensor(named: tuple[str, tf.TensorSpec | tf.Tensor]) -> str:
    """Describes a tensor, such as "`images` float32 (batch, 50, 50, 3)"."""
    name, tensor = named
    names = _DIMENSIONS.get(len(tensor.shape), ())
    sides = [str(side or names[axis]) for axis, side in enumerate(tensor.shape)]
    return f"`{name}` {tensor.dtype.name} " + (f"({', '.join(sides)})" if sides else "scalar")
