"""Asks a TF Serving server for synthetic images and writes them as PNG files.

    python examples/serving_client.py --model=dcgan1-idc --count=8 --seed=7 --output_dir=from_server
    python examples/serving_client.py --model=dcgan1-idc --protocol=grpc --server=localhost:8500

REST needs only Python; gRPC needs the package tensorflow-serving-api. The package histogan_tf is not needed.
"""

from __future__ import annotations

import argparse
import base64
import json
import urllib.error
import urllib.request
from pathlib import Path

SECONDS = 60.0


def images_by_rest(server: str, model: str, inputs: dict[str, int]) -> list[bytes]:
    """Returns PNG files from http://SERVER/v1/models/MODEL; `inputs` are the inputs of the signature png_bytes."""
    request = urllib.request.Request(
        f"http://{server}/v1/models/{model}:predict",
        json.dumps({"signature_name": "png_bytes", "inputs": inputs}).encode(),
        {"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            outputs = json.load(response)["outputs"]
    except urllib.error.HTTPError as error:
        raise SystemExit(f"the server refused: {error.read().decode(errors='replace')}") from error
    return [base64.b64decode(output["b64"]) for output in outputs]


def images_by_grpc(server: str, model: str, inputs: dict[str, int]) -> list[bytes]:
    """Returns PNG files from the PredictionService at SERVER; `inputs` are the inputs of the signature png_bytes."""
    import grpc
    import numpy as np
    import tensorflow as tf
    from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

    request = predict_pb2.PredictRequest()
    request.model_spec.name = model
    request.model_spec.signature_name = "png_bytes"
    for name, value in inputs.items():
        number = np.int64(value) if name == "seed" else np.int32(value)
        request.inputs[name].CopyFrom(tf.make_tensor_proto(number))
    with grpc.insecure_channel(server) as channel:
        service = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        try:
            response = service.Predict(request, timeout=SECONDS)
        except grpc.RpcError as error:
            raise SystemExit(f"the server refused: {error.details()}") from error
    return list(response.outputs["png_bytes"].string_val)


def main(arguments: list[str] | None = None) -> None:
    """Reads the command line, asks the server for images, and writes them."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True, help="name of the model on the server")
    parser.add_argument("--protocol", choices=("rest", "grpc"), default="rest", help="protocol to use; default: rest")
    parser.add_argument("--server", help="host and port; default: localhost:8501 for REST, localhost:8500 for gRPC")
    parser.add_argument("--count", type=int, default=8, help="number of images, at most 256; default: 8")
    parser.add_argument("--seed", type=int, default=42, help="the same seed gives the same images; default: 42")
    parser.add_argument("--label", type=int, help="label of the images, for a conditional model only")
    parser.add_argument(
        "--output_dir", type=Path, default=Path("from_server"), help="folder to write to; default: from_server"
    )
    options = parser.parse_args(arguments)

    inputs = {"count": options.count, "seed": options.seed}
    if options.label is not None:
        inputs["label"] = options.label
    ask, default_server = {
        "rest": (images_by_rest, "localhost:8501"),
        "grpc": (images_by_grpc, "localhost:8500"),
    }[options.protocol]
    images = ask(options.server or default_server, options.model, inputs)
    options.output_dir.mkdir(parents=True, exist_ok=True)
    for number, image in enumerate(images):
        (options.output_dir / f"{number:03d}.png").write_bytes(image)
    print(f"wrote {len(images)} images to {options.output_dir}")


if __name__ == "__main__":
    main()
