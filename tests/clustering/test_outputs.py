import dataclasses
import errno
import json
import os

import numpy as np
import pytest

from histogan_tf.clustering import assign_images, cluster_images, load_model, montages, outputs, write_clusters
from histogan_tf.clustering.outputs import write_assignments
from histogan_tf.data.membership import read_cluster, restrict
from histogan_tf.errors import UserError
from histogan_tf.runs.own_results import own_results

FILES = ["clusters.csv", "k_selection.png", "summary.json", "vocabulary.npz"]


def _montages(*names):
    return [f"cluster_{name}.png" for name in names]


def _contents(directory):
    return {path.name: path.read_bytes() for path in directory.iterdir() if not path.name.startswith(".")}


@pytest.fixture(scope="module")
def written(clustering, textures_and_flat, tmp_path_factory):
    directory = tmp_path_factory.mktemp("clusters") / "new" / "folder"
    return directory, write_clusters(clustering, textures_and_flat, directory)


def test_summary(clustering, written):
    directory, summary = written
    assert json.loads((directory / "summary.json").read_text()) == summary
    assert summary["num_images"] == 80
    assert summary["num_images_without_descriptors"] == 2
    assert [(entry["cluster"], entry["size"]) for entry in summary["clusters"]] == [
        (cluster, np.count_nonzero(clustering.assignment == cluster)) for cluster in (-1, 0, 1, 2, 3)
    ]
    without = summary["clusters"][0]
    assert without["largest_label"] == 0 and without["share_of_largest_label"] == 0.5
    assert "median_distance" not in without
    assert summary["agreement"]["label"]["purity"] >= 0.95
    assert summary["agreement"]["label"]["purity_of_one_cluster"] == 20 / 78
    assert summary["agreement"]["patient"]["nmi"] < 0.05
    assert summary["k_selection"]["num_images"] == 78
    assert summary["k_selection"]["silhouette"][0] is None


def test_files_are_the_same_bytes_for_any_number_of_workers(textures_and_flat, written, tmp_path):
    again = cluster_images(textures_and_flat, vocabulary_size=40, num_workers=2)
    write_clusters(again, textures_and_flat, tmp_path)
    contents = _contents(tmp_path)
    assert sorted(contents) == sorted(FILES + _montages("none", 0, 1, 2, 3))
    assert contents == _contents(written[0])


def test_montages_show_the_nearest_and_random_members(clustering, textures_and_flat, tmp_path, monkeypatch):
    shown = {}
    monkeypatch.setattr(montages, "MONTAGE_IMAGES", 5)
    monkeypatch.setattr(
        montages, "save_montage", lambda path, title, panels: (path.touch(), shown.update({title: panels}))
    )
    outputs._write_montages(clustering, textures_and_flat, tmp_path, seed=1)
    assert list(shown["no descriptors (cluster -1): 2 images"]) == ["random"]
    members = np.flatnonzero(clustering.assignment == 0)
    panels = shown[f"cluster 0: {len(members)} images"]
    nearest = sorted(members, key=lambda index: clustering.distance[index])[:5]
    np.testing.assert_array_equal(panels["nearest to the centre"], textures_and_flat.images[nearest])
    random = [np.flatnonzero((textures_and_flat.images == image).all(axis=(1, 2, 3)))[0] for image in panels["random"]]
    assert len(set(random)) == 5 and set(random) <= set(members) and set(random) != set(nearest)


def test_new_images_with_a_written_vocabulary(clustering, textures, written, tmp_path):
    some = dataclasses.replace(textures.select(np.array([0, 1, 2, 25])), labels=None, groups=None)
    assigned = assign_images(some, load_model(written[0] / "vocabulary.npz"))
    np.testing.assert_array_equal(assigned.assignment, clustering.assignment[[0, 1, 2, 25]])
    summary = write_clusters(assigned, some, tmp_path)
    assert summary["agreement"] == {"label": None, "patient": None}
    assert sorted(entry["size"] for entry in summary["clusters"]) == [0, 0, 1, 3]


def test_new_images_that_are_all_flat(clustering, textures, tmp_path):
    flat = dataclasses.replace(textures.select(np.arange(3)), images=np.full((3, 40, 40, 3), 7, np.uint8))
    summary = write_clusters(assign_images(flat, clustering.model), flat, tmp_path)
    assert summary["num_images_without_descriptors"] == 3
    assert sorted(_contents(tmp_path)) == sorted(FILES + _montages("none"))


def test_montages_of_an_earlier_clustering_go_and_other_files_stay(clustering, textures, textures_and_flat, tmp_path):
    for name in ("cluster_7.png", "cluster_of_mine.png", "notes.txt"):
        (tmp_path / name).touch()
    write_clusters(clustering, textures_and_flat, tmp_path)
    assert sorted(_contents(tmp_path)) == sorted(FILES + _montages("none", 0, 1, 2, 3, 7, "of_mine") + ["notes.txt"])
    write_clusters(cluster_images(textures, num_clusters=2, vocabulary_size=20), textures, tmp_path)
    assert sorted(_contents(tmp_path)) == sorted(FILES + _montages(0, 1, 7, "of_mine") + ["notes.txt"])


def test_a_file_of_the_user_is_not_overwritten(clustering, textures_and_flat, tmp_path):
    (tmp_path / "summary.json").write_text("mine")
    with pytest.raises(UserError, match="holds summary.json, which this program did not write"):
        write_clusters(clustering, textures_and_flat, tmp_path)
    assert _contents(tmp_path) == {"summary.json": b"mine"}


def test_a_failure_leaves_whole_files(clustering, textures_and_flat, tmp_path, monkeypatch):
    with own_results(tmp_path, FILES):
        for name in FILES:
            (tmp_path / name).write_text("earlier")

    def write_half(path, model):
        path.write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(outputs, "save_model", write_half)
    with pytest.raises(OSError, match="No space left"):
        write_clusters(clustering, textures_and_flat, tmp_path)
    contents = _contents(tmp_path)
    assert sorted(contents) == sorted(FILES + _montages("none", 0, 1, 2, 3))
    assert contents["vocabulary.npz"] == contents["clusters.csv"] == b"earlier"


def test_output_that_is_a_file(clustering, textures_and_flat, tmp_path):
    (tmp_path / "taken").touch()
    with pytest.raises(UserError, match="taken cannot be made a directory"):
        write_clusters(clustering, textures_and_flat, tmp_path / "taken")


@pytest.fixture
def csv_path(clustering, textures_and_flat, tmp_path):
    path = tmp_path / "clusters.csv"
    write_assignments(path, clustering, textures_and_flat)
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
    write_assignments(tmp_path / "clusters.csv", clustering, unlabelled)
    assert (tmp_path / "clusters.csv").read_text().splitlines()[4] == "3.png,,,-1,"


@pytest.mark.parametrize("cluster", [-1, 0, 3])
def test_a_cluster_comes_back(clustering, textures_and_flat, csv_path, cluster):
    chosen = restrict(textures_and_flat, read_cluster(csv_path, cluster))
    expected = np.flatnonzero(clustering.assignment == cluster)
    assert len(expected) > 0
    np.testing.assert_array_equal(chosen.ids, textures_and_flat.ids[expected])
    np.testing.assert_array_equal(chosen.images, textures_and_flat.images[expected])
    np.testing.assert_array_equal(chosen.labels, textures_and_flat.labels[expected])
