"""The vocabulary of visual words, and the histograms of words that describe images.

Source: Sivic & Zisserman (ICCV 2003), sections 3 and 4.
"""

from __future__ import annotations

import numpy as np

from histogan_tf.errors import UserError, counted


def fit_words(points: np.ndarray, vocabulary_size: int, seed: int) -> np.ndarray:
    """Computes the visual words, which are centres of descriptors, by mini-batch k-means (Sculley, WWW 2010).

    Args:
        points: the descriptors, float32 (num_descriptors, 128).
        vocabulary_size: the number of words.
        seed: the seed of the k-means++ starts and of the mini-batches.

    Returns:
        The words, float32 (vocabulary_size, 128).

    Raises:
        UserError: if there are fewer distinct descriptors than words.
    """
    from sklearn.cluster import MiniBatchKMeans

    num_distinct = len({point.tobytes() for point in points})
    if not 1 <= vocabulary_size <= num_distinct:
        raise UserError(
            f"a vocabulary of {counted(vocabulary_size, 'word')} cannot be made of "
            f"{counted(num_distinct, 'distinct SIFT descriptor')}; choose a --vocabulary_size from 1 to "
            f"{num_distinct}, or get more descriptors with more images, a larger "
            "--upsample, or --dense"
        )
    kmeans = MiniBatchKMeans(vocabulary_size, n_init=3, random_state=seed)
    return kmeans.fit(points).cluster_centers_.astype(np.float32)


def count_words(points: np.ndarray, words: np.ndarray) -> np.ndarray:
    """Returns for each word how many descriptors are nearer to it than to the other words.

    Args:
        points: the descriptors, float32 (num_descriptors, 128).
        words: the words, float32 (num_words, 128).

    Returns:
        int32 (num_words,).
    """
    # |p - w|^2 = |p|^2 - 2 p.w + |w|^2, and |p|^2 does not change which word is nearest.
    nearest = np.argmin((words**2).sum(axis=1) / 2 - points @ words.T, axis=1)
    return np.bincount(nearest, minlength=len(words)).astype(np.int32)


def inverse_document_frequency(counts: np.ndarray) -> np.ndarray:
    """Returns the weight of each word, which is larger for words that occur in fewer images.

    The weight is the smoothed form log((1 + N) / (1 + n)) + 1, where N images have descriptors, and n of them the word.
    The plain log(N / n) of Sivic & Zisserman (section 4) is 0 for words that occur in all images, which many do if the
    vocabulary has only a hundred words.

    Args:
        counts: how often each word occurs in each image, int (num_images, num_words).

    Returns:
        float32 (num_words,), at least 1.
    """
    num_images = np.count_nonzero(counts.any(axis=1))
    return (np.log((1 + num_images) / (1 + np.count_nonzero(counts, axis=0))) + 1).astype(np.float32)


def word_histograms(counts: np.ndarray, word_weights: np.ndarray) -> np.ndarray:
    """Returns the weighted histogram of words of each image, with sum 1, or zeros for an image without words.

    Args:
        counts: how often each word occurs in each image, int (num_images, num_words).
        word_weights: the weights of the words, float32 (num_words,).

    Returns:
        float32 (num_images, num_words).
    """
    weighted = counts * word_weights
    total = weighted.sum(axis=1, keepdims=True)
    return np.divide(weighted, total, out=np.zeros(weighted.shape), where=total > 0).astype(np.float32)
