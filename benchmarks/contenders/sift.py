"""Clusters images by SIFT, visual words and k-means: by the program on some threads, and by a plain loop on one core.

A call clusters all images of a set of phantoms.
"""

from __future__ import annotations

import numpy as np

from histogan_tf import clustering
from histogan_tf.data.sources.phantom import make_phantom

_NUM_CLUSTERS, _NUM_WORDS, _UPSAMPLE, _SEED = 4, 100, 2, 42


class ParallelClustering:
    """Clusters as the program does.

    Args:
        num_images: number of 50x50 patches.
        num_workers: number of threads.
    """

    def __init__(self, num_images: int, num_workers: int) -> None:
        self._phantom, self._num_workers = make_phantom(num_images), num_workers
        self._last: clustering.Clustering | None = None

    def material(self) -> dict[str, np.ndarray]:
        """Returns our visual words, to which the others assign their descriptors."""
        return {"words": self._cluster().model.words}

    def check(self, material: dict[str, np.ndarray]) -> list[dict[str, float]]:
        """Returns the number of descriptors and how often each word occurs."""
        result = self._last or self._cluster()
        counts = np.rint(result.histograms * result.num_descriptors[:, None]).sum(axis=0)
        return [_figures(int(result.num_descriptors.sum()), counts)]

    def run(self, count: int) -> None:
        """Clusters the set `count` times."""
        for _ in range(count):
            self._cluster()

    def flops(self) -> None:
        """Returns None: the operations are not counted."""

    def _cluster(self) -> clustering.Clustering:
        self._last = clustering.cluster_images(
            self._phantom,
            num_clusters=_NUM_CLUSTERS,
            vocabulary_size=_NUM_WORDS,
            upsample=_UPSAMPLE,
            seed=_SEED,
            num_workers=self._num_workers,
        )
        return self._last


class PlainClustering:
    """Clusters with OpenCV and scikit-learn, image by image on one core.

    Args:
        num_images: number of 50x50 patches.
    """

    def __init__(self, num_images: int) -> None:
        import cv2

        cv2.setNumThreads(1)
        self._images = make_phantom(num_images).images

    def check(self, material: dict[str, np.ndarray]) -> list[dict[str, float]]:
        """Returns the number of descriptors and how often each of the given words occurs."""
        described = self._describe()
        counts = sum(self._count(descriptors, material["words"]) for descriptors in described)
        return [_figures(sum(map(len, described)), counts)]

    def run(self, count: int) -> None:
        """Clusters the set `count` times."""
        from sklearn.cluster import KMeans, MiniBatchKMeans
        from threadpoolctl import threadpool_limits

        for _ in range(count):
            with threadpool_limits(1):
                described = self._describe()
                words = MiniBatchKMeans(_NUM_WORDS, n_init=3, random_state=_SEED).fit(np.concatenate(described))
                counts = np.stack([self._count(descriptors, words.cluster_centers_) for descriptors in described])
                histograms = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
                KMeans(_NUM_CLUSTERS, n_init=10, random_state=_SEED).fit(histograms)

    def flops(self) -> None:
        """Returns None: the operations are not counted."""

    def _describe(self) -> list[np.ndarray]:
        import cv2

        sift = cv2.SIFT_create()
        described = []
        for image in self._images:
            grey = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)
            grey = cv2.resize(grey, None, fx=_UPSAMPLE, fy=_UPSAMPLE, interpolation=cv2.INTER_LINEAR)
            _, descriptors = sift.detectAndCompute(grey, None)
            described.append(np.zeros((0, 128), np.float32) if descriptors is None else descriptors)
        return described

    def _count(self, descriptors: np.ndarray, words: np.ndarray) -> np.ndarray:
        """Counts the descriptors that are nearest to each word."""
        from scipy.spatial.distance import cdist

        nearest = cdist(descriptors, words).argmin(axis=1) if len(descriptors) else np.zeros(0, int)
        return np.bincount(nearest, minlength=len(words))


def _figures(num_descriptors: int, counts: np.ndarray) -> dict[str, float]:
    """Returns the number of descriptors and each word's share of them; one between two words may count to either."""
    shares = counts / counts.sum()
    return {"descriptors": float(num_descriptors), **{f"word {n}": float(share) for n, share in enumerate(shares)}}
