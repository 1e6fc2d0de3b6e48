"""Requests that TF Serving answers for itself before it takes a model into service, so that nobody waits for it.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.serving.signatures import Signature


def write_warmup_requests(folder: Path, model_name: str, signatures: Mapping[str, Signature]) -> None:
    """Writes one request for each signature, a PredictionLog record each, where the server looks for them.

    Args:
        folder: of the SavedModel.
        model_name: under which it is served.
        signatures: by name.

    Raises:
        UserError: if tensorflow-serving-api is not installed.
    """
    try:
        from tensorflow_serving.apis import prediction_log_pb2
    except ImportError as error:
        raise UserError(
            f"--format=saved_model needs the package tensorflow-serving-api ({error}): "
            f"pip install 'histogan_tf[export]'"
        ) from error
    path = folder / "assets.extra" / "tf_serving_warmup_requests"
    path.parent.mkdir()
    with tf.io.TFRecordWriter(str(path)) as writer:
        for name, signature in signatures.items():
            log = prediction_log_pb2.PredictionLog()
            request = log.predict_log.request
            request.model_spec.name = model_name
            request.model_spec.signature_name = name
            for input_name, value in signature.request.items():
                request.inputs[input_name].CopyFrom(tf.make_tensor_proto(value))
            writer.write(log.SerializeToString(deterministic=True))
