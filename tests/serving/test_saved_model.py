"""SavedModels in a process that has only TensorFlow, loaded as Python programs and as servers load them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from histogan_tf.data.pipeline import to_float, to_uint8
from histogan_tf.machine.randomness import Purpose
from histogan_tf.models.inputs import named_inputs
from histogan_tf.models.latents import draw_latents
from histogan_tf.trained.load import TrainedNetwork
from histogan_tf.training import cyclegan_step
from histogan_tf.training.sampling import Sampler

BATCHES = (1, 3, 16)

# Reads requests, <folder>/<model>/<signature>/<number>.npz; writes the answers beside them, of both ways to load.
_FRESH_PROCESS = """
import sys
sys.modules["histogan_tf"] = None
from pathlib import Path
import numpy as np
import tensorflow as tf

exports, requests = map(Path, sys.argv[1:])

def read(path):
    with np.load(path) as inputs:
        values = {name: inputs[name] for name in inputs}
    return {name: value.astype(object) if value.dtype.kind == "S" else value for name, value in values.items()}

def write(path, way, outputs):
    values = {name: np.asarray(value) for name, value in outputs.items()}
    values = {name: value.astype(bytes) if value.dtype == object else value for name, value in values.items()}
    np.savez(path.with_name(f"{path.stem}-{way}"), **values)

for folder in requests.iterdir():
    model, paths = str(exports / folder.name / "1"), sorted(folder.glob("*/*.npz"))
    loaded = tf.saved_model.load(model)
    for path in paths:
        inputs = {name: tf.constant(value) for name, value in read(path).items()}
        write(path, "load", loaded.signatures[path.parent.name](**inputs))
    with tf.compat.v1.Session(graph=tf.Graph()) as session:
        signatures = tf.compat.v1.saved_model.load(session, ["serve"], model).signature_def
        for path in paths:
            signature = signatures[path.parent.name]
            feed = {signature.inputs[name].name: value for name, value in read(path).items()}
            fetch = {name: tensor.name for name, tensor in signature.outputs.items()}
            write(path, "session", session.run(fetch, feed))
