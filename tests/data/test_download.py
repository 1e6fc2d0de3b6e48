import gzip
import os
import struct
from pathlib import Path

import kagglehub
import numpy as np
import pytest
from PIL import Image

from histogan_tf.config import Config, resolve
from histogan_tf.data import download as module
from histogan_tf.data.download import PUBLIC_SETS, download
from histogan_tf.data.loading import load_dataset
from histogan_tf.errors import UserError


@pytest.fixture
def kaggle(monkeypatch):
    """Stands in for kagglehub.dataset_download: writes files where kagglehub unpacks a set, and counts calls."""
    state = {"calls": [], "write": None}

    def dataset_download(handle: str) -> str:
        state["calls"].append(handle)
        root = Path(os.environ["KAGGLEHUB_CACHE"]) / "datasets" / handle / "versions" / "1"
        root.mkdir(parents=True, exist_ok=True)
        state["write"](root)
        return str(root)

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)
    return state


@pytest.fixture
def shrink(monkeypatch):
    """Has a public set expect few images."""

    def expect(name: str, images_per_class: dict[str, int]) -> None:
        fields = vars(PUBLIC_SETS[name]) | {"images_per_class": images_per_class}
        monkeypatch.setattr(module, "PUBLIC_SETS", {**PUBLIC_SETS, name: module.PublicSet(**fields)})

    return expect


def run(tmp_path, dataset: str, **settings) -> Path:
    download(resolve(Config(mode="download", dataset=dataset, data_dir=str(tmp_path / "data"), **settings)))
    return tmp_path / "data" / dataset


def write_arrays(root: Path, num_negative: int = 3, num_positive: int = 2) -> None:
    labels = np.repeat([0, 1], [num_negative, num_positive])
    np.save(root / "X.npy", np.zeros((len(labels), 50, 50, 3), np.uint8))
    np.save(root / "Y.npy", labels)
    (root / "readme.txt").write_text("not needed")


def write_patients(root: Path) -> None:
    for number in range(5):
        name = f"8863/{number % 2}/8863_idx5_x{number}_y1_class{number % 2}.png"
        for folder in (root, root / "IDC_regular_ps50_idx5"):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.full((50, 50, 3), number, np.uint8)).save(folder / name)


def write_mnist(root: Path) -> None:
    """As hojjatk/mnist-dataset has them: each file plainly with a dot, and again in a folder of its own name."""
    for part in ("train", "t10k"):
        images = struct.pack(">4I", 0x803, 10, 28, 28) + bytes(10 * 28 * 28)
        labels = struct.pack(">2I", 0x801, 10) + bytes(range(10))
        for kind, content in (("images-idx3", images), ("labels-idx1", labels)):
            folder = root / f"{part}-{kind}-ubyte"
            folder.mkdir()
            (folder / f"{part}-{kind}-ubyte").write_bytes(content)
            (root / f"{part}-{kind.replace('-idx', '.idx')}-ubyte").write_bytes(content)


def test_public_sets_hold_what_is_known_of_them():
    totals = {name: sum(public_set.images_per_class.values()) for name, public_set in PUBLIC_SETS.items()}
    assert totals == {"idc": 5547, "idc-full": 277524, "mnist": 70000}


@pytest.mark.parametrize(
    ("dataset", "write", "images_per_class", "landed"),
    [
        ("idc", write_arrays, {"non-idc": 3, "idc": 2}, ["X.npy", "Y.npy"]),
        ("idc-full", write_patients, {"non-idc": 3, "idc": 2}, ["8863", "IDC_regular_ps50_idx5"]),
        (
            "mnist",
            write_mnist,
            dict.fromkeys("0123456789", 2),
            [f"{part}-{kind}-ubyte" for part in ("t10k", "train") for kind in ("images-idx3", "labels-idx1")],
        ),
    ],
)
def test_lands_checked_where_training_looks_for_it(
    tmp_path, kaggle, shrink, caplog, dataset, write, images_per_class, landed
):
    shrink(dataset, images_per_class)
    kaggle["write"] = write
    folder = run(tmp_path, dataset)
    assert kaggle["calls"] == [PUBLIC_SETS[dataset].handle]
    assert sorted(os.listdir(folder)) == landed
    assert os.listdir(tmp_path / "data") == [dataset]  # nothing is left behind
    assert f"train on it with --dataset={dataset}" in caplog.text
    found = load_dataset(resolve(Config(dataset=dataset, data_dir=str(tmp_path / "data"), part="all")))
    assert found.counts() == images_per_class
    run(tmp_path, dataset)
    assert len(kaggle["calls"]) == 1 and "already" in caplog.text


