import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.metrics import silhouette_samples

from histogan_tf.clustering import scores


def test_purity_and_nmi_of_the_textbook():
    """Manning, Raghavan & Schütze (2008), figure 16.4 and table 16.2: purity 0.71, NMI 0.36."""
    classes = np.array(list("xxxxxo" + "xoooo#" + "xx###"))
    clusters = np.repeat([0, 1, 2], [6, 6, 5])
    found = scores.agreement(clusters, classes)
    assert found["purity"] == pytest.approx(12 / 17)
    assert found["nmi"] == pytest.approx(0.36, abs=0.005)
    assert found["purity_of_one_cluster"] == pytest.approx(8 / 17)


def test_agreement_at_the_ends():
    classes = np.array([0, 0, 1, 1])
    assert scores.agreement(np.array([5, 5, 2, 2]), classes) == {
        "purity": 1.0,
        "purity_of_one_cluster": 0.5,
        "nmi": pytest.approx(1.0),
    }
    assert scores.agreement(np.array([0, 1, 0, 1]), classes)["nmi"] == pytest.approx(0.0, abs=1e-12)
    assert scores.agreement(np.array([0, 1, 0, 1]), np.zeros(4, int)) is None


def _three_groups() -> np.ndarray:
    generator = np.random.default_rng(0)
    return (np.repeat(np.eye(3), 20, axis=0) + generator.normal(0, 0.05, (60, 3))).astype(np.float32)


def test_three_groups_suggest_three():
    points = _three_groups()
    selection = scores.select_k(points, seed=1)
    assert selection.num_clusters.tolist() == list(range(1, 11))
    assert selection.num_images == 60
    assert selection.num_clusters[np.nanargmax(selection.silhouette)] == 3
    assert np.isnan(selection.silhouette[0]) and not np.isnan(selection.silhouette[1:]).any()
    assert selection.inertia[0] == pytest.approx(((points - points.mean(axis=0)) ** 2).sum(), rel=1e-5)
    assert (np.diff(selection.inertia) < 0).all()
    labels = KMeans(3, n_init=10, random_state=1).fit_predict(points)
    assert selection.silhouette[2] == pytest.approx(silhouette_samples(points, labels).mean(), rel=1e-6)


def test_no_more_clusters_than_distinct_points():
    points = np.eye(4, dtype=np.float32)[[0, 1, 2, 0]]
    assert scores.select_k(points, seed=0).num_clusters.tolist() == [1, 2, 3]
    assert scores.select_k(points[:0], seed=0).num_clusters.tolist() == []
    selection = scores.select_k(points[:3], seed=0)
    assert np.isnan(selection.silhouette).tolist() == [True, False, True]  # undefined where each image is a cluster


def test_large_sets_are_sampled(monkeypatch):
    monkeypatch.setattr(scores, "MAX_IMAGES_TRIED", 30)
    points = _three_groups()
    selection = scores.select_k(points, seed=1)
    assert selection.num_images == 30
    assert selection.num_clusters[np.nanargmax(selection.silhouette)] == 3
    np.testing.assert_array_equal(selection.inertia, scores.select_k(points, seed=1).inertia)
