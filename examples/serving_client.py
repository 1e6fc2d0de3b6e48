"""Asks a TF Serving server for synthetic images and writes them as PNG files.

    python examples/serving_client.py --model=dcgan1-idc --count=8 --seed=7 --output_dir=from_server
    python examples/serving_client.py --model=dcgan1-idc --protocol=grpc --server=localhost:8500

REST needs only Python; gRPC needs the package tensorflow-serving-api. The package histogan_tf is not needed.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import json
import struct
import urllib.error
import urllib.parse
import urllib.request
import zlib
from pathlib import Path

SECONDS = 60.0
MOST_BYTES = 2**28  # of an answer, of which more is not read
MOST_PIXELS = 2**24  # of an image
PNG_START = b"\x89PNG\r\n\x1a\n"


def images_by_rest(server: str, model: str, inputs: dict[str, int]) -> list[bytes]:
    """Returns what http://SERVER/v1/models/MODEL says are PNG files; `inputs` are those of the signature png_bytes."""
    try:
        request = urllib.request.Request(
            f"http://{server}/v1/models/{urllib.parse.quote(model, safe='')}:predict",
            json.dumps({"signature_name": "png_bytes", "inputs": inputs}).encode(),
            {"Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=SECONDS) as response:
            answer = response.read(MOST_BYTES + 1)
    except urllib.error.HTTPError as error:
        raise failure(f"the server refused: {error.read(2000).decode(errors='replace')}") from error
    except (OSError, http.client.HTTPException, ValueError) as error:  # of a URL that is none, a ValueError
        raise failure(f"no answer from {server}: {getattr(error, 'reason', error) or type(error).__name__}") from error
    if len(answer) > MOST_BYTES:
        raise failure(f"the answer of {server} has more than {MOST_BYTES} bytes")
    try:
        return [base64.b64decode(output["b64"], validate=True) for output in json.loads(answer)["outputs"]]
    except (ValueError, LookupError, TypeError, RecursionError) as error:
        raise failure(f"the answer of {server} is not that of TF Serving ({type(error).__name__}: {error})") from error


def images_by_grpc(server: str, model: str, inputs: dict[str, int]) -> list[bytes]:
    """Returns what the PredictionService at SERVER says are PNG files; `inputs` are those of `images_by_rest`."""
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
            said = "no answer" if error.code() is grpc.StatusCode.UNAVAILABLE else "the server refused"
            raise failure(f"{said}: {error.details()}") from error
    return list(response.outputs["png_bytes"].string_val)


def failure(message: str) -> SystemExit:
    """Returns the exception that ends the program with one line, whatever a server has put into the message."""
    line = " ".join(message.split())[:500]
    return SystemExit("".join(letter if letter.isprintable() else "?" for letter in line))


def why_no_png(file: bytes) -> str:
    """Returns why the bytes are not one whole PNG file and nothing else; "" if they are."""
    if not file.startswith(PNG_START):
        return "it does not begin as a PNG file does"
    place, kinds = len(PNG_START), []
    while place < len(file) and kinds[-1:] != [b"IEND"]:
        if len(file) < place + 12:
            return "it ends too early"
        length, kind = struct.unpack_from(">I4s", file, place)
        end = place + 8 + length
        if len(file) < end + 4:
            return "it ends too early"
        if struct.unpack_from(">I", file, end)[0] != zlib.crc32(file[place + 4 : end]):
            return "a checksum is wrong"
        if not kinds:
            width, height = struct.unpack_from(">II", file, place + 8) if (kind, length) == (b"IHDR", 13) else (0, 0)
            if not 0 < width * height <= MOST_PIXELS:
                return f"its size is not from 1 to {MOST_PIXELS} pixels"
        kinds.append(kind)
        place = end + 4
    if kinds[-1:] != [b"IEND"] or b"IDAT" not in kinds:
        return "it has no picture or no end"
    return "" if place == len(file) else "something follows its end"


def write(images: list[bytes], count: int, folder: Path) -> None:
    """Writes all images as 000.png, 001.png, … or, if one cannot be written or is no PNG file, none of them."""
    if len(images) != count:
        raise failure(f"images asked for: {count}, sent by the server: {len(images)}; nothing was written")
    for number, image in enumerate(images):
        if reason := why_no_png(image):
            raise failure(f"image {number} of the server is no PNG file ({reason}); nothing was written")
    paths = [folder / f"{number:03d}.png" for number in range(count)]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            if path.exists() or path.is_symlink():
                raise failure(f"{path} exists: choose another --output_dir; nothing was written")
        for path, image in zip(paths, images, strict=True):
            with path.open("xb") as file:
                file.write(image)
    except OSError as error:
        raise failure(f"cannot write to {folder}: {error.strerror}") from error


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
    write(images, options.count, options.output_dir)
    print(f"wrote {len(images)} images to {options.output_dir}")


if __name__ == "__main__":
    main()
