"""examples/serving_client.py against servers that run the exported models and speak TF Serving's protocols."""

from __future__ import annotations

import base64
import http.server
import importlib.util
import io
import json
import struct
import threading
import zlib
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
    """A server that keeps two rules of https://www.tensorflow.org/tfx/serving/api_rest.

    They are those of columns, and of names that end in _bytes.
    """

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
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
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


def png_file(size: tuple[int, int] = (4, 3)) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", size, (200, 30, 90)).save(buffer, "PNG")
    return buffer.getvalue()


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


@pytest.fixture
def ask(client, tmp_path):
    """Asks a server that answers with a status and a body for two images; returns the client's last words."""
    served = {}

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:  # noqa: N802
            self.send_response(served["status"])
            self.end_headers()
            self.wfile.write(served["body"])

        def log_message(self, *arguments) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()

    def ask(body: bytes | list[bytes], status: int = 200) -> str:
        if isinstance(body, list):
            body = json.dumps({"outputs": [{"b64": base64.b64encode(file).decode()} for file in body]}).encode()
        served.update(status=status, body=body)
        flags = ["--model=a/b c", "--count=2", f"--output_dir={tmp_path / 'out'}"]
        with pytest.raises(SystemExit) as stop:
            client.main([*flags, f"--server=127.0.0.1:{server.server_port}"])
        assert isinstance(stop.value.code, str) and stop.value.code.isprintable() and len(stop.value.code) <= 500
        return stop.value.code

    yield ask
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("body", "told"),
    [
        ([png_file()], "images asked for: 2, sent by the server: 1; "),
        ([png_file()] * 3, "images asked for: 2, sent by the server: 3; "),
        ([png_file(), b"MZ\x90 a program"], "image 1 of the server is no PNG file (it does not begin"),
        ([png_file(), b""], "does not begin as a PNG"),
        ([png_file(), png_file() + b"<script>"], "something follows its end"),
        ([png_file(), png_file()[:-4]], "it ends too early"),
        ([png_file(), png_file()[:8]], "no picture or no end"),
        ([png_file(), png_file()[:-1] + b"x"], "a checksum is wrong"),
        ([png_file()[:8] + chunk(b"IHDR", struct.pack(">II5x", 60000, 60000))] * 2, "its size is not from 1"),
        ([png_file()[:8] + chunk(b"IDAT", b"x")] * 2, "its size is not from 1"),
        ([png_file()[:33] + chunk(b"IEND", b"")] * 2, "no picture or no end"),
        (b"", "is not that of TF Serving"),
        (b"[" * 100_000, "is not that of TF Serving"),
        (b"\xff\xfe{", "is not that of TF Serving"),
        (b'{"outputs": 3}', "is not that of TF Serving"),
        (b'{"outputs": [{"b64": "$$$"}, 1]}', "is not that of TF Serving"),
        (b'{"outputs": {"b64": "aaaa"}}', "is not that of TF Serving"),
        (b"null", "is not that of TF Serving"),
    ],
)
def test_a_server_that_lies_gets_nothing_written(ask, tmp_path, body, told):
    assert told in ask(body)
    assert not (tmp_path / "out").exists()


def test_an_answer_without_end_is_not_read_to_its_end(ask, client, monkeypatch):
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    assert "more than 1000 bytes" in ask(b" " * 5000)


def test_a_refusal_is_one_line_without_control_characters(ask):
    assert ask(b'{"error": "a\n\x1b[2Jb"}', 400) == 'the server refused: {"error": "a ?[2Jb"}'


def test_files_that_are_there_stay(ask, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "001.png").write_bytes(b"mine")
    assert "001.png exists" in ask([png_file()] * 2)
    assert [path.read_bytes() for path in (tmp_path / "out").iterdir()] == [b"mine"]


@pytest.mark.parametrize("flags", [["--server=127.0.0.1:9"], ["--server=127.0.0.1:99999"], ["--server=a b:\n"]])
def test_a_server_that_is_down_is_one_line(client, flags, tmp_path):
    with pytest.raises(SystemExit) as stop:
        client.main(["--model=m", *flags, f"--output_dir={tmp_path / 'out'}"])
    assert stop.value.code.startswith("no answer from ") and stop.value.code.isprintable()
    assert not (tmp_path / "out").exists()


def test_a_grpc_server_that_is_down_is_one_line(client, tmp_path):
    pytest.importorskip("grpc")
    with pytest.raises(SystemExit) as stop:
        client.main(["--model=m", "--protocol=grpc", "--server=127.0.0.1:9", f"--output_dir={tmp_path / 'out'}"])
    assert stop.value.code.startswith("no answer: ") and stop.value.code.isprintable()