def test_mnist_under_its_other_names_alone(tmp_path, kaggle, shrink):
    shrink("mnist", dict.fromkeys("0123456789", 2))

    def write(root: Path) -> None:
        write_mnist(root)
        for name in os.listdir(root):
            if (root / name).is_dir():
                (root / name / name).unlink()

    kaggle["write"] = write
    assert len(os.listdir(run(tmp_path, "mnist"))) == 4


def test_data_path(tmp_path, kaggle, shrink, caplog):
    shrink("idc", {"non-idc": 3, "idc": 2})
    kaggle["write"] = write_arrays
    path = tmp_path / "some where"
    run(tmp_path, "idc", data_path=str(path))
    assert (path / "X.npy").exists() and f"--data_path={path}" in caplog.text


def test_no_network_names_the_set_the_page_and_the_place(tmp_path, kaggle):
    def fail(root: Path) -> None:
        raise ConnectionError("no route to host")

    kaggle["write"] = fail
    with pytest.raises(UserError) as error:
        run(tmp_path, "idc-full")
    for words in (
        "cannot download idc-full",
        "no route to host",
        "https://www.kaggle.com/datasets/paultimothymooney/breast-histopathology-images",
        "put PATIENT/0/*.png and PATIENT/1/*.png into",
        str(tmp_path / "data" / "idc-full"),
    ):
        assert words in str(error.value)


def test_goes_on_with_what_an_earlier_attempt_fetched(tmp_path, kaggle, shrink, monkeypatch):
    shrink("idc", {"non-idc": 3, "idc": 2})
    monkeypatch.setenv("KAGGLEHUB_CACHE", "/of/the/user")

    def stop_half_way(root: Path) -> None:
        (root.parents[1] / "1.archive").write_bytes(b"half")
        raise TimeoutError

    kaggle["write"] = stop_half_way
    with pytest.raises(UserError, match="give the command again to continue"):
        run(tmp_path, "idc")
    assert os.environ["KAGGLEHUB_CACHE"] == "/of/the/user"

    def finish(root: Path) -> None:
        assert (root.parents[1] / "1.archive").read_bytes() == b"half"
        write_arrays(root)

    kaggle["write"] = finish
    assert sorted(os.listdir(run(tmp_path, "idc"))) == ["X.npy", "Y.npy"]


def test_other_counts_than_the_set_has(tmp_path, kaggle, shrink):
    shrink("idc", {"non-idc": 3, "idc": 3})
    kaggle["write"] = write_arrays
    with pytest.raises(
        UserError, match=r"holds \{'non-idc': 3, 'idc': 2\} images .* but the dataset idc has .*'idc': 3"
    ):
        run(tmp_path, "idc")
    assert not (tmp_path / "data" / "idc").exists()


def test_other_layout_than_the_set_has(tmp_path, kaggle):
    kaggle["write"] = lambda root: (root / "notes.txt").write_text("moved")
    with pytest.raises(UserError, match=r"no longer has X\.npy"):
        run(tmp_path, "idc")
    with pytest.raises(UserError, match="does not hold the dataset idc-full .*no image in"):
        run(tmp_path, "idc-full")
    assert not (tmp_path / "data" / "idc").exists() and not (tmp_path / "data" / "idc-full").exists()


def test_a_folder_that_holds_something_else_is_left_alone(tmp_path, kaggle):
    (tmp_path / "data" / "idc").mkdir(parents=True)
    (tmp_path / "data" / "idc" / "diary.txt").write_text("mine")
    with pytest.raises(UserError, match="does not hold the dataset idc"):
        run(tmp_path, "idc")
    assert (tmp_path / "data" / "idc" / "diary.txt").read_text() == "mine" and not kaggle["calls"]


def test_unknown_set(tmp_path):
    with pytest.raises(UserError, match="--dataset=celebA cannot be downloaded: choose one of idc, idc-full, mnist"):
        run(tmp_path, "celebA")


def test_gzipped_digits_count_as_already_there(tmp_path, kaggle, shrink, caplog):
    shrink("mnist", dict.fromkeys("0123456789", 2))
    folder = tmp_path / "data" / "mnist"
    folder.mkdir(parents=True)
    write_mnist(tmp_path)
    for part in ("train", "t10k"):
        for kind in ("images-idx3", "labels-idx1"):
            name = f"{part}-{kind}-ubyte"
            (folder / f"{name}.gz").write_bytes(gzip.compress((tmp_path / name / name).read_bytes()))
    run(tmp_path, "mnist")
    assert "already" in caplog.text and not kaggle["calls"]
