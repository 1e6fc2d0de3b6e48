import gzip
import struct

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histogan_tf.data.sources.mnist import load_mnist
from histogan_tf.errors import UserError
from histogan_tf.machine import memory

RNG = np.random.default_rng(0)
TRAIN_IMAGES, TEST_IMAGES = (RNG.integers(0, 256, (num_images, 28, 28), np.uint8) for num_images in (12, 5))
TRAIN_LABELS, TEST_LABELS = (RNG.integers(0, 10, num_images, np.uint8) for num_images in (12, 5))


def idx(array: np.ndarray) -> bytes:
    return bytes([0, 0, 8, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


@pytest.fixture
def files() -> dict[str, bytes]:
    return {
        "train-images-idx3-ubyte": idx(TRAIN_IMAGES),
        "train-labels-idx1-ubyte": idx(TRAIN_LABELS),
        "t10k-images-idx3-ubyte": idx(TEST_IMAGES),
        "t10k-labels-idx1-ubyte": idx(TEST_LABELS),
    }


def load(root, contents, prepare=lambda image: image):
    for name, content in contents.items():
        (root / name).write_bytes(content)
    return load_mnist(str(root), name="mnist", prepare=prepare)


def test_all_digits_in_the_order_of_the_original(tmp_path, files):
    image_set = load(tmp_path, files)
    # The original shuffles each of the joined arrays in place, from the same seed.
    images, labels = np.concatenate([TRAIN_IMAGES, TEST_IMAGES]), np.concatenate([TRAIN_LABELS, TEST_LABELS])
    unshuffled = images.copy()
    np.random.RandomState(547).shuffle(images)
    np.random.RandomState(547).shuffle(labels)
    np.testing.assert_array_equal(image_set.images, images[..., np.newaxis])
    np.testing.assert_array_equal(image_set.labels, labels)
    np.testing.assert_array_equal(unshuffled[image_set.ids.astype(int)], images)
    assert image_set.class_names == ("0", "1", "2", "3", "4", "5", "6", "7", "8", "9")
    assert image_set.groups is None and image_set.name == "mnist"


def test_gzipped(tmp_path, files):
    plain = load(tmp_path, files)
    (tmp_path / "gz").mkdir()
    gzipped = load(tmp_path / "gz", {name + ".gz": gzip.compress(content) for name, content in files.items()})
    assert gzipped.fingerprint() == plain.fingerprint()


def test_prepared(tmp_path, files):
    whole = load(tmp_path, files)
    cut = load(tmp_path, files, prepare=lambda image: image[4:24, 4:24])
    np.testing.assert_array_equal(cut.images, whole.images[:, 4:24, 4:24])


def test_missing_file(tmp_path, files):
    del files["t10k-labels-idx1-ubyte"]
    with pytest.raises(UserError, match="no t10k-labels-idx1-ubyte or t10k-labels-idx1-ubyte.gz in"):
        load(tmp_path, files)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("train-images-idx3-ubyte", idx(TRAIN_IMAGES)[:-1], "holds 9407 bytes, not the 9408 of 12 x 28 x 28"),
        ("train-images-idx3-ubyte", idx(TRAIN_LABELS), "no idx file of bytes in 3 dimensions"),
        ("train-images-idx3-ubyte", b"", "no idx file"),
        ("train-labels-idx1-ubyte", idx(TRAIN_LABELS[:-1]), r"12 \+ 5 images .*, but 11 \+ 5 labels"),
        ("train-labels-idx1-ubyte", idx(TRAIN_LABELS + np.uint8(10)), "digits are 0 to 9"),
        ("t10k-images-idx3-ubyte", idx(TEST_IMAGES[:, :27]), r"\(12, 28, 28\) \(train\) and \(5, 27, 28\)"),
    ],
)
def test_damaged_file(tmp_path, files, name, content, message):
    with pytest.raises(UserError, match=message):
        load(tmp_path, {**files, name: content})


@pytest.mark.parametrize("size", [(0, 28, 28), (0, 0, 0)])
def test_no_digit(tmp_path, files, size):
    files["train-images-idx3-ubyte"] = idx(np.zeros(size, np.uint8))
    files["train-labels-idx1-ubyte"] = idx(TRAIN_LABELS[:0])
    with pytest.raises(UserError, match="have shapes"):
        load(tmp_path, files)


def test_a_small_file_of_many_zeros_is_refused_before_it_is_unpacked(tmp_path, files, monkeypatch):
    monkeypatch.setattr(memory.DECODING, "num_bytes", 50_000_000)
    del files["train-images-idx3-ubyte"]
    files["train-images-idx3-ubyte.gz"] = gzip.compress(
        struct.pack(">4BIII", 0, 0, 8, 3, 100_000, 1000, 1) + bytes(100_000_000), 1
    )
    with pytest.raises(UserError, match="train-images-idx3-ubyte in .* is too large: it takes about 0.1 GB"):
        load(tmp_path, files)


def test_bytes_beyond_the_size_in_the_header_are_not_unpacked(tmp_path, files):
    files["train-images-idx3-ubyte.gz"] = gzip.compress(files.pop("train-images-idx3-ubyte") + bytes(1000))
    with pytest.raises(UserError, match="is damaged: after its header it holds more, not the"):
        load(tmp_path, files)


@pytest.mark.fuzz
@given(data=st.data(), is_gzipped=st.booleans())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_bytes_load_or_are_the_users_error(tmp_path_factory, files, data, is_gzipped):
    names = list(files)
    contents = {name: bytearray(gzip.compress(files[name], mtime=0) if is_gzipped else files[name]) for name in names}
    content = contents[data.draw(st.sampled_from(names))]
    positions = st.one_of(st.integers(0, 20), st.integers(0, len(content) - 1))
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        content[min(position, len(content) - 1)] = value
    if data.draw(st.booleans()):
        del content[data.draw(positions) :]
    suffix = ".gz" if is_gzipped else ""
    try:
        image_set = load(tmp_path_factory.mktemp("mutated"), {name + suffix: contents[name] for name in names})
    except UserError:
        return
    assert image_set.images.shape == (17, 28, 28, 1) and image_set.labels.max() <= 9
