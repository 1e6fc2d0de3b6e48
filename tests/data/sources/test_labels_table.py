"""Folders of images whose labels stand in a table: any with --labels_csv, and Kaggle's cancer detection."""

from __future__ import annotations

from pathlib import Path

import pytest

from histogan_tf.config import Config, resolve
from histogan_tf.data.loading import find_dataset, load_dataset
from histogan_tf.data.sources.labels_table import load_cancer_detection
from histogan_tf.errors import UserError


@pytest.fixture
def folder(write, root):
    for level in range(6):
        write(f"{'ab'[level % 2]}/{level}.png", level)
    return root


def find(root: str, table: str | bytes, name: str = "labels.csv", **settings):
    path = Path(root).parent / name
    path.write_bytes(table if isinstance(table, bytes) else table.encode())
    return find_dataset(resolve(Config(dataset="mine", data_path=root, labels_csv=str(path), **settings)))


def rows(image_set) -> dict[str, str]:
    return {path: image_set.class_names[label] for path, label in zip(image_set.ids, image_set.labels, strict=True)}


def test_files_labels_patients_and_parts(folder):
    table = (
        "patient_id,split,image,diagnosis\n"
        "p1,train,a/0.png,tumor\np1,train,b/1.png,normal\np2,val,a/2.png,tumor\n"
        "p2,val,b/3.png,normal\np3,test,a/4.png,tumor\np3,test,b/5.png,normal\n"
    )
    image_set = find(folder, table)
    assert image_set.class_names == ("normal", "tumor") and image_set.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert image_set.ids.tolist() == ["b/1.png", "b/3.png", "b/5.png", "a/0.png", "a/2.png", "a/4.png"]
    assert image_set.groups.tolist() == ["p1", "p2", "p3"] * 2
    assert image_set.parts.tolist() == ["train", "validation", "test"] * 2
    assert image_set.images[:][:, 0, 0, 0].tolist() == [1, 3, 5, 0, 2, 4]


@pytest.mark.parametrize(
    "files",
    [
        ["a/0.png", "b/1.png", "a/2.png", "b/3.png", "a/4.png", "b/5.png"],
        ["0.png", "1.png", "2.png", "3.png", "4.png", "5.png"],
        ["0", "1", "2", "3", "4", "5"],
        ["./a/0", "b//1", "a/2", "b/3", "a/4", "b/5"],
        [f"C:\\scans\\{name}" for name in ("a\\0.png", "b\\1.png", "a\\2.png", "b\\3.png", "a\\4.png", "b\\5.png")],
        [f"/home/somebody/set/{name}.png" for name in ("a/0", "b/1", "a/2", "b/3", "a/4", "b/5")],
    ],
)
def test_the_ways_in_which_a_table_names_images(folder, files):
    table = "filename,label\n" + "".join(f"{name},{number % 3}\n" for number, name in enumerate(files))
    assert find(folder, table).labels.tolist() == [0, 0, 1, 1, 2, 2]


@pytest.mark.parametrize(
    ("table", "classes"),
    [
        ("id\tclass\n0\t10\n1\t9\n2\t10\n", ("9", "10")),
        ("id;class\r\n0;b\r\n1;a,c\r\n2;b\r\n", ("a,c", "b")),
        ("﻿ID, Class \n0,1.0\n1,0.0\n2,1.0\n\n", ("0", "1")),
        ("id,label\n0,3_4\n1,34\n2,3_4\n", ("34", "3_4")),
        ("id,class\n0,01\n1,1\n2,01.0\n", ("01", "1")),
        ("sep=;\r\nid;class\r\n0;b\r\n1;a,c\r\n2;b\r\n", ("a,c", "b")),
        ('"sep=|"\nid|class\n0|b\n1|a;\n2|b\n', ("a;", "b")),
        ("sep=\t\nid\tclass\n0\tb\n1\ta\n2\tb\n", ("a", "b")),
        ("PK,id,class\n9,0,b\n8,1,a\n7,2,b\n", ("a", "b")),
        ("id\tclass\r\n0\tbösartig\r\n1\tgut\r\n2\tgut\r\n".encode("utf-16"), ("bösartig", "gut")),
        ("id,class\n0,bösartig\n1,gut\n2,gut\n".encode("utf-32"), ("bösartig", "gut")),
        ('File Name,Class.Name\n"0","say ""a"""\n1,b\n2,b\n', ("b", 'say "a"')),
    ],
)
def test_separators_signs_and_kinds_of_labels(folder, table, classes):
    image_set = find(folder, table)
    assert image_set.class_names == classes and len(image_set) == 3
    assert image_set.left_out == {"images that the table does not name": 3}


