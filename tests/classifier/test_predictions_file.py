from __future__ import annotations

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histogan_tf.classifier.predictions_file import Predictions, read_predictions, write_predictions
from histogan_tf.errors import UserError

NAMES = ("non-idc", "idc")


@pytest.mark.parametrize("groups", [None, np.array(["p1", "p2"] * 20)])
def test_predictions_come_back_from_their_file(tmp_path, train_config, groups, make_predictions):
    written = make_predictions(groups)
    write_predictions(tmp_path / "predictions.csv", written, train_config(), NAMES)
    read = read_predictions(tmp_path / "predictions.csv")
    for name in ("ids", "labels", "probabilities"):
        np.testing.assert_array_equal(getattr(read, name), getattr(written, name))
    assert read.groups is None if groups is None else read.groups.tolist() == groups.tolist()


def test_names_that_are_formulas_are_text_in_the_file_and_come_back(tmp_path, train_config, make_predictions):
    made = make_predictions(num_images=4)
    ids, patients = np.array(["=1+1.png", "-2", "+a/b.png", "'=x"]), np.array(["@p", "=p", "-1", "p"])
    written = Predictions(ids, patients, made.labels, made.probabilities)
    write_predictions(tmp_path / "predictions.csv", written, train_config(), ("a", "=b"))
    lines = (tmp_path / "predictions.csv").read_text().splitlines()[1:]
    assert [line.split(",")[:2] for line in lines] == [
        ["'=1+1.png", "'@p"],
        ["-2", "'=p"],
        ["'+a/b.png", "-1"],
        ["''=x", "p"],
    ]
    assert all(",'=b," in line for line in lines)
    read = read_predictions(tmp_path / "predictions.csv")
    assert read.ids.tolist() == ids.tolist() and read.groups.tolist() == patients.tolist()


def test_the_columns_are_those_promised(tmp_path, make_config, train_config, make_predictions):
    write_predictions(tmp_path / "a.csv", make_predictions(), make_config("--model=resnet18"), NAMES)
    assert (tmp_path / "a.csv").read_text().splitlines()[:2] == [
        "id,patient,label,probability,positive_class",
        '"image, 0.png",,0,0.382177,idc',
    ]
    write_predictions(tmp_path / "b.csv", make_predictions(), train_config(), NAMES)
    assert (tmp_path / "b.csv").read_text().splitlines()[0] == "id,patient,label,probability,positive_class,backbone"


@pytest.mark.parametrize("text", [None, "", "id,label\na,1\n", "id,patient,label,probability\na,b,c,d\n"])
def test_a_damaged_file_is_told(tmp_path, text):
    if text is not None:
        (tmp_path / "predictions.csv").write_text(text)
    with pytest.raises(UserError, match="predictions.csv cannot be read"):
        read_predictions(tmp_path / "predictions.csv")


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("0.382177", "0.38217"),
        ("0.382177", "nan"),
        ("0.382177", "1.382177"),
        (",0,0.382177", ",2,0.382177"),
        (",0,0.382177", ",0"),
        (",0,0.382177", ",0,0.382177,3"),
        (",0,0.382177", ',0,"0.382177'),
        ("image, 0", "image\0, 0"),
    ],
)
def test_damage_within_a_line_is_told(tmp_path, train_config, old, new, make_predictions):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(), train_config(), NAMES)
    text = path.read_bytes().decode()
    assert old in text
    path.write_bytes(text.replace(old, new, 1).encode())
    with pytest.raises(UserError, match="predictions.csv cannot be read"):
        read_predictions(path)


def test_a_file_that_is_cut_off_within_a_line_is_told(tmp_path, make_config, make_predictions):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(num_images=3), make_config("--model=resnet18"), NAMES)
    content = path.read_bytes()
    for length in range(len(content)):
        path.write_bytes(content[:length])
        if content[:length].endswith(b"\n") and content[:length].count(b"\n") > 1:
            assert len(read_predictions(path).ids) == content[:length].count(b"\n") - 1
        else:
            with pytest.raises(UserError, match="predictions.csv cannot be read"):
                read_predictions(path)


@pytest.mark.fuzz
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_predictions_are_read_or_refused(data, tmp_path, make_config, make_predictions):
    path = tmp_path / "predictions.csv"
    write_predictions(path, make_predictions(num_images=3), make_config("--model=resnet18"), NAMES)
    content = bytearray(path.read_bytes())
    positions = st.integers(0, len(content) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        content[position] = value
    path.write_bytes(bytes(content))
    try:
        found = read_predictions(path)
    except UserError:
        return
    assert set(found.labels) <= {0, 1} and 0 <= found.probabilities.min() <= found.probabilities.max() <= 1
