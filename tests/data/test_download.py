import dataclasses
import gzip
import hashlib
import io
import os
import shutil
import struct
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

import h5py
import kagglehub
import numpy as np
import pytest
from PIL import Image

from histogan_tf.config import Config, resolve
from histogan_tf.data import public_sets
from histogan_tf.data.download import download
from histogan_tf.data.loading import load_dataset
from histogan_tf.data.public_sets import PUBLIC_SETS, PublicSet, public_set_of
from histogan_tf.errors import UserError


@pytest.fixture
def kaggle(monkeypatch):
    """Stands in for kagglehub: writes files where it unpacks a set or a competition's data, and counts calls."""
    state = {"calls": [], "write": None}

    def dataset_download(handle: str) -> str:
        state["calls"].append(handle)
        root = Path(os.environ["KAGGLEHUB_CACHE"]) / "datasets" / handle / "versions" / "1"
        root.mkdir(parents=True, exist_ok=True)
        state["write"](root)
        return str(root)

    def competition_download(handle: str) -> str:
        assert "/" not in handle
        return dataset_download(handle)

    monkeypatch.setattr(kagglehub, "dataset_download", dataset_download)
    monkeypatch.setattr(kagglehub, "competition_download", competition_download)
    return state


@pytest.fixture
def shrink(monkeypatch):
    """Has a public set expect few images."""

    def expect(name: str, images_per_class: dict[str, int]) -> None:
        fields = vars(PUBLIC_SETS[name]) | {"images_per_class": images_per_class}
        monkeypatch.setattr(public_sets, "PUBLIC_SETS", {**PUBLIC_SETS, name: PublicSet(**fields)})

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
    assert {name: public_set.num_images for name, public_set in PUBLIC_SETS.items()} == {
        "idc": 5547,
        "idc-full": 277524,
        "mnist": 70000,
        "pcam": 327680,
        "cancer-detection": 220025,
        "breakhis": 7909,
        "nct-crc": 107180,
    }
    path = public_set_of(resolve(Config(mode="download", dataset="medmnist", medmnist="PathMNIST_64.npz")))
    assert path.num_images == 107180 and path.remote_files[0].md5 == ("55aa9c1e0525abe5a6b9d8343a507616",)
    assert path.remote_files[0].url == "https://zenodo.org/records/10519652/files/pathmnist_64.npz"


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
    with pytest.raises(
        UserError, match="--dataset=celebA cannot be downloaded: choose one of breakhis, cancer-detection, idc, "
    ):
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


def write_competition(root: Path) -> None:
    (root / "train").mkdir()
    for number in range(3):
        Image.fromarray(np.full((96, 96, 3), number, np.uint8)).save(root / "train" / f"{number}.tif")
    (root / "train_labels.csv").write_text("id,label\n0,0\n1,1\n2,0\n")


def test_a_competition(tmp_path, kaggle, monkeypatch):
    fields = vars(PUBLIC_SETS["cancer-detection"]) | {"num_images": 3}
    monkeypatch.setattr(public_sets, "PUBLIC_SETS", {**PUBLIC_SETS, "cancer-detection": PublicSet(**fields)})
    kaggle["write"] = write_competition
    folder = run(tmp_path, "cancer-detection")
    assert kaggle["calls"] == ["histopathologic-cancer-detection"] and sorted(os.listdir(folder)) == [
        "train",
        "train_labels.csv",
    ]


def test_a_competition_whose_rules_are_not_accepted(tmp_path, kaggle):
    def refuse(root: Path) -> None:
        raise PermissionError("403: you must accept this competition's rules")

    kaggle["write"] = refuse
    with pytest.raises(
        UserError, match=r"403: .* log in to Kaggle and accept its rules there first\) and put train_labels"
    ):
        run(tmp_path, "cancer-detection")


