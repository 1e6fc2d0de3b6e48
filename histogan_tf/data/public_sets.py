"""The table of datasets that can be downloaded: where each lies, its files, and what is known of its images."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from histogan_tf.config import Config
from histogan_tf.data.remote_files import RemoteFile
from histogan_tf.data.sources.medmnist import medmnist_set_of
from histogan_tf.data.sources.medmnist_sets import SIDES
from histogan_tf.data.sources.nct_crc import unpack_tissues
from histogan_tf.data.sources.pcam import unpack_hdf5
from histogan_tf.errors import UserError


@dataclasses.dataclass(frozen=True)
class PublicSet:
    """A dataset that can be downloaded.

    Attributes:
        page: the address of its web page.
        layout: the files that its folder must hold, in words.
        num_images: the number of its images.
        handle: its name on Kaggle, OWNER/NAME, or that of a competition; None if `remote_files` are fetched.
        images_per_class: the number of images in each class; None if they are not checked.
        image_shape: the (height, width, channels) of its images; None if they differ.
        files: the name of each file needed, with another name under which Kaggle may deliver it. If empty, all files
            are kept as they come.
        remote_files: the files, by their addresses, for a set that is not on Kaggle.
    """

    page: str
    layout: str
    num_images: int
    handle: str | None = None
    images_per_class: Mapping[str, int] | None = None
    image_shape: tuple[int, int, int] | None = None
    files: Mapping[str, str] = dataclasses.field(default_factory=dict)
    remote_files: tuple[RemoteFile, ...] = ()

    @property
    def is_competition(self) -> bool:
        """Whether Kaggle has it as the data of a competition, whose rules must be accepted there first."""
        return self.handle is not None and "/" not in self.handle


def _of_kaggle(handle: str, images_per_class: Mapping[str, int], **others) -> PublicSet:
    num_images, page = sum(images_per_class.values()), f"https://www.kaggle.com/datasets/{handle}"
    return PublicSet(page, num_images=num_images, handle=handle, images_per_class=images_per_class, **others)


_ZENODO = "https://zenodo.org/records"
_PCAM, _NCT_CRC, _MEDMNIST = f"{_ZENODO}/2546921", f"{_ZENODO}/1214456", f"{_ZENODO}/10519652"
# Zenodo and Google Drive offer valid and test under each other's names; both parts are the set's, whichever is which.
_VALID_OR_TEST = {
    "x": ("d8c2d60d490dbd479f8199bdfa0cf6ec", "d5b63470df7cfa627aeec8b9dc0c066e"),
    "y": ("60a7035772fbdb7f34eb86d4420cf66a", "2b85f58b927af9964a4c15b8f7e8f179"),
    "meta": ("3455fd69135b66734e1008f3af684566", "67589e00a4a37ec317f2d1932c7502ca"),
}
_PCAM_MD5 = {
    "train": {
        "x": ("1571f514728f59376b705fc836ff4b63",),
        "y": ("35c2d7259d906cfc8143347bb8e05be7",),
        "meta": ("5a3dd671e465cfd74b5b822125e65b0a",),
    },
    "valid": _VALID_OR_TEST,
    "test": _VALID_OR_TEST,
}


def _pcam_files() -> tuple[RemoteFile, ...]:
    remote_files = []
    for part, checksums in _PCAM_MD5.items():
        url = f"{_PCAM}/files/camelyonpatch_level_2_split_{part}"
        for kind in ("y", "x"):
            file_name = f"camelyonpatch_level_2_split_{part}_{kind}.h5"
            remote_files.append(RemoteFile(f"{url}_{kind}.h5.gz", checksums[kind], file_name, unpack_hdf5))
        file_name = f"camelyonpatch_level_2_split_{part}_meta.csv"
        remote_files.append(RemoteFile(f"{url}_meta.csv", checksums["meta"], file_name))
    return tuple(remote_files)


_DIGITS = (6903, 7877, 6990, 7141, 6824, 6313, 6876, 7293, 6825, 6958)
PUBLIC_SETS: Mapping[str, PublicSet] = {
    "idc": _of_kaggle(
        "simjeg/lymphoma-subtype-classification-fl-vs-cll",
        {"non-idc": 2759, "idc": 2788},
        layout="X.npy and Y.npy",
        image_shape=(50, 50, 3),
        files={"X.npy": "X.npy", "Y.npy": "Y.npy"},
    ),
    "idc-full": _of_kaggle(
        "paultimothymooney/breast-histopathology-images",
        {"non-idc": 198738, "idc": 78786},
        layout="PATIENT/0/*.png and PATIENT/1/*.png",
        image_shape=(50, 50, 3),
    ),
    "mnist": _of_kaggle(
        "hojjatk/mnist-dataset",
        dict(zip("0123456789", _DIGITS, strict=True)),
        layout="train-images-idx3-ubyte, train-labels-idx1-ubyte and the two of t10k",
        image_shape=(28, 28, 1),
        files={
            f"{part}-{kind}-ubyte": f"{part}-{kind}-ubyte".replace("-idx", ".idx")
            for part in ("train", "t10k")
            for kind in ("images-idx3", "labels-idx1")
        },
    ),
    "pcam": PublicSet(
        page=_PCAM,
        layout="camelyonpatch_level_2_split_PART_x.h5, _y.h5 and _meta.csv of train, valid and test",
        num_images=327680,
        image_shape=(96, 96, 3),
        remote_files=_pcam_files(),
    ),
    "cancer-detection": PublicSet(
        page="https://www.kaggle.com/competitions/histopathologic-cancer-detection",
        handle="histopathologic-cancer-detection",
        layout="train_labels.csv and train/*.tif",
        num_images=220025,
        image_shape=(96, 96, 3),
    ),
    "breakhis": _of_kaggle(
        "ambarish/breakhis",
        {"benign": 2480, "malignant": 5429},
        layout="BreaKHis_v1",
    ),
    "nct-crc": PublicSet(
        page=_NCT_CRC,
        layout="NCT-CRC-HE-100K and CRC-VAL-HE-7K",
        num_images=107180,
        image_shape=(224, 224, 3),
        remote_files=tuple(
            RemoteFile(f"{_NCT_CRC}/files/{folder}.zip", (md5,), folder, unpack_tissues)
            for folder, md5 in (
                ("CRC-VAL-HE-7K", "2fd1651b4f94ebd818ebf90ad2b6ce06"),
                ("NCT-CRC-HE-100K", "6fd702d11df6292bc054397ae038a464"),
            )
        ),
    ),
}
"""Those whose files are the same for everybody; `public_set_of` also knows each of MedMNIST's sets."""