"""


def png_files(images: np.ndarray) -> np.ndarray:
    return np.array([tf.io.encode_png(image).numpy() for image in images], object)


def decoded(files: np.ndarray) -> np.ndarray:
    return np.stack([tf.io.decode_png(file).numpy() for file in files])


def pixels(shape: tuple[int, ...]) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, shape, np.uint8)


def requests_and_answers(trained: TrainedNetwork, batch: int) -> dict[str, tuple[dict, dict]]:
    """Inputs of each signature, and what the live network says to them; PNG files as pixels."""
    config, network = trained.config, trained.network
    if trained.kind == "generator":
        label = np.arange(batch, dtype=np.int32) % 2
        z = draw_latents(batch, config.z_dim, config.z_dist, (5, 6)).numpy()
        by_z = {"z": z, "label": label} if trained.num_classes else {"z": z}
        by_seed = {"count": np.int32(batch), "seed": np.int64(9)}
        by_seed |= {"label": np.int32(1)} if trained.num_classes else {}
        sampler = Sampler(network, config, trained.num_classes)
        drawn = sampler.numbered(0, batch, 9, Purpose.GENERATED_LATENTS, 1)
        images = network(named_inputs(network, z, label), training=False).numpy()
        return {
            "serving_default": (by_z, {"images": images}),
            "generate": (by_seed, {"images": drawn}),
            "png_bytes": (by_seed, {"png_bytes": drawn}),
        }
    given = pixels((batch, *trained.image_shape))
    if trained.kind == "translator":
        images = network(to_float(given), training=False).numpy()
        return {
            "serving_default": ({"images": to_float(given).numpy()}, {"images": images}),
            "image_bytes": (
                {"image_bytes": png_files(given)},
                {"png_bytes": to_uint8(images).numpy(), "status": np.full(batch, b"")},
            ),
        }
    probability = tf.sigmoid(network(given, training=False)[:, 0]).numpy()
    answer = {"probability": probability, "label": (probability >= 0.5).astype(np.int32)}
    return {
        "serving_default": ({"images": given}, answer),
        "image_bytes": ({"image_bytes": png_files(given)}, answer | {"status": np.full(batch, b"")}),
    }


@pytest.mark.slow
def test_a_process_without_this_program_gets_what_the_live_network_gives(saved_models, networks, tmp_path):
    expected = {}
    for name, trained in networks.items():
        for batch in BATCHES:
            for signature, (request, answer) in requests_and_answers(trained, batch).items():
                path = tmp_path / name / signature / f"{batch}.npz"
                path.parent.mkdir(parents=True, exist_ok=True)
                as_bytes = {k: v.astype(bytes) if np.asarray(v).dtype == object else v for k, v in request.items()}
                np.savez(path, **as_bytes)
                expected[path] = answer
    subprocess.run([sys.executable, "-I", "-c", _FRESH_PROCESS, saved_models, tmp_path], check=True, cwd=tmp_path)
    assert len(expected) == 3 * (3 + 3 + 2 + 2 + 2)
    for path, answer in expected.items():
        for way in ("load", "session"):
            with np.load(path.with_name(f"{path.stem}-{way}.npz")) as got:
                assert sorted(got.files) == sorted(answer)
                for name, value in answer.items():
                    compare(name, got[name], value, path)


def compare(name: str, got: np.ndarray, expected: np.ndarray, path: Path) -> None:
    if name == "status":
        assert got.tolist() == expected.tolist()
        return
    if name == "png_bytes":
        got = decoded(got.astype(object))
    elif name == "images" and expected.dtype == np.uint8:
        got = to_uint8(got).numpy()
    assert (got.shape, got.dtype) == (expected.shape, expected.dtype)
    if got.dtype == np.uint8:  # what lies between two levels may fall to either side
        assert np.abs(got.astype(int) - expected).max() <= 1, path
        assert np.mean(got != expected) < 0.001, path
    else:
        np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5, err_msg=str(path))
    if got.dtype != np.int32 and len(got) > 1:
        assert np.ptp(got.astype(float)) > 0.01, path  # so that equality says something


def test_dimensions_are_named_and_those_that_may_differ_are_dynamic(saved_models):
    def signature(model: str, name: str):
        path = saved_models / model / "1" / "saved_model.pb"
        return saved_model_pb2.SavedModel.FromString(path.read_bytes()).meta_graphs[0].signature_def[name]

    def shape(tensor) -> list[tuple[str, int]]:
        return [(dimension.name, dimension.size) for dimension in tensor.tensor_shape.dim]

    z_to_images = signature("conditional", "serving_default")
    assert shape(z_to_images.inputs["z"]) == [("batch", -1), ("z_dim", 5)]
    assert shape(z_to_images.inputs["label"]) == [("batch", -1)]
    assert shape(z_to_images.outputs["images"]) == [("batch", -1), ("height", 17), ("width", 16), ("channels", 1)]
    translate = signature("translator-A2B", "serving_default")
    assert shape(translate.inputs["images"])[:3] == [("batch", -1), ("height", -1), ("width", -1)]
    assert shape(signature("plain", "png_bytes").outputs["png_bytes"]) == [("batch", -1)]


@pytest.fixture(scope="module")
def served(saved_models):
    loaded = {}

    def call(model: str, signature: str, **inputs):
        if model not in loaded:
            loaded[model] = tf.saved_model.load(str(saved_models / model / "1"))
        named = {name: tf.constant(value, *kind) for name, (value, *kind) in inputs.items()}
        return loaded[model].signatures[signature](**named)

    return call


ZEROS = np.zeros((2, 5), np.float32)


@pytest.mark.parametrize(
    ("model", "signature", "inputs", "message"),
    [
        ("conditional", "serving_default", {"z": (ZEROS + 1.01,), "label": ([0, 1],)}, r"z must lie in \[-1, 1\]"),
        ("conditional", "serving_default", {"z": (ZEROS + np.nan,), "label": ([0, 1],)}, r"z must lie in \[-1, 1\]"),
        ("conditional", "serving_default", {"z": (ZEROS,), "label": ([0, 2],)}, "label must be from 0 to 1"),
        ("conditional", "serving_default", {"z": (ZEROS,), "label": ([0],)}, "one label for each z"),
        ("plain", "serving_default", {"z": (ZEROS + np.inf,)}, "z must be finite"),
        ("plain", "generate", {"count": (0,), "seed": (1, tf.int64)}, "count must be from 1 to 256"),
        ("plain", "png_bytes", {"count": (257,), "seed": (1, tf.int64)}, "count must be from 1 to 256"),
        ("plain", "png_bytes", {"count": (1,), "seed": (2**31, tf.int64)}, "seed must be from 0 to 2147483647"),
        ("translator-A2B", "serving_default", {"images": (np.full((1, 40, 40, 3), 200.0, np.float32),)}, "in .-1, 1."),
        ("translator-A2B", "serving_default", {"images": (np.zeros((1, 9, 40, 3), np.float32),)}, "at least 32"),
    ],
)
def test_what_cannot_be_used_is_refused_with_a_reason(served, model, signature, inputs, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        served(model, signature, **inputs)


def unusable_files(fitting: bytes, other_size: bytes) -> dict[str, bytes]:
    """Files that a server cannot use, by the reason."""
    claims = fitting[:16] + (60000).to_bytes(4, "big") + (50000).to_bytes(4, "big") + fitting[24:]
    return {
        "nothing": b"",
        "another kind": b"GIF89a" + b"0" * 40,
        "cut off": fitting[:900],
        "a JPEG without a picture": b"\xff\xd8\xff" + b"0" * 99,
        "too many pixels": claims,
        "another size": other_size,
    }


def test_a_bad_file_fails_neither_the_others_of_its_batch_nor_their_order(served):
    given = pixels((3, 40, 36, 3))
    good = png_files(given)
    bad = unusable_files(good[0], png_files(pixels((1, 36, 40, 3)))[0])
    files = [good[0], *bad.values(), good[1], b"", good[2]]
    got = {name: value.numpy() for name, value in served("classifier", "image_bytes", image_bytes=(files,)).items()}
    alone = {name: value.numpy() for name, value in served("classifier", "serving_default", images=(given,)).items()}
    places = [0, len(bad) + 1, len(bad) + 3]
    is_good = np.isin(np.arange(len(files)), places)
    np.testing.assert_allclose(got["probability"][places], alone["probability"], rtol=0, atol=1e-6)
    np.testing.assert_array_equal(got["label"][places], alone["label"])
    assert (got["probability"][~is_good] == -1).all() and (got["label"][~is_good] == -1).all()
    assert (got["status"][is_good] == b"").all()
    told = b"not used: send a whole PNG or JPEG file, of the size and magnification of the training images, of at most"
    assert all(status.startswith(told) for status in got["status"][~is_good])


def test_a_bad_file_fails_no_other_translation(served):
    good = png_files(pixels((1, 35, 40, 3)))[0]
    bad = unusable_files(good, png_files(pixels((1, 9, 40, 3)))[0])
    got = served("translator-A2B", "image_bytes", image_bytes=([*bad.values(), good],))
    (alone,) = served("translator-A2B", "image_bytes", image_bytes=([good],))["png_bytes"].numpy()
    assert got["png_bytes"].numpy().tolist() == [b""] * len(bad) + [alone]
    assert [bool(status) for status in got["status"].numpy()] == [True] * len(bad) + [False]


@pytest.mark.parametrize("shape", [(33, 47), (32, 32), (50, 50)])
def test_a_translator_takes_any_size(served, networks, shape):
    trained = networks["translator-B2A"]
    generator = cyclegan_step.cyclegan_generator(trained.config, "B2A", trained.image_shape, (*shape, 3))
    generator.set_weights(trained.network.get_weights())
    given = pixels((2, *shape, 3))
    expected = generator(to_float(given), training=False).numpy()
    got = served("translator-B2A", "serving_default", images=(to_float(given),))["images"].numpy()
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-5)


def test_files_of_several_sizes_go_in_one_request(served):
    files = [*png_files(pixels((1, 35, 40, 3))), tf.io.encode_jpeg(pixels((64, 33, 3))).numpy()]
    translations = served("translator-A2B", "image_bytes", image_bytes=(files,))["png_bytes"].numpy()
    assert [tf.io.decode_png(file).shape for file in translations] == [(35, 40, 3), (64, 33, 3)]