class Server:
    """Stands in for urllib.request.urlopen: serves files by their addresses, from where a request begins."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.breaks_after: int | None = None
        self.heeds_ranges = True
        self.requests: list[tuple[str, str | None]] = []

    def __call__(self, request: urllib.request.Request, timeout: float):
        self.requests.append((request.full_url.rpartition("/")[2], request.get_header("Range")))
        if request.full_url not in self.contents:
            raise urllib.error.URLError("no route to host")
        content, start = self.contents[request.full_url], 0
        if self.heeds_ranges and (asked := request.get_header("Range")):
            start = int(asked.removeprefix("bytes=").removesuffix("-"))
            if start >= len(content):
                raise urllib.error.HTTPError(request.full_url, 416, "Range Not Satisfiable", {}, None)
        response = io.BytesIO(content[start:][: self.breaks_after])
        response.status = 206 if start else 200
        response.headers = {"Content-Length": str(len(content) - start)}
        return response


@pytest.fixture
def server(monkeypatch):
    server = Server()
    monkeypatch.setattr(urllib.request, "urlopen", server)
    return server


def serve(server: Server, monkeypatch, public_set: PublicSet, contents: dict[str, bytes], num_images: int):
    """Has the server hold the files of a set, by their names, and the set's checksums fit them."""
    remote_files = []
    for remote in public_set.remote_files:
        content = contents[remote.name]
        server.contents[remote.url] = content
        remote_files.append(dataclasses.replace(remote, md5=(hashlib.md5(content).hexdigest(),)))
    changed = dataclasses.replace(public_set, remote_files=tuple(remote_files), num_images=num_images)
    monkeypatch.setattr("histogan_tf.data.download.public_set_of", lambda config: changed)


def breast_arrays() -> bytes:
    file = io.BytesIO()
    arrays = {f"{part}_images": np.zeros((2, 28, 28), np.uint8) for part in ("train", "val", "test")}
    np.savez(file, **arrays, **{f"{part}_labels": np.array([[0], [1]]) for part in ("train", "val", "test")})
    return file.getvalue()


@pytest.fixture
def breast(server, monkeypatch):
    public_set = public_set_of(resolve(Config(mode="download", dataset="medmnist", medmnist="breastmnist")))
    content = breast_arrays()
    serve(server, monkeypatch, public_set, {"breastmnist.npz": content}, num_images=6)
    return content


def test_a_file_that_was_stopped_goes_on(tmp_path, server, breast, caplog):
    server.breaks_after = 1000
    with pytest.raises(
        UserError, match=r"the connection broke after 1000 of \d+ bytes\): give the command again to contin"
    ):
        run(tmp_path, "medmnist", medmnist="breastmnist")
    assert os.listdir(tmp_path / "data" / "medmnist") == [".downloading-breastmnist.npz"]
    server.breaks_after = None
    folder = run(tmp_path, "medmnist", medmnist="breastmnist")
    assert server.requests == [("breastmnist.npz", None), ("breastmnist.npz", "bytes=1000-")]
    assert os.listdir(folder) == ["breastmnist.npz"] and (folder / "breastmnist.npz").read_bytes() == breast
    assert "train on it with --dataset=medmnist --medmnist=breastmnist" in caplog.text
    run(tmp_path, "medmnist", medmnist="breastmnist")
    assert len(server.requests) == 2 and "already" in caplog.text


@pytest.mark.parametrize("num_present", [500, None])
def test_a_server_that_sends_all_again_and_a_file_that_was_all_there(tmp_path, server, breast, num_present):
    folder = tmp_path / "data" / "medmnist"
    folder.mkdir(parents=True)
    (folder / ".downloading-breastmnist.npz").write_bytes(breast[:num_present])
    server.heeds_ranges = num_present is None
    run(tmp_path, "medmnist", medmnist="breastmnist")
    assert (folder / "breastmnist.npz").read_bytes() == breast


def test_a_connection_that_breaks_is_told_of_with_the_address(tmp_path, server, breast, monkeypatch):
    class Broken(io.BytesIO):
        def read(self, size=-1):
            raise ConnectionResetError(104, "Connection reset by peer")

    monkeypatch.setattr(io, "BytesIO", Broken)
    with pytest.raises(
        UserError, match=r"breastmnist.npz: \[Errno 104\] Connection reset by peer\): give the command again"
    ):
        run(tmp_path, "medmnist", medmnist="breastmnist")


def test_a_flag_of_another_set_is_refused(tmp_path, kaggle):
    with pytest.raises(UserError, match="--medmnist=pathmnist is for --dataset=medmnist, not for --dataset=idc"):
        run(tmp_path, "idc", medmnist="pathmnist")
    assert not kaggle["calls"]


