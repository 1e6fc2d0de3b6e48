"""How clusters agree with what is known of the images, and how many clusters the images suggest."""

from __future__ import annotations

import dataclasses

import numpy as np

from histogan_tf.clustering.clusters import best_kmeans
from histogan_tf.clustering.descriptors import one_thread_per_call

MAX_CLUSTERS_TRIED = 10
MAX_IMAGES_TRIED = 5000  # silhouettes need all pairs of images


@dataclasses.dataclass(frozen=True)
class KSelection:
    """k-means over k, on `num_images` images.

    Attributes:
        num_clusters: int (n,), 1, 2, ….
        inertia: float (n,), sum of squared distances to the nearest centre.
        silhouette: float (n,), mean over images, in [-1, 1] (Rousseeuw 1987); NaN where undefined (k = 1, and k = the
            number of images).
        num_images: a seeded sample of those with descriptors, at most MAX_IMAGES_TRIED.
    """

    num_clusters: np.ndarray
    inertia: np.ndarray
    silhouette: np.ndarray
    num_images: int


def purity(clusters: np.ndarray, classes: np.ndarray) -> float:
    """Share of images whose class is the commonest one of their cluster, in (0, 1].

    Manning, Raghavan & Schütze, "Introduction to Information Retrieval" (2008), section 16.3. It cannot fall below the
    share of the commonest class of all, and grows with the number of clusters.
    """
    commonest = [
        np.unique(classes[clusters == cluster], return_counts=True)[1].max() for cluster in np.unique(clusters)
    ]
    return float(sum(commonest) / len(clusters))


def agreement(clusters: np.ndarray, classes: np.ndarray) -> dict[str, float] | None:
    """Purity, the purity that one single cluster would have, and normalized mutual information (arithmetic mean).

    Args:
        clusters: int (num_images,).
        classes: int or str (num_images,), labels or patients.

    Returns:
        None if there are fewer than two classes: nothing to agree with.
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
    """Try k = 1 … MAX_CLUSTERS_TRIED (fewer where there are fewer distinct histograms).

    Args:
        histograms: float32 (num_images, num_words), of images with descriptors only.
        seed: of the sample and of k-means.
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
