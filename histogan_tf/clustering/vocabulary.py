"""The vocabulary of visual words, and images as histograms of them (Sivic & Zisserman, ICCV 2003, sections 3 and 4)."""

from __future__ import annotations

import numpy as np

from histogan_tf.errors import UserError


def fit_words(points: np.ndarray, vocabulary_size: int, seed: int) -> np.ndarray:
    """Cluster descriptors to words by mini-batch k-means (Sculley, WWW 2010).

    Args:
        points: float32 (num_descriptors, 128).
        vocabulary_size: number of words.
        seed: of the k-means++ starts and of the mini-batches.

    Returns:
        float32 (vocabulary_size, 128).

    Raises:
        UserError: there are fewer distinct descriptors than words.
    """
    from sklearn.cluster import MiniBatchKMeans

    num_distinct = len({point.tobytes() for point in points})
    if not 1 <= vocabulary_size <= num_distinct:
        raise UserError(
            f"a vocabulary of {vocabulary_size} words cannot be made of {num_distinct} distinct SIFT descriptors; "
            f"choose a vocabulary_size from 1 to {num_distinct}, or get more descriptors with more images, a larger "
            "upsample, or dense"
        )
    kmeans = MiniBatchKMeans(vocabulary_size, n_init=3, random_state=seed)
    return kmeans.fit(points).cluster_centers_.astype(np.float32)


def count_words(points: np.ndarray, words: np.ndarray) -> np.ndarray:
    """How many of `points`, float32 (n, 128), lie nearest to each of `words`, float32 (m, 128): int32 (m,)."""
    # |p - w|^2 = |p|^2 - 2 p.w + |w|^2, and |p|^2 does not change which word is nearest.
    nearest = np.argmin((words**2).sum(axis=1) / 2 - points @ words.T, axis=1)
    return np.bincount(nearest, minlength=len(words)).astype(np.int32)


def inverse_document_frequency(counts: np.ndarray) -> np.ndarray:
    """Weight of each word from `counts`, int (num_images, num_words): float32 (num_words,), at least 1.

    The smoothed form log((1 + N) / (1 + n)) + 1 over the N images that have descriptors, n of which hold the word. The
    plain log(N / n) of Sivic & Zisserman (section 4) would erase the words that every image holds, and with a hundred
    words those are many.
    """
    num_images = np.count_nonzero(counts.any(axis=1))
    return (np.log((1 + num_images) / (1 + np.count_nonzero(counts, axis=0))) + 1).astype(np.float32)


def word_histograms(counts: np.ndarray, word_weights: np.ndarray) -> np.ndarray:
    """Weighted `counts` with sum 1 in each row: float32 (num_images, num_words); rows without a word stay zero."""
    weighted = counts * word_weights
    total = weighted.sum(axis=1, keepdims=True)
    return np.divide(weighted, total, out=np.zeros(weighted.shape), where=total > 0).astype(np.float32)