def test_a_wrong_checksum_removes_the_file(tmp_path, server, breast):
    url = next(iter(server.contents))
    server.contents[url] = breast[:-1] + b"x"
    with pytest.raises(UserError, match="has the MD5 checksum .*, but its publisher gives .* give the command again"):
        run(tmp_path, "medmnist", medmnist="breastmnist")
    assert os.listdir(tmp_path / "data" / "medmnist") == []


def test_other_files_of_medmnist_may_lie_there(tmp_path, server, breast):
    folder = tmp_path / "data" / "medmnist"
    folder.mkdir(parents=True)
    (folder / "pathmnist.npz").write_bytes(b"mine")
    run(tmp_path, "medmnist", medmnist="breastmnist")
    assert sorted(os.listdir(folder)) == ["breastmnist.npz", "pathmnist.npz"]


@pytest.mark.parametrize(
    ("dataset", "settings", "message"),
    [
        ("medmnist", {}, "say which of its sets to download, such as --medmnist=pathmnist"),
        ("medmnist", {"medmnist": "chestmnist"}, "--medmnist=chestmnist cannot be used"),
        (
            "pcam",
            {},
            r"cannot download pcam \(https://zenodo.org/records/2546921/files/camelyonpatch_.*_train_y.h5.gz: no "
            r"route to host\): .* by hand from https://zenodo.org/records/2546921 and put camelyonpatch_.* into",
        ),
    ],
)
def test_no_network_or_no_such_set_of_medmnist(tmp_path, server, dataset, settings, message):
    with pytest.raises(UserError, match=message):
        run(tmp_path, dataset, **settings)


def test_tissues_are_unpacked_from_their_archives(tmp_path, server, monkeypatch):
    def archive(prefix: str) -> bytes:
        file = io.BytesIO()
        with zipfile.ZipFile(file, "w") as made:
            made.writestr(f"{prefix}/readme.txt", "not needed")
            for level, tissue in enumerate(("ADI", "TUM")):
                image = io.BytesIO()
                Image.fromarray(np.full((224, 224, 3), level, np.uint8)).save(image, "TIFF")
                made.writestr(f"{prefix}/{tissue}/{tissue}-AAA.tif", image.getvalue())
        return file.getvalue()

    contents = {
        "NCT-CRC-HE-100K.zip": archive("NCT-CRC-HE-100K/NCT-CRC-HE-100K"),
        "CRC-VAL-HE-7K.zip": archive("CRC-VAL-HE-7K"),
    }
    serve(server, monkeypatch, PUBLIC_SETS["nct-crc"], contents, num_images=4)
    folder = run(tmp_path, "nct-crc")
    assert sorted(os.listdir(folder)) == ["CRC-VAL-HE-7K", "NCT-CRC-HE-100K"]
    asked = len(server.requests)
    shutil.rmtree(folder / "CRC-VAL-HE-7K")
    (folder / "CRC-VAL-HE-7K.zip").write_bytes(contents["CRC-VAL-HE-7K.zip"])  # as if a user had fetched it by hand
    run(tmp_path, "nct-crc")
    assert len(server.requests) == asked
    assert (folder / "CRC-VAL-HE-7K.zip").exists()
    assert sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.tif")) == [
        f"{part}/{tissue}/{tissue}-AAA.tif"
        for part in ("CRC-VAL-HE-7K", "NCT-CRC-HE-100K")
        for tissue in ("ADI", "TUM")
    ]


def test_hdf5_files_are_unpacked(tmp_path, server, monkeypatch):
    contents = {}
    for part in ("train", "valid", "test"):
        for kind, array in (("x", np.zeros((2, 96, 96, 3), np.uint8)), ("y", np.zeros((2, 1, 1, 1), np.uint8))):
            file = io.BytesIO()
            with h5py.File(file, "w") as made:
                made[kind] = array
            contents[f"camelyonpatch_level_2_split_{part}_{kind}.h5.gz"] = gzip.compress(file.getvalue())
        contents[f"camelyonpatch_level_2_split_{part}_meta.csv"] = f"wsi\n{part}_1\n{part}_2\n".encode()
    serve(server, monkeypatch, PUBLIC_SETS["pcam"], contents, num_images=6)
    folder = run(tmp_path, "pcam")
    assert sorted(os.listdir(folder)) == sorted(name.removesuffix(".gz") for name in contents)
