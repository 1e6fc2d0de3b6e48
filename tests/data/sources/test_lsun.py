import hashlib
import io
import os
import random
import subprocess
import sys
import textwrap

import lmdb
import numpy as np
import pytest
from PIL import Image

from histogan_tf.data.sources import lsun
from histogan_tf.data.sources.lmdb_keys import list_keys
from histogan_tf.data.sources.lsun import load_lsun
from histogan_tf.errors import UserError

NUM_IMAGES = 30


def encoded(level: int, size: tuple[int, int] = (20, 24), file_format: str = "WEBP") -> bytes:
    file = io.BytesIO()
    Image.fromarray(np.full((*size, 3), level, np.uint8)).save(file, file_format, lossless=True)
    return file.getvalue()


def write_lmdb(folder, values: dict[bytes, bytes]) -> str:
    folder.mkdir(parents=True, exist_ok=True)
    with lmdb.open(str(folder), map_size=1 << 24) as environment, environment.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key, value)
    return str(folder)


@pytest.fixture
def contents() -> dict[bytes, bytes]:
    """As fyu/lsun has them: keys are the SHA-1 of an address, values WebP files."""
    return {hashlib.sha1(bytes([level])).hexdigest().encode(): encoded(level) for level in range(NUM_IMAGES)}


def load(root, prepare=lambda image: image):
    return load_lsun(str(root), name="lsun", prepare=prepare)


def test_images_in_the_order_of_their_keys(tmp_path, contents):
    image_set = load(write_lmdb(tmp_path / "bedroom_train_lmdb", contents))
    keys = sorted(contents)
    assert image_set.ids.tolist() == [key.decode() for key in keys]
    assert image_set.is_lazy and image_set.labels is None and image_set.groups is None
    assert image_set.image_shape == (20, 24, 3)
    expected = [list(contents).index(key) for key in keys]
    np.testing.assert_array_equal(image_set.images[:], np.array(expected)[:, None, None, None] * np.ones((20, 24, 3)))


def test_jpeg_values(tmp_path):
    folder = write_lmdb(tmp_path / "church_outdoor_train_lmdb", {b"a": encoded(200, file_format="JPEG")})
    np.testing.assert_allclose(load(folder).images[0], 200, atol=2)


def test_the_only_database_of_a_folder(tmp_path, contents):
    write_lmdb(tmp_path / "bedroom_val_lmdb", contents)
    (tmp_path / "notes").mkdir()
    assert len(load(tmp_path)) == NUM_IMAGES
    write_lmdb(tmp_path / "bedroom_train_lmdb", contents)
    with pytest.raises(
        UserError, match=r"holds 2 LMDBs \(bedroom_train_lmdb, bedroom_val_lmdb\): choose one, such as --d"
    ):
        load(tmp_path)


def test_can_be_loaded_twice_at_once(tmp_path, contents):
    folder = write_lmdb(tmp_path / "a b é_lmdb", contents)
    first, second = load(folder), load(folder)
    np.testing.assert_array_equal(first.images[:3], second.images[:3])