def test_columns_that_are_named(folder):
    table = "who,what,where,when\np1,x,0,train\np2,y,1,test\np1,y,2,train\n"
    with pytest.raises(
        UserError, match="no column that is known to hold the file of an image; it has who, what, where,"
    ):
        find(folder, table)
    image_set = find(folder, table, csv_columns=("where", "what", "who", "when"))
    assert rows(image_set) == {"a/0.png": "x", "b/1.png": "y", "a/2.png": "y"}
    assert image_set.groups.tolist() == ["p1", "p1", "p2"] and image_set.parts.tolist() == [
        "train",
        "train",
        "validation",
    ]
    image_set = find(folder, table, csv_columns=("where", "what", "", "when"))
    assert image_set.groups is None and image_set.parts is not None
    for columns, message in (
        (("where", "which"), "has no column which; it has who, what, where, when"),
        (("where",), "name the columns of file and label"),
        (
            ("where", "what", "who", "what"),
            "holds 'x', 'y', and parts are train, val and test: leave it out of --csv_col",
        ),
    ):
        with pytest.raises(UserError, match=message):
            find(folder, table, csv_columns=columns)


def test_a_guessed_column_of_parts_that_holds_none_is_left(folder, caplog):
    image_set = find(folder, "id,label,fold\n0,a,1\n1,b,2\n2,b,1\n")
    assert image_set.parts is None
    assert "the column fold of" in caplog.text and "it is not taken for the parts of a split" in caplog.text
    assert "WARNING" not in caplog.text
    assert find(folder, "id,label,split\n0,a,train\n1,b,\n2,b,test\n").parts is None
    assert "WARNING" in caplog.text and "the column split of labels.csv" in caplog.text.replace(
        f"{Path(folder).parent}/", ""
    )


def test_folders_of_a_split_are_the_parts_of_a_table_without_parts(write, root):
    for level in range(6):
        write(f"{('train', 'val', 'test')[level // 2]}/{level}.png", level)
    table = "id,label\n" + "".join(f"{level},{'ab'[level % 2]}\n" for level in range(6))
    assert find(root, table).parts.tolist() == ["test", "train", "validation"] * 2
    assert find(root, table.replace("4,a\n5,b\n", "")).parts.tolist() == ["train", "validation"] * 2
    write("6.png", 6)
    assert find(root, table + "6,a\n").parts is None


def test_what_is_missing_is_counted_and_strict_stops(folder, caplog):
    table = "id,label,patient\n0,a,p\n1,b,\n2,,p\n77,a,p\n78,b,p\n3,a,p\n"
    image_set = find(folder, table)
    assert rows(image_set) == {"a/0.png": "a", "b/1.png": "b", "b/3.png": "a"} and image_set.groups is None
    assert image_set.left_out == {
        "images of the table without a file": 2,
        "images of the table that it does not label": 1,
        "images that the table does not name": 2,
    }
    assert "names 2 images without a file: 77, 78" in caplog.text
    assert "names no patient for 1 image: patients are unknown" in caplog.text
    with pytest.raises(UserError, match=r"names 2 images without a file: 77, 78 \(without --strict"):
        find(folder, table, strict=True)


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("id,label\n0,a\n0.png,b\n", "names '0.png' twice, in the lines 2 and 3, and says different things of it"),
        ("id,label\n98,a\n99,b\n", "none of 2 images that .* names, such as '98', is in"),
        ("id,label\n", "names no image: it needs a line for each"),
        ("", "has no column that is known to hold the file"),
        ("id,label\n0,a\n1\n", "line 3 of .* has 1 columns, and its header names 2"),
        ("sep=;\nid;label\n0;a\n1\n", "line 4 of .* has 1 columns, and its header names 2"),
        ("id,label\n0,a\n1,b\n2,c\n", "gives each of its 3 images a label of its own"),
        ('id,label\n"0,a\n', "cannot be read as CSV or TSV"),
        (
            "id;label\r\n0;gut\r\n1;bösartig\r\n".encode("cp1252"),
            r'not in UTF-8 \(line 3\): in Excel, save it as "CSV U',
        ),
        (b"PK\x03\x04\x14\0\x06\0", r'labels.csv is an Excel workbook: save it as "CSV UTF-8"'),
        (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", "is an Excel workbook"),
        ("id,label\n0,a\n1,\0\0\n", "cannot be read as CSV or TSV"),
    ],
)
def test_tables_that_cannot_be_used(folder, table, message):
    with pytest.raises(UserError, match=message):
        find(folder, table)


