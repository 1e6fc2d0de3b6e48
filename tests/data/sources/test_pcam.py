"""PatchCamelyon from HDF5 files of its layout: in memory and from disk alike, whole or refused."""

from __future__ import annotations

import csv
import gzip
import shutil
import subprocess
from pathlib import Path

import h5py
import numpy as np
import pytest

from histogan_tf.config import Config, resolve
from histogan_tf.data.decoding import UnusableImageError
from histogan_tf.data.lazy_images import ArraySource
from histogan_tf.data.loading import load_dataset, load_parts
from histogan_tf.data.sources.hdf5_file import find_arrays, image_source, read_whole
from histogan_tf.data.sources.pcam import load_pcam
from histogan_tf.errors import UserError
from histogan_tf.machine.memory import DECODING

COUNTS = {"train": 8, "valid": 4, "test": 6}
STEM = "camelyonpatch_level_2_split_"


def same(image: np.ndarray) -> np.ndarray:
    return image


def source_of(path: Path):
    (stored,) = find_arrays([(str(path), "x")])
    return image_source(stored, same)


def write_part(root: Path, part: str, count: int, **storage) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(count)
    images = rng.integers(0, 256, (count, 96, 96, 3), np.uint8)
    labels = np.arange(count, dtype=np.uint8) % 2
    with h5py.File(root / f"{STEM}{part}_x.h5", "w") as file:
        file.create_dataset("x", data=images, **storage)
    with h5py.File(root / f"{STEM}{part}_y.h5", "w") as file:
        file.create_dataset("y", data=labels.reshape(-1, 1, 1, 1))
    with open(root / f"{STEM}{part}_meta.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("", "coord_y", "coord_x", "tumor_patch", "center_tumor_patch", "wsi"))
        for index, label in enumerate(labels.tolist()):
            writer.writerow((index, 5, 7, True, bool(label), f"camelyon16_{part}_{index // 2:03d}"))
    return images, labels


@pytest.fixture
def pcam(tmp_path):
    """The three parts: one plain, one in blocks of three that are compressed, one in blocks and gzipped as a file."""
    root = tmp_path / "data" / "pcam"
    root.mkdir(parents=True)
    storages = ({}, {"chunks": (3, 96, 96, 3), "compression": "gzip", "shuffle": True}, {"chunks": (1, 96, 96, 3)})
    images = [
        write_part(root, part, count, **storage)[0]
        for (part, count), storage in zip(COUNTS.items(), storages, strict=True)
    ]
    for kind in ("x", "y"):
        path = root / f"{STEM}test_{kind}.h5"
        (root / f"{path.name}.gz").write_bytes(gzip.compress(path.read_bytes(), mtime=0))
        path.unlink()
    return root, np.concatenate(images)


def load_with(root: Path, **settings):
    return load_dataset(resolve(Config(dataset="pcam", data_path=str(root), **settings)))


def test_whole_set_in_its_order_with_parts_slides_and_classes(pcam, caplog):
    root, images = pcam
    whole = load_pcam(str(root), name="pcam", prepare=same)
    assert "the dataset comes split: 6 test, 8 train, 4 validation; the part test is held out" in caplog.text
    assert whole.is_lazy and whole.class_names == ("normal", "tumor") and whole.left_out == {}
    np.testing.assert_array_equal(whole.images[:], images)
    np.testing.assert_array_equal(whole.images[np.array([17, 8, 0, 11])], images[[17, 8, 0, 11]])
    assert whole.labels.tolist() == [0, 1] * 9
    assert whole.parts.tolist() == ["train"] * 8 + ["validation"] * 4 + ["test"] * 6
    assert whole.ids[[0, 8, 17]].tolist() == ["train/0", "valid/0", "test/5"]
    assert whole.groups[[0, 1, 2, 17]].tolist() == [
        "camelyon16_train_000",
        "camelyon16_train_000",
        "camelyon16_train_001",
        "camelyon16_test_002",
    ]
    assert (root / f"{STEM}test_x.h5").exists() and (root / f"{STEM}test_x.h5.gz").exists()
    assert whole.images.source.num_bytes(np.array([17, 0])).tolist() == [96 * 96 * 3] * 2


def test_plain_values_are_read_by_their_place_and_those_in_blocks_block_by_block(pcam):
    root, images = pcam
    plain, blocks = (source_of(root / f"{STEM}{part}_x.h5") for part in ("train", "valid"))
    assert isinstance(plain, ArraySource) and not isinstance(blocks, ArraySource)
    np.testing.assert_array_equal(plain.decode(7), images[7])
    np.testing.assert_array_equal(blocks.decode(3), images[11])


def test_each_part_alike_in_memory_and_from_disk(pcam):
    root, images = pcam
    for part, chosen in (("train", slice(0, 8)), ("validation", slice(8, 12)), ("test", slice(12, 18))):
        held, lazy = load_with(root, part=part), load_with(root, part=part, memory_budget_gb=0.0)
        assert not held.is_lazy and lazy.is_lazy
        np.testing.assert_array_equal(held.images, images[chosen])
        np.testing.assert_array_equal(lazy.images[:], images[chosen])
        assert held.ids.tolist() == lazy.ids.tolist() and set(held.parts) == {part}
    assert len(load_with(root)) == 8


def test_a_classifier_is_measured_on_validation_or_on_test(pcam):
    root, _ = pcam
    common = {"model": "resnet18", "dataset": "pcam", "data_path": str(root)}
    for part, measured in ((None, "valid"), ("test", "test")):
        parts = load_parts(resolve(Config(**common, part=part)))
        assert [{name.partition("/")[0] for name in one.ids} for one in parts] == [{"train"}, {measured}]
    with pytest.raises(UserError, match="--part=all: a classifier learns all labels from the training part"):
        resolve(Config(**common, part="all"))


def test_mixing_the_parts_is_told(pcam, caplog):
    root, _ = pcam
    assert len(load_with(root, part="all", given=frozenset({"part"}))) == 18
    assert "--part=all mixes the parts test, train, validation of 'pcam'" in caplog.text


def test_parts_that_are_not_there(pcam, caplog):
    root, _ = pcam
    for path in root.glob(f"{STEM}valid*"):
        path.unlink()
    assert load_pcam(str(root), name="pcam", prepare=same).parts.tolist() == ["train"] * 8 + ["validation"] * 6
    assert "there is no validation part: the test part is taken for it" in caplog.text
    for path in root.glob(f"{STEM}test*"):
        path.unlink()
    assert load_pcam(str(root), name="pcam", prepare=same).parts is None
    assert "the images are all of the part train" in caplog.text


def test_slides_are_unknown_if_a_table_is_missing_or_belongs_to_other_patches(pcam, caplog):
    root, _ = pcam
    table = root / f"{STEM}valid_meta.csv"
    text = table.read_text()
    table.write_text(text.replace("True,True", "True,False"))
    assert load_pcam(str(root), name="pcam", prepare=same).groups is None
    assert "valid_meta.csv belongs to other patches" in caplog.text
    table.write_text("\n".join(text.splitlines()[:-1]))
    assert load_pcam(str(root), name="pcam", prepare=same).groups is None
    assert "valid_meta.csv names 3 slides for 4 patches" in caplog.text
    table.unlink()
    assert load_pcam(str(root), name="pcam", prepare=same).groups is None
    assert "no camelyonpatch_level_2_split_valid_meta.csv" in caplog.text


def replace_array(root: Path, kind: str, make) -> None:
    path = root / f"{STEM}valid_{kind}.h5"
    path.unlink(missing_ok=True)
    with h5py.File(path, "w") as file:
        make(file)


def damage_end(root: Path) -> None:
    path = root / f"{STEM}valid_x.h5"
    path.write_bytes(path.read_bytes()[:-100])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda root: (root / f"{STEM}valid_y.h5").unlink(), r"holds one of .*valid_x.h5 and .* not .*valid_y.h5: put"),
        (lambda root: (root / f"{STEM}valid_x.h5").unlink(), r"and not camelyonpatch_level_2_split_valid_x.h5"),
        (lambda root: (root / f"{STEM}valid_x.h5").write_bytes(b"junk" * 99), "cannot be read as HDF5"),
        (damage_end, "cannot be read as HDF5, for it is damaged"),
        (
            lambda root: replace_array(
                root, "y", lambda file: file.create_dataset("y", data=np.zeros((3, 1, 1, 1), int))
            ),
            r"y in .*valid_y.h5 has shape \(3, 1, 1, 1\), and x in .* holds 4 patches: it has to be \(4, 1, 1, 1\)",
        ),
        (
            lambda root: replace_array(root, "y", lambda file: file.create_dataset("y", data=np.full((4, 1, 1, 1), 2))),
            r"holds something else than 0 \(normal\) and 1 \(tumor\)",
        ),
        (
            lambda root: replace_array(root, "y", lambda file: file.create_dataset("labels", data=np.zeros(4, int))),
            "it has no array 'y'; it has labels",
        ),
        (
            lambda root: replace_array(root, "y", lambda file: file.create_dataset("y", data=["a", "b", "c", "d"])),
            r"is object \(4,\), not an array of whole numbers",
        ),
        (
            lambda root: replace_array(
                root, "x", lambda file: file.create_dataset("x", data=np.zeros((4, 50, 50, 3), np.uint8))
            ),
            r"x in .* is uint8 \(4, 50, 50, 3\); it has to be uint8 \(n, 96, 96, 3\)",
        ),
        (
            lambda root: replace_array(root, "x", lambda file: file.create_dataset("x", (4, 96, 96, 3), np.uint8)),
            "the values of 'x' are not all there",
        ),
        (
            lambda root: replace_array(
                root, "x", lambda file: file.create_dataset("x", (4, 96, 96, 3), np.uint8, chunks=(2, 96, 96, 3))
            ),
            "the values of 'x' are not all there",
        ),
        (
            lambda root: replace_array(
                root, "x", lambda file: file.__setitem__("x", h5py.ExternalLink(f"{STEM}train_x.h5", "x"))
            ),
            "is a link to another place, which is not followed",
        ),
        (
            lambda root: replace_array(
                root,
                "x",
                lambda file: file.create_dataset(
                    "x", (4, 96, 96, 3), np.uint8, external=[("other", 0, 4 * 96 * 96 * 3)]
                ),
            ),
            "lie in other files, which are not opened",
        ),
        (
            lambda root: replace_array(root, "x", lambda file: file.create_group("x")),
            "'x' is no array",
        ),
    ],
)
def test_files_that_cannot_be_used(pcam, damage, message):
    root, _ = pcam
    damage(root)
    with pytest.raises(UserError, match=message):
        load_pcam(str(root), name="pcam", prepare=same)


