"""Writes warm-up requests, which TF Serving answers when it loads a model, so that the first client need not wait.

https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import tensorflow as tf

from histogan_tf.errors import UserError
from histogan_tf.serving.signatures import Signature


def write_warmup_requests(folder: Path, model_name: str, signatures: Mapping[str, Signature]) -> None:
    """Writes one request for each signature, as a PredictionLog record, to the file that the server reads.

    Args:
        folder: the folder of the SavedModel.
        model_name: the name under which the model is served.
        signatures: the signatures of the model, by name.

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
