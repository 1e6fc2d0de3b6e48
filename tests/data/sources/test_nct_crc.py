"""NCT-CRC-HE-100K and CRC-VAL-HE-7K: nine tissues, of which the second folder is the validation part."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from histogan_tf.data.sources.nct_crc import TISSUES, load_nct_crc
from histogan_tf.errors import UserError


@pytest.fixture
def nct_crc(write, root):
    for level, tissue in enumerate(TISSUES):
        write(f"NCT-CRC-HE-100K/{tissue}/{tissue}-AAAFLCLY.tif", level)
        write(f"CRC-VAL-HE-7K/{tissue}/{tissue}-TCGA-AAICEQFN.tif", level + 100)
    return root


def load(root: str):
    return load_nct_crc(root, name="nct-crc", prepare=lambda image: image)


def test_nine_tissues_and_their_parts(nct_crc):
    image_set = load(nct_crc)
    assert image_set.class_names == ("ADI", "BACK", "DEB", "LYM", "MUC", "MUS", "NORM", "STR", "TUM")
    assert image_set.labels.tolist() == [label for label in range(9) for _ in range(2)]
    assert image_set.parts.tolist() == ["validation", "train"] * 9
    assert image_set.images[:][:, 0, 0, 0].tolist() == [level for label in range(9) for level in (100 + label, label)]
    assert image_set.ids[0] == "CRC-VAL-HE-7K/ADI/ADI-TCGA-AAICEQFN.tif" and image_set.groups is None


@pytest.mark.parametrize("given", ["NCT-CRC-HE-100K", "CRC-VAL-HE-7K"])
def test_one_folder_takes_the_other_beside_it(nct_crc, given):
    assert load(f"{nct_crc}/{given}").fingerprint() == load(nct_crc).fingerprint()


def test_a_link_of_the_name_of_a_folder_counts_as_that_folder(nct_crc, tmp_path):
    shutil.rmtree(f"{nct_crc}/CRC-VAL-HE-7K")
    (tmp_path / "links").mkdir()
    link = tmp_path / "links" / "NCT-CRC-HE-100K"
    link.symlink_to(Path(nct_crc, "NCT-CRC-HE-100K").rename(tmp_path / "on another disk"))
    assert len(load(str(link))) == 9


def test_one_folder_alone_has_no_parts(nct_crc, caplog):
    shutil.rmtree(f"{nct_crc}/CRC-VAL-HE-7K")
    for root in (nct_crc, f"{nct_crc}/NCT-CRC-HE-100K"):
        image_set = load(root)
        assert len(image_set) == 9 and image_set.parts is None
    assert "the images are all of the part train" in caplog.text


def test_a_folder_in_another_of_its_name_as_some_programs_unpack_it(nct_crc):
    inner = Path(nct_crc) / "NCT-CRC-HE-100K"
    shutil.move(inner, Path(nct_crc) / "moved")
    inner.mkdir()
    shutil.move(Path(nct_crc) / "moved", inner / "NCT-CRC-HE-100K")
    assert load(nct_crc).parts.tolist() == ["validation", "train"] * 9


def test_both_folders_of_the_same_patches(nct_crc, write):
    write("NCT-CRC-HE-100K-NONORM/ADI/ADI-AAAFLCLY.tif", 50)
    with pytest.raises(UserError, match="which are the same patches: choose one with --data_path=.*/NCT-CRC-HE-100K$"):
        load(nct_crc)
    chosen = load(f"{nct_crc}/NCT-CRC-HE-100K-NONORM")
    assert len(chosen) == 10 and chosen.parts.tolist().count("train") == 1


def test_another_tissue_and_no_folder_at_all(nct_crc, write, tmp_path):
    write("CRC-VAL-HE-7K/FAT/1.tif")
    with pytest.raises(UserError, match=r"FAT/1.tif' is in none of the folders of the nine tissues \(ADI, BACK"):
        load(nct_crc)
    with pytest.raises(UserError, match="holds none of the folders NCT-CRC-HE-100K, .* as --dataset=nct-crc needs"):
        load(str(tmp_path))