def test_a_block_that_would_take_too_much_memory_is_refused(tmp_path, monkeypatch):
    with h5py.File(tmp_path / "large.h5", "w") as file:
        file.create_dataset("x", data=np.zeros((4000, 96, 96, 3), np.uint8), chunks=(4000, 96, 96, 3), compression=1)
    monkeypatch.setattr(DECODING, "num_bytes", 10**8)
    with pytest.raises(UserError, match="a block of 'x' in .* is too large: it takes about 0.1 GB"):
        find_arrays([(str(tmp_path / "large.h5"), "x")])


def test_blocks_of_any_shape_filters_and_types(tmp_path):
    storages = [
        {"chunks": (2, 5, 7, 2), "compression": "gzip", "shuffle": True, "fletcher32": True},
        {"chunks": (3, 8, 8, 3), "shuffle": True},
        {"chunks": (1, 8, 8, 3), "compression": "gzip"},
        {},
    ]
    path, keys = tmp_path / "any.h5", []
    values = np.random.default_rng(0).integers(0, 200, (7, 8, 8, 3))
    with h5py.File(path, "w") as file:
        for number, storage in enumerate(storages):
            for dtype in ("u1", "<i4", ">i8"):
                keys.append(f"{number} {dtype}")
                file.create_dataset(keys[-1], data=values.astype(dtype), **storage)
    for stored in find_arrays([(str(path), key) for key in keys]):
        np.testing.assert_array_equal(read_whole(stored), values)
        assert stored.dtype == stored.key.split()[1]
        if stored.dtype == np.uint8:
            source = image_source(stored, same)
            for index in (6, 0, 3, 6, 1):
                np.testing.assert_array_equal(source.decode(index), values[index])


