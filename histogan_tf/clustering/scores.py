"""Scores of clusters: their agreement with labels or patients, and scores that help to choose their number."""

from __future__ import annotations

import dataclasses

import numpy as np

from histogan_tf.clustering.clusters import best_kmeans
from histogan_tf.clustering.descriptors import one_thread_per_call

MAX_CLUSTERS_TRIED = 10
MAX_IMAGES_TRIED = 5000  # the silhouette needs the distances of all pairs of images


@dataclasses.dataclass(frozen=True)
class KSelection:
    """The scores of k-means for several numbers of clusters, from which a person can choose one.

    Attributes:
        num_clusters: the numbers of clusters that were tried, int (n,): 1, 2, ….
        inertia: the sum of the squared distances of images from the nearest centre, float (n,).
        silhouette: the mean silhouette of the images, float (n,), in [-1, 1] (Rousseeuw 1987); NaN where it is not
            defined: for one cluster, and for as many clusters as images.
        num_images: the number of images used: all images with descriptors, or a random sample of MAX_IMAGES_TRIED.
    """

    num_clusters: np.ndarray
    inertia: np.ndarray
    silhouette: np.ndarray
    num_images: int


def purity(clusters: np.ndarray, classes: np.ndarray) -> float:
    """Returns the share of images that have the most frequent class of their cluster, in (0, 1].

    It is at least the share of the most frequent class of all images, and grows with the number of clusters. Source:
    Manning, Raghavan & Schütze, "Introduction to Information Retrieval" (2008), section 16.3.

    Args:
        clusters: the cluster of each image, int (num_images,).
        classes: the class of each image, int or str (num_images,).
    """
    commonest = [
        np.unique(classes[clusters == cluster], return_counts=True)[1].max() for cluster in np.unique(clusters)
    ]
    return float(sum(commonest) / len(clusters))


def agreement(clusters: np.ndarray, classes: np.ndarray) -> dict[str, float] | None:
    """Returns how well clusters agree with the classes of the images.

    Args:
        clusters: the cluster of each image, int (num_images,).
        classes: the class of each image, such as its label or patient, int or str (num_images,).

    Returns:
        `purity`, see `purity`; `purity_of_one_cluster`, the purity if all images were in one cluster; and `nmi`, the
        normalized mutual information (arithmetic mean). None if there are fewer than two classes.
    """
    from sklearn.metrics import normalized_mutual_info_score

    if len(np.unique(classes)) < 2:
        return None
    return {
        "purity": purity(clusters, classes),
        "purity_of_one_cluster": purity(np.zeros(len(classes), int), classes),
        "nmi": float(normalized_mutual_info_score(classes, clusters)),
    }


def select_k(histograms: np.ndarray, seed: int) -> KSelection:
    """Fits k-means with 1, 2, … MAX_CLUSTERS_TRIED clusters, at most as many as distinct histograms, and scores each.

    Args:
        histograms: the histograms of the images that have descriptors, float32 (num_images, num_words).
        seed: the seed of the sample of images and of k-means.
    """
    from sklearn.metrics import silhouette_score

    if len(histograms) > MAX_IMAGES_TRIED:
        chosen = np.random.default_rng(seed).choice(len(histograms), MAX_IMAGES_TRIED, replace=False)
        histograms = histograms[np.sort(chosen)]
    tried = np.arange(1, min(MAX_CLUSTERS_TRIED, len(np.unique(histograms, axis=0))) + 1)
    inertia, silhouette = np.zeros(len(tried)), np.full(len(tried), np.nan)
    with one_thread_per_call():
        for index, num_clusters in enumerate(tried):
            kmeans = best_kmeans(histograms, num_clusters, seed)
            inertia[index] = kmeans.inertia_
            if 1 < num_clusters < len(histograms):
                silhouette[index] = silhouette_score(histograms, kmeans.labels_)
    return KSelection(tried, inertia, silhouette, len(histograms))
