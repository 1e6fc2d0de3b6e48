"""DCGAN1 trains on every source, read from files in their true format, in memory and from disk."""

from __future__ import annotations

import gzip
import hashlib
import io
import struct
from pathlib import Path

import h5py
import lmdb
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from histogan_tf.cli import command_line, commands
from histogan_tf.data import pipeline
from histogan_tf.data.loading import load_dataset
from histogan_tf.runs.checkpoints import checkpoint_folders
from histogan_tf.training.dcgan_step import DCGANTrainer

RNG = np.random.default_rng(0)


def save_png(path: Path, height: int = 50, width: int = 50) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(RNG.integers(0, 256, (height, width, 3), np.uint8)).save(path)


def write_arrays(root: Path) -> str:
    np.save(root / "X.npy", RNG.integers(0, 256, (12, 50, 50, 3), np.uint8))
    np.save(root / "Y.npy", np.repeat([0, 1], 6))
    return "idc"


def write_patients(root: Path) -> str:
    for number in range(12):
        patient, label = 8863 + number % 3, number % 2
        name = f"{patient}/{label}/{patient}_idx5_x{50 * number + 1}_y1_class{label}.png"
        save_png(root / name, width=50 if number else 30)
        save_png(root / "IDC_regular_ps50_idx5" / name)
    return "idc-full"


def write_label_folders(root: Path) -> str:
    for number in range(12):
        save_png(root / str(number % 2) / f"patch {number} ü.png")
    return "idc"


def write_mnist(root: Path) -> str:
    for part, count in (("train", 9), ("t10k", 3)):
        images = struct.pack(">4I", 0x803, count, 28, 28) + RNG.bytes(count * 28 * 28)
        (root / f"{part}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (root / f"{part}-labels-idx1-ubyte").write_bytes(struct.pack(">2I", 0x801, count) + bytes(range(count)))
    return "mnist"


def write_lsun(root: Path) -> str:
    with lmdb.open(str(root / "bedroom_train_lmdb"), map_size=1 << 24) as environment:
        for number in range(12):
            file = io.BytesIO()
            Image.fromarray(RNG.integers(0, 256, (256, 300, 3), np.uint8)).save(file, "WEBP")
            with environment.begin(write=True) as transaction:
                transaction.put(hashlib.sha1(bytes([number])).hexdigest().encode(), file.getvalue())
    return "lsun"


def write_faces(root: Path) -> str:
    for number in range(12):
        face = Image.fromarray(RNG.integers(0, 256, (218, 178, 3), np.uint8))
        face.save(root / f"{number + 1:06d}.jpg")
    return "celebA"


def write_pcam(root: Path) -> str:
    for part in ("train", "valid", "test"):
        arrays = {"x": RNG.integers(0, 256, (8, 96, 96, 3), np.uint8), "y": np.arange(8).reshape(-1, 1, 1, 1) % 2}
        for kind, array in arrays.items():
            with h5py.File(root / f"camelyonpatch_level_2_split_{part}_{kind}.h5", "w") as file:
                file[kind] = array
    return "pcam"


def write_medmnist(root: Path) -> str:
    arrays = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = RNG.integers(0, 256, (8, 28, 28), np.uint8)
        arrays[f"{part}_labels"] = np.arange(8).reshape(-1, 1) % 2
    np.savez(root / "breastmnist.npz", **arrays)
    return "medmnist"


def write_breakhis(root: Path) -> str:
    for number in range(12):
        name = f"SOB_{'B_A' if number % 2 else 'M_DC'}-14-{number % 3}-40-{number:03d}.png"
        save_png(root / "BreaKHis_v1" / name, height=46, width=70)
    return "breakhis"


@pytest.fixture(scope="module")
def trainers():
    """One trainer, and so one compilation, for each number of channels."""
    return {}


@pytest.mark.parametrize("memory_budget_gb", [4, 0])
@pytest.mark.parametrize(
    ("write", "flags", "channels"),
    [
        (write_arrays, [], 3),
        (write_patients, ["--split_by=patient"], 3),
        (write_label_folders, [], 3),
        (write_mnist, [], 1),
        (write_lsun, [], 3),
        (write_faces, ["--crop", "--input_height=108"], 3),
        (write_pcam, [], 3),
        (write_medmnist, [], 1),
        (write_breakhis, ["--classes=ductal_carcinoma,adenosis"], 3),
    ],
)
def test_dcgan1_trains(tiny_config, tmp_path, trainers, write, flags, channels, memory_budget_gb):
    dataset = write(tmp_path)
    data_flags = [f"--dataset={dataset}", f"--data_path={tmp_path}", f"--memory_budget_gb={memory_budget_gb}", *flags]
    config = tiny_config("--model=dcgan1", *data_flags, "--batch_size=2")
    image_set = load_dataset(config)
    assert image_set.image_shape == (16, 16, channels)
    assert image_set.is_lazy == (memory_budget_gb == 0 and dataset not in ("mnist", "medmnist"))
    trainer = trainers.setdefault(channels, DCGANTrainer(config, image_set.image_shape, image_set.num_classes))
    before = [variable.numpy() for variable in trainer.discriminator.trainable_variables]
    for step, images, labels in pipeline.batches(image_set, config.batch_size, config.seed, 0, 3):
        losses = trainer.train_step(step, images, labels).losses
        assert all(np.isfinite(loss) for loss in losses.values())
    after = [variable.numpy() for variable in trainer.discriminator.trainable_variables]
    assert all((new != old).any() for new, old in zip(after, before, strict=True) if old.ndim > 1)


@pytest.mark.slow
def test_a_run_that_reads_from_disk_and_was_stopped_ends_as_one_in_memory(tmp_path):
    write_patients(tmp_path)

    def weights(run: str, *flags: str) -> dict[str, bytes]:
        sizes = ("--gf_dim=4", "--df_dim=4", "--z_dim=5", "--batch_size=2", "--output_height=16")
        where = (f"--data_path={tmp_path}", f"--checkpoint_dir={tmp_path / 'runs'}", f"--run={run}")
        commands.run_command(command_line.parse(["main.py", "--model=dcgan1", "--dataset=idc", *sizes, *where, *flags]))
        folder = checkpoint_folders(tmp_path / "runs" / run / "ckpt")[-1]
        reader = tf.train.load_checkpoint(str(folder / "state"))
        names = [name for name in reader.get_variable_to_shape_map() if not name.startswith("_")]
        return {name: reader.get_tensor(name).tobytes() for name in names}

    held = weights("held", "--max_steps=7")
    weights("lazy", "--memory_budget_gb=0", "--max_steps=3")
    assert weights("lazy", "--memory_budget_gb=0", "--max_steps=7") == held