def test_database_that_another_process_writes(tmp_path, contents):
    folder = write_lmdb(tmp_path / "bedroom_train_lmdb", contents)
    program = (
        "import lmdb, sys; e = lmdb.open(sys.argv[1]); t = e.begin(write=True); print('held', flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program, folder], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as writer:
        assert writer.stdout.readline() == "held\n"
        assert len(load(folder)) == NUM_IMAGES
        writer.communicate("\n")


def test_database_that_this_process_writes(tmp_path, contents):
    folder = write_lmdb(tmp_path / "bedroom_train_lmdb", contents)
    with lmdb.open(folder), pytest.raises(UserError, match="cannot open the LMDB in .*already open"):
        load(folder)


def test_undecodable_values_are_skipped(tmp_path, contents, caplog):
    contents[b"zz"] = b"junk"
    contents[b"zzz"] = b""
    image_set = load(write_lmdb(tmp_path / "set_lmdb", contents)).in_memory()
    assert len(image_set) == NUM_IMAGES and image_set.num_skipped == 2
    assert "skipped 'zz': not a PNG" in caplog.text and "skipped 'zzz'" in caplog.text


def test_empty(tmp_path):
    with pytest.raises(UserError, match="is empty"):
        load(write_lmdb(tmp_path / "set_lmdb", {}))


def test_keys_that_are_no_text(tmp_path):
    with pytest.raises(UserError, match="not from LSUN, whose keys are UTF-8 text"):
        load(write_lmdb(tmp_path / "set_lmdb", {b"\xff\xfe": encoded(1)}))


def test_no_database(tmp_path):
    with pytest.raises(UserError, match="no LMDB in .* bedroom_train_lmdb.zip"):
        load(tmp_path)


def test_a_file_that_is_no_database(tmp_path):
    (tmp_path / "data.mdb").write_bytes(b"no database" * 1000)
    with pytest.raises(UserError, match="cannot read the LMDB in .*not an LMDB file"):
        load(tmp_path)


def test_truncated(tmp_path, contents):
    folder = write_lmdb(tmp_path / "set_lmdb", contents)
    path = os.path.join(folder, "data.mdb")
    num_bytes = os.path.getsize(path)
    os.truncate(path, num_bytes - 4096)
    with pytest.raises(UserError, match=rf"cut off: it has {num_bytes - 4096} bytes and needs {num_bytes}"):
        load(folder)


def test_a_lister_killed_by_the_library_is_the_users_error(tmp_path, contents, monkeypatch):
    folder = write_lmdb(tmp_path / "set_lmdb", contents)
    (tmp_path / "lmdb_keys.py").write_text("import os; os.abort()")
    monkeypatch.setattr(lsun, "__file__", str(tmp_path / "lsun.py"))
    with pytest.raises(UserError, match=r"cannot read the LMDB in .*data\.mdb is damaged"):
        load(folder)


def test_lengths_are_those_of_the_values(tmp_path, contents):
    keys, lengths = list_keys(write_lmdb(tmp_path / "set_lmdb", contents))
    assert keys.tolist() == sorted(contents)
    assert lengths.tolist() == [len(contents[key]) for key in sorted(contents)]
    source = load(tmp_path / "set_lmdb").images.source
    assert source.num_bytes(np.array([2, 0])).tolist() == [lengths[2], lengths[0]]


@pytest.mark.slow
def test_mutated_bytes_load_or_are_the_users_error(tmp_path, contents):
    """In a process of its own, which would die with the library; see lmdb_keys.py."""
    folder = write_lmdb(tmp_path / "set_lmdb", contents)
    with open(os.path.join(folder, "data.mdb"), "rb") as file:
        original = file.read()
    for seed in range(25):
        draw = random.Random(seed)
        mutated = bytearray(original)
        for _ in range(draw.randint(1, 4)):
            page = draw.choice([0, 1, draw.randrange(len(mutated) // 4096)])
            mutated[page * 4096 + draw.choice([draw.randrange(256), draw.randrange(4096)])] = draw.randrange(256)
        (tmp_path / str(seed)).mkdir()
        (tmp_path / str(seed) / "data.mdb").write_bytes(mutated)
    program = textwrap.dedent(
        """
        import sys
        from histogan_tf.data.sources.lsun import load_lsun
        from histogan_tf.errors import UserError
        for number in range(25):
            try:
                image_set = load_lsun(f"{sys.argv[1]}/{number}", name="lsun", prepare=lambda image: image)
                print(len(image_set.in_memory()))
            except UserError:
                print("error")
        """
    )
    child = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)], capture_output=True, text=True, cwd=os.getcwd(), check=False
    )
    assert child.returncode == 0, child.stderr
    results = child.stdout.split()
    assert len(results) == 25 and "error" in results and str(NUM_IMAGES) in results
