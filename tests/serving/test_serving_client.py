"""examples/serving_client.py against servers that run the exported models and speak TF Serving's protocols."""

from __future__ import annotations

import base64
import http.server
import importlib.util
import json
import threading
from concurrent import futures
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from histogan_tf.machine.randomness import Purpose
from histogan_tf.training.sampling import Sampler

KINDS = {"count": tf.int32, "seed": tf.int64, "label": tf.int32}


@pytest.fixture(scope="module")
def client():
    path = Path(__file__).parents[2] / "examples" / "serving_client.py"
    spec = importlib.util.spec_from_file_location("serving_client", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def rest_server(saved_models):
    """Of REST, what https://www.tensorflow.org/tfx/serving/api_rest says of columns and of names that end in _bytes."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            name, _, verb = self.path.removeprefix("/v1/models/").partition(":")
            assert verb == "predict"
            signature = tf.saved_model.load(str(saved_models / name / "1")).signatures[request["signature_name"]]
            try:
                (files,) = signature(**{k: tf.constant(v, KINDS[k]) for k, v in request["inputs"].items()}).values()
                answer = {"outputs": [{"b64": base64.b64encode(file).decode()} for file in files.numpy()]}
                self.send_response(200)
            except tf.errors.InvalidArgumentError as error:
                answer = {"error": error.message}
                self.send_response(400)
            self.end_headers()
            self.wfile.write(json.dumps(answer).encode())

        def log_message(self, *arguments) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture(scope="module")
def grpc_server(saved_models):
    grpc = pytest.importorskip("grpc")
    apis = pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
    from tensorflow_serving.apis import predict_pb2

    class Service(apis.PredictionServiceServicer):
        def Predict(self, request, context):  # noqa: N802
            model = tf.saved_model.load(str(saved_models / request.model_spec.name / "1"))
            inputs = {name: tf.constant(tf.make_ndarray(value)) for name, value in request.inputs.items()}
            response = predict_pb2.PredictResponse()
            try:
                outputs = model.signatures[request.model_spec.signature_name](**inputs)
            except tf.errors.InvalidArgumentError as error:
                context.abort(grpc.StatusCode.INVALID_ARGUMENT, error.message)
            for name, value in outputs.items():
                response.outputs[name].CopyFrom(tf.make_tensor_proto(value.numpy()))
            return response

    server = grpc.server(futures.ThreadPoolExecutor(1))
    apis.add_PredictionServiceServicer_to_server(Service(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None)


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_the_client_writes_the_images_that_generate_would_write(client, request, networks, tmp_path, protocol):
    server = request.getfixturevalue(f"{protocol}_server")
    flags = [f"--protocol={protocol}", f"--server={server}", "--count=3", "--seed=11", f"--output_dir={tmp_path}"]
    client.main(["--model=conditional", "--label=1", *flags])
    trained = networks["conditional"]
    expected = Sampler(trained.network, trained.config, 2).numbered(0, 3, 11, Purpose.GENERATED_LATENTS, 1)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000.png", "001.png", "002.png"]
    got = np.stack([np.asarray(Image.open(path)) for path in sorted(tmp_path.iterdir())])[..., np.newaxis]
    assert np.abs(got.astype(int) - expected).max() <= 1


@pytest.mark.parametrize("protocol", ["rest", "grpc"])
def test_what_the_server_says_reaches_the_user(client, request, tmp_path, protocol):
    server = request.getfixturevalue(f"{protocol}_server")
    with pytest.raises(SystemExit, match=r"(?s)the server refused: .*count must be from 1 to 256"):
        client.main(["--model=plain", f"--protocol={protocol}", f"--server={server}", "--count=1000"])
