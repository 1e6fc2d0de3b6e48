import numpy as np
import pytest

from histogan_tf.clustering.outputs import write_csv
from histogan_tf.data.membership import read_cluster, restrict
from histogan_tf.errors import UserError


@pytest.fixture
def csv_path(clustering, textures_and_flat, tmp_path):
    path = tmp_path / "clusters.csv"
    write_csv(path, clustering, textures_and_flat)
    return path


def test_rows(clustering, csv_path):
    rows = [line.split(",") for line in csv_path.read_text().splitlines()]
    assert rows[0] == ["id", "label", "patient", "cluster", "distance"]
    assert len(rows) == 81
    assert rows[4] == ["3.png", "0", "p1", "-1", ""]
    assert rows[51] == ["50.png", "2", "p0", "-1", ""]
    assert rows[80][:4] == ["79.png", "3", "p1", str(clustering.assignment[79])]
    assert float(rows[80][4]) == pytest.approx(clustering.distance[79], rel=1e-5)


def test_unknown_labels_and_patients_are_empty(clustering, textures_and_flat, tmp_path):
    unlabelled = type(textures_and_flat)(textures_and_flat.images, None, textures_and_flat.ids, None, "plain")
    write_csv(tmp_path / "clusters.csv", clustering, unlabelled)
    assert (tmp_path / "clusters.csv").read_text().splitlines()[4] == "3.png,,,-1,"


@pytest.mark.parametrize("cluster", [-1, 0, 3])
def test_a_cluster_comes_back(clustering, textures_and_flat, csv_path, cluster):
    chosen = restrict(textures_and_flat, read_cluster(csv_path, cluster))
    expected = np.flatnonzero(clustering.assignment == cluster)
    assert len(expected) > 0
    np.testing.assert_array_equal(chosen.ids, textures_and_flat.ids[expected])
    np.testing.assert_array_equal(chosen.images, textures_and_flat.images[expected])
    np.testing.assert_array_equal(chosen.labels, textures_and_flat.labels[expected])


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


def test_ids_of_another_dataset(textures):
    with pytest.raises(UserError, match=r"2 of 3 ids are not in the dataset textures: x\.png, y\.png"):
        restrict(textures, np.array(["x.png", "4.png", "y.png"]))


def test_a_part_needs_only_its_own(textures):
    part = textures.select(np.arange(0, 80, 2))
    ids = np.array(["3.png", "4.png", "9.png"])
    assert restrict(part, ids, whole=textures).ids.tolist() == ["4.png"]
    with pytest.raises(UserError, match="2 of 3 ids are not in the dataset"):
        restrict(part, ids)
    with pytest.raises(UserError, match="none of the 1 images of the cluster is in the chosen part"):
        restrict(part, ids[:1], whole=textures)
