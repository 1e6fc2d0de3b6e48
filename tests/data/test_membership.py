import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from histogan_tf.data.image_set import ImageSet
from histogan_tf.data.membership import read_cluster, restrict
from histogan_tf.errors import UserError


@pytest.fixture
def patches():
    """Ten flat images, 0.png to 9.png."""
    images = np.arange(10, dtype=np.uint8).reshape(10, 1, 1, 1).repeat(3, axis=3)
    return ImageSet(images, None, np.array([f"{index}.png" for index in range(10)]), None, "patches")


@pytest.fixture
def csv_path(patches, tmp_path):
    """A clusters.csv with the even patches in cluster 0, the odd ones in cluster 3, and patch 9 in none."""
    path = tmp_path / "clusters.csv"
    rows = [f"{name},,,{-1 if index == 9 else 3 * (index % 2)}," for index, name in enumerate(patches.ids)]
    path.write_text("\n".join(["id,label,patient,cluster,distance", *rows]))
    return path


@pytest.mark.parametrize(("cluster", "expected"), [(-1, [9]), (0, [0, 2, 4, 6, 8]), (3, [1, 3, 5, 7])])
def test_images_of_a_cluster(patches, csv_path, cluster, expected):
    chosen = restrict(patches, read_cluster(csv_path, cluster))
    assert chosen.ids.tolist() == [f"{index}.png" for index in expected]
    assert chosen.images[:, 0, 0, 0].tolist() == expected


def test_columns_in_another_order_and_a_byte_order_mark(tmp_path):
    path = tmp_path / "edited.csv"
    path.write_text("\ufeffcluster,id,note\r\n1,a.png,x\r\n0,b.png,y\r\n1,c.png,z\r\n", encoding="utf-8", newline="")
    assert read_cluster(path, 1).tolist() == ["a.png", "c.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"id,label\na,1\n", "has no column cluster; give the clusters.csv"),
        (b"", "has no column cluster, id"),
        (b"id,cluster\na,0\nb,3\n", "cluster 2 of .* is empty; it has the clusters 0, 3"),
        (b"id,cluster\n", "is empty; it has the clusters none"),
        (b"id,cluster\na,0\nb,two\n", "line 3 of .* has the cluster 'two'"),
        (b"id,cluster\na\n", "line 2 of .* has the cluster None"),
        (b"id,cluster\n\xff\xfe,0\n", "cannot be read as CSV"),
        (b'id,cluster\n"a,0\n', "cannot be read as CSV"),
    ],
)
def test_bad_files(tmp_path, content, message):
    path = tmp_path / "clusters.csv"
    path.write_bytes(content)
    with pytest.raises(UserError, match=message):
        read_cluster(path, 2)


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(UserError, match="no file .*; --mode=cluster writes it"):
        read_cluster(tmp_path / "clusters.csv", 0)
    with pytest.raises(UserError, match="cannot be read as CSV"):
        read_cluster(tmp_path, 0)


def test_ids_of_another_dataset(patches):
    with pytest.raises(UserError, match=r"2 of 3 ids not in the dataset patches: x\.png, y\.png"):
        restrict(patches, np.array(["x.png", "4.png", "y.png"]))


def test_a_part_needs_only_its_own(patches):
    part = patches.select(np.arange(0, 10, 2))
    ids = np.array(["3.png", "4.png", "9.png"])
    assert restrict(part, ids, whole=patches).ids.tolist() == ["4.png"]
    with pytest.raises(UserError, match="2 of 3 ids not in the dataset"):
        restrict(part, ids)
    with pytest.raises(UserError, match="none of 1 image of the cluster is in the chosen part"):
        restrict(part, ids[:1], whole=patches)


@pytest.mark.fuzz
@given(data=st.data())
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_mutated_files_are_read_or_refused(data, csv_path, tmp_path):
    content = bytearray(csv_path.read_bytes())
    positions = st.integers(0, len(content) - 1)
    for position, value in data.draw(st.lists(st.tuples(positions, st.integers(0, 255)), min_size=1, max_size=4)):
        content[position] = value
    (tmp_path / "mutated.csv").write_bytes(bytes(content))
    try:
        ids = read_cluster(tmp_path / "mutated.csv", 0)
    except UserError:
        return
    assert 1 <= len(ids) <= 10