def test_a_name_that_several_images_have(folder, write):
    write("c/0.png")
    with pytest.raises(
        UserError, match="line 2 of .* names '0', which may be any of a/0.png, c/0.png: give the path below"
    ):
        find(folder, "id,label\n0,a\n1,b\n")
    assert len(find(folder, "id,label\nc/0,a\n1,b\n")) == 2


def test_a_missing_image_is_not_taken_from_another_folder(folder):
    assert rows(find(folder, "id,label\nb/0.png,a\na/0.png,b\n1,a\n")) == {"a/0.png": "b", "b/1.png": "a"}


def test_patients_of_file_names_if_the_table_has_none(write, root):
    for level in range(3):
        write(f"{level % 2}/{8863 + level}_idx5_x1_y1_class0.png", level)
    table = "id,label\n" + "".join(f"{8863 + level}_idx5_x1_y1_class0,{level % 2}\n" for level in range(3))
    assert find(root, table).groups.tolist() == ["8863", "8865", "8864"]


def test_where_the_table_lies(folder, tmp_path):
    (tmp_path / "root" / "inside.csv").write_text("id,label\n0,a\n1,b\n2,b\n")
    settings = {"dataset": "mine", "data_path": folder}
    assert len(find_dataset(resolve(Config(**settings, labels_csv="inside.csv")))) == 3
    with pytest.raises(UserError, match="--labels_csv=outside.csv: there is no such file, neither here nor in"):
        find_dataset(resolve(Config(**settings, labels_csv="outside.csv")))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (
            {"labels_csv": "l.csv", "dataset": "idc"},
            "--labels_csv=l.csv: --dataset=idc does not take its labels from a table; leave it out",
        ),
        ({"labels_csv": "l.csv"}, "--labels_csv=l.csv: --dataset=phantom does not take its labels from a table"),
        (
            {"csv_columns": ("a", "b"), "dataset": "mine"},
            "--csv_columns=a,b names columns of a table of labels: give the table with --labels_csv",
        ),
    ],
)
def test_flags_that_would_do_nothing(settings, message):
    with pytest.raises(UserError, match=message):
        find_dataset(resolve(Config(**settings)))


@pytest.fixture
def kaggle(write, root):
    for level, digest in enumerate(("f38a6374c3", "c18f2d8877", "755db6279d", "bc3f0c64fb")):
        write(f"train/{digest}.tif", level)
    write("test/a7ea26360d.tif")
    table = "id,label\nf38a6374c3,0\nc18f2d8877,1\n755db6279d,0\nbc3f0c64fb,1\n"
    (Path(root) / "train_labels.csv").write_text(table)
    return root


def test_cancer_detection(kaggle):
    image_set = load_cancer_detection(kaggle, name="cancer-detection", prepare=lambda image: image)
    assert image_set.class_names == ("normal", "tumor") and image_set.counts() == {"normal": 2, "tumor": 2}
    assert rows(image_set)["train/c18f2d8877.tif"] == "tumor"
    assert image_set.left_out == {"files .csv": 1, "images that the table does not name": 1}
    settings = {"dataset": "cancer-detection", "data_path": kaggle, "part": "all"}
    held, lazy = (load_dataset(resolve(Config(**settings, memory_budget_gb=size))) for size in (4.0, 0.0))
    assert lazy.is_lazy and (lazy.images[:] == held.images).all() and held.ids.tolist() == lazy.ids.tolist()


@pytest.mark.parametrize(
    ("table", "message"),
    [
        (None, "no train_labels.csv in .*: --dataset=cancer-detection needs it"),
        ("id,label\nf38a6374c3,2\n", "line 2 of .* has the label '2'; it has to be 0 or 1"),
        ("name,label\nf38a6374c3,1\n", "has no column id; it has name, label"),
    ],
)
def test_cancer_detection_that_cannot_be_used(kaggle, table, message):
    path = Path(kaggle) / "train_labels.csv"
    path.unlink() if table is None else path.write_text(table)
    with pytest.raises(UserError, match=message):
        load_cancer_detection(kaggle, name="cancer-detection", prepare=lambda image: image)
