from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from histogan_tf.data.class_file import labels_among, matching_class, read_class_file, write_class_file
from histogan_tf.errors import UserError


def test_names_come_back_in_their_order(tmp_path):
    assert read_class_file(tmp_path) is None
    write_class_file(tmp_path / "new", ("non-idc", "idc"))
    assert json.loads((tmp_path / "new" / "classes.json").read_text()) == {"class_names": ["non-idc", "idc"]}
    assert read_class_file(tmp_path / "new") == ("non-idc", "idc")
    write_class_file(tmp_path / "new", ["non-idc", "idc"])  # a second network adds the images of another label


def test_labels_that_are_numbered_otherwise_do_not_go_into_one_folder(tmp_path):
    write_class_file(tmp_path, ("non-idc", "idc"))
    told = r"holds images of the classes 0 \(non-idc\), 1 \(idc\), and these are 0 \(idc\), 1 \(non-idc\)"
    with pytest.raises(UserError, match=told):
        write_class_file(tmp_path, ("idc", "non-idc"))
    assert read_class_file(tmp_path) == ("non-idc", "idc")


@pytest.mark.parametrize("name", ["0", "1.npz", "images.npz"])
def test_images_whose_classes_nobody_recorded_are_not_named_by_guess(tmp_path, name):
    if name.endswith(".npz"):
        np.savez(tmp_path / name, images=np.zeros((1, 2, 2, 3), np.uint8))
    else:
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.png").touch()
    with pytest.raises(UserError, match=rf"holds images \({name}\) and no classes\.json"):
        write_class_file(tmp_path, ("non-idc", "idc"))
    assert not (tmp_path / "classes.json").exists()


@pytest.mark.parametrize(
    "text",
    ["", "[]", "null", "{}", '{"class_names": "ab"}', '{"class_names": [1, 2]}', '{"class_names": ["a", "a"]}', "\xff"],
)
def test_a_damaged_file_is_told(tmp_path, text):
    (tmp_path / "classes.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match=r"classes\.json cannot be read"):
        read_class_file(tmp_path)


@pytest.mark.parametrize(
    ("recorded", "classes", "expected"),
    [
        (("idc", "non-idc"), ("non-idc", "idc"), [1, 0]),
        (("IDC", "Non-IDC"), ("non-idc", "idc"), [1, 0]),
        (("stroma", "Tumor", "tumor"), ("tumor", "Tumor"), [None, 1, 0]),
        (("IDC", "idc"), ("non-idc", "idc"), [None, 1]),
        (("TUMOR", "stroma"), ("Tumor", "stroma", "tumor"), [None, 1]),
        (("0", "1"), ("non-idc", "idc"), [None, None]),
        (("idc",), (), [None]),
    ],
)
def test_classes_are_matched_by_name_and_never_by_number(recorded, classes, expected):
    assert [matching_class(number, recorded, classes) for number in range(len(recorded))] == expected


def test_labels_get_the_numbers_of_their_classes():
    found = labels_among(np.int32([0, 1, 1, 0]), ("IDC", "non-idc"), ("non-idc", "idc"))
    assert (found.tolist(), found.dtype) == ([1, 0, 0, 1], np.int32)
    assert labels_among(np.int32([1, 1]), ("stroma", "idc"), ("non-idc", "idc")).tolist() == [1, 1]
    with pytest.raises(
        UserError, match="images were made as 'stroma', and the real ones have the classes non-idc, idc"
    ):
        labels_among(np.int32([0, 1]), ("stroma", "idc"), ("non-idc", "idc"))


_JSON = st.recursive(
    st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
)


@pytest.mark.fuzz
@given(_JSON.map(json.dumps) | st.builds(lambda names: json.dumps({"class_names": names}), _JSON) | st.text())
@example("[" * 100_000)
def test_a_file_that_holds_anything_gives_different_names_or_is_refused(tmp_path_factory, text):
    directory = tmp_path_factory.getbasetemp()
    (directory / "classes.json").write_bytes(text.encode("utf-8", "surrogatepass"))
    try:
        names = read_class_file(directory)
    except UserError:
        return
    assert len(set(names)) == len(names) and all(isinstance(name, str) for name in names)
