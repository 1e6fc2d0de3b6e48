"""Clusters of an image set: fit them, or put images into those of a saved model."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

import numpy as np

from histogan_tf.clustering import descriptors, vocabulary
from histogan_tf.clustering.descriptors import DescriptorSettings
from histogan_tf.clustering.model import ClusterModel
from histogan_tf.data.image_set import ImageSet
from histogan_tf.errors import UserError
from histogan_tf.machine.parallel import map_in_order
from histogan_tf.machine.progress import Progress

if TYPE_CHECKING:
    from sklearn.cluster import KMeans

NO_DESCRIPTORS = -1  # the cluster of images in which SIFT finds nothing
MAX_VOCABULARY_DESCRIPTORS = 200_000  # 2000 for each of 100 words, and 100 MB as float32
NUM_STARTS = 10  # runs of k-means from different seeds, of which the best is kept


@dataclasses.dataclass(frozen=True)
class Clustering:
    """The cluster of each image.

    Attributes:
        assignment: int32 (num_images,), cluster 0 is the largest of the fit; -1 = the image has no descriptors.
        distance: float32 (num_images,), Euclidean, to the centre of the image's cluster; NaN where assignment is -1.
        histograms: float32 (num_images, num_words), sum 1; zeros where assignment is -1.
        num_descriptors: int32 (num_images,).
        model: what made them; `assign_images` takes it to other images.
    """

    assignment: np.ndarray
    distance: np.ndarray
    histograms: np.ndarray
    num_descriptors: np.ndarray
    model: ClusterModel


def cluster_images(
    image_set: ImageSet,
    *,
    num_clusters: int = 4,
    vocabulary_size: int = 100,
    upsample: int = 2,
    dense: bool = False,
    root_sift: bool = False,
    tf_idf: bool = False,
    seed: int = 42,
    num_workers: int | None = None,
    max_vocabulary_descriptors: int = MAX_VOCABULARY_DESCRIPTORS,
) -> Clustering:
    """Cluster the images of `image_set`; the same bytes for the same seed, whatever the number of workers.

    The vocabulary is made of the descriptors of whole images, taken in random order until there are
    `max_vocabulary_descriptors`. Each image is described once; only those descriptors are held in memory.

    Args:
        image_set: images to cluster, any size in which a SIFT descriptor fits.
        num_clusters: k of k-means.
        vocabulary_size: number of visual words.
        upsample: see DescriptorSettings, as dense and root_sift.
        dense: descriptors on a grid.
        root_sift: Hellinger kernel on descriptors.
        tf_idf: weight words by inverse document frequency.
        seed: of all random choices, in [0, 2**32).
        num_workers: threads; None = one per core.
        max_vocabulary_descriptors: most descriptors from which the vocabulary is made.

    Raises:
        UserError: images too small for SIFT, no descriptors at all, a vocabulary larger than the number of distinct
            descriptors, or more clusters than images with descriptors or than distinct histograms.
    """
    settings = DescriptorSettings(upsample, dense, root_sift)
    descriptors.check_size(image_set.image_shape, settings)
    with descriptors.one_thread_per_call():
        described, sample = _sample_descriptors(
            image_set.images, settings, max_vocabulary_descriptors, seed, num_workers
        )
        words = vocabulary.fit_words(descriptors.as_points(sample, settings), vocabulary_size, seed)
        counts = _count_words(image_set.images, words, settings, described, num_workers)
        word_weights = np.ones(len(words), np.float32)
        if tf_idf:
            word_weights = vocabulary.inverse_document_frequency(counts)
        histograms = vocabulary.word_histograms(counts, word_weights)
        centres = _fit_centres(histograms[counts.any(axis=1)], num_clusters, seed)
    return _assign(counts, ClusterModel(words, word_weights, centres, settings))


def assign_images(image_set: ImageSet, model: ClusterModel, *, num_workers: int | None = None) -> Clustering:
    """Put each image into the nearest cluster of a model fitted before, on these images or on others.

    Raises:
        UserError: images too small for SIFT as the model uses it.
    """
    descriptors.check_size(image_set.image_shape, model.settings)
    with descriptors.one_thread_per_call():
        counts = _count_words(image_set.images, model.words, model.settings, {}, num_workers)
    return _assign(counts, model)


def best_kmeans(histograms: np.ndarray, num_clusters: int, seed: int) -> KMeans:
    """scikit-learn's KMeans, fitted to `histograms`: the best of NUM_STARTS seeded starts."""
    from sklearn.cluster import KMeans

    return KMeans(num_clusters, n_init=NUM_STARTS, random_state=seed).fit(histograms)