def test_compression_that_needs_more_than_gzip_is_refused(tmp_path):
    with h5py.File(tmp_path / "lzf.h5", "w") as file:
        file.create_dataset("x", data=np.zeros((4, 96, 96, 3), np.uint8), compression="lzf")
    with pytest.raises(UserError, match="'x' is compressed by a plug-in .filter 32000.: store it with gzip or plainly"):
        find_arrays([(str(tmp_path / "lzf.h5"), "x")])


@pytest.mark.parametrize("printed", [b"", b'{"shape": [1], "dtype": "|u1", "offset": null}\n', b'{"shape": [1'])
def test_a_file_that_kills_the_process_of_hdf5_is_damaged(tmp_path, monkeypatch, printed):
    killed = subprocess.CompletedProcess([], -11, stdout=printed)
    monkeypatch.setattr(subprocess, "run", lambda *args, **options: killed)
    with pytest.raises(UserError, match="x.h5 cannot be read as HDF5, for it is damaged"):
        find_arrays([(str(tmp_path / "x.h5"), "x")])


def test_a_damaged_block_is_one_unusable_image(pcam):
    root, images = pcam
    path = root / f"{STEM}valid_x.h5"
    with h5py.File(path) as file:
        block = file["x"].id.get_chunk_info(0)
    content = bytearray(path.read_bytes())
    content[block.byte_offset : block.byte_offset + 400] = bytes(400)
    path.write_bytes(content)
    source = source_of(path)
    with pytest.raises(UnusableImageError, match="valid_x.h5 is damaged, or has changed"):
        source.decode(0)
    np.testing.assert_array_equal(source.decode(3), images[11])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (gzip.compress(b"no hdf5 at all", mtime=0), "holds no HDF5 file"),
        (gzip.compress(b"\x89HDF\r\n\x1a\n" + bytes(99), mtime=0)[:-9], "is damaged"),
        (b"junk", "is damaged"),
        (gzip.compress(b"", mtime=0), "holds no HDF5 file"),
    ],
)
def test_gzipped_files_that_are_none(pcam, content, message):
    root, _ = pcam
    (root / f"{STEM}test_x.h5.gz").write_bytes(content)
    with pytest.raises(UserError, match=message):
        load_pcam(str(root), name="pcam", prepare=same)
    assert not (root / f"{STEM}test_x.h5").exists()


def test_no_file_at_all(tmp_path):
    with pytest.raises(
        UserError, match="no camelyonpatch_level_2_split_train_x.h5 and .*--mode=download --dataset=pcam"
    ):
        load_with(tmp_path)
    shutil.rmtree(tmp_path)
    with pytest.raises(UserError, match="no folder"):
        load_with(tmp_path)