def public_set_of(config: Config) -> PublicSet:
    """Returns what is known of --dataset and, for medmnist, of --medmnist.

    Raises:
        UserError: if it cannot be downloaded, or --medmnist is missing or none of its sets.
    """
    if config.dataset == "medmnist":
        return _medmnist(config.medmnist)
    if config.dataset not in PUBLIC_SETS:
        known = ", ".join(sorted([*PUBLIC_SETS, "medmnist"]))
        raise UserError(f"--dataset={config.dataset} cannot be downloaded: choose one of {known}")
    return PUBLIC_SETS[config.dataset]


def _medmnist(medmnist: str | None) -> PublicSet:
    if medmnist is None:
        raise UserError("--dataset=medmnist: say which of its sets to download, such as --medmnist=pathmnist")
    file_name = medmnist.lower().removesuffix(".npz")
    medmnist_set = medmnist_set_of(file_name)
    side = int(file_name.rpartition("_")[2]) if "_" in file_name else SIDES[0]
    md5 = medmnist_set.md5[SIDES.index(side)]
    return PublicSet(
        page=_MEDMNIST,
        layout=f"{file_name}.npz",
        num_images=medmnist_set.num_images,
        remote_files=(RemoteFile(f"{_MEDMNIST}/files/{file_name}.npz", (md5,), f"{file_name}.npz"),),
    )