def _sample_descriptors(
    images: np.ndarray, settings: DescriptorSettings, most: int, seed: int, num_workers: int | None
) -> tuple[dict[int, np.ndarray], np.ndarray]:
    """Descriptors by image index, of images in random order until there are `most`; and at most so many of them."""
    generator = np.random.default_rng(seed)
    order = generator.permutation(len(images)).tolist()
    described, total = {}, 0
    found = map_in_order(lambda i: descriptors.describe_image(images[i], settings), order, num_workers)
    for index, of_image in zip(order, found, strict=False):
        described[index] = of_image
        total += len(of_image)
        if total >= most:
            break
    found.close()
    if total == 0:
        raise UserError(
            f"SIFT finds no descriptor in any of {len(images)} images; they may be flat: look at them, or "
            "try dense or a larger upsample"
        )
    sample = np.concatenate(list(described.values()))
    if total > most:
        sample = sample[generator.choice(total, most, replace=False)]
    return described, sample


def _count_words(
    images: np.ndarray,
    words: np.ndarray,
    settings: DescriptorSettings,
    described: dict[int, np.ndarray],
    num_workers: int | None,
) -> np.ndarray:
    """int32 (num_images, num_words); images in `described` are not described again."""

    def count(index: int) -> np.ndarray:
        of_image = described.get(index)
        if of_image is None:
            of_image = descriptors.describe_image(images[index], settings)
        return vocabulary.count_words(descriptors.as_points(of_image, settings), words)

    counts = np.empty((len(images), len(words)), np.int32)
    with Progress(len(images), 0, "image") as progress:
        for index, row in enumerate(map_in_order(count, range(len(images)), num_workers)):
            counts[index] = row
            progress.update(index + 1)
    return counts


def _fit_centres(histograms: np.ndarray, num_clusters: int, seed: int) -> np.ndarray:
    """Centres of k-means, that of the largest cluster first: float32 (num_clusters, num_words)."""
    num_distinct = len(np.unique(histograms, axis=0))
    if not 1 <= num_clusters <= num_distinct:
        raise UserError(
            f"{num_clusters} clusters cannot be made of {len(histograms)} images with descriptors, whose histograms "
            f"take {num_distinct} distinct values; choose num_clusters from 1 to {num_distinct}"
        )
    kmeans = best_kmeans(histograms, num_clusters, seed)
    sizes = np.bincount(kmeans.labels_, minlength=num_clusters)
    return kmeans.cluster_centers_[np.argsort(-sizes, kind="stable")].astype(np.float32)


def _assign(counts: np.ndarray, model: ClusterModel) -> Clustering:
    """The nearest centre of each row of word counts."""
    histograms = vocabulary.word_histograms(counts, model.word_weights)
    distances = np.stack([np.linalg.norm(histograms - centre, axis=1) for centre in model.centres], axis=1)
    num_descriptors = counts.sum(axis=1, dtype=np.int32)
    described = num_descriptors > 0
    assignment = np.where(described, distances.argmin(axis=1), NO_DESCRIPTORS).astype(np.int32)
    distance = np.where(described, distances.min(axis=1), np.nan).astype(np.float32)
    return Clustering(assignment, distance, histograms, num_descriptors, model)
