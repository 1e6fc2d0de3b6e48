from __future__ import annotations

import pytest
import tensorflow as tf

prediction_log_pb2 = pytest.importorskip("tensorflow_serving.apis.prediction_log_pb2")


@pytest.mark.parametrize("model", ["plain", "conditional", "translator-A2B", "translator-B2A", "classifier"])
def test_there_is_a_request_for_each_signature_which_it_answers(saved_models, model):
    folder = saved_models / model / "1"
    records = tf.data.TFRecordDataset(str(folder / "assets.extra" / "tf_serving_warmup_requests"))
    logs = [prediction_log_pb2.PredictionLog.FromString(record) for record in records.as_numpy_iterator()]
    signatures = tf.saved_model.load(str(folder)).signatures
    assert sorted(log.predict_log.request.model_spec.signature_name for log in logs) == sorted(signatures)
    for log in logs:
        request = log.predict_log.request
        assert request.model_spec.name == model
        inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
        for output in signatures[request.model_spec.signature_name](**inputs).values():
            assert output.shape[0] == 1
